"""Steps of images that have the same channels, where a data set's images have different ones.

The images of each channel set are a bucket; a step takes its images from one. So a step has one full channel set, and
everything that goes for one data set (sampling, objectives, batch statistics) goes for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from anychan.channels import ChannelSet
from anychan.training.randomness import counter_seed


@dataclass(frozen=True)
class Bucket:
    """Rows (int64) of images that have the same channels, and how many of them go in a step."""

    channels: ChannelSet
    rows: Tensor
    size: int

    @property
    def steps(self) -> int:
        return len(self.rows) // self.size


def make_buckets(
    present_NC: Tensor, channels: ChannelSet, paths: tuple[str, ...], batch_size: int, processes: int
) -> tuple[Bucket, ...]:
    """The buckets of a data set, the largest channel set first.

    Args:
        present_NC: bool, which of the channels each image has.
        channels: the C channels.
        paths: of the N images.
        batch_size: the most images of a step, over all processes.
        processes: how many share a step.

    Raises:
        ValueError: for a channel set of too few images for a step: 2, and one for each process.

    Example:
        >>> present = torch.tensor([[True, True], [True, False], [True, True], [True, False]])
        >>> buckets = make_buckets(present, ChannelSet.parse("RG"), ("a", "b", "c", "d"), 64, 1)
        >>> [(str(bucket.channels), bucket.rows.tolist()) for bucket in buckets]
        [('RG', [0, 2]), ('R', [1, 3])]
    """
    patterns, group_N = torch.unique(present_NC, dim=0, return_inverse=True)
    buckets = []
    for group, pattern in enumerate(patterns.tolist()):
        rows = (group_N == group).nonzero()[:, 0]
        there = ChannelSet(channel for channel, is_there in zip(channels, pattern, strict=True) if is_there)
        size = min(batch_size, len(rows)) // processes * processes
        if size < 2:
            raise ValueError(
                f"{len(rows)} training image(s) have the channels {','.join(there.names)} and no others, such as "
                f"{paths[int(rows[0])]}: a step needs {max(2, processes)} with the same channels; leave them out"
            )
        buckets.append(Bucket(there, rows, size))
    return tuple(sorted(buckets, key=lambda bucket: (-len(bucket.channels), bucket.channels.names)))


class BucketOrder:
    """Which images an epoch's steps have: each bucket shuffled and cut into steps, the steps of all shuffled together.

    What does not fill a bucket's last step is left out of that epoch.
    """

    def __init__(self, buckets: tuple[Bucket, ...], seed: int) -> None:
        self.steps = sum(bucket.steps for bucket in buckets)
        self._buckets, self._seed = buckets, seed
        self._made: tuple[int, list[tuple[ChannelSet, Tensor]]] | None = None

    def step(self, epoch: int, step: int) -> tuple[ChannelSet, Tensor]:
        """The full channel set of a step and its rows, over all processes."""
        if self._made is None or self._made[0] != epoch:
            self._made = (epoch, self._make(epoch))
        return self._made[1][step]

    def _make(self, epoch: int) -> list[tuple[ChannelSet, Tensor]]:
        generator = torch.Generator().manual_seed(counter_seed("order", self._seed, epoch))
        steps = []
        for bucket in self._buckets:
            rows = bucket.rows[torch.randperm(len(bucket.rows), generator=generator)]
            steps += [(bucket.channels, some) for some in rows[: bucket.steps * bucket.size].split(bucket.size)]
        return [steps[i] for i in torch.randperm(len(steps), generator=generator).tolist()]
