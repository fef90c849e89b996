"""Self-attention between two residual blocks: local features, then a look at the whole image, then local ones again.

Attention is put where a map is small enough to afford it and its features are more than edges; the blocks before and
behind it keep what is local, and its gate begins at 0, so training begins with an ordinary residual network.

Source: part B of [001], "three layers" (`EnhancedResidualAttentionModel`): convolution 7x7 stride 2, BN, ReLU; residual
block; self-attention; residual block; BN, ReLU, mean, linear layer. Self-attention as in SAGAN (arXiv 1805.08318),
bottlenecks as in He et al. 2016 (arXiv 1603.05027), with normalisation before each convolution, since one follows
the last block; both as in the residual attention network (Wang et al. 2017, arXiv 1704.06904), whose ends are these.
Not said there: widths, strides, the kind of block, the queries' width, whether a max pool follows the stem. What is
said is the cost, 309,248,256 MACs. Its ResNet34's 612,876,800 are those of the standard one at 84x84, to the last
digit, counted as the tool that counts its ResNet18 does (torchprofile: one more for each number that a normalisation
or the pool gives). At that size what 512 features do not account for is a multiple of 21 x 21 places, so maps are not
halved further. No construction that we tried gives the number exactly; this one gives 308,105,184, 0.4 % less: a stem
of 64, a max pool, bottlenecks to 256 and 512, queries an eighth. The real one may differ.
Depth: 9, the "layers" of its source 3: the stem, 3 for each block, the attention, the linear layer.
Cost: 0.16 GMACs at 64x64 and 0.57 M parameters with 50 classes.
Limits: attention costs the square of the places (21x21 at 84x84, 56x56 at 224x224); places are not told apart by
where they are.

Shapes in comments: N images of 64x64, width w, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from anychan.blocks.attention import SelfAttention2d
from anychan.models._registry import register_model


class ResidualBlock(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1, a quarter as wide between, each after BN and ReLU, and a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        between = outputs // 4
        self.layers = nn.Sequential(
            *(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, between, 1, bias=False)),
            *(nn.BatchNorm2d(between), nn.ReLU(), nn.Conv2d(between, between, 3, padding=1, bias=False)),
            *(nn.BatchNorm2d(between), nn.ReLU(), nn.Conv2d(between, outputs, 1, bias=False)),
        )
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)

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
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.first = ResidualBlock(w, 4 * w)
        self.attention = SelfAttention2d(4 * w, reduction) if attention else nn.Identity()
        self.second = ResidualBlock(4 * w, 8 * w)
        self.norm = nn.Sequential(nn.BatchNorm2d(8 * w), nn.ReLU())
        self.head = nn.Linear(8 * w, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))  # (N, w, 16, 16)
        x = self.first(x)  # (N, 4w, 16, 16)
        x = self.attention(x)  # (N, 4w, 16, 16)
        x = self.norm(self.second(x))  # (N, 8w, 16, 16)
        return self.head(x.mean(dim=(2, 3)))  # (N, K)


@register_model
def residual_attention3(
    in_chans: int = 3, num_classes: int = 1000, width: int = 64, reduction: int = 8, attention: bool = True
) -> nn.Module:
    """Depth 9, three stages.

    Args:
        in_chans, num_classes: planes in, logits out.
        width: w, of the stem.
        reduction: of the queries' and keys' width.
        attention: False leaves it out, for an ablation: depth 8.

    Raises:
        ValueError: for a width below 1, or a reduction that is not from 1 to 4 w.
    """
    if width < 1:
        raise ValueError(f"width {width}: must be 1 or more")
    return ResidualAttentionNetwork(in_chans, num_classes, width, reduction, attention)
