"""The sliced strategy against sums over planes written out."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from anychan.nn import Promises, SlicedConv2d


def test_it_is_the_rescaled_sum_of_the_named_planes_own_convolutions():
    conv = SlicedConv2d(3, 4, 3, padding=1, channels="RGB")
    x = torch.randn(2, 2, 6, 6)
    expected = conv.bias[:, None, None] + 3 / 2 * (
        F.conv2d(x[:, :1], conv.weight[:, 2:3], padding=1) + F.conv2d(x[:, 1:], conv.weight[:, 0:1], padding=1)
    )
    torch.testing.assert_close(conv(x, "BR"), expected, rtol=1e-5, atol=1e-5)


def test_slices_by_name_can_be_taken_as_they_are():
    conv = SlicedConv2d(3, 4, 3, channels="RGB", rescale=False)
    assert torch.equal(conv.kernel("BR")[0], conv.weight[:, [2, 0]])
    assert torch.equal(conv.kernel()[0], conv.weight)
    assert conv.promises == Promises(tells_zeros=False)


def test_random_selection_takes_distinct_slices_of_the_bank_by_chance():
    conv = SlicedConv2d(3, 4, 1, channels="RGB", selection="random")
    bank = conv.weight.squeeze().T.tolist()
    torch.manual_seed(0)
    drawn = {tuple(bank.index(row) for row in conv.kernel("RG")[0].squeeze().T.tolist()) for _ in range(200)}
    assert drawn == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}


def test_a_bank_trained_at_random_is_sliced_by_name_in_evaluation_as_it_is():
    conv = SlicedConv2d(3, 4, 1, channels="RGB", selection="random")
    assert not conv.promises.exact
    with pytest.raises(ValueError, match="does not fold"):
        conv.fold("R")
    conv.eval()
    assert torch.equal(conv.kernel("BR")[0], conv.weight[:, [2, 0]])  # without the factor
    assert torch.equal(conv.fold("BR").weight, conv.weight[:, [2, 0]])
    assert torch.equal(conv.kernel()[0], conv.weight)
    assert conv.promises == Promises(tells_zeros=False)


def test_at_test_time_it_draws_too_if_asked():
    conv = SlicedConv2d(3, 4, 1, channels="RGB", selection="random", at_test="random").eval()
    bank = conv.weight.squeeze().T.tolist()
    torch.manual_seed(0)
    assert {bank.index(conv.kernel("R")[0].flatten().tolist()) for _ in range(100)} == {0, 1, 2}
    assert not conv.promises.any_order


def test_bad_options_are_refused():
    for option in ("selection", "at_test"):
        with pytest.raises(ValueError, match=f"{option} is 'best'; choose from 'name', 'random'"):
            SlicedConv2d(3, 4, 1, **{option: "best"})
    with pytest.raises(ValueError, match="at_test is 'random', which needs selection='random'"):
        SlicedConv2d(3, 4, 1, at_test="random")
    with pytest.raises(ValueError, match="rescale is True, but with selection 'random' slices are taken as they are"):
        SlicedConv2d(3, 4, 1, selection="random", rescale=True)
