"""Ghost bottleneck: features made by a few dear operations and many cheap ones, with attention over channels.

Many feature maps of a trained network are alike. A Ghost module makes half of its maps with an ordinary (1x1)
convolution and derives the other half from them, each from one, with a depthwise 3x3 convolution. A bottleneck is two
of them: the first expands and has ReLU, the second projects and has none, batch normalisation after every convolution,
and a shortcut. Between the two are, with a stride, a depthwise convolution, and the channels' attention: two layers
on the means of all channels say how much of each is let through.

Source: GhostNet, Han et al. 2020, arXiv 1911.11907. The module is timm's, and so is the attention, with the hard
sigmoid and the numbers divisible by 4 that GhostNet has.
Cost of a Ghost module from A to B channels, in weights and in MACs a place: A B / 2 + 9 B / 2, in place of A B.
Fails where depthwise convolutions are slow for their few MACs (small channels on a GPU; memory, not arithmetic, is
their limit). Deep for what it costs: each Ghost module is two weighted layers, so a bottleneck is 4, with attention 6,
with a stride 7.
"""

from __future__ import annotations

from torch import Tensor, nn


class GhostBottleneck(nn.Module):
    """Expand by a Ghost module, weigh the channels, project by another, add the input.

    Args:
        in_channels, hidden_channels, out_channels: before, between and after the two Ghost modules.
        stride: of a depthwise convolution between them; 1: there is none.
        se_ratio: hidden units of the channels' attention over hidden channels; 0: no attention.

    Shape:
        (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))

    Raises:
        ValueError: for a negative ``se_ratio`` or a stride below 1.

    Example:
        >>> import torch
        >>> GhostBottleneck(16, 48, 24, stride=2)(torch.rand(2, 16, 9, 8)).shape
        torch.Size([2, 24, 5, 4])
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, stride: int = 1, se_ratio: float = 0.25
    ) -> None:
        from timm.layers import SqueezeExcite, make_divisible
        from timm.models.ghostnet import GhostModule

        super().__init__()
        if stride < 1:
            raise ValueError(f"stride {stride}: must be 1 or more")
        if se_ratio < 0:
            raise ValueError(f"se_ratio {se_ratio}: must be 0 (no attention over channels) or more")
        self.expand = GhostModule(in_channels, hidden_channels, act_layer=nn.ReLU)
        self.down = _depthwise(hidden_channels, stride) if stride > 1 else nn.Identity()
        self.attention = (
            SqueezeExcite(
                hidden_channels,
                rd_channels=make_divisible(hidden_channels * se_ratio, 4),
                gate_layer="hard_sigmoid",
            )
            if se_ratio
            else nn.Identity()
        )
        self.project = GhostModule(hidden_channels, out_channels, act_layer=nn.Identity)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels and stride == 1
            else nn.Sequential(
                *_depthwise(in_channels, stride),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(self.expand(x))  # (N, hidden_channels, H', W')
        return self.project(self.attention(y)) + self.shortcut(x)


def _depthwise(channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False), nn.BatchNorm2d(channels)
    )
