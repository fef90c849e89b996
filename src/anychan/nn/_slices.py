"""What strategies share that take an ordinary kernel apart into one slice a channel and solve for their own weights."""

from __future__ import annotations

import torch
from torch import Tensor

from anychan.nn._contract import AnyChannelConv2d, copy_kernel


def kernel_slices(stem: AnyChannelConv2d, weight: Tensor, bias: Tensor | None, own_bias: Tensor | None) -> Tensor:
    """An ordinary kernel as a matrix with a row for each channel, checked to be one that the stem can take.

    Float64, for a solver; on the CPU, as not every device has float64 ("meta" stays "meta": shapes without values).

    Args:
        stem: where it is to be loaded.
        weight: (O, C, kh, kw).
        bias: (O,) or None.
        own_bias: the stem's, which is only looked at.

    Returns:
        (C, O kh kw).

    Raises:
        ValueError: if the shapes differ, or only one of the two has a bias.
    """
    shape = (stem.out_channels, stem.in_channels, *stem.kernel_size)
    kernel = torch.empty(shape, dtype=torch.float64, device="meta" if weight.is_meta else "cpu")
    copy_kernel(kernel, None if own_bias is None else torch.empty_like(own_bias), weight, bias)
    return kernel.transpose(0, 1).flatten(1)


def kernel_of_slices(stem: AnyChannelConv2d, slices: Tensor) -> Tensor:
    """The weight (O, |S|, kh, kw) of slices (|S|, O kh kw), rescaled by C / |S| as in *sliced*."""
    weight = slices.unflatten(1, (stem.out_channels, *stem.kernel_size)).transpose(0, 1)
    return weight * (stem.in_channels / len(slices))


def at_least(name: str, number: int, smallest: int = 1) -> int:
    """The number itself; ValueError if it is smaller than it may be."""
    if number < smallest:
        raise ValueError(f"{name} is {number}; it must be at least {smallest}")
    return number
