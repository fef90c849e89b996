"""Convolution tap by tap: the same values and gradients as ``torch.conv2d``, and only where it applies."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from anychan.training import small_maps
from anychan.training.faster_on_cpu import FasterOnCpu
from anychan.training.machine import Machine

from ._convolutions import outcome, outcomes_in_bfloat16


def layer(channels_in: int = 128, channels_out: int = 160, kernel_size=3, **options) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size, **options).to(memory_format=torch.channels_last)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each convolution that went tap by tap."""
    seen: list[bool] = []
    original = small_maps._taps
    monkeypatch.setattr(small_maps, "_taps", lambda *given: seen.append(True) or original(*given))
    return seen


@pytest.mark.parametrize("bias", [True, False])
def test_what_comes_of_it_may_be_changed_in_place(bias: bool, taken: list[bool]) -> None:
    convolution, x = layer(padding=1, bias=bias), torch.randn(3, 128, 4, 4)
    both = nn.Sequential(convolution, nn.ReLU(inplace=True))
    expected = outcome(both, x)
    with FasterOnCpu():
        found = outcome(both, x)
    assert taken
    assert_close(found, expected, atol=2e-4, rtol=1e-5)


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
    with FasterOnCpu():
        found = outcome(convolution, x)
    assert taken
    assert_close(found, expected, atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (5, {"padding": 1}),  # 25 pixels
        (4, {"channels_out": 127}),
        (4, {"channels_in": 64}),
        (4, {"channels_in": 256, "groups": 2}),
        (4, {"dilation": 2, "padding": 2}),
        (4, {"padding": "same"}),
    ],
)
def test_goes_the_usual_way_elsewhere(size: int, options: dict, taken: list[bool]):
    convolution = layer(**options)
    x = torch.randn(2, convolution.in_channels, size, size)
    expected = convolution(x)
    with FasterOnCpu():
        assert torch.equal(convolution(x), expected)
    assert not taken


@pytest.mark.parametrize(
    ("channels", "size", "options"),
    [
        (256, (2, 2), {"padding": 1, "bias": False}),
        (256, (3, 3), {"padding": 1}),
        (256, (4, 4), {"padding": 1, "stride": 2}),
        (256, (4, 3), {"kernel_size": 1, "stride": 2}),
        (128, (4, 4), {"padding": 1}),  # from here on only the kernel's gradient
        (128, (8, 7), {"padding": (1, 2), "stride": 2, "kernel_size": (3, 5), "bias": False}),
    ],
)
@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "bfloat16"])
def test_in_bfloat16_the_error_is_that_of_one_rounding_more_than_the_usual(
    channels: int, size: tuple[int, int], options: dict, autocast: bool, taken: list[bool]
):
    convolution, x = layer(channels, 288, **options), torch.randn(8, channels, *size)
    usual, found, exact = outcomes_in_bfloat16(convolution, x, autocast=autocast)
    assert len(taken) == (3 if channels == 256 else 1)
    assert found[0].dtype == found[1].dtype == torch.bfloat16
    assert found[2].dtype == convolution.weight.dtype
    for values, others, expected in zip(found, usual, exact, strict=True):
        # The usual sum is rounded once. Where the taps' products are too, errors are larger by the root of 2.
        assert torch.linalg.vector_norm(values - expected) < 1.6 * torch.linalg.vector_norm(others - expected)


@pytest.mark.parametrize(("channels", "forward", "of_x"), [(256, 1, 1), (128, 0, 0)], ids=["wholly", "kernel"])
def test_makes_no_gradient_that_is_not_asked_for(channels: int, forward: int, of_x: int, taken: list[bool]):
    convolution, x = layer(channels, channels, padding=1), torch.randn(2, channels, 2, 2)
    with FasterOnCpu(), torch.autocast("cpu", torch.bfloat16):
        convolution(x).sum().backward()
    assert len(taken) == forward + 1
    taken.clear()
    convolution.requires_grad_(False)
    with FasterOnCpu(), torch.autocast("cpu", torch.bfloat16):
        convolution(x.requires_grad_()).sum().backward()
    assert len(taken) == forward + of_x


