"""By count: a kernel for each number of channels, of which a call takes the slices of its channels.

With an embedding e_n of D numbers for each subset size n and a linear generator, that is D kernels B_d beside the
bank W,

    weight(S) = (W + sum over d of e_nd B_d)[:, S] * |C| / |S|,        n = |S|,        e_C = 0.

A slice that stands in for two others can differ from one that stands in for none; which channels are missing
plays no part but for their number. For the full set the change is zero, before training and after it. The other
embeddings start at zero, so an untrained stem is *sliced*.

Source: the second and fourth stem of source document [004] (weights generated for each subset size, a channel mask
applied to them). Ours are the bank, from which only smaller sizes differ, and the factor |C| / |S|.
The source's second and fourth differ in training only: without and with channels dropped.

Assumes that a channel should act in the same way whichever others are missing, as long as they are as many.
Cost: the MACs of an ordinary convolution of |S| planes, and D times its parameters more (docs/theory/by_count.md has
all terms). It folds.
Fails where it matters which channels are missing, and for a size it was never trained on, where it is *sliced*.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.channels import ChannelsLike
from anychan.nn._contract import KernelConv2d, Promises, copy_kernel, positions
from anychan.nn._registry import register_strategy
from anychan.nn._slices import at_least


@register_strategy("by_count")
class ByCountConv2d(KernelConv2d):
    """A convolution whose kernel is made for the number of channels there are, and cut to these channels.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``.
        embedding: D, how many numbers stand for a subset size; None: C - 1 (all sizes free), at most 4 and
            at least 1.

    Raises:
        ValueError: for an embedding below 1.

    Example:
        >>> conv = ByCountConv2d(3, 8, kernel_size=3, padding=1, channels="RGB")
        >>> conv(torch.rand(2, 2, 16, 16), channels="RB").shape
        torch.Size([2, 8, 16, 16])
    """

    def __init__(self, *conv2d_args: Any, embedding: int | None = None, **conv2d_options: Any) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        embedding = min(max(self.in_channels - 1, 1), 4) if embedding is None else at_least("embedding", embedding)
        self.weight, self.bias = self.new_kernel()
        # The D kernels below one another, (D O, C, kh, kw): torch's channels_last takes four dimensions.
        self.bases = nn.Parameter(torch.cat([self.new_kernel()[0].detach() for _ in range(embedding)]))
        self.sizes = nn.Parameter(self.weight.new_zeros(self.in_channels - 1, embedding))  # row n - 1 is e_n

    @property
    def promises(self) -> Promises:
        return Promises()

    def kernel(self, channels: ChannelsLike | None = None) -> tuple[Tensor, Tensor | None]:
        present = positions(self.channels.indices(channels), self.weight.device)
        size = len(present)
        # matmul and not einsum, so that whoever counts MACs sees it.
        embedding_D = F.pad(self.sizes, (0, 0, 0, 1))[size - 1]  # a row of zeros for the full set
        bases_DX = self.bases.index_select(1, present).reshape(len(embedding_D), -1)
        weight = self.weight.index_select(1, present)
        weight = weight + (embedding_D[None] @ bases_DX).view(weight.shape)
        return weight * (self.in_channels / size), self.bias

    def no_weight_decay(self) -> set[str]:
        return {"sizes"}

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take over an ordinary kernel as the bank; what is added for smaller sizes stays as it is."""
        copy_kernel(self.weight, self.bias, weight, bias)
