"""Tokens: each channel keeps its own patch tokens, and a vision transformer attends over all of them.

    token(s, place) = K * x_s (place) + b + channel_embedding[s] + position[place]

The projection K (O, 1, kh, kw) is shared by all channels; the embedding of the channel says which one it is. The
channels' maps lie below one another, (N, O, |S| H', W'), so that a patch embedding flattens them to |S| H' W' tokens.

A vision transformer adds position embeddings for a fixed number of tokens after its patch embedding. Adapting it
moves them here, the same for every channel, and leaves zero in the body (`take_over_positions`).

An ordinary kernel is taken over as the sum over its channels: an image whose planes are all equal gives each channel
the tokens it gave before, up to the channel embedding, which begins small (0.02, orthogonal).

Source: ChannelViT, Bao, Sivanandan, Karaletsos 2023, arXiv 2309.16108, section 3. The embeddings are kept apart as in
DiChaViT, Pham and Plummer 2024, arXiv 2405.16419: theirs begin orthogonal and have a loss on the tokens with channel
anchors and another on the tokens themselves; `penalty` is a plainer one, on the embeddings.

Assumes a body that attends over any number of tokens and has learned to do so.
Cost: some O kh kw parameters and |S| O kh kw H' W' MACs. The body pays: |S| times the tokens, and |S|^2 times the MACs
of attention between them (docs/theory/tokens.md has all terms).
Fails where the body takes a fixed number of tokens, or maps: it is for vision transformers alone. Nothing stands in
for a missing channel; the body must have learned to do without, so train it with channel sampling.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.channels import ChannelSet, ChannelsLike
from anychan.nn._contract import AnyChannelConv2d, Promises, copy_kernel, positions, refuse_to_fold
from anychan.nn._registry import register_strategy

_EMBEDDING_STD = 0.02  # as vision transformers draw theirs


@register_strategy("tokens")
class TokensConv2d(AnyChannelConv2d):
    """A patch projection that keeps a map of tokens for each channel, one below the other.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``.

    Attributes:
        positions: (O, H', W'), added to each channel's map; None until a body's are taken over.

    Example:
        >>> stem = TokensConv2d(3, 8, kernel_size=4, stride=4, channels="RGB")
        >>> stem(torch.rand(2, 2, 16, 16), channels="RB").shape  # two maps of 4 by 4
        torch.Size([2, 8, 8, 4])
    """

    def __init__(self, *conv2d_args: Any, **conv2d_options: Any) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        weight, self.bias = self.new_kernel()
        self.weight = nn.Parameter(weight.detach().sum(dim=1, keepdim=True))
        embedding = torch.empty(self.in_channels, self.out_channels, device="meta" if weight.is_meta else "cpu")
        nn.init.orthogonal_(embedding)  # rows of length 1, or columns where there are more channels than outputs
        scale = _EMBEDDING_STD * max(self.in_channels, self.out_channels) ** 0.5
        self.channel_embedding = nn.Parameter((embedding * scale).to(weight))
        self.positions: nn.Parameter | None
        self.register_parameter("positions", None)

    @property
    def promises(self) -> Promises:
        return Promises(exact=False, foldable=False, merges=False)

    def convolve(self, x: Tensor, channels: ChannelSet) -> Tensor:
        n, s = x.shape[:2]
        map_NSOhw = self.conv2d(x.flatten(0, 1).unsqueeze(1), self.weight, self.bias).unflatten(0, (n, s))
        added_SOhw = self.channel_embedding.index_select(
            0, positions(self.channels.indices(channels), self.channel_embedding.device)
        )[..., None, None]
        if self.positions is not None:
            if self.positions.shape[1:] != map_NSOhw.shape[3:]:
                raise ValueError(
                    f"the image gives {tuple(map_NSOhw.shape[3:])} places, "
                    f"but there are positions for {tuple(self.positions.shape[1:])}"
                )
            added_SOhw = added_SOhw + self.positions
        return (map_NSOhw + added_SOhw.to(map_NSOhw.dtype)).transpose(1, 2).flatten(2, 3)

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        taken = self.weight.new_empty(self.out_channels, self.in_channels, *self.kernel_size)
        copy_kernel(taken, self.bias, weight, bias)
        with torch.no_grad():
            self.weight.copy_(taken.sum(dim=1, keepdim=True))

    def no_weight_decay(self) -> set[str]:
        return {"channel_embedding", "positions"}

    def fold(self, channels: ChannelsLike | None = None) -> nn.Conv2d:
        refuse_to_fold(self)

    def prepare_body(self, body: nn.Module, path: str) -> None:
        """Take over a vision transformer's position embeddings, in place; see `take_over_positions`."""
        self.positions = take_over_positions(body, path)

    def penalty(self) -> Tensor:
        """How far the channel embeddings are from orthogonal: the mean squared cosine between two of them.

        A loss to be added in training with a weight; 0 where they are orthogonal, 1 where they are parallel. There is
        room for orthogonal ones as long as there are not more channels than output channels.

        Returns:
            A scalar; 0 for a single channel.

        Example:
            >>> TokensConv2d(3, 8, kernel_size=4, channels="RGB").penalty() < 1e-6
            tensor(True)
        """
        directions_CO = F.normalize(self.channel_embedding, dim=1)
        cosines_CC = directions_CO @ directions_CO.T
        pairs = self.in_channels * (self.in_channels - 1)
        return (cosines_CC - cosines_CC.diagonal().diag()).square().sum() / max(pairs, 1)


