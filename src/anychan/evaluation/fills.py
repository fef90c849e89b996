"""The naive answers to missing channels: fill their planes with something and ask an ordinary model.

They are the yardstick that an any-channel model has to beat. A fill gives the model all planes, so that any
model can be asked; it works on pixel values on a scale of 0 to 1, before they are normalised. Of channels that are
measured in units of their own (kelvins beside reflectances) nothing but their means can stand for them.

Shape suffixes: N images, S the channels that are there, C all channels the model knows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from anychan.channels import MEASURED, ChannelSet

# (pixels of the channels that are there (N, S, H, W), all channels, those that are there) -> (N, C, H, W)
Fill = Callable[[Tensor, ChannelSet, ChannelSet], Tensor]


def fill_missing(pixels_NSHW: Tensor, channels: ChannelSet, present: ChannelSet, fill: str) -> Tensor:
    """All planes of ``channels``, the missing ones filled.

    Args:
        pixels_NSHW: floating point on a scale of 0 to 1, the planes of ``present`` in their order; of channels that
            are measured, in their units.
        channels: the C channels of the result, in its order; ``mean`` needs their means.
        present: the S channels that are there, each one of ``channels``.
        fill: a key of ``FILLS``: ``zeros`` (black), ``zeros-rescaled`` (black, and the pixels that are there times
            C / S, which leaves the sum over all planes about as large as it was), ``mean`` (each missing channel's
            mean), ``mean-of-present`` (each pixel the mean of the planes that are there).

    Returns:
        (N, C, H, W), of the same type.

    Raises:
        ValueError: for an unknown fill or one that these channels have no common scale for, an unknown channel, or an
            unknown mean.

    Example:
        >>> rgb = ChannelSet.parse("RGB")
        >>> fill_missing(torch.full((1, 2, 1, 1), 0.5), rgb, rgb.subset("BR"), "zeros").flatten().tolist()
        [0.5, 0.0, 0.5]
    """
    return FILLS[check_fill(fill, channels)](pixels_NSHW, channels, present)


def list_fills(channels: ChannelSet) -> list[str]:
    """The fills that make sense of these channels: all of shares of one scale, the mean of measured ones.

    Example:
        >>> list_fills(ChannelSet.parse("RGB"))
        ['zeros', 'zeros-rescaled', 'mean', 'mean-of-present']
    """
    return [fill for fill in FILLS if fill == "mean" or all(channel.units != MEASURED for channel in channels)]


def describe_fills() -> dict[str, str]:
    """What each fill puts in the place of missing channels, as ``anychan list fills`` says it.

    Example:
        >>> describe_fills()["zeros"]
        'black'
    """
    lines = {fill: (function.__doc__ or "").strip(".") for fill, function in FILLS.items()}
    return {fill: line[:1].lower() + line[1:] for fill, line in lines.items()}


def check_fill(fill: str, channels: ChannelSet) -> str:
    """The name of a fill, as it is.

    Raises:
        ValueError: if there is no fill of that name, or it makes no sense of these channels.
    """
    if fill not in FILLS:
        raise ValueError(f"unknown fill {fill!r}; there are {', '.join(FILLS)}")
    if fill not in list_fills(channels):
        measured = next(channel.name for channel in channels if channel.units == MEASURED)
        raise ValueError(
            f"the fill {fill!r} takes all channels to be on one scale, and {measured!r} is measured in units of its "
            "own; fill with 'mean'"
        )
    return fill


def _zeros(pixels_NSHW: Tensor, channels: ChannelSet, present: ChannelSet) -> Tensor:
    """Black."""
    n, _, height, width = pixels_NSHW.shape
    planes_NCHW = pixels_NSHW.new_zeros(n, len(channels), height, width)
    planes_NCHW[:, list(channels.indices(present))] = pixels_NSHW
    return planes_NCHW


def _zeros_rescaled(pixels_NSHW: Tensor, channels: ChannelSet, present: ChannelSet) -> Tensor:
    """Black, and the planes that are there times C / S, of C channels S there: their sum stays about as large."""
    return _zeros(pixels_NSHW * (len(channels) / len(present)), channels, present)


def _mean(pixels_NSHW: Tensor, channels: ChannelSet, present: ChannelSet) -> Tensor:
    """Each missing channel's mean."""
    means = [channel.mean for channel in channels if channel not in present]
    if None in means:
        raise ValueError(f"the fill 'mean' needs the mean of every channel, and one of {channels} has none")
    planes_NCHW = _zeros(pixels_NSHW, channels, present)
    planes_NCHW[:, _missing(channels, present)] = torch.tensor(means).to(planes_NCHW)[:, None, None]
    return planes_NCHW


def _mean_of_present(pixels_NSHW: Tensor, channels: ChannelSet, present: ChannelSet) -> Tensor:
    """Each pixel the mean of the planes that are there."""
    planes_NCHW = _zeros(pixels_NSHW, channels, present)
    planes_NCHW[:, _missing(channels, present)] = pixels_NSHW.mean(dim=1, keepdim=True)
    return planes_NCHW


def _missing(channels: ChannelSet, present: ChannelSet) -> list[int]:
    return [i for i, channel in enumerate(channels) if channel not in present]


FILLS: dict[str, Fill] = {
    "zeros": _zeros,
    "zeros-rescaled": _zeros_rescaled,
    "mean": _mean,
    "mean-of-present": _mean_of_present,
}
