"""Random parameters, one of each an image."""

from __future__ import annotations

import torch
from torch import Tensor

from anychan.data.arrays import send


class Draws:
    """Random numbers for a batch of ``count`` images, made where the generator lives and put on ``device``.

    With a generator on the CPU the numbers are the same whatever the device of the images.
    """

    def __init__(self, generator: torch.Generator, count: int, device: torch.device) -> None:
        self._generator = generator
        self._count = count
        self._device = device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(count, *shape) float32, from low up to high."""
        unit = torch.rand(self._count, *shape, generator=self._generator, device=self._generator.device)
        return send(low + (high - low) * unit, self._device)

    def log_uniform(self, low: float, high: float) -> Tensor:
        """(count,) float32, its logarithm uniform; low and high positive."""
        return low * (high / low) ** self.uniform(0.0, 1.0)

    def integers(self, high: int) -> Tensor:
        """(count,) int64, from 0 to high, high included."""
        drawn = torch.randint(high + 1, (self._count,), generator=self._generator, device=self._generator.device)
        return send(drawn, self._device)

    def chance(self, probability: float) -> Tensor:
        """(count,) bool, true with this probability."""
        return self.uniform(0.0, 1.0) < probability