def take_over_positions(body: nn.Module, path: str) -> nn.Parameter | None:
    """Take the position embeddings of a vision transformer's patches out of it, in place.

    What its prefix tokens (class and register tokens) had of their own is added to them; in the body stays a zero,
    so that it takes any number of tokens.

    Args:
        body: a vision transformer with the attributes of timm's ``VisionTransformer``: ``patch_embed`` (with
            ``grid_size``), ``pos_embed``, ``cls_token``, ``reg_token``, ``no_embed_class``.
        path: of the stem in it, which must be its patch projection.

    Returns:
        (O, H', W'), trained if they were in the body, or None for a body without position embeddings.

    Raises:
        ValueError: for any other body, one whose patches are normalised before positions are added, or one that
            takes images of any size, saying which.
    """
    patch_embed = _checked_patch_embed(body, path)
    vit: Any = body  # by its attributes, for timm is not imported here
    pos_embed = vit.pos_embed
    if not isinstance(pos_embed, Tensor):
        return None
    prefixes = [token for token in (vit.cls_token, vit.reg_token) if token is not None]
    owned = 0 if vit.no_embed_class else sum(token.shape[1] for token in prefixes)
    height, width = patch_embed.grid_size
    if pos_embed.shape[1] != owned + height * width:
        raise ValueError(
            f"{type(body).__name__} has {pos_embed.shape[1]} position embeddings, "
            f"not {owned} for its prefix tokens and {height} x {width} for its patches"
        )
    with torch.no_grad():
        start = 0
        for token in prefixes if owned else ():
            token.add_(pos_embed[:, start : start + token.shape[1]])
            start += token.shape[1]
        positions = pos_embed[0, owned:].T.unflatten(1, (height, width)).clone()
        zero = torch.zeros_like(pos_embed[:, :1])
    del body.pos_embed
    body.register_buffer("pos_embed", zero, persistent=False)  # a constant: nothing to learn or to save
    return nn.Parameter(positions, requires_grad=pos_embed.requires_grad)


_EXPECTED = ("pos_embed", "cls_token", "reg_token", "no_embed_class", "dynamic_img_size", "_pos_embed", "blocks")


def _checked_patch_embed(body: nn.Module, path: str) -> Any:
    """The patch embedding of a vision transformer whose positions can be taken over; ValueError for any other."""
    refusal = f"tokens cannot go into {type(body).__name__} at {path!r}: "
    missing = [name for name in _EXPECTED if not hasattr(body, name)]
    if path != "patch_embed.proj" or missing:
        why = f"this one lacks {', '.join(missing)}" if missing else "this stem is not one"
        raise ValueError(
            f"{refusal}it needs a vision transformer such as timm's VisionTransformer, with its stem at "
            f"'patch_embed.proj', whose blocks take any number of tokens; {why}"
        )
    # Positions that enter the attention of each block, or a further token, are tied to the number of patches.
    tied = [
        name
        for name in ("rope", "rel_pos_bias", "shared_rel_pos", "dist_token")
        if getattr(body, name, None) is not None
    ]
    if tied:
        raise ValueError(f"{refusal}its {', '.join(tied)} is made for one token at each place")
    if body.dynamic_img_size:
        raise ValueError(f"{refusal}dynamic_img_size=True resizes position embeddings that would no longer be there")
    patch_embed: Any = body.patch_embed
    if not isinstance(patch_embed.norm, nn.Identity):
        raise ValueError(f"{refusal}its patches are normalised before positions are added to them")
    return patch_embed
