"""A stem's kernels for a channel set, drawn as a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet
from anychan.nn import KernelConv2d

_MOST, _COLUMNS, _EDGE = 64, 16, 1


def draw_kernels(model: nn.Module, channels: ChannelSet) -> npt.NDArray[np.uint8] | None:
    """The first stem's kernels side by side: each output plane a tile, its planes as colours.

    Args:
        model: an any-channel model in evaluation mode.
        channels: the channel set, of one plane in gray, else in its own colours (R, G, B) or, of other bands, its first
            three as red, green and blue.

    Returns:
        uint8 (H, W, 3): gray is 0, black and white are the largest weight on all channels, so that the drawings of
        two subsets can be compared; at most 64 kernels, 16 in a row. None where no kernel is made of channels alone.

    Example:
        >>> from anychan.models import create_model
        >>> model = create_model("wide4", "RGB", 2, "sliced", model_options={"width": 20})
        >>> draw_kernels(model, ChannelSet.parse("RG")).shape  # two rows of 16 tiles of 4 x 4 pixels, and their edges
        (11, 81, 3)
    """
    stems = list(model.stems.values()) if isinstance(model, AnyChannelModel) else []
    if not stems or not isinstance(stems[0], KernelConv2d):
        return None
    with torch.no_grad():
        largest = float(stems[0].kernel(None)[0].abs().max())
        weight_OSKK = stems[0].kernel(channels)[0].float().cpu().numpy()[:_MOST]
    shares_OKKS = 0.5 + 0.5 * weight_OSKK.transpose(0, 2, 3, 1) / max(largest, 1e-12)
    tiles_OKK3 = _in_colour(shares_OKKS, channels)
    rows, (height, width) = -(-len(tiles_OKK3) // _COLUMNS), tiles_OKK3.shape[1:3]
    columns = min(_COLUMNS, len(tiles_OKK3))
    sheet = np.ones((rows * (height + _EDGE) + _EDGE, columns * (width + _EDGE) + _EDGE, 3))
    for number, tile in enumerate(tiles_OKK3):
        row, column = divmod(number, _COLUMNS)
        top, left = _EDGE + row * (height + _EDGE), _EDGE + column * (width + _EDGE)
        sheet[top : top + height, left : left + width] = tile
    drawn: npt.NDArray[np.uint8] = (sheet.clip(0, 1) * 255).round().astype(np.uint8)
    return drawn


def _in_colour(shares_OKKS: npt.NDArray[np.floating], channels: ChannelSet) -> npt.NDArray[np.floating]:
    if len(channels) == 1:
        return shares_OKKS.repeat(3, axis=3)
    colours = np.full((*shares_OKKS.shape[:3], 3), 0.5)
    named = set(channels.names) <= set("RGB")
    for plane, name in enumerate(channels.names[:3]):
        colours[..., "RGB".index(name) if named else plane] = shares_OKKS[..., plane]
    return colours
