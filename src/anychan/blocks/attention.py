"""Self-attention over the places of a feature map, as in SAGAN and non-local networks.

Every place asks all places what they have, wherever they are: a receptive field of the whole image in one layer.

    q = W_q x,  k = W_k x,  v = W_v x                               1x1 convolutions
    y_i = sum over places j of softmax_j(q_i . k_j) v_j              x -> x + gate * y

Source: SAGAN, Zhang et al. 2019, arXiv 1805.08318: queries and keys have an eighth of the channels, the products are
not divided by the root of their width, and the gate is one learned number that begins at 0, so that a network begins
with what is local. Non-local networks: Wang et al. 2018, arXiv 1711.07971. SAGAN's values have an eighth of the
channels too, and a fourth convolution brings their mean back to all; here values have all, and there is no fourth.
One weighted layer: query, key and value stand beside each other, and their products have no weights.
Cost: C (2 C / r + C) weights; a place costs as many MACs and P (C / r + C) more on a map of P places.
On a CPU PyTorch's fused kernel takes queries and keys as wide as values only: there they get zeros, which change no
product and spare a table of P x P numbers. In bfloat16 that kernel is slow, and up to 1,024 places the table is made,
as exact as there: means and gradients take 0.26 (256 places, 256 channels) to 0.88 (1,024 and 64) of its time.
Fails on large maps, where the square of P is all that counts; it knows nothing of where places are.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Residual = Literal["gated", "plain", "none"]
_TABLE = 1024  # places at most for a table of their pairs


class SelfAttention2d(nn.Module):
    """Each place of a map gets a mean of what all places have, weighted by how its query meets their keys.

    Args:
        channels: C, in and out.
        reduction: queries and keys have C // reduction channels; values have C.
        residual: "gated" adds the input to the output times a learned number that begins at 0; "plain" adds it to the
            output; "none" does not.
        bias: whether the three convolutions have biases.

    Shape:
        (N, C, H, W) to (N, C, H, W)

    Raises:
        ValueError: for a reduction that is not 1 to C, or another ``residual``.

    Example:
        >>> x = torch.rand(2, 16, 5, 6)
        >>> attention = SelfAttention2d(16)
        >>> torch.equal(attention(x), x)  # its gate is closed at first
        True
    """

    def __init__(self, channels: int, reduction: int = 8, *, residual: Residual = "gated", bias: bool = True) -> None:
        super().__init__()
        if not 1 <= reduction <= channels:
            raise ValueError(f"reduction {reduction}: must be from 1 to {channels}, the number of channels")
        if residual not in get_args(Residual):
            raise ValueError(f"residual is {residual!r}; choose from {', '.join(map(repr, get_args(Residual)))}")
        width = channels // reduction
        self.residual = residual
        self.query = nn.Conv2d(channels, width, 1, bias=bias)
        self.key = nn.Conv2d(channels, width, 1, bias=bias)
        self.value = nn.Conv2d(channels, channels, 1, bias=bias)
        self.gate = nn.Parameter(torch.zeros(())) if residual == "gated" else None

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (_tokens(conv(x)) for conv in (self.query, self.key, self.value))  # (N, 1, P, C/r or C)
        y = _attend(q, k, v)  # (N, 1, P, C)
        y = y.squeeze(1).transpose(1, 2).unflatten(2, x.shape[2:])  # (N, C, H, W)
        if self.gate is not None:
            y = self.gate * y
        return y if self.residual == "none" else x + y


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Of values (N, 1, P, C) the means by queries and keys (N, 1, P, C/r), the way that is fast."""
    if v.device.type == "cpu" and not torch.compiler.is_exporting():
        if v.dtype is torch.bfloat16 and v.shape[2] <= _TABLE:
            return _table(q, k).softmax(dim=3) @ v
        q, k = (F.pad(t, (0, v.shape[3] - t.shape[3])) for t in (q, k))  # (N, 1, P, C)
        v = v.contiguous()
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


def _table(q: Tensor, k: Tensor) -> Tensor:
    """Products (N, 1, P, P) of queries with keys less each row's largest, which change no softmax.

    What is rounded of a product goes into an exponent. Taken off within the sums, which are kept in float32, the
    largest ones come to nearly 0, where numbers of bfloat16 are dense.
    """
    with torch.no_grad():
        largest = (q @ k.transpose(2, 3)).amax(dim=3, keepdim=True)
    q, k = torch.cat((q, -largest), dim=3), torch.cat((k, torch.ones_like(k[..., :1])), dim=3)
    return q @ k.transpose(2, 3)


def _tokens(x: Tensor) -> Tensor:
    """One head of attention, a token a place: (N, C, H, W) to (N, 1, P, C)."""
    return x.flatten(2).transpose(1, 2).unsqueeze(1)
