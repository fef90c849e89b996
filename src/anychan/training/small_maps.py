"""Convolution on maps hardly larger than the kernel: for each tap of the kernel, one product of matrices.

A 3x3 kernel on a 2x2 map multiplies 16 pairs of pixels and 20 of padding, and the libraries' kernels are made for
larger maps: ResNet18's last stage takes half the time of a training step at 64x64 pixels in float32, and more than a
quarter in bfloat16. Here each tap multiplies only those pixels that it meets on the map, for the whole batch at once.
The sums are the same, in another order; those of bfloat16 are kept in float32 until the last tap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

Pair = int | tuple[int, ...]
Spans = list[tuple[slice, slice]]


@dataclass(frozen=True)
class _Pays:
    """From how many channels, in and out, up to how many pixels out it is the faster way."""

    channels: int
    pixels: int


# For batches of 64 on one core with AVX-512.
_PAYS = {torch.float32: _Pays(channels=128, pixels=16), torch.bfloat16: _Pays(channels=256, pixels=9)}


class SmallMaps(TorchFunctionMode):
    """While it is entered, ``torch.conv2d`` on a CPU takes small maps tap by tap.

    That is: at most 4x4 pixels out and at least 128 channels in and out in float32, at most 3x3 and at least 256 in
    bfloat16 (or under autocast to it), an undivided, undilated kernel with its channels last, padding in numbers. All
    else goes the usual way.

    Example:
        >>> x, kernel = torch.randn(8, 128, 2, 2), torch.randn(128, 128, 3, 3)
        >>> kernel = kernel.to(memory_format=torch.channels_last)
        >>> with SmallMaps():
        ...     y = torch.conv2d(x, kernel, padding=1)
        >>> torch.allclose(y, torch.conv2d(x, kernel, padding=1), atol=1e-3)
        True
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d:
            return _convolve(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _convolve(  # noqa: PLR0917 # the parameters of torch.conv2d
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    dtype = _format(input, weight)
    pays = None if dtype is None else _PAYS.get(dtype)
    if (
        pays is not None
        and not isinstance(padding, str)
        and groups == 1
        and _pair(dilation) == (1, 1)
        and _fits(input, weight, pays)
    ):
        steps, margins = _pair(stride), _pair(padding)
        sizes = [
            (input.shape[2 + axis] + 2 * margins[axis] - weight.shape[2 + axis]) // steps[axis] + 1 for axis in (0, 1)
        ]
        if sizes[0] > 0 and sizes[1] > 0 and sizes[0] * sizes[1] <= pays.pixels:
            spans = [
                _spans(input.shape[2 + axis], sizes[axis], weight.shape[2 + axis], steps[axis], margins[axis])
                for axis in (0, 1)
            ]
            y = _TapByTap.apply(input.to(dtype), weight.to(dtype), sizes, spans)
            return y if bias is None else y + bias.to(dtype)[:, None, None]
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _format(x: Tensor, kernel: Tensor) -> torch.dtype | None:
    """The number format in which ``torch.conv2d`` multiplies them; None where it refuses."""
    if torch.is_autocast_enabled("cpu") and torch.float64 not in {x.dtype, kernel.dtype}:
        return torch.get_autocast_dtype("cpu")
    return x.dtype if x.dtype == kernel.dtype else None


def _fits(x: Tensor, kernel: Tensor, pays: _Pays) -> bool:
    return (
        x.ndim == 4
        and x.device.type == "cpu"
        and x.shape[1] == kernel.shape[1]
        and min(kernel.shape[:2]) >= pays.channels
        and kernel.is_contiguous(memory_format=torch.channels_last)
    )


def _spans(size: int, size_out: int, taps: int, step: int, margin: int) -> Spans:
    """For each tap along one axis: the pixels out that it meets the map for, and those that it meets."""
    spans = []
    for tap in range(taps):
        met = [place for place in range(size_out) if 0 <= place * step - margin + tap < size]
        first, last = (met[0], met[-1]) if met else (0, -1)
        start = first * step - margin + tap
        spans.append((slice(first, last + 1), slice(start, start + (last - first) * step + 1, step)))
    return spans


class _TapByTap(torch.autograd.Function):
    """Images (N, C_in, H, W) and a kernel (C_out, C_in, h, w) to (N, C_out, H', W'), channels last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, sizes: list[int], spans: list[Spans]) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.spans = spans
        pixels = x.permute(0, 2, 3, 1)
        y = x.new_zeros(len(x), *sizes, len(kernel), dtype=torch.float32)
        for tap, out, met in _taps(kernel, spans):
            part = pixels[met]
            y[out] += (part.flatten(0, 2) @ tap.T).unflatten(0, part.shape[:3])
        return y.to(x.dtype).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        pixels, gradients = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
        of_x = torch.zeros_like(pixels, dtype=torch.float32) if ctx.needs_input_grad[0] else None
        of_kernel = torch.zeros_like(kernel) if ctx.needs_input_grad[1] else None
        into = _taps(kernel if of_kernel is None else of_kernel, ctx.spans)
        for (tap, out, met), (of_tap, _, _) in zip(_taps(kernel, ctx.spans), into, strict=True):
            part, of_part = pixels[met], gradients[out].flatten(0, 2)
            if of_x is not None:
                of_x[met] += (of_part @ tap).unflatten(0, part.shape[:3])
            if of_kernel is not None:
                torch.mm(of_part.T, part.flatten(0, 2), out=of_tap)
        return None if of_x is None else of_x.to(x.dtype).permute(0, 3, 1, 2), of_kernel, None, None


def _taps(kernel: Tensor, spans: list[Spans]) -> Iterator[tuple[Tensor, tuple[slice, ...], tuple[slice, ...]]]:
    """The matrices (C_out, C_in) of a kernel that meet the map, and where."""
    everything = slice(None)
    for row, (rows_out, rows_met) in enumerate(spans[0]):
        for column, (columns_out, columns_met) in enumerate(spans[1]):
            if rows_out.stop > rows_out.start and columns_out.stop > columns_out.start:
                tap = kernel[:, :, row, column]
                yield tap, (everything, rows_out, columns_out), (everything, rows_met, columns_met)
