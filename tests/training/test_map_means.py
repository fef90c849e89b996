"""Means over maps: the usual values, and gradients that lie as the maps do."""

from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from anychan.training import map_means
from anychan.training.faster_on_cpu import FasterOnCpu

WAYS = {
    "mean": lambda x: x.mean((2, 3)),
    "mean of the last": lambda x: x.mean(dim=[-1, -2], keepdim=True),
    "torch.mean": lambda x: torch.mean(x, (2, 3)),
    "by name": lambda x: torch.mean(input=x, dim=(2, 3)),
    "pool": nn.AdaptiveAvgPool2d(1),
    "function": lambda x: F.adaptive_avg_pool2d(x, (1, 1)),
}


class Layout(torch.autograd.Function):
    """Notes whether the gradient that comes back has channels last."""

    seen: ClassVar[list[bool]] = []

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        Layout.seen.append(gradient.is_contiguous(memory_format=torch.channels_last))
        return gradient


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_lie_as_the_maps_do(way, dtype):
    x = torch.randn(3, 16, 5, 4, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
    weights = torch.randn(3, 16, dtype=dtype)
    expected = way(x)
    (gradient,) = torch.autograd.grad((expected.flatten(1) * weights).sum(), x)
    Layout.seen.clear()
    with FasterOnCpu():
        found = way(Layout.apply(x))
    (found_gradient,) = torch.autograd.grad((found.flatten(1) * weights).sum(), x)
    assert Layout.seen == [True]
    assert found.shape == expected.shape
    assert_close(found, expected)
    assert_close(found_gradient, gradient)


@pytest.mark.parametrize(
    "way",
    [
        lambda x: x.mean(),
        lambda x: torch.mean(input=x),
        lambda x: x.mean(2),
        lambda x: x.mean((1, 2)),
        lambda x: x.mean((2, 3), dtype=torch.float64),
        lambda x: x.flatten(2).mean((1, 2)),
        lambda x: F.adaptive_avg_pool2d(x, 2),
        lambda x: F.adaptive_avg_pool2d(x, (1, None)),
        torch.func.grad(lambda y: y.mean((2, 3)).square().sum()),
    ],
)
def test_other_means_go_the_usual_way(way, monkeypatch):
    monkeypatch.setattr(map_means, "_mean", lambda *given: pytest.fail("went the faster way"))
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    expected = way(x)
    with FasterOnCpu():
        assert torch.equal(way(x), expected)


def test_bad_axes_are_refused_as_usual():
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    with FasterOnCpu(), pytest.raises(IndexError, match="Dimension out of range"):
        x.mean((2, 7))
