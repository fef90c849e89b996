"""The sliced strategy against sums over planes written out."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from anychan.nn import SlicedConv2d


def test_it_is_the_rescaled_sum_of_the_named_planes_own_convolutions():
    conv = SlicedConv2d(3, 4, 3, padding=1, channels="RGB")
    x = torch.randn(2, 2, 6, 6)
    expected = conv.bias[:, None, None] + 3 / 2 * (
        F.conv2d(x[:, :1], conv.weight[:, 2:3], padding=1) + F.conv2d(x[:, 1:], conv.weight[:, 0:1], padding=1)
    )
    torch.testing.assert_close(conv(x, "BR"), expected, rtol=1e-5, atol=1e-5)


def test_random_selection_takes_distinct_slices_of_the_bank_by_chance():
    conv = SlicedConv2d(3, 4, 1, channels="RGB", selection="random")
    bank = conv.weight.squeeze().T.tolist()
    torch.manual_seed(0)
    drawn = {tuple(bank.index(row) for row in conv.kernel("RG")[0].squeeze().T.tolist()) for _ in range(200)}
    assert drawn == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}


def test_another_selection_is_refused():
    with pytest.raises(ValueError, match="selection is 'best'; choose from 'name', 'random'"):
        SlicedConv2d(3, 4, 1, selection="best")
