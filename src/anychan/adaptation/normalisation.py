"""Batch normalisation for subsets of channels: running statistics of their own, and ways to do without them.

Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) normalises by the batch in training and by a running
average of batches at test time. Where each batch sees another subset of channels, that average mixes subsets that
never share a batch, and fits none of them. The cures:

- statistics for each subset, with the weights shared: recomputed after training (`recalibrate`), or kept apart
  while training (`keep_statistics`; switchable batch normalisation, Slimmable Networks, arXiv 1812.08928, where
  scale and shift are kept apart as well: ``affine=True``);
- a normalisation that needs no batch (`replace_batch_norm`: "group") or trains with the running averages ("renorm").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from anychan.channels import ChannelSet, ChannelsLike

if TYPE_CHECKING:
    from anychan.adaptation.model import AnyChannelModel


class _Kept(nn.Module):
    """What one batch normalisation keeps for one subset."""

    def __init__(self, norm: _BatchNorm, affine: bool) -> None:
        super().__init__()
        for name, buffer in norm.named_buffers(recurse=False):
            self.register_buffer(name, buffer.clone())
        for name, parameter in norm.named_parameters(recurse=False) if affine else ():
            self.register_parameter(name, nn.Parameter(parameter.detach().clone()))


class SubsetStatistics(nn.Module):
    """What a body's batch normalisations keep for each subset of the channels, as part of the model's state.

    Args:
        channels: all the model knows; a subset's order plays no part.
    """

    def __init__(self, channels: ChannelSet) -> None:
        super().__init__()
        self._known = channels
        self._subsets: list[ChannelSet] = []
        self.affine = False

    @property
    def subsets(self) -> list[ChannelSet]:
        """The subsets there are statistics for, each in the model's order, in the order in which they came."""
        return list(self._subsets)

    def __len__(self) -> int:
        return len(self._subsets)

    def keep(self, body: nn.Module, subset: ChannelSet, affine: bool) -> None:
        """Keep statistics for a subset, which begin as the body's own; those that are there stay."""
        if self._subsets and affine != self.affine:
            raise ValueError(f"affine is {affine}, but the statistics kept so far were made with {self.affine}")
        self.affine = affine
        if self._key(subset) in self._modules:
            return
        kept = nn.ModuleDict({path.replace(".", "/"): _Kept(norm, affine) for path, norm in batch_norms(body)})
        self.add_module(self._key(subset), kept)
        self._subsets.append(self._ordered(subset))

    def bound(self, body: nn.Module, subset: ChannelSet) -> dict[str, nn.Module]:
        """The body's batch normalisations with a subset's statistics in them, by path; none where none are kept.

        Raises:
            ValueError: if others have statistics and this subset has none.
        """
        if not self._subsets:
            return {}
        kept = self.of(subset)
        return {path: _with(norm, kept[path.replace(".", "/")]) for path, norm in batch_norms(body)}

    def of(self, subset: ChannelSet) -> nn.ModuleDict:
        """What is kept for a subset, by path with slashes; ValueError if there is nothing."""
        kept = self._modules.get(self._key(subset))
        if not isinstance(kept, nn.ModuleDict):
            there = ", ".join(str(s) for s in self._subsets)
            raise ValueError(
                f"there are no normalisation statistics for {subset}, only for {there}: recalibrate the model for it"
            )
        return kept

    def _ordered(self, subset: ChannelSet) -> ChannelSet:
        known = [channel for channel in self._known if channel in subset]
        return ChannelSet([*known, *sorted((c for c in subset if c not in self._known), key=lambda c: c.name)])

    def _key(self, subset: ChannelSet) -> str:
        # A module's name has no dot in it; a channel's name has no comma.
        return ",".join(name.replace(".", "%2E") for name in self._ordered(subset).names)


