"""A shallow network of parallel streams: what others put behind each other stands side by side here.

Each stream looks at the stem's map at a resolution of its own, with a few convolutions that keep their size, and the
linear layer sees the features of all. The longest path is that of one stream, however many there are. Coarse streams
have more planes, so that a layer costs the same MACs in each.

Source: ParNet (Goyal et al. 2021, arXiv 2110.07641), twelve layers in three streams at over 80 % on ImageNet. As there:
streams at three resolutions, kernels of several sizes that fold into one, attention to planes beside the convolution,
SiLU. Not as there: streams branch off one stem and not off a column of downsampling layers, so that depth stays 6;
their features meet in the last linear layer and not in a fusion block, which would cost layers; attention weighs what
the convolution gives, and not the input in a branch of its own.
Theory, cost and limits: docs/theory/parallel.md.
Cost: `parallel6` at 64x64 0.27 GMACs and 6.2 M parameters with 50 classes.
Limits: streams hear of each other only in the head.

Shapes in comments: N images of 64x64, width w, stream s from 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from anychan.blocks import Activation, Attended, BranchedConv2d, NonOverlappingMaxPool2d, make_activation
from anychan.models._registry import register_model


class Stream(nn.Module):
    """Convolutions behind each other at one resolution, and each plane's maximum.

    Args:
        inputs: planes that come in.
        width: planes of each layer.
        layers: how many; a maximum over 2x2 pixels follows the first.
        kernel_sizes: side by side in each layer.
        attention: whether planes are weighed by a linear layer beside each convolution (`Attended`).
        activation: after each layer.

    Shape:
        (N, inputs, H, W) to (N, width)
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        layers: int,
        *,
        kernel_sizes: Sequence[int | tuple[int, int]],
        attention: bool,
        activation: Activation,
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for number in range(layers):
            before = width if number else inputs
            layer_activation, planes = make_activation(activation)
            shortcut = before == planes * width  # as in RepVGG: a third branch, which folds as well
            convolution: nn.Module = BranchedConv2d(before, planes * width, kernel_sizes, shortcut=shortcut)
            parts += [Attended(convolution, before, planes * width) if attention else convolution, layer_activation]
            parts += [] if number else [NonOverlappingMaxPool2d(2)]
        self.layers = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).amax(dim=(2, 3))


@register_model
class parallel6(nn.Module):  # noqa: N801 # a network's name
    """Depth 6: a stem, streams of four convolutions side by side, a linear layer.

    Args:
        in_chans, num_classes: as in timm.
        width: w, planes of the stem; stream s has w 2^(s+1).
        streams: how many; stream s sees the stem's map shrunk by 2^s.
        layers: convolutions of a stream, at most 4.
        branches: kernel sizes beside each 3x3.
        attention: whether planes are weighed beside each convolution.
        activation: "gelu", "relu", "silu" or "geglu".

    Raises:
        ValueError: for no plane, no stream, other than 1 to 4 layers, or another activation.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        width: int = 48,
        *,
        streams: int = 3,
        layers: int = 4,
        branches: Sequence[int | Sequence[int]] = (1,),
        attention: bool = True,
        activation: Activation = "silu",
    ) -> None:
        super().__init__()
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"width is {width}, but must be a whole number from 1")
        if streams < 1 or not 1 <= layers <= 4:
            raise ValueError(f"streams {streams} and layers {layers}: at least 1 of each, and at most 4 layers")
        stem_activation, planes = make_activation(activation)
        self.stem = nn.Conv2d(in_chans, planes * width, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(planes * width)
        self.activation = stem_activation
        self.shrink = NonOverlappingMaxPool2d(2)
        sizes = [3, *(size if isinstance(size, int) else (size[0], size[1]) for size in branches)]
        widths = [width * 2 ** (s + 1) for s in range(streams)]
        self.streams = nn.ModuleList(
            Stream(width, w, layers, kernel_sizes=sizes, attention=attention, activation=activation) for w in widths
        )
        self.feature_norm = nn.BatchNorm1d(sum(widths))
        self.head = nn.Linear(sum(widths), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm(self.stem(x)))  # (N, w, 32, 32)
        seen = []
        for s, stream in enumerate(self.streams):
            x = self.shrink(x) if s else x  # (N, w, 32 / 2^s, 32 / 2^s)
            seen.append(stream(x))  # (N, 2w 2^s)
        return self.head(self.feature_norm(torch.cat(seen, dim=1)))  # (N, K)
