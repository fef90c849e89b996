"""Convolutions in bfloat16 with gradients in float32: their usual values, and only where that pays or is needed."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from anychan.training import float32_gradients
from anychan.training.faster_on_cpu import FasterOnCpu

from ._convolutions import outcome, outcomes_in_bfloat16

Asked = list[tuple[torch.dtype, tuple[bool, ...]]]


def layer(kernel_size: int | tuple[int, int] = 3, stride: int | tuple[int, int] = 2, **options) -> nn.Conv2d:
    options = {"out_channels": 24, "padding": 1, "groups": 24, **options}
    return nn.Conv2d(24, kernel_size=kernel_size, stride=stride, **options).to(memory_format=torch.channels_last)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """For each convolution whose gradients were made here, in which number format, and which of them."""
    seen: Asked = []
    original = float32_gradients.usual_gradients

    def watched(needed: tuple[bool, ...], x: Tensor, *given: Any) -> tuple[Tensor | None, ...]:
        seen.append((x.dtype, needed))
        return original(needed, x, *given)

    monkeypatch.setattr(float32_gradients, "usual_gradients", watched)
    return seen


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel_size": 5, "stride": 1},
        {"kernel_size": (3, 1), "stride": (2, 1)},
        {"out_channels": 48, "bias": False},
    ],
    ids=["strided", "5x5", "of two sides", "two kernels a channel"],
)
@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "bfloat16"])
def test_gradients_are_no_worse_than_the_usual_ones(options: dict, autocast: bool, asked: Asked):
    convolution, x = layer(**options), torch.randn(8, 24, 9, 8).to(memory_format=torch.channels_last)
    usual, found, exact = outcomes_in_bfloat16(convolution, x, autocast=autocast)
    assert [dtype for dtype, _ in asked] == [torch.float32]
    assert torch.equal(found[0], usual[0])
    assert found[1].dtype == torch.bfloat16
    assert found[2].dtype == convolution.weight.dtype
    for values, others, expected in zip(found, usual, exact, strict=True):
        error = torch.linalg.vector_norm(values - expected)
        assert error <= 1.02 * torch.linalg.vector_norm(others - expected) + 1e-6


@pytest.mark.parametrize(
    "options",
    [{"stride": 1}, {"groups": 1}, {"groups": 12}],
    ids=["3x3 with a stride of 1", "undivided", "pairs of channels"],
)
def test_goes_the_usual_way_where_it_does_not_pay(options: dict, asked: Asked):
    with FasterOnCpu(), torch.autocast("cpu", torch.bfloat16):
        layer(**options)(torch.randn(2, 24, 8, 8)).sum().backward()
    assert not asked


def test_goes_the_usual_way_in_float32(asked: Asked):
    with FasterOnCpu():
        layer()(torch.randn(2, 24, 8, 8)).sum().backward()
    assert not asked


def test_makes_no_gradient_that_is_not_asked_for(asked: Asked):
    convolution = layer().requires_grad_(False)
    x = torch.randn(2, 24, 8, 8, requires_grad=True)
    with FasterOnCpu(), torch.autocast("cpu", torch.bfloat16):
        convolution(x).sum().backward()
    assert asked == [(torch.float32, (True, False, False))]
    assert x.grad is not None


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 2)])
@pytest.mark.parametrize("groups", [1, 8, 16])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_a_stride_longer_than_the_map_leaves_no_gradient_unwritten(size, groups, kernel_size):
    torch.manual_seed(0)
    convolution = nn.Conv2d(16, 16, kernel_size, 3, kernel_size // 2, groups=groups).to(
        memory_format=torch.channels_last
    )
    x = torch.randn(4, 16, *size)
    exact = outcome(copy.deepcopy(convolution).double(), x.double())
    for _ in range(8):  # what is not written holds what was in memory before
        left = [torch.full((2**power,), float("nan")) for power in range(8, 18) for _ in range(4)]
        del left
        with FasterOnCpu(), torch.autocast("cpu", torch.bfloat16):
            found = outcome(convolution, x)
        for values, expected in zip(found, exact, strict=True):
            assert_close(values.double(), expected, rtol=0.03, atol=0.03)


def test_second_derivatives_are_the_usual_ones(asked: Asked):
    convolution, x = layer(), torch.randn(2, 24, 8, 8, requires_grad=True)

    def of_penalty() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            y = convolution(x)
        (of_x,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return list(torch.autograd.grad(y.mean() + of_x.square().sum(), list(convolution.parameters())))

    expected = of_penalty()
    with FasterOnCpu():
        found = of_penalty()
    assert torch.bfloat16 in [dtype for dtype, _ in asked]
    assert_close(found, expected, atol=2e-2, rtol=2e-2)


def test_a_backward_pass_under_autocast_keeps_to_float32(asked: Asked):
    convolution, x = layer(), torch.randn(2, 24, 8, 8)
    with FasterOnCpu(), torch.autocast("cpu", torch.bfloat16):
        convolution(x).sum().backward()
    assert [dtype for dtype, _ in asked] == [torch.float32]


def test_bad_shapes_raise_as_usual():
    with FasterOnCpu(), torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RuntimeError, match="to have 24 channels, but got 25"):
            layer()(torch.randn(2, 25, 8, 8))
        with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
            layer(5, padding=0)(torch.randn(2, 24, 2, 2))
