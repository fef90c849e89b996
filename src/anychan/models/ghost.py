"""Two Ghost bottlenecks with attention over channels: a shallow network of cheap operations, by its makers' count.

Half of all maps are derived from the other half by depthwise convolutions, and each image weighs its own channels, so
few weights and MACs go far; strides and the global mean give the view.

Source: part B of [000], "two layers": Ghost modules and bottlenecks of GhostNet (Han et al. 2020, arXiv 1911.11907)
with channel-wise attention. Widths, strides and expansion are not said there; they are ours, GhostNet's expansion of
3 and its attention of a quarter among them. What was run there is not this: the reported 3.97 M parameters are those
of stock GhostNet 1.0x with 50 classes, which is timm's ``ghostnet_100`` here (depth 86).
Depth: 16, the "layers" of its source 2: the stem, 7 for each bottleneck (two for each Ghost module, two for the
attention, one for the stride), the linear layer.
Cost: 0.027 GMACs at 64x64 and 0.26 M parameters with 50 classes.
Limits: depthwise convolutions take longer than their MACs say; few weights, too few, one expects, where
there are many images.

Shapes in comments: N images of 64x64, width w, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from anychan.blocks.ghost import GhostBottleneck
from anychan.models._registry import register_model


class GhostNetwork(nn.Module):
    """A convolution, two Ghost bottlenecks, a global mean and a linear layer."""

    def __init__(self, in_chans: int, num_classes: int, width: int, expansion: int, se_ratio: float) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(
            nn.Conv2d(in_chans, w, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(w), nn.ReLU()
        )
        self.first = GhostBottleneck(w, expansion * w, 2 * w, stride=2, se_ratio=se_ratio)
        self.second = GhostBottleneck(2 * w, 2 * expansion * w, 4 * w, stride=2, se_ratio=se_ratio)
        self.head = nn.Linear(4 * w, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, w, 32, 32)
        x = self.first(x)  # (N, 2w, 16, 16)
        x = self.second(x)  # (N, 4w, 8, 8)
        return self.head(x.mean(dim=(2, 3)))  # (N, K)


@register_model
def ghost2(
    in_chans: int = 3, num_classes: int = 1000, width: int = 64, expansion: int = 3, se_ratio: float = 0.25
) -> nn.Module:
    """Depth 16, two bottlenecks.

    Args:
        in_chans, num_classes: planes in, logits out.
        width: w, of the stem.
        expansion: hidden channels of a bottleneck over channels before it.
        se_ratio: hidden units of the attention over hidden channels; 0: no attention, depth 12.

    Raises:
        ValueError: for a width or expansion below 1, or a negative ``se_ratio``.
    """
    if width < 1 or expansion < 1:
        raise ValueError(f"width {width}, expansion {expansion}: both must be 1 or more")
    return GhostNetwork(in_chans, num_classes, width, expansion, se_ratio)
