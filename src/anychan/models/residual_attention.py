"""Self-attention between two residual blocks: local features, then a look at the whole image, then local ones again.

Attention is put where a map is small enough to afford it and its features are more than edges; the blocks before and
behind it keep what is local, and its gate begins at 0, so training begins with an ordinary residual network.

Source: part B of [001], "three layers" (`EnhancedResidualAttentionModel`): convolution 7x7 stride 2, BN, ReLU; residual
block; self-attention; residual block; BN, ReLU, mean, linear layer. Self-attention as in SAGAN (arXiv 1805.08318),
blocks as in He et al. 2016 (arXiv 1603.05027), with normalisation before each convolution, since one follows
the last block.
Not said there: widths, strides, the kind of block, the queries' width, whether a max pool follows the stem. Its only
other number is the cost, 309,248,256 MACs at 96x96. No construction that we tried gives it exactly (basic and
bottleneck blocks, normalised before or after, usual widths, strides and queries, counted as the same tool counts its
ResNet18: torchprofile, which gives the reported 333,585,408). Ours has 311,071,232, the nearest with the usual
choices (stem of 32, each block half as large a map, queries an eighth): the real one may have other widths. Its
ResNet34 is not the standard one either, or counted otherwise: the same tool says 673,554,432.
Depth: 7, the "layers" of its source 3: the stem, 2 for each block, the attention, the linear layer.
Cost: 0.13 GMACs at 64x64 and 1.15 M parameters with 50 classes.
Limits: attention costs the square of the places (24x24 at 96x96, 56x56 at 224x224); places are not told apart by
where they are.

Shapes in comments: N images of 64x64, width w, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from anychan.blocks.attention import SelfAttention2d
from anychan.models._registry import register_model


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each after BN and ReLU, and a shortcut, a 1x1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + self.shortcut(x)


class ResidualAttentionNetwork(nn.Module):
    """A convolution, a residual block, self-attention, a residual block, a global mean and a linear layer."""

    def __init__(self, in_chans: int, num_classes: int, width: int, reduction: int, attention: bool) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(
            nn.Conv2d(in_chans, w, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(w), nn.ReLU()
        )
        self.first = ResidualBlock(w, 4 * w, stride=2)
        self.attention = SelfAttention2d(4 * w, reduction) if attention else nn.Identity()
        self.second = ResidualBlock(4 * w, 8 * w, stride=2)
        self.norm = nn.Sequential(nn.BatchNorm2d(8 * w), nn.ReLU())
        self.head = nn.Linear(8 * w, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, w, 32, 32)
        x = self.first(x)  # (N, 4w, 16, 16)
        x = self.attention(x)  # (N, 4w, 16, 16)
        x = self.norm(self.second(x))  # (N, 8w, 8, 8)
        return self.head(x.mean(dim=(2, 3)))  # (N, K)


@register_model
def residual_attention3(
    in_chans: int = 3, num_classes: int = 1000, width: int = 32, reduction: int = 8, attention: bool = True
) -> nn.Module:
    """Depth 7, three stages.

    Args:
        in_chans, num_classes: planes in, logits out.
        width: w, of the stem.
        reduction: of the queries' and keys' width.
        attention: False leaves it out, for an ablation: depth 6.

    Raises:
        ValueError: for a width below 1, or a reduction that is not from 1 to 4 w.
    """
    if width < 1:
        raise ValueError(f"width {width}: must be 1 or more")
    return ResidualAttentionNetwork(in_chans, num_classes, width, reduction, attention)
