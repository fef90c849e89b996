"""What a wavelength is to a network: smooth features of its logarithm, and a layer that mixes them.

Shape suffixes: S channels, K frequencies, D hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.channels import ChannelSet

# Frequencies in cycles an octave of wavelength. The slowest has one cycle in 16 octaves, more than there are from
# ultraviolet to thermal infrared, so that no two wavelengths look alike. The fastest has four an octave. How
# far a loaded kernel reaches is set by the other known bands more than by these (docs/theory/spectral.md).
_SLOWEST, _FASTEST, _FREQUENCIES = 1 / 16, 4.0, 16
FEATURES = 2 * _FREQUENCIES


def wavelengths_of(channels: ChannelSet) -> list[float]:
    """The wavelengths of channels in micrometres; ValueError naming one that has none."""
    missing = [channel.name for channel in channels if channel.wavelength is None]
    if missing:
        raise ValueError(f"channel {missing[0]!r} of {','.join(channels.names)} has no wavelength, and it needs one")
    return [channel.wavelength for channel in channels if channel.wavelength is not None]


def wavelength_features(wavelengths: Sequence[float]) -> Tensor:
    """Sines and cosines of the binary logarithm of wavelengths, slow ones larger than fast ones.

    The amplitude falls with the square root of the frequency, so a small network on them is smooth in the
    wavelength; each wavelength's features have length 1. A ratio of wavelengths counts, not a difference: bands are
    some ten per cent wide, in the blue and in the thermal infrared.

    Args:
        wavelengths: S of them, in micrometres, positive.

    Returns:
        (S, 2K), float64.

    Source: Fourier features, Tancik et al. 2020, arXiv 2006.10739; the choice of frequencies is ours.

    Example:
        >>> wavelength_features([0.56, 0.865]).norm(dim=1)
        tensor([1., 1.], dtype=torch.float64)
    """
    octaves_S1 = torch.tensor(wavelengths, dtype=torch.float64).log2().unsqueeze(1)
    steps_K = torch.linspace(0, 1, _FREQUENCIES, dtype=torch.float64)
    frequencies_K = _SLOWEST * (_FASTEST / _SLOWEST) ** steps_K
    amplitudes_K = frequencies_K.rsqrt()
    amplitudes_K = amplitudes_K / amplitudes_K.norm()
    phases_SK = 2 * math.pi * octaves_S1 * frequencies_K
    return torch.cat([phases_SK.sin() * amplitudes_K, phases_SK.cos() * amplitudes_K], dim=1)


class WavelengthEncoder(nn.Module):
    """Hidden units of wavelengths: GELU of a linear map of `wavelength_features`.

    Args:
        hidden: D, how many there are.
        device, dtype: of the weights.
    """

    def __init__(self, hidden: int, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden is {hidden}; it must be at least 1")
        self.linear = nn.Linear(FEATURES, hidden, device=device, dtype=dtype)
        # Features of length 1 give preactivations of variance 2: enough for GELU to bend.
        nn.init.normal_(self.linear.weight, std=math.sqrt(2))
        nn.init.normal_(self.linear.bias, std=0.5)

    def forward(self, wavelengths: Sequence[float]) -> Tensor:
        """Hidden units (S, D) of S wavelengths in micrometres."""
        return F.gelu(self.linear(wavelength_features(wavelengths).to(self.linear.weight)))
