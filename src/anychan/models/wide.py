"""Plain wide networks of six and of four weighted layers: few steps, each with many channels.

What a deep network buys with depth (a wide view, many features) is bought here with strides, pooling and width:
the last convolution of ``wide6`` sees 78 x 78 pixels, more than an image of 64x64 has. No path is longer than the
depth in the name, so a gradient passes six layers at most and no shortcuts are needed. A global maximum keeps the
strongest answer of each feature, wherever it was.

Source: our own; VanillaNet (Chen et al. 2023, arXiv 2305.12972) argues for the same at larger sizes.
Cost: `wide6` at 64x64 0.27 GMACs and 3.9 M parameters with 50 classes.
Limits: a view that does not grow with the image; fine detail is lost in the first stride.

Shapes in comments: N images of 64x64, width w.
"""

from __future__ import annotations

from torch import Tensor, nn

from anychan.models._registry import register_model


class Layer(nn.Sequential):
    """Convolution, batch normalisation, GELU, and a max pool of ``pool`` x ``pool``: one weighted layer."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 3, stride: int = 1, pool: int = 1) -> None:
        padding = (kernel_size - stride + 1) // 2
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel_size, stride, padding, bias=False),
            nn.BatchNorm2d(outputs),
            nn.GELU(),
            nn.MaxPool2d(pool) if pool > 1 else nn.Identity(),
        )


class WideNetwork(nn.Module):
    """Layers one after another, a global maximum and a linear layer."""

    def __init__(self, features: nn.Sequential, width: int, num_classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (N, width, h, w)
        return self.head(x.amax(dim=(2, 3)))  # (N, K)


@register_model
def wide6(in_chans: int = 3, num_classes: int = 1000, width: int = 64) -> nn.Module:
    """Depth 6: five convolutions and a linear layer; ``width`` is the stem's."""
    w = width
    features = nn.Sequential(
        Layer(in_chans, w, kernel_size=4, stride=2),  # (N, w, 32, 32)
        Layer(w, 2 * w, pool=2),  # (N, 2w, 16, 16)
        Layer(2 * w, 4 * w, pool=2),  # (N, 4w, 8, 8)
        Layer(4 * w, 8 * w, pool=2),  # (N, 8w, 4, 4)
        Layer(8 * w, 8 * w),  # (N, 8w, 4, 4)
    )
    return WideNetwork(features, 8 * w, num_classes)


@register_model
def wide4(in_chans: int = 3, num_classes: int = 1000, width: int = 96) -> nn.Module:
    """Depth 4: three convolutions and a linear layer; ``width`` is the stem's, which 8 thirds divide."""
    w = width
    features = nn.Sequential(
        Layer(in_chans, w, kernel_size=4, stride=2),  # (N, w, 32, 32)
        Layer(w, 8 * w // 3, pool=4),  # (N, 8w/3, 8, 8)
        Layer(8 * w // 3, 8 * w),  # (N, 8w, 8, 8)
    )
    return WideNetwork(features, 8 * w, num_classes)
