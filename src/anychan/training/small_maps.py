"""Convolution on maps hardly larger than the kernel: for each tap of the kernel, one product of matrices.

A 3x3 kernel on a 2x2 map multiplies 16 pairs of pixels and 20 of padding, and the libraries' kernels are made for
larger maps: ResNet18's last stage takes half the time of a training step at 64x64 pixels in float32, and more than a
quarter in bfloat16. Here each tap multiplies only those pixels that it meets on the map, for the whole batch at once.
The sums are the same, in another order. In bfloat16 each tap's product is rounded, and their sum kept in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from anychan.training.convolution import Convolution, Walk, usual_gradients

Spans = tuple[tuple[slice, slice], ...]


@dataclass(frozen=True)
class _Axis:
    """One axis of a convolution, in pixels: of the map, of the kernel, from place to place, and of padding a side."""

    size: int
    taps: int
    step: int
    margin: int

    @property
    def size_out(self) -> int:
        return (self.size + 2 * self.margin - self.taps) // self.step + 1


Axes = tuple[_Axis, _Axis]


def way_over_small_maps(call: Convolution) -> Callable[[], Tensor] | None:
    """The convolution tap by tap, where that is made and pays; None where it goes the usual way.

    That is: at most 16 pixels out and at least 128 channels in and out in float32, at most 9 and at least 256 in
    bfloat16 (or under autocast to it), where from 128 channels and up to 16 pixels the gradient of the kernel alone
    is taken so; an undivided, undilated kernel with its channels last. Gradients that shall be differentiated again go
    the usual way.
    """
    kernel = call.weight
    if call.walk.groups != 1 or call.dtype not in _WAYS or not kernel.is_contiguous(memory_format=torch.channels_last):
        return None
    axes = _axes(call)
    way = _way(call.dtype, min(kernel.shape[:2]), axes)
    return None if way is None else partial(way.apply, *call.in_its_format(), axes)


def _axes(call: Convolution) -> Axes:
    walk, sizes, taps = call.walk, call.input.shape[2:], call.weight.shape[2:]
    rows, columns = (_Axis(sizes[i], taps[i], walk.stride[i], walk.padding[i]) for i in (0, 1))
    return rows, columns


class _TapByTap(torch.autograd.Function):
    """Images (N, C_in, H, W), a kernel (C_out, C_in, h, w) and a bias (C_out) to (N, C_out, H', W'), channels last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None, axes: Axes) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.axes = axes
        pixels = x.permute(0, 2, 3, 1)
        # What is given back is no view, which could not be changed in place.
        shape = (len(x), len(kernel), axes[0].size_out, axes[1].size_out)
        y = torch.empty(shape, dtype=torch.float32, device=x.device, memory_format=torch.channels_last).zero_()
        sums = y.permute(0, 2, 3, 1)
        if bias is not None:
            sums += bias
        for tap, out, met in _taps(kernel, axes):
            part = pixels[met]
            sums[out] += (part.flatten(0, 2) @ tap.T).unflatten(0, part.shape[:3])
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, gradient, _gradient_of_x)