def batch_norms(body: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    """The batch normalisations with running statistics, by path."""
    for path, module in body.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            yield path, module


def _with(norm: _BatchNorm, kept: nn.Module) -> nn.Module:
    """A copy of a normalisation (the module only) with other statistics in it."""
    clone: nn.Module = object.__new__(type(norm))
    clone.__dict__.update(norm.__dict__)
    clone._buffers = {**norm._buffers, **kept._buffers}
    clone._parameters = {**norm._parameters, **kept._parameters}
    return clone


def keep_statistics(
    model: AnyChannelModel, subsets: Sequence[ChannelsLike] | None = None, affine: bool = False
) -> None:
    """Keep statistics of the batch normalisations apart for each subset from here on, in training too; in place.

    They begin as the model's own. A call with a subset that has none is then an error.

    Args:
        model: adapted, with batch normalisations.
        subsets: those to keep them for; None: all 2^C - 1.
        affine: also a scale and shift of its own for each subset, which training has to fill.

    Raises:
        ValueError: for a plain model, one without batch normalisation, unknown channels, or more than 6 channels with the
            subsets unsaid.

    Source: switchable batch normalisation, Yu et al., "Slimmable Neural Networks", arXiv 1812.08928, section 3.2.

    Example:
        >>> import timm
        >>> from anychan import adapt
        >>> model = adapt(timm.create_model("resnet18", num_classes=10), strategy="sliced")
        >>> keep_statistics(model, ["RGB", "RG"])
        >>> [str(subset) for subset in model.subset_statistics.subsets]
        ['RGB', 'RG']
    """
    chosen = _checked_subsets(model, subsets)
    for subset in chosen:
        model.subset_statistics.keep(model.body, subset, affine)


def recalibrate(
    model: AnyChannelModel, batches: Iterable[Tensor], subsets: Sequence[ChannelsLike] | None = None
) -> None:
    """Recompute the running statistics of the batch normalisations for each subset, from images; in place.

    No weight changes and no label is needed. Each batch of at least two images counts alike; some 2,500 images are
    enough. Other subsets' statistics stay; where none were kept before, calls with a subset that is not named here
    become an error.

    Args:
        model: adapted, with batch normalisations.
        batches: images (N, C, H, W) with all the model's channels in its order, normalised as the model's input
            is, and augmented or not as in training; read once.
        subsets: those to recompute; None: those that are kept, or all 2^C - 1 where none are.

    Raises:
        ValueError: for a plain model, one without batch normalisation, unknown channels, more than 6 channels with the subsets
            unsaid, batches of other planes, or no batch at all.

    Example:
        >>> import timm, torch
        >>> from anychan import adapt
        >>> model = adapt(timm.create_model("resnet18", num_classes=10), strategy="sliced").eval()
        >>> recalibrate(model, [torch.randn(16, 3, 64, 64) for _ in range(2)], ["RG", "R"])
        >>> model(torch.randn(1, 1, 64, 64), channels="R").shape
        torch.Size([1, 10])
    """
    if subsets is None and model.subset_statistics:
        chosen = model.subset_statistics.subsets
    else:
        chosen = _checked_subsets(model, subsets)
    affine = model.subset_statistics.affine
    planes = {}
    for subset in chosen:
        planes[subset] = list(model.channels.indices(subset.names))
        model.subset_statistics.keep(model.body, subset, affine)
        for kept in model.subset_statistics.of(subset).values():
            _reset(kept)
    was_training = model.training
    model.eval()
    count = 0
    with torch.no_grad():
        for count, x_NCHW in enumerate(batches, start=1):  # noqa: B007 # how many there were is asked below
            if x_NCHW.ndim != 4 or x_NCHW.shape[1] != len(model.channels) or len(x_NCHW) < 2:
                raise ValueError(
                    f"a batch must have the shape (2 or more, {len(model.channels)}, H, W), not {tuple(x_NCHW.shape)}"
                )
            for subset in chosen:
                body = model.bind(subset)
                for _, norm in batch_norms(body):
                    norm.training, norm.momentum = True, None  # a plain mean over batches
                body(x_NCHW[:, planes[subset]])
    model.train(was_training)
    if not count:
        raise ValueError("there is no batch of images to recalibrate with")


def _reset(kept: nn.Module) -> None:
    for name, buffer in kept.named_buffers():
        buffer.fill_(1) if name == "running_var" else buffer.zero_()


def _checked_subsets(model: AnyChannelModel, subsets: Sequence[ChannelsLike] | None) -> list[ChannelSet]:
    if not model.stems:
        raise ValueError("a plain model takes one channel set and has one set of statistics: adapt it first")
    if next(batch_norms(model.body), None) is None:
        raise ValueError(f"{type(model.body).__name__} has no batch normalisation with running statistics")
    if subsets is None:
        if len(model.channels) > 6:
            raise ValueError(
                f"{len(model.channels)} channels have {2 ** len(model.channels) - 1} subsets: name those wanted"
            )
        return model.channels.subsets()
    if not subsets:
        raise ValueError("no subset is named")
    return [model.channels.subset(subset) for subset in subsets]
