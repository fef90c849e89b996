"""Attentive: at each place, attention over the channels makes one token of theirs; the body sees one map.

    t_s = K * x_s + channel_embedding[s]                     at each place, (O,)
    z_h = sum over s of a_hs t_s,   a_h = softmax over s of (q_h . t_s) / sqrt(O)       for each head h
    y   = P [V_h z_h for each h] + b

The projection K (O, 1, kh, kw) is shared by all channels. A head's key matrix and the learned query always stand
together, so the vector q_h (O,) is learned in place of both; and V_h (O / heads, O) is applied to the sum instead of
to each token: attention is linear in its values. It is the same function as cross-attention with one query, for 2
heads O MACs a channel and place instead of 2 O^2.

The embedding is one vector a channel (``embedding="name"``) or a function of the wavelength, which takes channels
never seen (``embedding="wavelength"``).

An ordinary kernel is taken over as the sum over its channels; V and P begin as the identity, so an image whose planes
are all equal gives what it gave before, up to the channel embedding, which begins small.

Source: Panopticon, Waldmann et al. 2025, arXiv 2503.10845, in which the attention is wider than the body and its
output is projected; here it has the body's width.

Assumes that at each place some channels matter more than others, and that their own responses there show which.
Cost: some O kh kw + 2 O^2 parameters, and |S| O kh kw + 2 O^2 MACs at each output place (docs/theory/attentive.md has
all terms). What the body costs does not depend on the number of channels.
Fails where the channels must be compared across places (each place attends on its own), and where O is large and the
stem's map too: 2 O^2 a place is more than the ordinary convolution's O |S| kh kw there.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.channels import ChannelSet, ChannelsLike
from anychan.nn._contract import AnyChannelConv2d, Promises, copy_kernel, full_precision, positions, refuse_to_fold
from anychan.nn._registry import register_strategy
from anychan.nn._wavelengths import WavelengthEncoder, wavelengths_of

Embedding = Literal["name", "wavelength"]
_EMBEDDING_STD = 0.02
_HIDDEN = 64  # of the network from wavelengths to embeddings
_MOST_PLACES = 32_768  # in one call of attention: CUDA's grids end at 65,535


@register_strategy("attentive")
class AttentiveConv2d(AnyChannelConv2d):
    """A convolution of each plane on its own, whose outputs attention over the channels makes one map of.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``.
        embedding: "name": a vector for each known channel; "wavelength": a function of the wavelength, which each
            channel must have then.
        heads: of the attention, a divisor of O; None: the largest of 8, 4, 2, 1 that is one.

    Raises:
        ValueError: for another ``embedding``, ``heads`` that do not divide O, or a channel without a wavelength
            where it needs one.

    Example:
        >>> stem = AttentiveConv2d(3, 8, kernel_size=3, padding=1, channels="RGB")
        >>> stem(torch.rand(2, 2, 16, 16), channels="RB").shape
        torch.Size([2, 8, 16, 16])
    """

    def __init__(
        self, *conv2d_args: Any, embedding: Embedding = "name", heads: int | None = None, **conv2d_options: Any
    ) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        if embedding not in get_args(Embedding):
            raise ValueError(f"embedding is {embedding!r}; choose from {', '.join(map(repr, get_args(Embedding)))}")
        if heads is None:
            heads = next(h for h in (8, 4, 2, 1) if self.out_channels % h == 0)
        if heads < 1 or self.out_channels % heads:
            raise ValueError(f"heads is {heads}; it must divide out_channels, which is {self.out_channels}")
        self.embedding, self.heads = embedding, heads
        weight, self.bias = self.new_kernel()
        like: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
        outputs = self.out_channels
        self.weight = nn.Parameter(weight.detach().sum(dim=1, keepdim=True))
        self.query = nn.Parameter(nn.init.normal_(torch.empty(heads, outputs, **like)))
        self.value = nn.Parameter(torch.eye(outputs, **like).unflatten(0, (heads, outputs // heads)))
        self.project = nn.Parameter(torch.eye(outputs, **like))
        if embedding == "wavelength":
            wavelengths_of(self.channels)
            self.encoder = WavelengthEncoder(_HIDDEN, **like)
            self.channel_embedding = nn.Parameter(torch.empty(outputs, _HIDDEN, **like))
            nn.init.normal_(self.channel_embedding, std=_EMBEDDING_STD / _HIDDEN**0.5)
        else:
            self.channel_embedding = nn.Parameter(torch.empty(self.in_channels, outputs, **like))
            nn.init.normal_(self.channel_embedding, std=_EMBEDDING_STD)

    @property
    def promises(self) -> Promises:
        return Promises(exact=False, foldable=False, unseen=self.embedding == "wavelength")

    def convolve(self, x: Tensor, channels: ChannelSet) -> Tensor:
        n, s = x.shape[:2]
        map_NSOhw = self.conv2d(x.flatten(0, 1).unsqueeze(1), self.weight, None).unflatten(0, (n, s))
        with full_precision(x.device.type):
            embedding_SO = self._embed(channels)
        token_NhwSO = map_NSOhw.permute(0, 3, 4, 1, 2) + embedding_SO.to(map_NSOhw.dtype)
        pooled_MHO = torch.cat([self._attend(token_MSO) for token_MSO in token_NhwSO.flatten(0, 2).split(_MOST_PLACES)])
        # Each head's sum goes through its own rows of V: (H, M, O) x (H, O, O / H).
        y_HMo = pooled_MHO.transpose(0, 1) @ self.value.transpose(1, 2).to(pooled_MHO.dtype)
        y_MO = F.linear(y_HMo.transpose(0, 1).flatten(1), self.project)
        y_NOhw = y_MO.unflatten(0, (n, *map_NSOhw.shape[3:])).permute(0, 3, 1, 2)
        return y_NOhw if self.bias is None else y_NOhw + self.bias.to(y_NOhw.dtype)[:, None, None]

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        taken = self.weight.new_empty(self.out_channels, self.in_channels, *self.kernel_size)
        copy_kernel(taken, self.bias, weight, bias)
        with torch.no_grad():
            self.weight.copy_(taken.sum(dim=1, keepdim=True))

    def no_weight_decay(self) -> set[str]:
        # Of wavelengths, the embedding is a layer like any other.
        return {"query"} if self.embedding == "wavelength" else {"query", "channel_embedding"}

    def fold(self, channels: ChannelsLike | None = None) -> nn.Conv2d:
        refuse_to_fold(self)

    def _embed(self, channels: ChannelSet) -> Tensor:
        """The embeddings (S, O) of channels."""
        if self.embedding == "wavelength":
            return F.linear(self.encoder(wavelengths_of(channels)), self.channel_embedding)
        return self.channel_embedding.index_select(
            0, positions(self.channels.indices(channels), self.channel_embedding.device)
        )

    def _attend(self, token_MSO: Tensor) -> Tensor:
        """For each of M places and each head, the tokens of its channels summed with that head's weights (M, H, O)."""
        query_MHO = self.query.to(token_MSO.dtype).expand(len(token_MSO), -1, -1)
        return F.scaled_dot_product_attention(query_MHO, token_MSO, token_MSO)
