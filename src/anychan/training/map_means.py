"""Means over maps whose gradients have channels last, as the maps do.

PyTorch gives the gradient of a mean over a map with channels first, and what came before goes through the two in
different orders. Taken over the same numbers with channels behind, it has theirs: a rectifier and the mean of 512 maps
of 21x21, there and back, take a quarter of the time in bfloat16 and two thirds of it in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

_SIDES = ({2, 3}, {-2, -1}, {2, -1}, {-2, 3})  # of (N, C, H, W)


def way_of_means(input: Tensor, dim: Any = None, keepdim: bool = False, **others: Any) -> Callable[[], Tensor] | None:
    """The mean of ``torch.mean`` over both sides of maps with channels last that need a gradient; None elsewhere."""
    over_maps = input.ndim == 4 and isinstance(dim, tuple | list) and len(dim) == 2 and {*dim} in _SIDES
    return partial(_mean, input, keepdim) if over_maps and not others and _pays(input) else None


def way_of_pools(input: Tensor, output_size: Any) -> Callable[[], Tensor] | None:
    """The same of ``adaptive_avg_pool2d`` to one place."""
    to_one = output_size == 1 or (isinstance(output_size, tuple | list) and list(output_size) == [1, 1])
    return partial(_mean, input, True) if input.ndim == 4 and to_one and _pays(input) else None


def _pays(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.requires_grad and x.is_contiguous(memory_format=torch.channels_last)


def _mean(x: Tensor, keepdim: bool) -> Tensor:
    mean_NC = x.permute(0, 2, 3, 1).mean(dim=(1, 2))
    return mean_NC[:, :, None, None] if keepdim else mean_NC
