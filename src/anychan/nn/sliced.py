"""Sliced: a bank with one kernel for each channel, of which a call takes those of its channels.

    weight(S) = bank[:, S] * |C| / |S|

The factor keeps the size of the sum: an output adds up |S| planes where it was made to add up |C|. If the
missing planes carried on average what the present ones do, nothing else would change.

With ``selection="random"`` it is Algorithm 1 of source document [000]: |S| slices of the bank drawn anew at
every call, without the factor. What a plane is called then plays no part, so two calls with the same image
differ, and the full set is not the ordinary convolution.

Source: [000]; slices by name are also SliceParam in CHAMMI (Chen et al., "CHAMMI: A benchmark for channel-adaptive
models in microscopy imaging", NeurIPS 2023). The factor is ours to answer for.

Cost: as an ordinary convolution of |S| planes; no parameters besides the bank.
Fails where a missing channel mattered: nothing stands in for it.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from anychan.channels import ChannelsLike
from anychan.nn._contract import KernelConv2d, Promises, copy_kernel
from anychan.nn._registry import register_strategy


@register_strategy("sliced")
class SlicedConv2d(KernelConv2d):
    """A convolution that takes the slices of its bank that belong to the channels of a call.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``.
        selection: "name": the slices of the channels named; "random": as many slices as there are planes,
            drawn at each call from torch's global random state, in a random order.

    Raises:
        ValueError: for another ``selection``.

    Example:
        >>> conv = SlicedConv2d(3, 8, kernel_size=3, padding=1, channels="RGB")
        >>> conv(torch.rand(2, 2, 16, 16), channels="RB").shape
        torch.Size([2, 8, 16, 16])
    """

    def __init__(
        self,
        *conv2d_args: Any,
        selection: Literal["name", "random"] = "name",
        **conv2d_options: Any,
    ) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        if selection not in ("name", "random"):
            raise ValueError(f"selection is {selection!r}; choose from 'name', 'random'")
        self.selection = selection
        self.weight, self.bias = self.new_kernel()

    @property
    def promises(self) -> Promises:
        named = self.selection == "name"
        return Promises(any_order=named, exact=named, foldable=named)

    def kernel(self, channels: ChannelsLike | None = None) -> tuple[Tensor, Tensor | None]:
        indices = torch.tensor(self.channels.indices(channels), device=self.weight.device)
        if self.selection == "random":
            drawn = torch.randperm(self.in_channels, device=self.weight.device)[: len(indices)]
            return self.weight.index_select(1, drawn), self.bias
        return self.weight.index_select(1, indices) * (self.in_channels / len(indices)), self.bias

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        copy_kernel(self.weight, self.bias, weight, bias)
