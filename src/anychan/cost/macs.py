"""Multiply-accumulate operations (MACs) of one image.

PyTorch's own counter sees the operations themselves, so kernels that are made on the way are counted, which
counters that hook into modules miss. It counts a multiplication and an addition as two; we count them as one. What it
knows no formula for, though ``depth`` takes it for a layer, it is told here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelsLike
from anychan.cost._call import call_of, on_meta, shapes_only
from anychan.nn import KernelConv2d


@dataclass(frozen=True, slots=True)
class MACs:
    """Multiply-accumulate operations.

    Args:
        forward: of one image through the model whose kernels are made.
        kernel: of making the kernels of the any-channel convolutions, at each call; once if specialised.
    """

    forward: int
    kernel: int


def count_macs(model: nn.Module, channels: ChannelsLike | None = None, image_size: int = 224) -> MACs:
    """Count the MACs of convolutions, matrix products and attention for one image; the model is left as it is.

    Element-wise operations (normalisation, activations) and matrix inverses are not counted.

    Args:
        model: any module called ``model(x)``, or an any-channel model.
        channels: of the input; None: all of an any-channel model, the planes of another model's first convolution.
        image_size: height and width in pixels.

    Raises:
        ValueError: for channels or an image size that the model does not take, or a model that cannot be copied or run
            on the meta device.

    Example:
        >>> count_macs(nn.Conv2d(3, 8, 3, padding=1), image_size=10)
        MACs(forward=21600, kernel=0)
    """
    call = call_of(model, channels, image_size)
    model = on_meta(model)
    formulas = _formulas()
    with shapes_only(model, image_size):
        with FlopCounterMode(display=False, custom_mapping=formulas) as total:
            call(model, call.batch(model, 1, "meta"))
        with FlopCounterMode(display=False, custom_mapping=formulas) as kernels:
            if isinstance(model, AnyChannelModel):
                for stem in dict.fromkeys(model.stems.values()):  # one may have two names
                    if not isinstance(stem, KernelConv2d):
                        continue  # what it does depends on the image
                    stem.kernel(call.channels)
                    if stem.ones_kernel is not None:
                        stem.ones_kernel(call.channels)
    made = kernels.get_total_flops() // 2
    return MACs(forward=total.get_total_flops() // 2 - made, kernel=made)


_Shape = tuple[int, ...]


def _formulas() -> dict[Any, Any]:
    """Operations (FLOPs) by the shapes of what goes in and comes out."""
    aten = torch.ops.aten
    known: dict[Any, Any] = {
        aten.dot: _of_vectors,
        aten.mv: _of_vectors,
        aten.addmv: _of_added_vectors,
        aten._trilinear: _of_bilinear,
        aten._cdist_forward: _of_distances,
        aten._euclidean_dist: _of_distances,  # of more than 25 points
        aten.addbmm: _of_summed_products,
    }
    if hasattr(torch.ops.torchvision, "deform_conv2d"):  # there once torchvision is imported
        known[torch.ops.torchvision.deform_conv2d] = _of_deformable
    return known


def _of_vectors(matrix: _Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(matrix)


def _of_added_vectors(_: _Shape, matrix: _Shape, *__: Any, **___: Any) -> int:
    return 2 * prod(matrix)


def _of_bilinear(first: _Shape, weight: _Shape, *_: Any, **__: Any) -> int:
    return 2 * first[0] * prod(weight)


def _of_distances(points: _Shape, *_: Any, out_shape: _Shape, **__: Any) -> int:
    return 2 * prod(out_shape) * points[-1]


def _of_summed_products(_: _Shape, first: _Shape, second: _Shape, *__: Any, **___: Any) -> int:
    return 2 * prod(first) * second[-1]


def _of_deformable(_: _Shape, weight: _Shape, *__: Any, out_shape: _Shape, **___: Any) -> int:
    return 2 * prod(out_shape) * prod(weight[1:])
