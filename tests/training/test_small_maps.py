"""Convolution tap by tap: the same values and gradients as ``torch.conv2d``, and only where it applies."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from anychan.training import small_maps
from anychan.training.machine import Machine
from anychan.training.small_maps import SmallMaps


def layer(channels_in: int = 128, channels_out: int = 160, kernel_size=3, **options) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size, **options).to(memory_format=torch.channels_last)


def outcome(convolution: nn.Module, x: Tensor) -> list[Tensor]:
    """Result and all gradients, for a gradient that differs from place to place."""
    x = x.clone().requires_grad_()
    y = convolution(x)
    weights = torch.linspace(-1, 1, y.numel()).view_as(y)
    return [y, *torch.autograd.grad((y * weights).sum(), [x, *convolution.parameters()])]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each convolution that went tap by tap."""
    seen: list[bool] = []
    original = small_maps._taps
    monkeypatch.setattr(small_maps, "_taps", lambda *given: seen.append(True) or original(*given))
    return seen


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((4, 4), {"padding": 1}),
        ((2, 2), {"padding": 1, "bias": False}),
        ((5, 3), {"padding": (2, 1), "stride": (2, 1), "kernel_size": (5, 3)}),
        ((4, 4), {"stride": 2, "kernel_size": 1}),
        ((1, 1), {"padding": 2, "kernel_size": 5}),  # only the tap in the middle meets the map
        ((7, 7), {"stride": 3, "padding": 2}),
        ((1, 2), {"stride": 4, "padding": 4, "kernel_size": 2}),  # a pixel out that meets nothing
    ],
)
def test_equals_the_usual_convolution(size: tuple[int, int], options: dict, taken: list[bool]):
    convolution, x = layer(**options), torch.randn(3, 128, *size)
    expected = outcome(convolution, x)
    with SmallMaps():
        found = outcome(convolution, x)
    assert taken
    assert_close(found, expected, atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (5, {"padding": 1}),  # 25 pixels
        (4, {"channels_out": 127}),
        (4, {"channels_in": 64}),
        (4, {"groups": 2}),
        (4, {"dilation": 2, "padding": 2}),
        (4, {"padding": "same"}),
    ],
)
def test_goes_the_usual_way_elsewhere(size: int, options: dict, taken: list[bool]):
    convolution = layer(**options)
    x = torch.randn(2, convolution.in_channels, size, size)
    expected = convolution(x)
    with SmallMaps():
        assert torch.equal(convolution(x), expected)
    assert not taken


def test_goes_the_usual_way_for_other_numbers_and_layouts(taken: list[bool]):
    x = torch.randn(2, 128, 2, 2)
    with SmallMaps():
        nn.Conv2d(128, 128, 3)(torch.randn(2, 128, 4, 4))  # channels first
        layer(padding=1).double()(x.double())
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(padding=1)(x).dtype == torch.bfloat16
    assert not taken


def test_bad_shapes_raise_as_usual():
    with SmallMaps(), pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        layer()(torch.randn(2, 128, 2, 2))
    with SmallMaps(), pytest.raises(RuntimeError, match="to have 128 channels, but got 130"):
        layer()(torch.randn(2, 130, 4, 4))


def test_a_machine_without_bfloat16_trains_with_it():
    assert isinstance(Machine("cpu", "float32", True, 1).context(), SmallMaps)
    assert not isinstance(Machine("cuda", "float32", True, 1).context(), SmallMaps)
    assert not isinstance(Machine("cpu", "bfloat16", True, 1).context(), SmallMaps)
