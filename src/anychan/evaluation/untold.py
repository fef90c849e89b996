"""What of a channel the others do not tell, class by class: a measured candidate for why a class loses without it."""

from __future__ import annotations

import torch

from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.sensors import find

_CHUNK = 64  # images at once
_MOST_CHANNELS = 32  # the work goes with their square, for each pixel


def untold(array: ImageArray, channels: ChannelSet) -> dict[str, list[float | None]]:
    """The share of each channel's variance that a linear prediction from the others leaves, for each class.

    The prediction is one for all classes, by least squares over all pixels; a class's share is the mean square of what
    it leaves on the pixels of that class, over the variance of the channel on all. Of natural photographs it is small
    where things are gray, and large where their colour is rare. Pixels that lack a channel are left out.

    Args:
        array: N images, with these channels among others.
        channels: two at least.

    Returns:
        By channel, for each class in the order of the array's: a share of 0 or more, None for a class without pixels.
        {} for fewer than two channels or more than 32.

    Raises:
        ValueError: for a channel that the array does not have.

    Example:
        >>> from anychan.data import load_split, open_dataset
        >>> array = load_split(open_dataset("synthetic:test=40,classes=4"), "test", image_size=8)
        >>> {name: len(shares) for name, shares in untold(array, array.channels).items()}
        {'R': 4, 'G': 4, 'B': 4, 'NIR': 4}
    """
    if not 2 <= len(channels) <= _MOST_CHANNELS:
        return {}
    planes, size = find(channels, array.channels), len(channels) + 1
    moments = torch.zeros(len(array.classes), size, size, dtype=torch.float64)
    for start in range(0, len(array), _CHUNK):
        rows = slice(start, start + _CHUNK)
        values_NCP = array.values(array.images[rows, planes], planes).flatten(2).double()
        known_NP = values_NCP.isfinite().all(dim=1)
        pixels_NZP = torch.cat([torch.ones_like(values_NCP[:, :1]), values_NCP], dim=1)
        pixels_NZP = pixels_NZP.where(known_NP[:, None], 0.0)
        moments.index_add_(0, array.labels[rows].cpu(), (pixels_NZP @ pixels_NZP.mT).cpu())
    counts, whole = moments[:, 0, 0], moments.sum(dim=0)
    found = {}
    for i, name in enumerate(channels.names, start=1):
        others = [j for j in range(size) if j != i]
        direction = torch.zeros(size, dtype=torch.float64)
        direction[i] = 1
        direction[others] = -torch.linalg.lstsq(whole[others][:, others], whole[others, i], driver="gelsd").solution
        variance = whole[i, i] / whole[0, 0] - (whole[0, i] / whole[0, 0]) ** 2
        shares = (moments @ direction @ direction).clamp_min(0) / counts / variance
        found[name] = [
            round(share, 6) if count and variance else None
            for share, count in zip(shares.tolist(), counts.tolist(), strict=True)
        ]
    return found
