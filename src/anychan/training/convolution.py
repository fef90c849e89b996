"""Calls of ``torch.conv2d`` as the faster ways on a CPU read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

Pair = int | tuple[int, ...]


class Walk(NamedTuple):
    """How a kernel goes over a map: from place to place and beyond the edges, along both axes, in how many groups."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    groups: int


@dataclass(frozen=True)
class Convolution:
    """A call that ``torch.conv2d`` would take: images (N, C, H, W) on a CPU, an undilated kernel, padding in numbers.

    Args:
        input, weight, bias: see ``torch.conv2d``.
        walk: of its kernel.
        dtype: the number format in which it multiplies.
    """

    input: Tensor
    weight: Tensor
    bias: Tensor | None
    walk: Walk
    dtype: torch.dtype

    @classmethod
    def read(  # noqa: PLR0917 # the parameters of torch.conv2d
        cls,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
    ) -> Convolution | None:
        """A call's arguments; None for what is no such call."""
        read = isinstance(stride, int | tuple | list) and isinstance(dilation, int | tuple | list)
        if not read or not isinstance(padding, int | tuple | list) or _pair(dilation) != (1, 1):
            return None
        dtype, walk = _format(input, weight, bias), Walk(_pair(stride), _pair(padding), groups)
        return None if dtype is None or not _fits(input, weight, bias, walk) else cls(input, weight, bias, walk, dtype)

    def in_its_format(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Images, kernel and bias in the number format in which they are multiplied."""
        bias = None if self.bias is None else self.bias.to(self.dtype)
        return self.input.to(self.dtype), self.weight.to(self.dtype), bias


def usual_gradients(
    needed: tuple[bool, ...], x: Tensor, kernel: Tensor, gradient: Tensor, walk: Walk
) -> tuple[Tensor | None, ...]:
    """PyTorch's own gradients of images, kernel and bias, of those that are needed."""
    return torch.ops.aten.convolution_backward(
        *(gradient, x, kernel, [len(kernel)], walk.stride, walk.padding, [1, 1], False, [0, 0], walk.groups),
        list(needed),
    )


def _format(*given: Tensor | None) -> torch.dtype | None:
    """The number format in which ``torch.conv2d`` multiplies them; None where it refuses."""
    formats = {one.dtype for one in given if one is not None}
    if torch.is_autocast_enabled("cpu") and formats <= {torch.float32, torch.bfloat16, torch.float16}:
        return torch.get_autocast_dtype("cpu")
    return formats.pop() if len(formats) == 1 else None


def _pair(value: Pair) -> tuple[int, ...]:
    """Of both axes, unless it is neither a number nor one or two of them."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * 2 if len(numbers) == 1 else numbers


def _fits(x: Tensor, kernel: Tensor, bias: Tensor | None, walk: Walk) -> bool:
    return (
        x.ndim == kernel.ndim == 4
        and x.device.type == "cpu"
        and x.shape[1] == kernel.shape[1] * walk.groups
        and 0 not in x.shape[1:]
        and (bias is None or bias.shape == kernel.shape[:1])
        and len(walk.stride) == len(walk.padding) == 2
        and min(walk.stride) > 0
        and min(walk.padding) >= 0
    )
