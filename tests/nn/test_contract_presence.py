"""The contract, checked over the registry: channels that are there, and channels that are not."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from ._contract import CHANNELS, equal, image, make, repeatable


@repeatable
def test_masked_equals_removed_with_anything_in_the_masked_plane(variant):
    conv, x = make(*variant), image(4)
    for filling in (0.0, 1e6, float("nan")):
        x[:, 2] = filling
        masked = conv(x, present=torch.tensor([[True, True, False, True]] * 2))
        assert torch.equal(masked, conv(x[:, [0, 1, 3]], "R,G,NIR"))


@repeatable
def test_present_equals_one_by_one(variant):
    conv = make(*variant)
    patterns = [[1, 0, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1]]
    if not conv.promises.merges:
        with pytest.raises(ValueError, match="different numbers of channels"):
            conv(image(4, n=4), present=torch.tensor(patterns, dtype=torch.bool))
        patterns = [[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1]]
    present = torch.tensor(patterns, dtype=torch.bool)
    x = image(4, n=4)
    x[~present] = float("nan")
    batched = conv(x, present=present)
    for i, there in enumerate(present):
        alone = conv(x[i : i + 1][:, there], [c for c, is_there in zip(CHANNELS, there, strict=True) if is_there])
        equal(batched[i : i + 1], alone)


@repeatable
def test_a_plane_of_zeros_is_an_absent_plane_only_where_this_is_said(variant):
    conv, x = make(*variant), image(4)
    x[:, 3] = 0
    with_zeros, without = conv(x), conv(x[:, :3], "R,G,B")
    told = with_zeros.shape != without.shape or not torch.allclose(with_zeros, without, rtol=1e-4, atol=1e-4)
    assert told == conv.promises.tells_zeros


@repeatable
def test_absent_planes_get_no_gradient(variant):
    conv = make(*variant)
    x = image(4).requires_grad_()
    conv(x, present=torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]], dtype=torch.bool)).square().sum().backward()
    assert not x.grad[0, 2].any()
    assert not x.grad[1, 0].any()
    assert all(x.grad[0, plane].any() for plane in (0, 1, 3))


@repeatable
def test_gradients_are_right_in_float64(variant):
    conv = make(*variant, dtype=torch.float64, kernel_size=2, padding=1)
    names, weights = zip(*conv.named_parameters(), strict=True)
    assert all(weight.dtype == torch.float64 for weight in weights)
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)

    def output(x, *weights):
        return functional_call(conv, dict(zip(names, weights, strict=True)), (x, "G,NIR"))

    assert torch.autograd.gradcheck(output, (x, *weights), fast_mode=True)