class _KernelTapByTap(torch.autograd.Function):
    """The same, of which only the kernel's gradient is made tap by tap."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None, axes: Axes) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.axes = axes
        return torch.conv2d(x, kernel, bias, [axis.step for axis in axes], [axis.margin for axis in axes])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, gradient, _usual_gradient_of_x)


def _gradients(ctx: Any, gradient: Tensor, of_x: Callable[..., Tensor | None]) -> tuple[Tensor | None, ...]:
    """Those that are asked for, of images, kernel, bias and axes."""
    given, needed = (*ctx.saved_tensors, gradient, ctx.axes), ctx.needs_input_grad[:3]
    if torch.is_grad_enabled():  # to be differentiated again
        return (*_usual_gradients(needed, *given), None)
    ways = (of_x, _gradient_of_kernel, _gradient_of_bias)
    with torch.autocast("cpu", enabled=False):  # as they are, whatever the backward pass is called under
        return (*(way(*given) if asked else None for way, asked in zip(ways, needed, strict=True)), None)


def _usual_gradients(
    needed: tuple[bool, ...], x: Tensor, kernel: Tensor, gradient: Tensor, axes: Axes
) -> tuple[Tensor | None, ...]:
    walk = Walk(tuple(axis.step for axis in axes), tuple(axis.margin for axis in axes), 1)
    return usual_gradients(needed, x, kernel, gradient, walk)


def _usual_gradient_of_x(*given: Any) -> Tensor | None:
    return _usual_gradients((True, False, False), *given)[0]


def _gradient_of_x(x: Tensor, kernel: Tensor, gradient: Tensor, axes: Axes) -> Tensor:
    gradients = gradient.permute(0, 2, 3, 1)
    of_pixels = torch.zeros_like(x.permute(0, 2, 3, 1), dtype=torch.float32)
    for tap, out, met in _taps(kernel, axes):
        part = gradients[out]
        of_pixels[met] += (part.flatten(0, 2) @ tap).unflatten(0, part.shape[:3])
    return of_pixels.to(x.dtype).permute(0, 3, 1, 2)


def _gradient_of_kernel(x: Tensor, kernel: Tensor, gradient: Tensor, axes: Axes) -> Tensor:
    pixels, gradients = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    of_kernel = torch.zeros_like(kernel)
    for of_tap, out, met in _taps(of_kernel, axes):
        torch.mm(gradients[out].flatten(0, 2).T, pixels[met].flatten(0, 2), out=of_tap)
    return of_kernel


def _gradient_of_bias(x: Tensor, kernel: Tensor, gradient: Tensor, axes: Axes) -> Tensor:
    return gradient.sum((0, 2, 3))


def _taps(kernel: Tensor, axes: Axes) -> Iterator[tuple[Tensor, tuple[slice, ...], tuple[slice, ...]]]:
    """The matrices (C_out, C_in) of a kernel that meet the map, and where: pixels out, and those that are met."""
    everything = slice(None)
    for row, (rows_out, rows_met) in enumerate(_spans(axes[0])):
        for column, (columns_out, columns_met) in enumerate(_spans(axes[1])):
            if rows_out.stop > rows_out.start and columns_out.stop > columns_out.start:
                tap = kernel[:, :, row, column]
                yield tap, (everything, rows_out, columns_out), (everything, rows_met, columns_met)


@cache
def _spans(axis: _Axis) -> Spans:
    """For each tap along the axis: the pixels out that it meets the map for, and those that it meets."""
    spans = []
    for tap in range(axis.taps):
        met = [place for place in range(axis.size_out) if 0 <= place * axis.step - axis.margin + tap < axis.size]
        first, last = (met[0], met[-1]) if met else (0, -1)
        start = first * axis.step - axis.margin + tap
        spans.append((slice(first, last + 1), slice(start, start + (last - first) * axis.step + 1, axis.step)))
    return tuple(spans)


@dataclass(frozen=True)
class _Pays:
    """From how many channels, in and out, and up to how many pixels out a way is the faster one."""

    channels: int
    pixels: int


# For batches of 64 on one core with AVX-512; of several ways the first that pays.
_WAYS: dict[torch.dtype | None, dict[_Pays, type[torch.autograd.Function]]] = {
    torch.float32: {_Pays(channels=128, pixels=16): _TapByTap},
    torch.bfloat16: {_Pays(channels=256, pixels=9): _TapByTap, _Pays(channels=128, pixels=16): _KernelTapByTap},
}


def _way(dtype: torch.dtype | None, channels: int, axes: Axes) -> type[torch.autograd.Function] | None:
    height, width = (axis.size_out for axis in axes)
    if height <= 0 or width <= 0:
        return None
    ways = _WAYS[dtype].items()
    return next((way for pays, way in ways if channels >= pays.channels and height * width <= pays.pixels), None)
