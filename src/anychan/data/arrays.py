"""A split decoded: bytes of pixels that training and evaluation slice batches from."""

from __future__ import annotations

from dataclasses import dataclass, replace

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


def split_statistics(array: ImageArray) -> ChannelStatistics:
    """Means and covariance of the channels over all pixels, on a scale of 0 to 1; for the training split."""
    running = RunningStatistics(array.channels)
    for images in array.images.split(_CHUNK):
        running.update(images)
    return running.result()
