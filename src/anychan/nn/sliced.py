"""Sliced: a bank with one kernel for each channel, of which a call takes those of its channels.

    weight(S) = bank[:, S] * |C| / |S|

The factor keeps the size of the sum: an output adds up |S| planes where it was made to add up |C|. If the
missing planes carried on average what the present ones do, nothing else would change. ``rescale=False`` leaves it out,
for a network that was trained on subsets as they are, or on missing planes of zeros ([001] has no factor).

With ``selection="random"`` it is Algorithm 1 of source document [000] while it trains: |S| slices of the bank drawn
anew at every call, without the factor. What a plane is called then plays no part, so two calls with the same image
differ, and the full set is not the ordinary convolution. In evaluation it takes the slices by name, still without the
factor, which the network has never seen; with ``at_test="random"`` it draws there too, as the document has it.

Source: [000]; slices by name are also SliceParam in CHAMMI (Chen et al., "CHAMMI: A benchmark for channel-adaptive
models in microscopy imaging", NeurIPS 2023). The factor is ours to answer for.

Assumes that what a missing channel would have added is proportional to what the present ones add.
Cost: the MACs of an ordinary convolution of |S| planes; no parameters besides the bank (docs/theory/sliced.md).
Fails where a missing channel mattered: nothing stands in for it.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from anychan.channels import ChannelsLike
from anychan.nn._contract import KernelConv2d, Promises, copy_kernel, positions
from anychan.nn._registry import register_strategy

Selection = Literal["name", "random"]


@register_strategy("sliced")
class SlicedConv2d(KernelConv2d):
    """A convolution that takes the slices of its bank that belong to the channels of a call.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``.
        selection: "name": the slices of the channels named; "random": while training, as many slices as there are
            planes, drawn at each call from torch's global random state, in a random order.
        rescale: whether slices by name are multiplied by C / |S|; None: they are, but not with selection "random".
        at_test: what "random" does in evaluation: "name": the slices of the channels named, as they are;
            "random": as in training. Where slices are drawn, ``promises`` says that nothing is repeatable.

    Raises:
        ValueError: for another ``selection`` or ``at_test``, ``at_test="random"`` where training goes by name, or
            ``rescale=True`` where it does not.

    Example:
        >>> conv = SlicedConv2d(3, 8, kernel_size=3, padding=1, channels="RGB")
        >>> conv(torch.rand(2, 2, 16, 16), channels="RB").shape
        torch.Size([2, 8, 16, 16])
    """

    def __init__(
        self,
        *conv2d_args: Any,
        selection: Selection = "name",
        at_test: Selection = "name",
        rescale: bool | None = None,
        **conv2d_options: Any,
    ) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        for option, value in (("selection", selection), ("at_test", at_test)):
            if value not in get_args(Selection):
                raise ValueError(f"{option} is {value!r}; choose from {', '.join(map(repr, get_args(Selection)))}")
        if selection == "name" and at_test == "random":
            raise ValueError("at_test is 'random', which needs selection='random': the bank was trained by name")
        if selection == "random" and rescale:
            raise ValueError("rescale is True, but with selection 'random' slices are taken as they are")
        self.selection, self.at_test = selection, at_test
        self.rescale = selection == "name" if rescale is None else rescale
        self.weight, self.bias = self.new_kernel()

    @property
    def promises(self) -> Promises:
        named = not self._draws
        # Without the factor, a plane of zeros is an absent one.
        return Promises(any_order=named, exact=named, foldable=named, tells_zeros=self.rescale)

    @property
    def _draws(self) -> bool:
        return self.selection == "random" and (self.training or self.at_test == "random")

    def kernel(self, channels: ChannelsLike | None = None) -> tuple[Tensor, Tensor | None]:
        indices = positions(self.channels.indices(channels), self.weight.device)
        if self._draws:
            indices = torch.randperm(self.in_channels, device=self.weight.device)[: len(indices)]
        weight = self.weight.index_select(1, indices)
        return (weight * (self.in_channels / len(indices)) if self.rescale else weight), self.bias

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        copy_kernel(self.weight, self.bias, weight, bias)
