"""Gradients of some convolutions in float32 where their images are in bfloat16.

The library behind PyTorch's convolutions on a CPU has no fast kernel for those of depthwise ones in bfloat16: that of
3x3 with a stride of 1 apart, they take 1.3 to 23 times as long as in float32, conversions included, and are most of a
training step of MobileNetV3 and EfficientNet. Forward passes are fast, and stay as they are.
Of kernels with a stride longer than the map, such as 3x3 with a stride of 2 on one pixel, that library leaves parts
unwritten in bfloat16 (torch 2.15): the gradient holds what was in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from anychan.training.convolution import Convolution, Walk, usual_gradients

_FAST = (3, 3)  # kernel that has fast gradients in bfloat16, with a stride of 1


def way_with_float32_gradients(call: Convolution) -> Callable[[], Tensor] | None:
    """The convolution with gradients in float32, where that pays or is needed; None where it goes the usual way.

    That is: in bfloat16 (or under autocast to it), a kernel for each channel, strided or not of 3x3, or any whose
    stride is longer than the map. Gradients that shall be differentiated again go the usual way.
    """
    if call.dtype is not torch.bfloat16 or not (_is_slow(call) or _is_unwritten(call)):
        return None
    return partial(_GradientsInFloat32.apply, *call.in_its_format(), call.walk)


def _is_slow(call: Convolution) -> bool:
    is_fast = call.weight.shape[2:] == _FAST and call.walk.stride == (1, 1)
    return call.walk.groups > 1 and call.weight.shape[1] == 1 and not is_fast


def _is_unwritten(call: Convolution) -> bool:
    return any(step > size for step, size in zip(call.walk.stride, call.input.shape[2:], strict=True))


class _GradientsInFloat32(torch.autograd.Function):
    """Images (N, C, H, W), a kernel (C m, 1, h, w) and a bias (C m) to (N, C m, H', W')."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None, walk: Walk) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.walk = walk
        return torch.conv2d(x, kernel, bias, walk.stride, walk.padding, groups=walk.groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x, kernel), needed = ctx.saved_tensors, ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # to be differentiated again
            return (*usual_gradients(needed, x, kernel, gradient, ctx.walk), None)
        found = usual_gradients(needed, x.float(), kernel.float(), gradient.float(), ctx.walk)
        return (*(None if one is None else one.to(x.dtype) for one in found), None)
