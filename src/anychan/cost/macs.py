"""Multiply-accumulate operations (MACs) of one image.

PyTorch's own counter sees the operations themselves, so kernels that are made on the way are counted, which
counters that hook into modules miss. It counts a multiplication and an addition as two; we count them as one.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        kernel: of making the kernels of the any-channel convolutions, needed once for a channel set.
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
    with shapes_only(model, image_size):
        with FlopCounterMode(display=False) as total:
            call(model, call.batch(model, 1, "meta"))
        with FlopCounterMode(display=False) as kernels:
            if isinstance(model, AnyChannelModel):
                for stem in model.stems.values():
                    if not isinstance(stem, KernelConv2d):
                        continue  # what it does depends on the image
                    stem.kernel(call.channels)
                    if stem.ones_kernel is not None:
                        stem.ones_kernel(call.channels)
    made = kernels.get_total_flops() // 2
    return MACs(forward=total.get_total_flops() // 2 - made, kernel=made)
