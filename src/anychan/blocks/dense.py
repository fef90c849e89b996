"""Densely connected convolutions with residuals: the residual dense block and the RRDB of ESRGAN.

In a dense block each convolution sees what all before it have made, so that the last has paths of one to all of the
block's layers behind it, and features once made are not made again. The block adds its output, made smaller by
``residual_scale``, to its input: it begins near the identity, and blocks can be put one behind another without
normalisation. An RRDB (residual in residual dense block) does the same once more around three of them.

    y_k = act(conv_k([x, y_1, ..., y_{k-1}]))         x -> x + residual_scale * y_last

Source: ESRGAN, Wang et al. 2018, arXiv 1809.00219: five convolutions, growth 32, scale 0.2, leaky ReLU with slope 0.2
after all but the last. Not taken over: its initial weights, a tenth of He's.
``join="sum"`` adds the earlier outputs where the paper puts them side by side: all convolutions are as wide as the
block, and cost does not grow along it; what each of the earlier outputs gives can no longer be weighed by itself.

Cost in weights, for C channels, growth g, L convolutions of k x k: k^2 (L C g - C g + C^2 + g^2 (L - 1)(L - 2) / 2 +
C g (L - 1)); with "sum" L k^2 C^2.
Fails where memory is short: every y_k stays until the block is through. Depth is L, not 1, for all that it is called
one block.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

Join = Literal["concatenate", "sum"]
_BLOCKS_IN_RRDB = 3


class DenseConvs(nn.Module):
    """Convolutions that each see the input and the outputs of all before them; the last one's output is returned.

    Args:
        channels: C, in and out.
        growth: channels that each convolution but the last makes.
        convolutions: L, their number, which is the depth.
        join: "concatenate" puts the outputs side by side, "sum" adds them; a sum needs a growth of C.
        kernel_size: odd.
        negative_slope: of the leaky ReLU after each convolution; 0 is an ordinary one.
        last_activation: whether the last convolution has it too.
        bias: whether the convolutions have biases.

    Shape:
        (N, C, H, W) to (N, C, H, W)

    Raises:
        ValueError: for no convolution, an even kernel, another ``join``, or a sum with a growth that is not C.

    Example:
        >>> DenseConvs(16, growth=8, convolutions=4)(torch.rand(2, 16, 5, 6)).shape
        torch.Size([2, 16, 5, 6])
    """

    def __init__(
        self,
        channels: int,
        growth: int = 32,
        convolutions: int = 5,
        *,
        join: Join = "concatenate",
        kernel_size: int = 3,
        negative_slope: float = 0.2,
        last_activation: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if convolutions < 1:
            raise ValueError(f"convolutions {convolutions}: must be 1 or more")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {kernel_size}: must be odd, so that the map keeps its size")
        if join not in get_args(Join):
            raise ValueError(f"join is {join!r}; choose from {', '.join(map(repr, get_args(Join)))}")
        if join == "sum" and growth != channels:
            raise ValueError(f"growth {growth} with join 'sum': must be {channels}, the number of channels")
        self.join = join
        self.last_activation = last_activation
        self.convs = nn.ModuleList(
            nn.Conv2d(
                channels + k * growth if join == "concatenate" else channels,
                growth if k < convolutions - 1 else channels,
                kernel_size,
                padding=kernel_size // 2,
                bias=bias,
            )
            for k in range(convolutions)
        )
        self.activation = nn.LeakyReLU(negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        seen = y = x
        for k, conv in enumerate(self.convs):
            last = k == len(self.convs) - 1
            y = conv(seen)  # (N, growth, H, W), the last (N, C, H, W)
            if not last or self.last_activation:
                y = self.activation(y)
            if not last:
                seen = torch.cat([seen, y], dim=1) if self.join == "concatenate" else seen + y
        return y


class ScaledResidual(nn.Module):
    """``x + scale * body(x)``.

    Example:
        >>> ScaledResidual(nn.Identity(), scale=0.5)(torch.ones(1))
        tensor([1.5000])
    """

    def __init__(self, body: nn.Module, scale: float = 0.2) -> None:
        super().__init__()
        self.body = body
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.body(x)

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


def residual_dense_block(
    channels: int,
    growth: int = 32,
    convolutions: int = 5,
    *,
    residual_scale: float = 0.2,
    join: Join = "concatenate",
    negative_slope: float = 0.2,
) -> ScaledResidual:
    """`DenseConvs` with its input added: as many weighted layers as it has convolutions.

    Args:
        channels, growth, convolutions, join, negative_slope: as of `DenseConvs`.
        residual_scale: what its output is multiplied by before the input is added.

    Example:
        >>> residual_dense_block(16, growth=8)(torch.rand(2, 16, 5, 6)).shape
        torch.Size([2, 16, 5, 6])
    """
    return ScaledResidual(
        DenseConvs(channels, growth, convolutions, join=join, negative_slope=negative_slope), residual_scale
    )


def rrdb(
    channels: int,
    growth: int = 32,
    convolutions: int = 5,
    *,
    blocks: int = _BLOCKS_IN_RRDB,
    residual_scale: float = 0.2,
    negative_slope: float = 0.2,
) -> ScaledResidual:
    """Residual dense blocks one behind another, with the input of the first added to the output of the last.

    Args:
        channels, growth, convolutions, negative_slope: as of `DenseConvs`.
        blocks: their number; the depth is ``blocks`` times ``convolutions``.
        residual_scale: of each block, and of all together.

    Raises:
        ValueError: for no block.

    Example:
        >>> rrdb(16, growth=8)(torch.rand(2, 16, 5, 6)).shape
        torch.Size([2, 16, 5, 6])
    """
    if blocks < 1:
        raise ValueError(f"blocks {blocks}: must be 1 or more")
    inner = (
        residual_dense_block(
            channels, growth, convolutions, residual_scale=residual_scale, negative_slope=negative_slope
        )
        for _ in range(blocks)
    )
    return ScaledResidual(nn.Sequential(*inner), residual_scale)
