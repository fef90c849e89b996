"""Depths of random graphs, whose longest path is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.cost import depth

from ._nets import Net, attention_by_hand

_CONV = (3, 3, 1, 1)
_MATRIX = (8, 8)


def _learned(shape: tuple[int, ...], run: Callable[..., Tensor]) -> Callable[[], nn.Module]:
    return lambda: Net(lambda net, *maps: run(net.weight, *maps), weight=nn.Parameter(torch.ones(shape)))


def _fixed(run: Callable[..., Tensor]) -> Callable[[], nn.Module]:
    return lambda: Net(lambda net, *maps: run(*maps))


def _blur() -> nn.Module:
    blur = Net(lambda net, x: F.conv2d(x, net.kernel, padding=1, groups=3))
    blur.register_buffer("kernel", torch.ones(3, 1, 3, 3) / 9)
    return blur


# Each operation of a random graph, from maps (N, 3, 8, 8) to one: the weighted layers from each operand to it, and
# how it is made.
_OPERATIONS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "convolution": ((1,), lambda: nn.Conv2d(3, 3, 3, padding=1)),
    "depthwise convolution": ((1,), lambda: nn.Conv2d(3, 3, 3, padding=1, groups=3)),
    "frozen convolution": ((1,), lambda: nn.Conv2d(3, 3, 1).requires_grad_(False)),
    "linear": ((1,), lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 192), nn.Unflatten(1, (3, 8, 8)))),
    "product": ((1,), _learned(_MATRIX, lambda weight, x: x @ weight)),
    "product from the left": ((1,), _learned(_MATRIX, lambda weight, x: weight @ x)),
    "functional convolution": ((1,), _learned(_CONV, lambda weight, x: F.conv2d(x, weight))),
    "generated kernel": ((1,), _learned((9, 9), lambda weight, x: F.conv2d(x, (weight @ weight.T)[0].view(_CONV)))),
    # Of one channel: the mean of several, scaled by what was learned, would be a weighted sum, and a layer by itself.
    "kernel of the input": (
        (1, 1),
        _learned(_CONV, lambda weight, x, y: F.conv2d(x, weight * y[0, 0].mean().sigmoid())),
    ),
    "product added": (
        (0, 1),
        _learned((8, 8), lambda weight, x, y: torch.baddbmm(x[0], y[0], weight.expand(3, 8, 8)) + x),
    ),
    "product element by element": ((1,), _learned(_MATRIX, lambda weight, x: (x.unsqueeze(-2) * weight).sum(-1))),
    "squared distances": ((1,), _learned(_MATRIX, lambda weight, x: (x.unsqueeze(-2) - weight).pow(2).sum(-1))),
    "channels mixed into one": ((1,), _learned((3, 1, 1), lambda weight, x: x - (weight * x).mean(1, keepdim=True))),
    "convolution in inference mode": ((1,), _learned(_CONV, torch.inference_mode()(lambda w, x: F.conv2d(x, w)))),
    "batch normalisation": ((0,), lambda: nn.BatchNorm2d(3)),
    "group normalisation": ((0,), lambda: nn.GroupNorm(3, 3)),
    "learned scale": ((0,), _learned((3, 1, 1), lambda weight, x: weight * x)),
    "learned scale, pooled": ((0,), _learned((3, 1, 1), lambda w, x: x + (w * x).mean((2, 3), keepdim=True))),
    "written in place": ((0,), _fixed(lambda x: torch.zeros_like(x).copy_(x).relu_())),
    "blur": ((0,), _blur),
    "gate": ((0, 0), _fixed(lambda x, y: x * y.mean((2, 3), keepdim=True).sigmoid())),
    "sum": ((0, 0), _fixed(torch.add)),
    "concatenation": ((0, 0), _fixed(lambda x, y: torch.cat([x, y], dim=1)[:, 1:4])),
    "attention": ((0, 0, 0), _fixed(F.scaled_dot_product_attention)),
    "attention by hand": ((0, 0, 0), _fixed(attention_by_hand)),
}


class Graph(nn.Module):
    """Operations one after another, each on maps made before; the last one's map is the output."""

    def __init__(self, steps: list[tuple[str, list[int]]]) -> None:
        super().__init__()
        self.operands = [operands for _, operands in steps]
        self.operations = nn.ModuleList(_OPERATIONS[name][1]() for name, _ in steps)

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for operation, operands in zip(self.operations, self.operands, strict=True):
            maps.append(operation(*(maps[i] for i in operands)))
        return maps[-1]


@st.composite
def _steps(draw: st.DrawFn) -> list[tuple[str, list[int]]]:
    names = draw(st.lists(st.sampled_from(sorted(_OPERATIONS)), min_size=1, max_size=12))
    # A map's own number is that of the step before it plus one; 0 is the input. Late ones are likelier: longer paths.
    before = [st.integers(0, i) | st.integers(max(0, i - 2), i) for i in range(len(names))]
    return [(name, [draw(before[i]) for _ in _OPERATIONS[name][0]]) for i, name in enumerate(names)]


def _longest_path(steps: list[tuple[str, list[int]]], to: int) -> int:
    if to == 0:
        return 0
    name, operands = steps[to - 1]
    return max(layers + _longest_path(steps, i) for layers, i in zip(_OPERATIONS[name][0], operands, strict=True))


@settings(deadline=None, max_examples=150)
@given(_steps())
def test_random_graphs(steps: list[tuple[str, list[int]]]) -> None:
    with torch.device("meta"):
        graph = Graph(steps)
    assert depth(graph, "RGB", image_size=8) == _longest_path(steps, len(steps))


def test_a_learned_scale_may_be_averaged_to_one_number() -> None:
    steps = [("learned scale", [0]), ("kernel of the input", [0, 1])]
    with torch.device("meta"):
        graph = Graph(steps)
    assert depth(graph, "RGB", image_size=8) == _longest_path(steps, len(steps)) == 1


@pytest.mark.parametrize("name", sorted(_OPERATIONS))
def test_each_operation_of_the_graphs_runs(name: str) -> None:
    operation = _OPERATIONS[name][1]().eval()
    assert operation(*(torch.rand(2, 3, 8, 8) for _ in _OPERATIONS[name][0])).shape == (2, 3, 8, 8)