@pytest.mark.parametrize("autocast", [False, True], ids=["wholly", "kernel"])
def test_second_derivatives_are_the_usual_ones(autocast: bool):
    convolution, x = layer(128, 128, padding=1), torch.randn(2, 128, 2, 2, requires_grad=True)

    def of_penalty() -> list[Tensor]:
        """Of a penalty on the gradient of the images, where the gradient that comes in needs none of its own."""
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = convolution(x)
        (of_x,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return list(torch.autograd.grad(y.mean() + of_x.square().sum(), list(convolution.parameters())))

    expected = of_penalty()
    with FasterOnCpu():
        assert_close(of_penalty(), expected)


def test_a_backward_pass_under_autocast_keeps_to_the_numbers_of_the_forward_pass():
    convolution, x = layer(128, 128, padding=1), torch.randn(2, 128, 2, 2, requires_grad=True)
    with FasterOnCpu():
        y = convolution(x)
    gradients = partial(torch.autograd.grad, y, [x, *convolution.parameters()], torch.randn_like(y), retain_graph=True)
    expected = gradients()
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(gradients(), expected)


def test_goes_the_usual_way_where_a_function_is_transformed(taken: list[bool]):
    kernel = layer(128, 128).weight.detach()
    gradient = torch.func.grad(lambda x: torch.conv2d(x, kernel).sum())
    x = torch.randn(2, 128, 4, 4)
    expected = gradient(x)
    with FasterOnCpu():
        assert torch.equal(gradient(x), expected)
    assert not taken


@pytest.mark.parametrize(("size", "channels"), [((5, 4), 256), ((2, 2), 127)], ids=["20 pixels", "127 channels"])
def test_goes_the_usual_way_in_bfloat16_where_it_does_not_pay(size: tuple[int, int], channels: int, taken: list[bool]):
    x = torch.randn(2, channels, *size)
    with FasterOnCpu(), torch.autocast("cpu", torch.bfloat16):
        layer(channels, 256, padding=1)(x).sum().backward()
    assert not taken


def test_goes_the_usual_way_for_other_numbers_and_layouts(taken: list[bool]):
    x = torch.randn(2, 256, 2, 2)
    with FasterOnCpu():
        nn.Conv2d(128, 128, 3)(torch.randn(2, 128, 4, 4))  # channels first
        layer(256, padding=1).double()(x.double())
        with torch.autocast("cpu", torch.bfloat16):
            layer(256, 256, padding=1).double()(x.double())
        with torch.autocast("cpu", torch.float16):
            assert layer(256, 256, padding=1)(x).dtype == torch.float16
    assert not taken


def test_what_torch_takes_besides_numbers_and_pairs_is_taken():
    x, kernel = torch.randn(2, 128, 4, 4), layer(128, 128).weight.detach()
    for stride in (np.int64(2), torch.tensor(2), [2, 2]):
        expected = torch.conv2d(x, kernel, stride=stride)
        with FasterOnCpu():
            assert_close(torch.conv2d(x, kernel, stride=stride), expected, atol=2e-4, rtol=1e-5)


def test_a_result_lies_where_its_images_do_whatever_the_default(taken: list[bool]):
    with torch.device("meta"), FasterOnCpu():
        y = torch.conv2d(torch.ones(2, 128, 4, 4, device="cpu"), layer(128, 128).to_empty(device="cpu").weight)
    assert taken
    assert y.device.type == "cpu"


def test_bad_shapes_raise_as_usual():
    with FasterOnCpu(), pytest.raises(RuntimeError, match="Only zero batch or zero channel"):
        layer(padding=2)(torch.randn(2, 128, 0, 4))
    with FasterOnCpu(), pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        layer()(torch.randn(2, 128, 2, 2))
    with FasterOnCpu(), pytest.raises(RuntimeError, match="to have 128 channels, but got 130"):
        layer()(torch.randn(2, 130, 4, 4))
    with FasterOnCpu(), pytest.raises(RuntimeError, match=r"type .* should be the same"):
        layer(256, 256, padding=1)(torch.randn(2, 256, 2, 2).bfloat16())


@pytest.mark.parametrize(
    "given",
    [
        {"padding": -1},
        {"padding": (0, 0, 0)},
        {"stride": 0},
        {"bias": torch.ones(1)},
        {"bias": torch.ones(256).double()},
        {"input": torch.ones(2, 256, 6, 6, dtype=torch.long)},
    ],
    ids=["padding below 0", "three paddings", "no stride", "short bias", "double bias", "whole numbers"],
)
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "autocast"])
def test_bad_calls_are_refused_as_usual(given: dict, autocast: bool):
    def call() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            torch.conv2d(**{"input": torch.ones(2, 256, 5, 5), "weight": layer(256, 256).weight, **given})

    with pytest.raises(RuntimeError) as usual:
        call()
    with FasterOnCpu(), pytest.raises(RuntimeError, match=re.escape(str(usual.value))):
        call()


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_training_on_a_cpu_goes_this_way(precision: str, dtype: torch.dtype, taken: list[bool]):
    with Machine("cpu", precision, True, 1).context():
        assert layer(256, 256, padding=1)(torch.randn(2, 256, 2, 2)).dtype == dtype
    assert taken


def test_training_on_a_gpu_does_not(taken: list[bool]):
    with Machine("cuda", "float32", True, 1).context():
        layer(256, 256, padding=1)(torch.randn(2, 256, 2, 2))
    assert not taken
