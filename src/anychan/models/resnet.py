"""ResNet18 and ResNet34 with stems for small images: yardsticks beside the standard ones.

The standard stem (7x7 with stride 2, max pool with stride 2) leaves 16x16 places of an image of 64x64 before the
first block. It was made for 224x224; on small images it is not the strongest yardstick: ``resnet34_half`` names more
right, and ``resnet34_small`` most. ``_small`` has the stem that is used on CIFAR, a 3x3 convolution with stride 1 and
no pool; ``_half`` the same with stride 2, at a quarter of the cost; ``_pooled`` the same with stride 1 and the max
pool.

Source: part B of [003] measures against ResNet34 (He et al. 2016, arXiv 1512.03385); the same paper's CIFAR networks
begin with the small stem. [004] measured with the pooled one: what it reports of parameters and operations is that
one's to the last digit, at 84x84 with 50 classes. Ours are timm's networks with ``conv1`` and ``maxpool`` replaced; the
standard ones are under timm's own names.
Depth: 18 and 34, as in the names.
Cost, in M parameters with 50 classes and in GMACs at 64x64, which grow with the number of pixels:

|          | parameters | standard | half | pooled | small |
|----------|------------|----------|------|--------|-------|
| ResNet18 | 11.2       | 0.15     | 0.56 | 0.56   | 2.22  |
| ResNet34 | 21.3       | 0.30     | 1.16 | 1.16   | 4.64  |

Limits: each step later in the network sees a quarter (half) as far as in the standard ones, so that on large images
they are slower (27 and 57 GMACs at 224x224 for the small stem) and need not be better.
"""

from __future__ import annotations

from torch import nn

from anychan.models._registry import register_model


def _with_stem(
    name: str, stride: int, in_chans: int, num_classes: int, drop_path_rate: float, *, pooled: bool = False
) -> nn.Module:
    import timm

    if not 0 <= drop_path_rate < 1:
        raise ValueError(f"drop_path_rate {drop_path_rate}: must be from 0 up to, not including, 1")
    model: nn.Module = timm.create_model(
        name, pretrained=False, in_chans=in_chans, num_classes=num_classes, drop_path_rate=drop_path_rate
    )
    model.conv1 = nn.Conv2d(in_chans, 64, kernel_size=3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")  # as timm's
    if not pooled:
        model.maxpool = nn.Identity()
    return model


@register_model
def resnet18_small(in_chans: int = 3, num_classes: int = 1000, drop_path_rate: float = 0.0) -> nn.Module:
    """Depth 18: ResNet18 that begins with a 3x3 convolution of stride 1, without a max pool."""
    return _with_stem("resnet18", 1, in_chans, num_classes, drop_path_rate)


@register_model
def resnet34_small(in_chans: int = 3, num_classes: int = 1000, drop_path_rate: float = 0.0) -> nn.Module:
    """Depth 34: ResNet34 that begins with a 3x3 convolution of stride 1, without a max pool."""
    return _with_stem("resnet34", 1, in_chans, num_classes, drop_path_rate)


@register_model
def resnet18_half(in_chans: int = 3, num_classes: int = 1000, drop_path_rate: float = 0.0) -> nn.Module:
    """Depth 18: ResNet18 that begins with a 3x3 convolution of stride 2, without a max pool."""
    return _with_stem("resnet18", 2, in_chans, num_classes, drop_path_rate)


@register_model
def resnet34_half(in_chans: int = 3, num_classes: int = 1000, drop_path_rate: float = 0.0) -> nn.Module:
    """Depth 34: ResNet34 that begins with a 3x3 convolution of stride 2, without a max pool."""
    return _with_stem("resnet34", 2, in_chans, num_classes, drop_path_rate)


@register_model
def resnet18_pooled(in_chans: int = 3, num_classes: int = 1000, drop_path_rate: float = 0.0) -> nn.Module:
    """Depth 18: ResNet18 that begins with a 3x3 convolution of stride 1, then the max pool."""
    return _with_stem("resnet18", 1, in_chans, num_classes, drop_path_rate, pooled=True)


@register_model
def resnet34_pooled(in_chans: int = 3, num_classes: int = 1000, drop_path_rate: float = 0.0) -> nn.Module:
    """Depth 34: ResNet34 that begins with a 3x3 convolution of stride 1, then the max pool."""
    return _with_stem("resnet34", 1, in_chans, num_classes, drop_path_rate, pooled=True)
