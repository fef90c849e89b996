"""Generated: a network makes each channel's slice of the kernel from a learned embedding of the channel.

    slice(c) = V gelu(U e_c + u) + v,        weight(S) = [slice(c) for c in S] * |C| / |S|

with an embedding e_c of E numbers for each channel name. All channels share U and V, so what is learned for one
moves the others as much as their embeddings are alike.

An ordinary kernel is loaded in closed form: v becomes the mean slice, V the solution of smallest norm that gives
each channel the rest of its slice (least squares in float64). C features for C channels are enough for that in
principle; where they are twice as many, their condition is good enough for float32 too, and it is exact. A new stem
starts from a kernel drawn as ``torch.nn.Conv2d`` draws it.

Source: HyperNet in CHAMMI (Chen et al., NeurIPS 2023, arXiv 2310.19224) and the suggestion in source document [003];
Ha, Dai and Le, "HyperNetworks", ICLR 2017, arXiv 1609.09106. Loading a kernel is ours.

Assumes that the kernels of channels have a structure in common, which is learned better together than apart.
Cost: the MACs of an ordinary convolution of |S| planes. With the hidden width H, some H O kh kw parameters instead of
C O kh kw, and |S| H O kh kw MACs to make a kernel, once a call (docs/theory/generated.md has all terms). It
folds.
Fails where a missing channel mattered: nothing stands in for it. For a fixed list of names it can be no other
convolution than *sliced*; it only learns in another way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.channels import ChannelsLike
from anychan.nn._contract import KernelConv2d, Promises, positions
from anychan.nn._registry import register_strategy
from anychan.nn._slices import at_least, kernel_of_slices, kernel_slices


@register_strategy("generated")
class GeneratedConv2d(KernelConv2d):
    """A convolution whose kernel is made by a network from embeddings of the channels.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``.
        embedding: E, the numbers that stand for a channel.
        hidden: H, the width of the network; None: max(32, 2 C). Below 2 C a loaded kernel is only met as
            nearly as it can be (least squares), and ``promises.exact`` is False.

    Raises:
        ValueError: for an embedding or a width below 1, or an embedding so small for so many channels that the
            network cannot tell them apart.

    Example:
        >>> conv = GeneratedConv2d(3, 8, kernel_size=3, padding=1, channels="RGB")
        >>> conv(torch.rand(2, 2, 16, 16), channels="RB").shape
        torch.Size([2, 8, 16, 16])
    """

    def __init__(
        self,
        *conv2d_args: Any,
        embedding: int = 16,
        hidden: int | None = None,
        **conv2d_options: Any,
    ) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        at_least("embedding", embedding)
        hidden = max(32, 2 * self.in_channels) if hidden is None else at_least("hidden", hidden)
        own: dict[str, Any] = {"device": self._new["device"], "dtype": self._new["dtype"]}
        weight, self.bias = self.new_kernel()
        self.embeddings = nn.Parameter(torch.randn(self.in_channels, embedding, **own))
        self.hidden = nn.Linear(embedding, hidden, **own)
        self.last = nn.Linear(hidden, self.out_channels * self.kernel_size[0] * self.kernel_size[1], **own)
        self._solve(kernel_slices(self, weight, self.bias, self.bias))

    @property
    def promises(self) -> Promises:
        return Promises(exact=self.hidden.out_features >= 2 * self.in_channels)

    def kernel(self, channels: ChannelsLike | None = None) -> tuple[Tensor, Tensor | None]:
        present = positions(self.channels.indices(channels), self.embeddings.device)
        slices_SX = self.last(F.gelu(self.hidden(self.embeddings.index_select(0, present))))
        return kernel_of_slices(self, slices_SX), self.bias

    def no_weight_decay(self) -> set[str]:
        return {"embeddings"}

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take over an ordinary kernel by solving for the last layer; the embeddings stay as they are.

        Raises:
            ValueError: also if the embeddings are too much alike to make different slices from them; then
                nothing has changed.
        """
        self._solve(kernel_slices(self, weight, bias, self.bias))
        if self.bias is not None and bias is not None:
            with torch.no_grad():
                self.bias.copy_(bias)

    @torch.no_grad()
    def _solve(self, slices_CX: Tensor) -> None:
        if slices_CX.is_meta or self.embeddings.is_meta:
            return  # shapes without values: there is nothing to solve
        layers = (self.embeddings, self.hidden.weight, self.hidden.bias)
        hidden_CH = F.gelu(F.linear(*(parameter.cpu().double() for parameter in layers)))
        mean_X = slices_CX.mean(dim=0).to(self.last.bias.dtype)
        # gelsd: the solution of smallest norm, also where there are fewer features than channels.
        rest_CX = slices_CX - mean_X.double()
        last_HX = torch.linalg.lstsq(hidden_CH, rest_CX, driver="gelsd").solution.to(self.last.weight.dtype)
        error = float((hidden_CH @ last_HX.double() - rest_CX).abs().max())
        allowed = 64 * torch.finfo(last_HX.dtype).eps * float(slices_CX.abs().max())
        if self.promises.exact and not error <= allowed:
            raise ValueError(
                f"the kernel cannot be met: the best last layer is off by {error:.2g}, where rounding explains "
                f"{allowed:.2g}; the embeddings ({self.embeddings.shape[1]} numbers) of some channels are too much "
                "alike"
            )
        self.last.weight.copy_(last_HX.T)
        self.last.bias.copy_(mean_X)
