"""Plain wide networks of two to six weighted layers: few steps, each with many channels.

What a deep network buys with depth (a wide view, many features) is bought here with strides, pooling and width:
the last convolution of ``wide6`` sees 78 x 78 pixels, more than an image of 64x64 has. No path is longer than the
depth in the name, so a gradient passes six layers at most and no shortcuts are needed. A global maximum keeps the
strongest answer of each feature, wherever it was.

Nothing that the options add makes a path longer: branches of other kernel sizes fold into the layer's kernel after
training (`anychan.blocks.branches`), a global response normalisation and a blur have no weights that mix channels or
pixels, and heads over several scales look at earlier layers too.

Source: our own; VanillaNet (Chen et al. 2023, arXiv 2305.12972) argues for the same at larger sizes, ParNet (Goyal et
al. 2021, arXiv 2110.07641) for parallel paths. Theory, cost and limits: docs/theory/wide.md.
Cost: `wide6` at 64x64 0.27 GMACs and 3.9 M parameters with 50 classes.
Limits: a view that does not grow with the image; fine detail is lost in the first stride.

Shapes in comments: N images of 64x64, width w.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from anychan.blocks import BranchedConv2d, whitening_kernel
from anychan.models._registry import register_model

Activation = Literal["gelu", "relu", "silu"]
Pooling = Literal["max", "mean", "blur"]
Head = Literal["max", "mean", "both"]

_ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


class Wide(nn.Module):
    """Convolutions one after another, the features of the image as a whole, and a linear layer.

    Args:
        in_chans: planes of an image.
        num_classes: logits.
        widths: output planes of each convolution.
        pools: what each layer's map is pooled by, 1 for not at all.
        stem: kernel size of the first convolution, which has stride 2.
        kernel_size: of the others.
        branches: further kernel sizes that train beside each of the others and fold into it.
        shortcut: a normalised shortcut beside each convolution that has as many planes out as in; folds too.
        activation: after each normalisation.
        pooling: "max"; "mean"; "blur", which is a maximum over each 2x2 pixels followed by a fixed low-pass filter
            that takes the stride (Zhang 2019, arXiv 1904.11486).
        response: a global response normalisation after each layer but the first (Woo et al. 2023, arXiv 2301.00808,
            section 3.2).
        head: the features are each plane's maximum over the image, its mean, or both.
        scales: how many of the last layers the head looks at.
        dropout: of the features, a probability.
        whitened: whether the stem starts with kernels that whiten the training images' patches.
    """

    def __init__(  # noqa: PLR0917 # by name, from below
        self,
        in_chans: int,
        num_classes: int,
        widths: Sequence[int],
        pools: Sequence[int],
        stem: int = 4,
        kernel_size: int = 3,
        branches: Sequence[int] = (),
        shortcut: bool = False,
        activation: Activation = "gelu",
        pooling: Pooling = "max",
        response: bool = False,
        head: Head = "max",
        scales: int = 1,
        dropout: float = 0.0,
        whitened: bool = False,
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("activation", activation, get_args(Activation)),
            ("pooling", pooling, get_args(Pooling)),
            ("head", head, get_args(Head)),
            ("scales", scales, range(1, len(widths) + 1)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(map(str, allowed))}")
        if stem % 2 or stem < 2:
            raise ValueError(f"stem is {stem}, but must be even, as its stride is")
        self.head_of, self.scales, self.whitened = head, scales, whitened
        layers = []
        for number, (width, pool) in enumerate(zip(widths, pools, strict=True)):
            before = in_chans if number == 0 else widths[number - 1]
            if number == 0:
                convolution: list[nn.Module] = [
                    nn.Conv2d(in_chans, width, stem, stride=2, padding=stem // 2 - 1, bias=False),
                    nn.BatchNorm2d(width),
                ]
            else:
                same = shortcut and before == width
                convolution = [BranchedConv2d(before, width, [kernel_size, *branches], shortcut=same)]
            layer = [*convolution, _ACTIVATIONS[activation](), _pool(pooling, pool, width)]
            if response and number:
                layer.append(_response(width))
            layers.append(nn.Sequential(*layer))
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear((2 if head == "both" else 1) * sum(widths[-scales:]), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for number, layer in enumerate(self.features):
            x = layer(x)  # (N, widths[number], h, w)
            if number >= len(self.features) - self.scales:
                seen += [x.amax(dim=(2, 3))] if self.head_of != "mean" else []
                seen += [x.mean(dim=(2, 3))] if self.head_of != "max" else []
        return self.head(self.dropout(torch.cat(seen, dim=1)))  # (N, K)

    def prepare(self, batches: Iterable[Tensor]) -> None:
        """Give the stem its first kernels, out of normalised training images (N, C, H, W) of all channels."""
        if not self.whitened:
            return
        stem: Any = self.features[0][0]  # type: ignore[index] # a sequence
        directions = 2 * stem.in_channels * stem.kernel_size[0] ** 2
        with torch.no_grad():
            kernel = stem.new_kernel()[0] if hasattr(stem, "new_kernel") else stem.weight.clone()
            found = whitening_kernel(
                torch.cat([batch.cpu() for batch in batches]),
                min(stem.out_channels // 2 * 2, directions),
                stem.kernel_size[0],
                stride=2,
            )
            kernel[: len(found)] = found.to(kernel)  # a wider stem has random kernels beside them
            if hasattr(stem, "load_kernel"):  # any-channel
                stem.load_kernel(kernel, None)
            else:
                stem.weight.copy_(kernel)


def _pool(kind: Pooling, size: int, width: int) -> nn.Module:
    if size == 1:
        return nn.Identity()
    if kind == "max":
        return nn.MaxPool2d(size)
    if kind == "mean":
        return nn.AvgPool2d(size)
    from timm.layers import BlurPool2d

    return nn.Sequential(nn.MaxPool2d(2, stride=1), BlurPool2d(width, stride=size))


def _response(width: int) -> nn.Module:
    from timm.layers.grn import GlobalResponseNorm

    return GlobalResponseNorm(width, channels_last=False)


@register_model
def wide6(in_chans: int = 3, num_classes: int = 1000, width: int = 64, **options: Any) -> nn.Module:
    """Depth 6: five convolutions and a linear layer; ``width`` is the stem's, ``options`` are `Wide`'s."""
    widths = [width * multiple for multiple in (1, 2, 4, 8, 8)]
    return Wide(in_chans, num_classes, widths, pools=(1, 2, 2, 2, 1), **options)  # ends with (N, 8w, 4, 4)


@register_model
def wide5(in_chans: int = 3, num_classes: int = 1000, width: int = 64, **options: Any) -> nn.Module:
    """Depth 5: four convolutions and a linear layer."""
    widths = [width * multiple for multiple in (1, 2, 4, 8)]
    return Wide(in_chans, num_classes, widths, pools=(1, 2, 2, 1), **options)  # ends with (N, 8w, 8, 8)


@register_model
def wide4(in_chans: int = 3, num_classes: int = 1000, width: int = 96, **options: Any) -> nn.Module:
    """Depth 4: three convolutions and a linear layer; ``width`` is the stem's, which 8 thirds divide."""
    widths = [width, 8 * width // 3, 8 * width]
    return Wide(in_chans, num_classes, widths, pools=(1, 4, 1), **options)  # ends with (N, 8w, 8, 8)


@register_model
def wide3(in_chans: int = 3, num_classes: int = 1000, width: int = 96, **options: Any) -> nn.Module:
    """Depth 3: two convolutions and a linear layer."""
    return Wide(in_chans, num_classes, [width, 8 * width], pools=(2, 1), **options)  # ends with (N, 8w, 16, 16)


@register_model
def wide2(in_chans: int = 3, num_classes: int = 1000, width: int = 768, **options: Any) -> nn.Module:
    """Depth 2: a convolution and a linear layer."""
    return Wide(in_chans, num_classes, [width], pools=(1,), **{"stem": 8, **options})  # ends with (N, w, 32, 32)
