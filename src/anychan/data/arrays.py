"""A split decoded: bytes of pixels that training and evaluation slice batches from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import torch
from torch import Tensor

from anychan.channels import ChannelSet
from anychan.statistics import ChannelStatistics, RunningStatistics

_CHUNK = 256


@dataclass(frozen=True, eq=False)
class ImageArray:
    """N labelled images of the same size.

    Args:
        images: uint8, shape (N, C, H, W), in ``channels_last`` order. It lies in a memory-mapped file where it
            came from the cache; what is written to it changes neither the file nor what others read.
        labels: int64, shape (N,).
        paths: the file of each image, relative to the root of the data.
        channels: the C channels.
        classes: a name for each label.
        skipped: path and reason of each file that was left out as broken; empty unless that was asked for.
        fingerprint: tells these images, in this order and with these labels, from others.
    """

    images: Tensor
    labels: Tensor
    paths: tuple[str, ...]
    channels: ChannelSet
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.paths)

    def to(self, device: torch.device | str) -> ImageArray:
        """A copy that lies in the memory of a device, the computer's own or an accelerator's."""
        return replace(self, images=self.images.to(device, copy=True), labels=self.labels.to(device, copy=True))


def hold_out(array: ImageArray, images: int) -> tuple[ImageArray, ImageArray]:
    """Set some images aside, as nearly as can be the same share of each class: to tune on, as test must not be seen.

    The same ones whenever it is asked of the same images, so that all that is tuned on them is compared on them.

    Both parts are copies in memory, also where the whole lies in a file.

    Args:
        array: N images.
        images: how many to set aside, from 1 to N - 1.

    Returns:
        The others, and those set aside, both in the order of ``array``.

    Raises:
        ValueError: for fewer or more images than that.

    Example:
        >>> from anychan.data import load_split, open_dataset
        >>> array = load_split(open_dataset("synthetic:train=40,classes=4"), "train", image_size=8)
        >>> rest, held_out = hold_out(array, 8)
        >>> len(rest), held_out.labels.bincount().tolist()
        (32, [2, 2, 2, 2])
    """
    if not 0 < images < len(array):
        raise ValueError(f"{images} images held out of {len(array)}: must be 1 to {len(array) - 1}")
    generator = torch.Generator().manual_seed(0)
    # Shuffled within each class, then dealt out class by class: any number of them is spread over the classes.
    order = torch.randperm(len(array), generator=generator)
    labels = array.labels.cpu()[order]
    rank_in_class = torch.zeros(len(array))
    for label in labels.unique():
        of_class = labels == label
        rank_in_class[of_class] = (torch.arange(int(of_class.sum())) + 0.5) / of_class.sum()
    chosen = order[rank_in_class.argsort(stable=True)[:images]]
    is_held_out = torch.zeros(len(array), dtype=torch.bool)
    is_held_out[chosen] = True
    return _rows(array, ~is_held_out), _rows(array, is_held_out)


def _rows(array: ImageArray, wanted: Tensor) -> ImageArray:
    rows = wanted.nonzero()[:, 0]
    digest = sha256(f"{array.fingerprint} {rows.tolist()}".encode()).hexdigest()
    return replace(
        array,
        images=array.images[rows.to(array.images.device)].contiguous(memory_format=torch.channels_last),
        labels=array.labels[rows.to(array.labels.device)],
        paths=tuple(array.paths[row] for row in rows.tolist()),
        fingerprint=digest[: len(array.fingerprint)],
    )


def split_statistics(array: ImageArray) -> ChannelStatistics:
    """Means and covariance of the channels over all pixels, on a scale of 0 to 1; for the training split."""
    running = RunningStatistics(array.channels)
    for images in array.images.split(_CHUNK):
        running.update(images)
    return running.result()
