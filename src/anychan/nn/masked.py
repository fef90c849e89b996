"""Masked: a small network is told which channels are there, and makes the kernel for these.

With the mask m in {0, 1}^C of a channel set, W_k the C slices of the kernel bank followed by T learned templates,
and G a two-layer network with C (C + T) outputs,

    weight(S)_c = (W_c + sum over k of (G(m) - G(1))_ck W_k) * |C| / |S|        for the channels c in S.

So what a channel's kernel is depends on which others are missing. *completed* is of this form, with the
covariance in place of G. At the full mask 1 the change is zero, before training and after it: the bank itself is
the kernel of the full set, and what is learned on subsets shows in G and in the templates. G's last layer starts at
zero, so an untrained stem is *sliced*.

Source: the first stem of source document [004] (a mask, and weights generated for the channels that are there). Ours
are the change relative to the full mask, without which the system "works only for the channel set it was trained
on", and generating C (C + T) coefficients instead of all O C kh kw weights.

Assumes that what a channel does for missing ones is a mixture of a few slices, and alike for masks that are alike.
Cost: the MACs of an ordinary convolution of |S| planes. Some T O kh kw more parameters, and O |S| (C + T) kh kw MACs to
make a kernel, once a call that is not on the full set (docs/theory/masked.md has all terms). It folds.
Fails for masks unlike those it was trained on: 2^C - 1 masks share G, and nothing holds it where none was seen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from anychan.channels import ChannelsLike
from anychan.nn._contract import KernelConv2d, Promises, copy_kernel, positions
from anychan.nn._registry import register_strategy
from anychan.nn._slices import at_least, kernel_of_slices


@register_strategy("masked")
class MaskedConv2d(KernelConv2d):
    """A convolution whose kernel is made by a network that is told which channels are there.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``.
        templates: T, learned slices that kernels are mixed from besides the bank's own; 0: none.
        hidden: width of the network; None: max(32, C).

    Raises:
        ValueError: for fewer than 0 templates, or a width below 1.

    Example:
        >>> conv = MaskedConv2d(3, 8, kernel_size=3, padding=1, channels="RGB")
        >>> conv(torch.rand(2, 2, 16, 16), channels="RB").shape
        torch.Size([2, 8, 16, 16])
    """

    def __init__(
        self,
        *conv2d_args: Any,
        templates: int = 8,
        hidden: int | None = None,
        **conv2d_options: Any,
    ) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        at_least("templates", templates, smallest=0)
        hidden = max(32, self.in_channels) if hidden is None else at_least("hidden", hidden)
        own: dict[str, Any] = {"device": self._new["device"], "dtype": self._new["dtype"]}
        self.weight, self.bias = self.new_kernel()
        width = self.out_channels * self.kernel_size[0] * self.kernel_size[1]
        bound = (self.in_channels * self.kernel_size[0] * self.kernel_size[1]) ** -0.5  # as nn.Conv2d draws
        self.templates = nn.Parameter(torch.empty(templates, width, **own).uniform_(-bound, bound))
        last = nn.Linear(hidden, self.in_channels * (self.in_channels + templates), bias=False, **own)
        nn.init.zeros_(last.weight)  # without a bias, which the difference of two masks would cancel
        self.generator = nn.Sequential(nn.Linear(self.in_channels, hidden, **own), nn.GELU(), last)

    @property
    def promises(self) -> Promises:
        return Promises()

    def kernel(self, channels: ChannelsLike | None = None) -> tuple[Tensor, Tensor | None]:
        present = positions(self.channels.indices(channels), self.weight.device)
        if len(present) == self.in_channels:  # the bank itself: what is generated would be zero up to rounding
            return self.weight.index_select(1, present), self.bias
        slices_CX = self.weight.transpose(0, 1).flatten(1)
        change_SK = self._change(present)
        change_SX = change_SK @ torch.cat([slices_CX, self.templates])
        return kernel_of_slices(self, slices_CX.index_select(0, present) + change_SX), self.bias

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take over an ordinary kernel as the bank; the network and the templates stay as they are."""
        copy_kernel(self.weight, self.bias, weight, bias)

    def _change(self, present: Tensor) -> Tensor:
        """Coefficients (|S|, C + T) of what is added to the slices of the bank; zero for the full set."""
        all_C = torch.ones(self.in_channels, device=self.weight.device, dtype=self.weight.dtype)
        both_2C = torch.stack([torch.zeros_like(all_C).index_fill(0, present, 1.0), all_C])
        made, made_for_all = self.generator(both_2C).unflatten(1, (self.in_channels, -1))
        return (made - made_for_all).index_select(0, present)
