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

_ROUNDING = 1e-9  # of a channel's mean; files in 8 or 16 bits or float32 tell nothing finer


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """What is known of the pixel values of a channel set, in the channels' units: shares of 0 to 1 for photographs.

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
        # A constant channel's deviation is what sums of its value were rounded by; it is 0, and so are its covariances.
        constant = self.std <= _ROUNDING * self.mean.abs()
        if constant.any():
            varied = ~(constant[:, None] | constant[None, :])
            object.__setattr__(self, "covariance", torch.where(varied, self.covariance, 0.0))

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
        self._mean = torch.zeros(c, dtype=torch.float64, device="cpu")  # as pixels are
        self._scatter = torch.zeros(
            c, c, dtype=torch.float64, device="cpu"
        )  # sum over pixels of (x - mean)(x - mean)^T

    def update(self, images: Tensor) -> None:
        """Take in images of shape (N, C, H, W): uint8 (0 to 255) or floating point on a scale of 0 to 1.

        Raises:
            ValueError: for another shape or another integer type.
        """
        if images.ndim != 4 or images.shape[1] != len(self._channels):
            raise ValueError(f"images must have the shape (N, {len(self._channels)}, H, W), not {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise ValueError(f"images must be uint8 or floating point, not {images.dtype}")
        pixels = images.transpose(0, 1).flatten(1).cpu().double()  # (C, N*H*W)
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


class MaskedStatistics:
    """Gathers ``ChannelStatistics`` from images of which some pixels or channels have no value (NaN).

    A channel's mean and deviation are those of all its values. Two channels correlate as they do where both have a
    value, and not at all where they never do. Correlations of different pixels need not fit together: if they do not,
    the nearest that do in their eigenvectors are taken (negative eigenvalues become 0).

    Example:
        >>> masked = MaskedStatistics(ChannelSet.parse("RG"))
        >>> masked.update(torch.tensor([[[[0.0, 1.0, 0.5]], [[1.0, 0.0, torch.nan]]]]))
        >>> masked.result().mean.tolist(), round(masked.result().normalised().covariance[0, 1].item(), 9)
        ([0.5, 0.5], -1.0)
    """

    def __init__(self, channels: ChannelSet) -> None:
        c = len(channels)
        self._channels = channels
        self._origin = torch.full(
            (c,), torch.nan, dtype=torch.float64, device="cpu"
        )  # values are counted from the first mean
        # Over the pixels where both channels have a value: their number, and sums of row's values (times column's).
        self._count, self._sum, self._square, self._product = torch.zeros(4, c, c, dtype=torch.float64, device="cpu")

    def update(self, images: Tensor) -> None:
        """Take in images of shape (N, C, H, W), floating point in the channels' units, NaN where there is no value.

        Raises:
            ValueError: for another shape or an integer type.
        """
        if images.ndim != 4 or images.shape[1] != len(self._channels) or not images.is_floating_point():
            raise ValueError(
                f"images must be floating point (N, {len(self._channels)}, H, W), not {images.dtype} "
                f"{tuple(images.shape)}"
            )
        values_CP = images.transpose(0, 1).flatten(1).cpu().double()
        self._origin = torch.where(self._origin.isnan(), values_CP.nanmean(dim=1), self._origin)
        there_CP = (~values_CP.isnan()).double()
        centred_CP = (values_CP - self._origin[:, None]).nan_to_num_(nan=0.0)
        self._count += there_CP @ there_CP.T
        self._sum += centred_CP @ there_CP.T
        self._square += centred_CP.square() @ there_CP.T
        self._product += centred_CP @ centred_CP.T

    def result(self) -> ChannelStatistics:
        """The statistics of all values seen so far.

        Raises:
            ValueError: for a channel of which there was none.
        """
        counts = self._count.diagonal()
        if not counts.all():
            name = self._channels[int((counts == 0).nonzero()[0])].name
            raise ValueError(f"channel {name!r} has no value in any image: there are no statistics of nothing")
        count = self._count.clamp(min=1)
        mean_of_row = self._sum / count
        variance_of_row = (self._square / count - mean_of_row.square()).clamp(min=0)
        covariance = self._product / count - mean_of_row * mean_of_row.T
        scale = (variance_of_row * variance_of_row.T).sqrt()
        correlation = torch.where(scale > 0, covariance / scale.clamp(min=torch.finfo(scale.dtype).tiny), 0.0)
        std = variance_of_row.diagonal().sqrt()
        correlation = _consistent(correlation.clamp(-1, 1))
        correlation.diagonal().copy_(torch.where(std > 0, 1.0, 0.0))
        mean = self._origin + mean_of_row.diagonal()
        return ChannelStatistics(self._channels, mean, correlation * std[:, None] * std[None, :], int(counts.max()))


def _consistent(correlation: Tensor) -> Tensor:
    """A correlation without negative eigenvalues; itself, if it has none beyond rounding."""
    symmetric = (correlation + correlation.T) / 2
    values, vectors = torch.linalg.eigh(symmetric)
    if values[0] > -1e-10:
        return symmetric
    repaired = (vectors * values.clamp(min=0)) @ vectors.T
    scale = repaired.diagonal().clamp(min=torch.finfo(values.dtype).tiny).rsqrt()
    return repaired * scale[:, None] * scale[None, :]
