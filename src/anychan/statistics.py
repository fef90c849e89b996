"""Means, standard deviations and covariance of channels over the pixels of many images, in one pass.

Chunks are merged by the update of Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for
computing sample variances", 1979), in float64, so that a million images lose no more digits than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anychan.channels import ChannelSet, ChannelsLike


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """What is known of the pixel values of a channel set, on a scale of 0 to 1.

    Args:
        channels: the C channels.
        mean: float64, shape (C,).
        covariance: float64, shape (C, C), symmetric; over pixels, divided by their number.
        count: the number of pixels it was computed from.

    Raises:
        ValueError: if a shape does not fit the channels, or a value is not finite.
    """

    channels: ChannelSet
    mean: Tensor
    covariance: Tensor
    count: int

    def __post_init__(self) -> None:
        c = len(self.channels)
        if self.mean.shape != (c,) or self.covariance.shape != (c, c):
            raise ValueError(
                f"statistics of {c} channels need a mean of shape ({c},) and a covariance of shape ({c}, {c}), "
                f"not {tuple(self.mean.shape)} and {tuple(self.covariance.shape)}"
            )
        if not (self.mean.isfinite().all() and self.covariance.isfinite().all()):
            raise ValueError(f"statistics of {self.channels} hold a value that is not finite")

    @property
    def std(self) -> Tensor:
        """Standard deviations, shape (C,)."""
        return self.covariance.diagonal().sqrt()

    @property
    def described(self) -> ChannelSet:
        """The channels with these means and standard deviations; a constant channel's deviation counts as 1."""
        return self.channels.with_statistics(self.mean.tolist(), self._divisor().tolist())

    def normalised(self) -> ChannelStatistics:
        """The statistics after each channel has had its mean subtracted and been divided by its deviation."""
        scale = 1 / self._divisor()
        return ChannelStatistics(
            self.channels, torch.zeros_like(self.mean), self.covariance * scale[:, None] * scale[None, :], self.count
        )

    def subset(self, channels: ChannelsLike | None) -> ChannelStatistics:
        """The statistics of a subset, in its order."""
        index = torch.tensor(self.channels.indices(channels))
        return ChannelStatistics(
            self.channels.subset(channels), self.mean[index], self.covariance[index][:, index], self.count
        )

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON can hold."""
        return {
            **self.channels.to_dict(),
            "mean": self.mean.tolist(),
            "covariance": self.covariance.tolist(),
            "count": self.count,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ChannelStatistics:
        """Read back what ``to_dict`` wrote."""
        return cls(
            ChannelSet.from_dict(record),
            torch.tensor(record["mean"], dtype=torch.float64),
            torch.tensor(record["covariance"], dtype=torch.float64),
            int(record["count"]),
        )

    def _divisor(self) -> Tensor:
        return torch.where(self.std > 0, self.std, 1.0)


class RunningStatistics:
    """Gathers ``ChannelStatistics`` from batches of images.

    Example:
        >>> running = RunningStatistics(ChannelSet.parse("RG"))
        >>> running.update(torch.tensor([[[[0.0, 1.0]], [[0.5, 1.0]]]]))
        >>> running.result().mean.tolist(), running.result().covariance.tolist()
        ([0.5, 0.75], [[0.25, 0.125], [0.125, 0.0625]])
    """

    def __init__(self, channels: ChannelSet) -> None:
        c = len(channels)
        self._channels = channels
        self._count = 0
        self._mean = torch.zeros(c, dtype=torch.float64)
        self._scatter = torch.zeros(c, c, dtype=torch.float64)  # sum over pixels of (x - mean)(x - mean)^T

    def update(self, images: Tensor) -> None:
        """Take in images of shape (N, C, H, W): uint8 (0 to 255) or floating point on a scale of 0 to 1.

        Raises:
            ValueError: for another shape or another integer type.
        """
        if images.ndim != 4 or images.shape[1] != len(self._channels):
            raise ValueError(f"images must have the shape (N, {len(self._channels)}, H, W), not {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise ValueError(f"images must be uint8 or floating point, not {images.dtype}")
        pixels = images.transpose(0, 1).flatten(1).double().cpu()  # (C, N*H*W)
        if images.dtype == torch.uint8:
            pixels = pixels / 255
        count = pixels.shape[1]
        if count == 0:
            return
        mean = pixels.mean(dim=1)
        centred = pixels - mean[:, None]
        total = self._count + count
        shift = mean - self._mean
        self._scatter += centred @ centred.T + torch.outer(shift, shift) * (self._count * count / total)
        self._mean += shift * (count / total)
        self._count = total

    def result(self) -> ChannelStatistics:
        """The statistics of all pixels seen so far.

        Raises:
            ValueError: before the first pixel.
        """
        if not self._count:
            raise ValueError("no image has been seen: there are no statistics of nothing")
        return ChannelStatistics(self._channels, self._mean.clone(), self._scatter / self._count, self._count)
