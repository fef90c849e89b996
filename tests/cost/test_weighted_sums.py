"""What is a layer, and what a scale, where products and sums are written element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._nets import Net, depth_of

# x is (2, 3, 8, 8) in all of them.
_LAYERS: dict[str, tuple[tuple[int, ...], Callable[[Net, Tensor], Tensor]]] = {
    "several outputs": ((5, 8), lambda net, x: (x.unsqueeze(-2) * net.w).sum(-1)),
    "one output": ((8,), lambda net, x: (x * net.w).sum(-1)),
    "one output, in place": ((8,), lambda net, x: (x + 0).mul_(net.w).sum(-1)),
    "one output, scaled by its temperature": ((8,), lambda net, x: ((net.w * x) / 8**0.5).sum(-1)),
    "one output, of two factors": ((8,), lambda net, x: ((x * net.w) * net.w[0]).sum(-1)),
    "one output, over what is learned": ((8,), lambda net, x: (x / net.w).sum(-1)),
    "one output, masked": ((8,), lambda net, x: (x * net.w * torch.tril(torch.ones(8, 8))).sum(-1)),
    "an average": ((8,), lambda net, x: (x * net.w).mean((1, 3))),
    "summed after an average over another dimension": ((3, 1, 1), lambda net, x: (x * net.w).mean((2, 3)).sum(1)),
    "repeated first": ((5, 8), lambda net, x: (x.unsqueeze(-2).expand(2, 3, 8, 5, 8) * net.w).sum(-1)),
    "all of it": ((3, 8, 8), lambda net, x: (x * net.w).sum()),
    "other views before the sum": ((3, 8, 8), lambda net, x: (x * net.w).permute(0, 2, 3, 1).reshape(2, 64, 3).sum(1)),
    "copied before the sum": ((3, 1, 1), lambda net, x: (x * net.w).permute(2, 3, 1, 0).contiguous().sum(2)),
    "channels last": ((3, 1, 1), lambda net, x: (x.to(memory_format=torch.channels_last) * net.w).sum(1)),
    "places weighed": ((8, 8), lambda net, x: F.adaptive_avg_pool2d(x * net.w, 1)),
    "places weighed in tiles": ((8, 8), lambda net, x: F.avg_pool2d(x * net.w, 2)),
    "depthwise convolution": (
        (3, 9),
        lambda net, x: (F.unfold(x, 3).view(2, 3, 9, -1) * net.w.view(1, 3, 9, 1)).sum(2),
    ),
    "a dot product": ((8,), lambda net, x: torch.linalg.vecdot(x, net.w)),
    "angles to learned vectors": ((5, 8), lambda net, x: F.cosine_similarity(x.unsqueeze(-2), net.w, dim=-1)),
    "distances": ((5, 192), lambda net, x: (x.flatten(1)[:, None] - net.w).norm(dim=-1)),
    "distances from the other side": ((5, 192), lambda net, x: (net.w - x.flatten(1)[:, None]).norm(dim=-1)),
    "pairwise distances": ((5, 192), lambda net, x: F.pairwise_distance(x.flatten(1)[:, None], net.w)),
    "squared distances": ((5, 192), lambda net, x: (x.flatten(1)[:, None] - net.w).pow(2).sum(-1)),
    "squared distances as a product": (
        (5, 192),
        lambda net, x: torch.mul(d := x.flatten(1)[:, None] - net.w, d).sum(-1),
    ),
    "distances by city blocks": ((5, 192), lambda net, x: (x.flatten(1)[:, None] - net.w).abs().sum(-1)),
    "distances in units of their own": (
        (2, 5, 192),
        lambda net, x: ((x.flatten(1)[:, None] - net.w[0]) / net.w[1]).square().sum(-1),
    ),
}


@pytest.mark.parametrize("name", _LAYERS)
def test_a_product_and_its_sum_are_a_layer(name: str) -> None:
    shape, run = _LAYERS[name]
    assert depth_of(run, w=nn.Parameter(torch.ones(shape))) == 1


def _normalised(x: Tensor) -> Tensor:
    """By hand, over the channels."""
    centred = x - x.mean(1, keepdim=True)
    return centred / (centred.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()


def _global_response(net: Net, x: Tensor) -> Tensor:
    """ConvNeXt V2 (arXiv 2301.00808)."""
    energy = x.norm(dim=(2, 3), keepdim=True)
    return net.w * (x * (energy / energy.mean(1, keepdim=True))) + net.w + x


_SCALES: dict[str, tuple[tuple[int, ...], Callable[[Net, Tensor], Tensor]]] = {
    "of each channel": ((3, 1, 1), lambda net, x: x * net.w),
    "of each number": ((3, 8, 8), lambda net, x: x * net.w),
    "of means, spread over a map": ((3, 5, 8), lambda net, x: x.mean((2, 3), keepdim=True) * net.w),
    "of means, spread and pooled": ((3, 5, 8), lambda net, x: (x.mean((2, 3), keepdim=True) * net.w).mean((2, 3))),
    "before pooling": ((3, 1, 1), lambda net, x: (x * net.w).mean((2, 3))),
    "before adaptive pooling": ((3, 1, 1), lambda net, x: F.adaptive_avg_pool2d(x * net.w, 1)),
    "before pooling in tiles": ((3, 1, 1), lambda net, x: F.avg_pool2d(x * net.w, 2)),
    "before pooling, channels last": (
        (3,),
        lambda net, x: (x.permute(0, 2, 3, 1) * net.w).reshape(2, 64, 3).mean(1),
    ),
    "before pooling of a copy": ((3, 1, 1), lambda net, x: (x * net.w).permute(2, 3, 1, 0).contiguous().mean((0, 1))),
    "before pooling in heads": ((6, 1), lambda net, x: (x.reshape(2, 6, 32) * net.w).view(2, 2, 3, 32).mean(-1)),
    "before pooling in windows": (
        (3, 1, 1),
        lambda net, x: (x * net.w).view(2, 3, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).reshape(8, 16, 3).mean(1),
    ),
    "repeated by a view": ((3, 1, 1), lambda net, x: (x * net.w.expand_as(x)).mean((2, 3))),
    "of the whole": ((1,), lambda net, x: (x * net.w).sum(1)),
    "with a shift, then a mean over channels": ((3, 1, 1), lambda net, x: (x * net.w + net.w).mean(1)),
    "of a branch, then a norm over channels": ((3, 1, 1), lambda net, x: _normalised(x + net.w * x.relu())),
    "of a norm by hand, then another": ((3, 1, 1), lambda net, x: _normalised(_normalised(x) * net.w + net.w)),
    "of a root mean square, then another": (
        (3, 1, 1),
        lambda net, x: F.rms_norm(x * net.w, (8,)) * (x * net.w).pow(2).mean(1, keepdim=True).rsqrt(),
    ),
    "of the response to the whole image": ((3, 1, 1), _global_response),
    "after a norm of length one": ((3, 1, 1), lambda net, x: (F.normalize(x, dim=1) * net.w).mean((2, 3))),
    "before a softmax": ((3, 1, 1), lambda net, x: (x * net.w).softmax(1).sum(1)),
    "of an activation": ((3, 1, 1), lambda net, x: (x.relu() * net.w - (-x).relu()).sum(1)),
    "of a gate": ((3, 1, 1), lambda net, x: ((x * net.w).sigmoid() * x).sum(1)),
    "of attention": ((3, 1, 1), lambda net, x: ((x @ x.mT) * net.w).softmax(-1) @ x),
    "of queries": ((8,), lambda net, x: ((x * net.w) @ x.mT).softmax(-1) @ x),
    "positions, then a norm": ((3, 8, 8), lambda net, x: F.normalize(_normalised(x + net.w), dim=1)),
    "a centre, then a norm": ((3, 1, 1), lambda net, x: F.normalize(x - net.w, dim=1)),
    "shifts of one map to several": ((5, 1, 1), lambda net, x: (x[:, :1] - net.w).relu().sum(1)),
    "residuals": ((5, 3, 1, 1), lambda net, x: (x[:, None] - net.w).sum(2)),
}


@pytest.mark.parametrize("name", _SCALES)
def test_a_scale_or_a_shift_is_none(name: str) -> None:
    shape, run = _SCALES[name]
    assert depth_of(run, w=nn.Parameter(torch.ones(shape))) == 0


def test_sums_lie_on_the_path_and_share_weights_like_other_layers() -> None:
    def twice(net: Net, x: Tensor) -> Tensor:
        for _ in range(2):
            x = (net.conv(x).unsqueeze(-2) * net.w).sum(-1)
        return x

    modules: dict[str, Any] = {"conv": nn.Conv2d(3, 3, 1), "w": nn.Parameter(torch.ones(8, 8))}
    assert depth_of(twice, **modules) == 2
    assert depth_of(lambda net, x: ((x * net.w[0]).sum(3) * net.w[1]).sum(2), **modules) == 2
    assert depth_of(lambda net, x: net.conv(x * net.w[0]), **modules) == 1, "a sum in the convolution is its own"


def test_what_is_written_over_is_forgotten() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        scaled = x * net.w
        return scaled.copy_(x).sum(-1)

    assert depth_of(run, w=nn.Parameter(torch.ones(8))) == 0
