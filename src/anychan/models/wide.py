"""Plain wide networks of two to six weighted layers: few steps, each with many channels.

What a deep network buys with depth (a wide view, many features) is bought here with strides, pooling and width:
the last convolution of ``wide6`` sees 78 x 78 pixels, more than an image of 64x64 has. No path is longer than the
depth in the name, so a gradient passes six layers at most, and there are no shortcuts. A global maximum keeps the
strongest answer of each feature, wherever it was.

Nothing that the options add makes a path of the trained network longer: branches of other kernel sizes fold into the
layer's kernel after training (`anychan.blocks.branches`), two layers that train in place of one end as one
(`anychan.blocks.deepened`), attention to channels stands beside a convolution and not behind it, gated linear units
are halves of one convolution, a global response normalisation and a blur have no weights that mix channels or pixels,
and heads over several scales look at earlier layers too.

Source: our own; VanillaNet (Chen et al. 2023, arXiv 2305.12972) argues for the same at larger sizes, ParNet (Goyal et
al. 2021, arXiv 2110.07641) for parallel paths. Theory, cost and limits: docs/theory/wide.md.
Cost: `wide6` at 64x64 0.27 GMACs and 3.9 M parameters with 50 classes.
Limits: a view that does not grow with the image; fine detail of place is lost in the pools and the global maximum.

Shapes in comments: N images of 64x64, width w.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from anychan.blocks import (
    Activation,
    Attended,
    BranchedConv2d,
    DeepenedConv2d,
    NonOverlappingMaxPool2d,
    make_activation,
    whitening_kernel,
)
from anychan.models._registry import register_model

Pooling = Literal["max", "mean", "blur"]
Head = Literal["max", "mean", "both"]


class Wide(nn.Module):
    """Convolutions one after another, the features of the image as a whole, and a linear layer.

    Args:
        in_chans: planes of an image.
        num_classes: logits.
        widths: output planes of each layer.
        pools: what each layer's map is pooled by, 1 for not at all.
        stem_kernel_size: of the first convolution, which has stride 2; even.
        kernel_size: of the others; odd.
        branches: further kernel sizes, each a number or a pair, that train beside each of the others and fold into it.
        shortcut: a normalised shortcut beside each convolution that has as many planes out as in; folds too.
        attention: beside each convolution but the first, a linear layer on the mean of its input says how much of each
            output plane is let through: squeeze-and-excitation in parallel (ParNet, Goyal et al. 2021, arXiv
            2110.07641, where the input is weighed, in a branch of its own).
        deepened: each convolution trains as two with an activation between that becomes linear by three quarters of
            the run, when they are one (`anychan.blocks.DeepenedConv2d`, VanillaNet's deep training).
        activation: after each normalisation; "geglu" multiplies one half of twice as many planes by the GELU of the
            other (Shazeer 2020, arXiv 2002.05202), which makes a layer a product of two.
        pooling: "max"; "mean"; "blur", which is a maximum over each 2x2 pixels followed by a fixed low-pass filter
            that takes the stride (Zhang 2019, arXiv 1904.11486).
        global_response: a global response normalisation after each layer but the first (Woo et al. 2023, arXiv
            2301.00808).
        head: the features are each plane's maximum over the image, its mean, or both.
        scales: how many of the last layers the head looks at.
        grid: the features are those of the whole image and, if more than 1, also of each of grid x grid parts of it: a
            spatial pyramid (He et al. 2014, arXiv 1406.4729).
        head_norm: whether the features are batch normalised before the linear layer; None: if they are of several
            kinds: maxima and means, of several layers, of parts.
        dropout: of the features, a probability.
        whitened: whether the stem starts with kernels that whiten the training images' patches.

    Raises:
        ValueError: for an option that is not one of those named, or that nothing in a network of this depth takes.
    """

    def __init__(
        self,
        in_chans: int,
        num_classes: int,
        widths: Sequence[int],
        pools: Sequence[int],
        *,
        stem_kernel_size: int = 4,
        kernel_size: int = 3,
        branches: Sequence[int | Sequence[int]] = (),
        shortcut: bool = False,
        attention: bool = False,
        deepened: bool = False,
        activation: Activation = "gelu",
        pooling: Pooling = "max",
        global_response: bool = False,
        head: Head = "max",
        scales: int = 1,
        grid: int = 1,
        head_norm: bool | None = None,
        dropout: float = 0.0,
        whitened: bool = False,
    ) -> None:
        super().__init__()
        _, planes = make_activation(activation)  # how many it takes for each that a layer gives
        for name, sizes in (("widths", widths), ("pools", pools)):
            if not all(isinstance(size, int) and size >= 1 for size in sizes):
                raise ValueError(f"{name} are {list(sizes)}, but must be whole numbers from 1")
        for name, value, allowed in (
            ("pooling", pooling, get_args(Pooling)),
            ("head", head, get_args(Head)),
            ("scales", scales, range(1, len(widths) + 1)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(map(str, allowed))}")
        if grid < 1:
            raise ValueError(f"grid is {grid}, but must be 1 or more")
        if stem_kernel_size % 2 or stem_kernel_size < 2:
            raise ValueError(f"stem_kernel_size is {stem_kernel_size}, but must be even, as its stride is")
        if len(widths) == 1 and any((branches, shortcut, attention, deepened, global_response, kernel_size != 3)):
            raise ValueError("a network of one convolution has no layer for kernels, branches, attention or responses")
        if shortcut and not any(before == planes * width for before, width in pairwise(widths)):
            raise ValueError(f"no layer of widths {list(widths)} has as many planes out as in, as a shortcut needs")
        self.head_of, self.scales, self.grid, self.whitened = head, scales, grid, whitened
        padding = stem_kernel_size // 2 - 1
        stem = nn.Conv2d(in_chans, planes * widths[0], stem_kernel_size, stride=2, padding=padding, bias=False)
        layers: list[list[nn.Module]] = [[stem, nn.BatchNorm2d(planes * widths[0])]]
        kernel_sizes = [kernel_size, *(size if isinstance(size, int) else (size[0], size[1]) for size in branches)]
        for before, width in pairwise(widths):
            same = shortcut and before == planes * width
            branched = BranchedConv2d(before, planes * width, kernel_sizes, shortcut=same)
            convolution = DeepenedConv2d(branched, activation) if deepened else branched
            layers.append([Attended(convolution, before, planes * width) if attention else convolution])
        for number, (layer, width, pool) in enumerate(zip(layers, widths, pools, strict=True)):
            layer += [make_activation(activation)[0], _pool(pooling, pool, width)]
            if global_response and number:
                layer.append(_response(width))
        self.features = nn.Sequential(*(nn.Sequential(*layer) for layer in layers))
        parts = 1 if grid == 1 else 1 + grid**2
        features = (2 if head == "both" else 1) * parts * sum(widths[-scales:])
        normalised = (head == "both" or scales > 1 or grid > 1) if head_norm is None else head_norm
        self.norm = nn.BatchNorm1d(features) if normalised else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for number, layer in enumerate(self.features):
            x = layer(x)  # (N, widths[number], h, w)
            if number >= len(self.features) - self.scales:
                for part in [x] if self.grid == 1 else [x, *_parts(x, self.grid)]:
                    seen += [part.amax(dim=(2, 3))] if self.head_of != "mean" else []
                    seen += [part.mean(dim=(2, 3))] if self.head_of != "max" else []
        return self.head(self.dropout(self.norm(torch.cat(seen, dim=1))))  # (N, K)

    def prepare(self, batches: Iterable[Tensor]) -> None:
        """Give the stem its first kernels, out of normalised training images (N, C, H, W) of all channels."""
        if not self.whitened:
            return
        stem: Any = self.features[0][0]  # type: ignore[index] # a sequence
        size, directions = stem.kernel_size[0], 2 * stem.in_channels * stem.kernel_size[0] ** 2
        with torch.no_grad():
            kernel = stem.new_kernel()[0] if hasattr(stem, "new_kernel") else stem.weight.clone()
            found = whitening_kernel(batches, min(stem.out_channels // 2 * 2, directions), size, stride=2)
            kernel[: len(found)] = found.to(kernel)  # a wider stem has random kernels beside them
            if hasattr(stem, "load_kernel"):  # any-channel
                stem.load_kernel(kernel, None)
            else:
                stem.weight.copy_(kernel)


def _parts(x: Tensor, grid: int) -> list[Tensor]:
    """A map in grid x grid parts, row by row, as equal as they go.

    Raises:
        ValueError: for a map with fewer places than parts along a side.
    """
    if min(x.shape[2:]) < grid:
        raise ValueError(
            f"a map of {x.shape[2]}x{x.shape[3]} cannot be cut into {grid}x{grid} parts: give larger images"
        )
    return [part for rows in x.tensor_split(grid, dim=2) for part in rows.tensor_split(grid, dim=3)]


def _pool(kind: Pooling, size: int, width: int) -> nn.Module:
    if size == 1:
        return nn.Identity()
    if kind == "max":
        return NonOverlappingMaxPool2d(size)
    if kind == "mean":
        return nn.AvgPool2d(size)
    if size & (size - 1):
        raise ValueError(f"a blur goes down by two at a time, not by {size}")
    from timm.layers import BlurPool2d

    halves = [
        nn.Sequential(nn.MaxPool2d(2, stride=1), BlurPool2d(width, stride=2)) for _ in range(size.bit_length() - 1)
    ]
    return nn.Sequential(*halves)


def _response(width: int) -> nn.Module:
    from timm.layers.grn import GlobalResponseNorm

    return GlobalResponseNorm(width, channels_last=False)


def _check_layers(number: int, multiples: Sequence[int], pools: Sequence[int]) -> None:
    if not len(multiples) == len(pools) == number:
        raise ValueError(f"multiples {list(multiples)} and pools {list(pools)}: {number} of each, one a convolution")


@register_model
def wide6(
    in_chans: int = 3,
    num_classes: int = 1000,
    width: int = 64,
    multiples: Sequence[int] = (1, 2, 4, 8, 8),
    pools: Sequence[int] = (1, 2, 2, 2, 1),
    **options: Any,
) -> nn.Module:
    """Depth 6: five convolutions and a linear layer; ends with (N, 8w, 4, 4).

    Args:
        in_chans, num_classes: as in timm.
        width: of the stem.
        multiples: of each layer's planes over the stem's.
        pools: what each layer's map is pooled by.
        **options: those of `Wide`.

    Raises:
        ValueError: for other than five layers, and see `Wide`.
    """
    _check_layers(5, multiples, pools)
    return Wide(in_chans, num_classes, [width * multiple for multiple in multiples], pools, **options)


@register_model
def wide5(in_chans: int = 3, num_classes: int = 1000, width: int = 64, **options: Any) -> nn.Module:
    """Depth 5: four convolutions and a linear layer; ``options`` are `Wide`'s, here and below."""
    widths = [width * multiple for multiple in (1, 2, 4, 8)]
    return Wide(in_chans, num_classes, widths, pools=(1, 2, 2, 1), **options)  # ends with (N, 8w, 8, 8)


@register_model
def wide4(in_chans: int = 3, num_classes: int = 1000, width: int = 96, **options: Any) -> nn.Module:
    """Depth 4: three convolutions and a linear layer; the second layer has 8/3 of ``width``, rounded down."""
    widths = [width, 8 * width // 3, 8 * width]
    return Wide(in_chans, num_classes, widths, pools=(1, 4, 1), **options)  # ends with (N, 8w, 8, 8)


@register_model
def wide3(
    in_chans: int = 3,
    num_classes: int = 1000,
    width: int = 96,
    multiples: Sequence[int] = (1, 8),
    pools: Sequence[int] = (4, 1),
    **options: Any,
) -> nn.Module:
    """Depth 3: two convolutions and a linear layer; ends with (N, 8w, 8, 8).

    The second kernel has 7x7 places unless ``options`` say otherwise: with one convolution behind the stem all of the
    view must come from its size.

    Args:
        in_chans, num_classes, width, multiples, pools, **options: as in `wide6`.

    Raises:
        ValueError: for other than two layers, and see `Wide`.
    """
    _check_layers(2, multiples, pools)
    options = {"kernel_size": 7, **options}
    return Wide(in_chans, num_classes, [width * multiple for multiple in multiples], pools, **options)


@register_model
def wide2(in_chans: int = 3, num_classes: int = 1000, width: int = 768, **options: Any) -> nn.Module:
    """Depth 2: a convolution and a linear layer."""
    options = {"stem_kernel_size": 8, **options}
    return Wide(in_chans, num_classes, [width], pools=(1,), **options)  # ends with (N, w, 32, 32)
