"""Pooled: one kernel for every plane, and the planes' responses pooled; any number of planes, without names.

    mean        y = b + 1/|S| sum_s K * x_s
    sum         y = b + sum_s K * x_s
    attention   y = b + sum_s a_s K * x_s,    a = softmax over s of score(r_s)

``*`` is the convolution, K a bank (O, 1, kh, kw). With attention, r_s (O,) is how strongly the plane answers: the
logarithm of the mean square of its response over all places, one number an output channel; the score is a small
network of it, and each image has its own weights a.

A convolution is linear, so mean and sum pool the planes first and convolve one plane: the stem costs the same for 1
plane and for 100.

An ordinary kernel W is taken over so that the output is the same where all planes are equal: K is the sum of W over
its channels (for ``sum``: the mean). This is the closest to W of all banks also for planes of white noise.

Source: after Depthwise in CHAMMI (Chen et al., "CHAMMI: A benchmark for channel-adaptive models in microscopy imaging",
NeurIPS 2023), from which the pooling over channels is. There each named channel has depthwise kernels of its own, and a
1x1 convolution follows; one kernel shared by all planes, so that names play no part, is ours, as are the score and what
is taken over. A function of a set that does not know its order is a function of a pooled one, Zaheer et al. 2017, arXiv
1703.06114.

Assumes that planes can stand in for each other: channels of one kind, normalised alike.
Cost: some O kh kw parameters and the MACs of a convolution of one plane, with attention of |S| planes
(docs/theory/pooled.md has all terms).
Fails where it matters which channel is which: it cannot know red from blue. With ``sum`` the output grows with the
number of planes, and a plane of zeros is an absent plane.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from anychan.channels import ChannelSet, ChannelsLike
from anychan.nn._contract import AnyChannelConv2d, Promises, copy_kernel, folded, full_precision, refuse_to_fold
from anychan.nn._registry import register_strategy

Pooling = Literal["mean", "sum", "attention"]


@register_strategy("pooled")
class PooledConv2d(AnyChannelConv2d):
    """A convolution of any number of planes with one kernel for all of them, pooled over the planes.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``. The
            names of the channels play no part; C is what a loaded kernel has.
        pooling: "mean", "sum", or "attention": a mean with weights that depend on the image.
        hidden: hidden units of the attention's score.

    Raises:
        ValueError: for another ``pooling``, or ``hidden`` below 1.

    Example:
        >>> conv = PooledConv2d(3, 8, kernel_size=3, padding=1, pooling="attention")
        >>> conv(torch.rand(2, 7, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    def __init__(self, *conv2d_args: Any, pooling: Pooling = "mean", hidden: int = 16, **conv2d_options: Any) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        if pooling not in get_args(Pooling):
            raise ValueError(f"pooling is {pooling!r}; choose from {', '.join(map(repr, get_args(Pooling)))}")
        if hidden < 1:
            raise ValueError(f"hidden is {hidden}; it must be at least 1")
        self.pooling = pooling
        weight, self.bias = self.new_kernel()
        self.weight = nn.Parameter(self._merged(weight.detach()))
        if pooling == "attention":
            like: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
            self.score = nn.Sequential(
                nn.Linear(self.out_channels, hidden, **like), nn.GELU(), nn.Linear(hidden, 1, **like)
            )

    @property
    def promises(self) -> Promises:
        linear = self.pooling != "attention"
        return Promises(exact=False, foldable=linear, unnamed=True, tells_zeros=self.pooling != "sum")

    def convolve(self, x: Tensor, channels: ChannelSet) -> Tensor:
        if self.pooling == "attention":
            return self._attend(x)
        plane = x.mean(dim=1, keepdim=True) if self.pooling == "mean" else x.sum(dim=1, keepdim=True)
        return self.conv2d(plane, self.weight, self.bias)

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        taken = self.weight.new_empty(self.out_channels, self.in_channels, *self.kernel_size)
        copy_kernel(taken, self.bias, weight, bias)
        with torch.no_grad():
            self.weight.copy_(self._merged(taken))

    def fold(self, channels: ChannelsLike | None = None) -> nn.Conv2d:
        """An ordinary convolution; it repeats the kernel for each plane, so it multiplies |S| times as much."""
        if not self.promises.foldable:
            refuse_to_fold(self)
        planes = len(self.resolve(channels))
        share = 1 / planes if self.pooling == "mean" else 1.0
        return folded(self, (self.weight * share).expand(-1, planes, -1, -1), self.bias)

    def _merged(self, weight_OChw: Tensor) -> Tensor:
        """The bank that gives what an ordinary kernel gives where all planes are equal."""
        if self.pooling == "sum":
            return weight_OChw.mean(dim=1, keepdim=True)
        return weight_OChw.sum(dim=1, keepdim=True)

    def _attend(self, x_NSHW: Tensor) -> Tensor:
        n, s = x_NSHW.shape[:2]
        response_NSOhw = self.conv2d(x_NSHW.flatten(0, 1).unsqueeze(1), self.weight, None).unflatten(0, (n, s))
        with full_precision(x_NSHW.device.type):
            # Squares of a few hundred are too much for float16, and 1e-6, which bounds the logarithm of a plane of
            # zeros, too little.
            power_NSO = (
                response_NSOhw.to(torch.promote_types(self.weight.dtype, torch.float32)).square().mean(dim=(3, 4))
            )
            weight_NS = self.score((power_NSO + 1e-6).log().to(self.weight.dtype)).squeeze(2).softmax(dim=1)
        weight_N1S = weight_NS.to(response_NSOhw.dtype).unsqueeze(1)
        y_NOhw = (weight_N1S @ response_NSOhw.flatten(2)).unflatten(2, response_NSOhw.shape[2:]).squeeze(1)
        return y_NOhw if self.bias is None else y_NOhw + self.bias.to(y_NOhw.dtype)[:, None, None]
