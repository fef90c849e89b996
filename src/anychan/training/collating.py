"""Batches of images that have different channels, for a training loop of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from anychan.channels import ChannelSet, ChannelsLike


def collate(samples: Sequence[tuple[Any, ...]], channels: ChannelsLike) -> tuple[Any, ...]:
    """A batch of images, each with channels of its own, for ``model(x, present=present)``.

    As a data loader's ``collate_fn``: ``functools.partial(anychan.collate, channels=model.channels)``.

    Args:
        samples: each ``(planes, its channels, ...)``: planes (S, H, W), normalised, in the order of its channels; what
            comes after them, such as a label, is put together as data loaders do it.
        channels: the C channels of the batch, usually the model's.

    Returns:
        ``(x, present, ...)``: x (N, C, H, W), 0 where an image lacks a channel, and present, bool (N, C).

    Raises:
        ValueError: without samples, for a channel that is not among ``channels``, planes that are not as many as their
            channels, or images of different sizes or types.

    Example:
        >>> samples = [(torch.rand(2, 8, 8), "RG", 3), (torch.rand(1, 8, 8), "B", 1)]
        >>> x, present, labels = collate(samples, "RGB")
        >>> x.shape, present.tolist(), labels
        (torch.Size([2, 3, 8, 8]), [[True, True, False], [False, False, True]], tensor([3, 1]))
    """
    known = ChannelSet.parse(channels)
    if not samples:
        raise ValueError("a batch needs at least one sample")
    size = samples[0][0].shape[-2:]
    x_NCHW = samples[0][0].new_zeros(len(samples), len(known), *size)
    present_NC = torch.zeros(len(samples), len(known), dtype=torch.bool)
    for i, (planes, its, *_) in enumerate(samples):
        places = list(known.indices(its))
        if planes.shape != (len(places), *size):
            raise ValueError(
                f"sample {i} has planes of shape {tuple(planes.shape)}; for {known.subset(its)}, of the first sample's "
                f"size, it must be {(len(places), *size)}"
            )
        if planes.dtype != x_NCHW.dtype:
            raise ValueError(f"sample {i} has planes of {planes.dtype}, the first of {x_NCHW.dtype}")
        x_NCHW[i, places] = planes
        present_NC[i, places] = True
    others = torch.utils.data.default_collate([tuple(others) for _, _, *others in samples])
    return (x_NCHW, present_NC, *others)
