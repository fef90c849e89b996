"""Kernels for channels that a model was not trained on, made from those it was.

Shape suffixes: O output channels, P the channels trained on, C the channels wanted, K those in both.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined] # documented, though not exported

from anychan.channels import Channel, ChannelSet
from anychan.nn import AnyChannelConv2d, KernelConv2d
from anychan.nn._contract import float64

_ROUNDINGS = 16  # rounding errors of the stem's precision that a kernel may be off by
NewKernels = Literal["wavelength", "mean"]


def mixing(wanted: ChannelSet, trained: ChannelSet, new_kernels: NewKernels | None) -> Tensor:
    """How the kernels of the channels wanted are made from those trained on: float64 (C, P), rows add up to 1.

    A channel trained on keeps its own. Another gets, with "mean", the mean of all; with "wavelength", what lies on a
    straight line between its two neighbours in wavelength, and beyond the longest or shortest theirs.

    Raises:
        ValueError: if there are other channels and ``new_kernels`` is not said, or wavelengths are missing or a hundred
            times as long or short as any known.

    Example:
        >>> wanted = ChannelSet([Channel("R"), Channel("edge", 0.8)])
        >>> mixing(wanted, ChannelSet([Channel("R", 0.7), Channel("NIR", 0.9)]), "wavelength")
        tensor([[1.0000, 0.0000],
                [0.5000, 0.5000]], dtype=torch.float64)
    """
    rows_CP = torch.zeros(len(wanted), len(trained), dtype=torch.float64)
    for row_P, channel in zip(rows_CP, wanted, strict=True):
        if channel in trained:
            row_P[trained.indices([channel.name])[0]] = 1
        elif new_kernels == "mean":
            row_P[:] = 1 / len(trained)
        elif new_kernels == "wavelength":
            _between_neighbours(row_P, channel, trained)
        else:
            raise ValueError(
                f"channel {channel.name!r} is not among those trained on, {trained}, and new_kernels is "
                f"{new_kernels!r}; choose from {', '.join(map(repr, get_args(NewKernels)))}"
            )
    return rows_CP


def _between_neighbours(row_P: Tensor, channel: Channel, trained: ChannelSet) -> None:
    target, known = _wavelength(channel), [_wavelength(there) for there in trained]
    trained.check_wavelength_unit(channel)
    by_wavelength = sorted(range(len(known)), key=known.__getitem__)
    shorter = [i for i in by_wavelength if known[i] <= target]
    longer = [i for i in by_wavelength if known[i] > target]
    if not shorter or not longer:
        row_P[shorter[-1] if shorter else longer[0]] = 1
        return
    low, high = shorter[-1], longer[0]
    part = (target - known[low]) / (known[high] - known[low])
    row_P[low], row_P[high] = 1 - part, part


def _wavelength(channel: Channel) -> float:
    if channel.wavelength is None:
        raise ValueError(
            f"channel {channel.name!r} has no wavelength: give it one, as in Channel({channel.name!r}, 0.84), "
            "or choose new_kernels='mean'"
        )
    return channel.wavelength


def load_with_new_channels(
    stem: AnyChannelConv2d, weight: Tensor, bias: Tensor | None, trained: ChannelSet, new_kernels: NewKernels | None
) -> None:
    """Load a kernel (O, P, kh, kw) into a stem of other channels; see `anychan.adapt` for what holds then.

    Raises:
        ValueError: as `mixing`, or if a stem that promises to be exact does not keep the kernels of the channels
            trained on.
    """
    wanted = stem.channels
    rows_CP = mixing(wanted, trained, new_kernels)
    exact = float64(weight.detach())
    weight_OC = torch.einsum("ophw,cp->ochw", exact, rows_CP.to(exact.device))
    kept = [i for i, channel in enumerate(wanted) if channel in trained]
    if len(kept) == len(wanted) == len(trained):  # the same channels, maybe in another order
        stem.load_kernel(weight_OC.to(weight), bias)
        return
    if kept and isinstance(stem, KernelConv2d) and stem.promises.exact:
        _load_as_trained(stem, weight_OC, bias, kept, len(trained))
        return
    # A sum over C planes where there were P.
    stem.load_kernel((weight_OC * (len(trained) / len(wanted))).to(weight), bias)


def _load_as_trained(stem: KernelConv2d, weight_OC: Tensor, bias: Tensor | None, kept: list[int], trained: int) -> None:
    """Load what gives the channels in both the kernels they were trained with; ValueError if nothing does."""
    subset = ChannelSet(stem.channels[i] for i in kept)
    response_CK = _response(stem, subset, bias)
    bank_OC = _bank(weight_OC, response_CK, kept, trained)
    stem.load_kernel(bank_OC, bias)
    with torch.no_grad():
        made_OK = stem.kernel(subset)[0]
    target_OK = weight_OC[:, kept] * (trained / len(kept))
    # Each number of the bank is rounded once; a kernel is a sum of a few of them.
    rounding = _ROUNDINGS * torch.finfo(made_OK.dtype).eps * float(bank_OC.abs().max())
    allowed = max(rounding, 1e-4 * float(target_OK.abs().max()))
    off = float((float64(made_OK) - target_OK).abs().max())
    if not off <= allowed:
        raise ValueError(
            f"{type(stem).__name__} of {stem.channels} in {made_OK.dtype} does not keep the kernels of {subset}: they "
            f"are off by {off:.2g} where {allowed:.2g} is allowed; adapt the model in float32 and change its precision "
            "afterwards, or choose another strategy"
        )


def _response(stem: KernelConv2d, subset: ChannelSet, bias: Tensor | None) -> Tensor:
    """How the kernel for the channels in both comes from the loaded one of all: (C, K).

    Loaded with ones for one channel and zeros for all others, a stem answers with a row of it.
    """
    rows = []
    with torch.no_grad():
        like = stem.kernel()[0]
        for i in range(stem.in_channels):
            unit_OC = torch.zeros_like(like)
            unit_OC[:, i] = 1
            stem.load_kernel(unit_OC, bias)
            rows.append(float64(stem.kernel(subset)[0][0, :, 0, 0]))
    return torch.stack(rows)


def _bank(weight_OC: Tensor, response_CK: Tensor, kept: list[int], trained: int) -> Tensor:
    """What to load, so that the kernel for the channels in both is theirs, and new ones are scaled as they are."""
    new = [i for i in range(weight_OC.shape[1]) if i not in kept]
    more = trained / len(kept)  # the planes that are no more are made up for, as *sliced* does
    try:
        inverse_KK = torch.linalg.inv(response_CK[kept])
    except LinAlgError as error:
        raise ValueError(
            "the kernels of the channels trained on cannot be told apart by this strategy: choose another"
        ) from error
    bank_OC = weight_OC * more * inverse_KK.diagonal().mean()
    from_new_OK = torch.einsum("onhw,nk->okhw", bank_OC[:, new], response_CK[new])
    bank_OC[:, kept] = torch.einsum("okhw,kj->ojhw", weight_OC[:, kept] * more - from_new_OK, inverse_KK)
    return bank_OC
