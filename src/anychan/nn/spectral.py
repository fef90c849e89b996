"""Spectral: a channel's kernel is a smooth function of its wavelength, so that bands never seen have one too.

    hidden(lambda) = GELU(A features(log2 lambda) + a)
    k(lambda)      = V hidden(lambda) + v                         reshaped to (O, kh, kw)
    weight(S)      = |C| / |S| [k(lambda_s) for s in S],          bias(S) = b

Each slice depends on its own channel alone, so planes and wavelengths in another order give the same output. (DOFA as
first published generates a band's slice as a row of K^2 O numbers and reshapes the rows of all bands at once into the
kernel, which mixes numbers of different bands; later copies permute instead.) The factor keeps the size of the sum: an
output is |C| times the mean over its channels, whether there are 2 or 200.

An ordinary kernel is taken over in closed form: V and v are the smallest that give its slices at the known
wavelengths (least squares by singular values, float64). It is exact where the features tell the bands apart: two
bands 0.01 octaves from each other, or Sentinel-2's thirteen, of which the nearest two are 0.04 octaves apart, but not
the hundreds of a hyperspectral camera, nor more bands than hidden units; `promises` says whether. What the features
cannot tell apart gets the mean.

Source: DOFA, Xiong et al. 2024, arXiv 2403.15356; Copernicus-FM, Wang et al. 2025, arXiv 2503.11849. Theirs is a
transformer over all wavelengths of a call, in which a band's kernel depends on the other bands; ours sees one band at
a time.

Assumes that what a channel shows follows from its wavelength, and smoothly, and that planes are normalised alike.
Cost: with D hidden units some D O kh kw parameters, and |S| D O kh kw MACs for a kernel, once a call
(docs/theory/spectral.md has all terms); folded, nothing.
Fails where what a channel shows does not follow from its wavelength: a stain, radar, depth, bands of other widths.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from anychan.channels import ChannelSet, ChannelsLike
from anychan.nn._contract import KernelConv2d, Promises, copy_kernel, full_precision
from anychan.nn._registry import register_strategy
from anychan.nn._wavelengths import WavelengthEncoder, wavelengths_of

# Singular values of the hidden units below this part of the largest count as zero: what they would add is noise
# in float32. Where even the smallest is three times as large, none is cut and a loaded kernel is exact to 1e-5.
_SMALLEST_SINGULAR = 1e-3


@register_strategy("spectral")
class SpectralConv2d(KernelConv2d):
    """A convolution whose kernels are made from wavelengths, also for channels it was not made with.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``;
            each channel must have a wavelength.
        hidden: D, hidden units of the network that makes the kernels.

    Raises:
        ValueError: for a channel without a wavelength, or ``hidden`` below 1.

    Example:
        >>> from anychan.channels import Channel
        >>> conv = SpectralConv2d(3, 8, kernel_size=3, padding=1, channels="RGB")
        >>> conv(torch.rand(2, 2, 16, 16), channels=[Channel("R"), Channel("B8A", wavelength=0.865)]).shape
        torch.Size([2, 8, 16, 16])
    """

    def __init__(self, *conv2d_args: Any, hidden: int = 64, **conv2d_options: Any) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        wavelengths_of(self.channels)
        weight, self.bias = self.new_kernel()
        self.encoder = WavelengthEncoder(hidden, weight.device, weight.dtype)
        outputs = weight[:, 0].numel()
        self.generator = nn.Linear(hidden, outputs, device=weight.device, dtype=weight.dtype)
        self._fit(weight)

    @property
    def promises(self) -> Promises:
        return Promises(exact=self._tells_apart(), unseen=True)

    def resolve(self, channels: ChannelsLike | None = None, planes: int | None = None) -> ChannelSet:
        # As in the contract, but each call comes here, and to say what is `exact` takes a decomposition.
        return self.channels.resolve(channels, planes, unseen=True)

    def kernel(self, channels: ChannelsLike | None = None) -> tuple[Tensor, Tensor | None]:
        chosen = self.resolve(channels)
        slices_SP = self.generator(self.encoder(wavelengths_of(chosen)))
        weight_SOhw = slices_SP.unflatten(1, (self.out_channels, *self.kernel_size))
        return weight_SOhw.transpose(0, 1) * (self.in_channels / len(chosen)), self.bias

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        taken = self.generator.weight.new_empty(self.out_channels, self.in_channels, *self.kernel_size)
        copy_kernel(taken, self.bias, weight, bias)
        self._fit(taken)

    @torch.no_grad()
    def _design(self) -> Tensor:
        """The hidden units of the known wavelengths and a one for the bias, (C, D + 1), float64 on the CPU."""
        encoder = copy.deepcopy(self.encoder).cpu().double()
        with full_precision("cpu"):
            hidden_CD = encoder(wavelengths_of(self.channels))
        return torch.cat([hidden_CD, torch.ones_like(hidden_CD[:, :1])], dim=1)

    def _tells_apart(self) -> bool:
        """Whether the encoder as it is now tells the known channels' wavelengths apart.

        On the meta device, where there are no numbers, only whether there are hidden units enough.
        """
        if self.in_channels > self.generator.in_features + 1:
            return False
        if self.generator.weight.is_meta:
            return True
        singular = torch.linalg.svdvals(self._design())
        return bool(singular[-1] > 3 * _SMALLEST_SINGULAR * singular[0])

    @torch.no_grad()
    def _fit(self, weight_OChw: Tensor) -> None:
        """Make the last layer the smallest one that gives these kernels at the known wavelengths."""
        if weight_OChw.is_meta:
            return  # there are no numbers to fit
        design = self._design()
        slices_CP = weight_OChw.cpu().double().transpose(0, 1).flatten(1)
        layer = torch.linalg.lstsq(design, slices_CP, rcond=_SMALLEST_SINGULAR, driver="gelsd").solution
        self.generator.weight.copy_(layer[:-1].T)
        assert self.generator.bias is not None
        self.generator.bias.copy_(layer[-1])
