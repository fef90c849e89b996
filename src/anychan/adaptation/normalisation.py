"""Batch normalisation for subsets of channels: running statistics for each of them.

Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) normalises by the batch in training and by a running
average of batches at test time. Where each batch sees another subset of channels, that average mixes subsets that
never share a batch, and fits none of them (docs/theory/normalisation.md). The cure that is here: statistics for each
subset, with the weights shared, recomputed after training (`recalibrate`) or kept apart while training
(`keep_statistics`). Normalisations that need no such care are in ``replacement.py``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from anychan.adaptation.batch_renorm import BatchRenorm
from anychan.channels import Channel, ChannelSet, ChannelsLike

if TYPE_CHECKING:
    from anychan.adaptation.model import AnyChannelModel

_FORGOTTEN, _FEWEST_BATCHES = 0.01, 10
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
MOST_CHANNELS = 6  # of which all subsets, 63, are meant where none is named; of more they are too many to keep


class _Kept(nn.Module):
    """What one batch normalisation keeps for one subset."""

    def __init__(self, norm: _BatchNorm, affine: bool) -> None:
        super().__init__()
        for name in _STATISTICS:  # not all its buffers: a normalisation that anneals does so for all subsets at once
            self.register_buffer(name, norm.get_buffer(name).clone())
        self.get_buffer("num_batches_tracked").zero_()  # the body's batches were not the subset's
        for name, parameter in norm.named_parameters(recurse=False) if affine else ():
            own = nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
            self.register_parameter(name, own)

    def reset(self) -> None:
        """Forget the statistics."""
        for name in _STATISTICS:
            self.get_buffer(name).fill_(1 if name == "running_var" else 0)


class SubsetStatistics(nn.Module):
    """What a body's batch normalisations keep for each subset of the channels, as part of the model's state.

    Args:
        channels: all the model knows; the order in which a subset is named plays no part.

    Attributes:
        affine: whether scale and shift are kept apart too.
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

    def __contains__(self, subset: ChannelSet) -> bool:
        return self._key(subset) in self._modules

    def batches_seen(self) -> dict[str, int]:
        """How many batches each subset's statistics have seen."""
        return {
            str(subset): min(int(kept.get_buffer("num_batches_tracked")) for kept in self.of(subset).values())
            for subset in self._subsets
        }

    def keep(self, body: nn.Module, subset: ChannelSet, affine: bool) -> None:
        """Keep statistics for a subset, which begin as the body's own; those that are there stay.

        Raises:
            ValueError: if others are kept with another ``affine``.
        """
        if self._subsets and affine != self.affine:
            raise ValueError(f"affine is {affine}, but the statistics kept so far were made with {self.affine}")
        self.affine = affine
        if self._key(subset) not in self._modules:
            kept = nn.ModuleDict({_slashed(path): _Kept(norm, affine) for path, norm in batch_norms(body)})
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
        if missing := [path for path, _ in batch_norms(body) if _slashed(path) not in kept]:
            raise ValueError(
                f"the batch normalisation {missing[0]!r} has no statistics for {self._said(subset)}: they were kept "
                "before the body was changed; change it first, then keep them"
            )
        clones: dict[nn.Module, nn.Module] = {}
        bound = {}
        # A normalisation that is used in two places of the body has two paths and one set of statistics.
        for path, norm in batch_norms(body, every_path=True):
            if norm not in clones:
                clones[norm] = _with(norm, kept[_slashed(path)])
            bound[path] = clones[norm]
        return bound

    def of(self, subset: ChannelSet) -> nn.ModuleDict:
        """What is kept for a subset, by path with slashes; ValueError if there is nothing."""
        kept = self._modules.get(self._key(subset))
        if not isinstance(kept, nn.ModuleDict):
            there = ", ".join(map(self._said, self._subsets))
            raise ValueError(
                f"there are no normalisation statistics for {self._said(subset)}, only for {there}: recalibrate the "
                "model for it, with the planes named as in the call (unnamed ones are called 0, 1, ...)"
            )
        return kept

    def _ordered(self, subset: ChannelSet) -> ChannelSet:
        known = [channel for channel in self._known if channel in subset]
        return ChannelSet([*known, *sorted((c for c in subset if c not in self._known), key=lambda c: c.name)])

    def _key(self, subset: ChannelSet) -> str:
        # A module's name has no dot in it, and is not that of an attribute, which in brackets it cannot be.
        return f"[{','.join(map(self._key_of, self._ordered(subset)))}]"

    def _key_of(self, channel: Channel) -> str:
        name = channel.name.replace("%", "%25").replace(".", "%2E")
        if channel in self._known:
            return name
        # Two calls may have other channels of one name, whose kernels differ if their wavelengths do.
        wavelength = "" if channel.wavelength is None else f"@{channel.wavelength}".replace(".", "%2E")
        return name.replace("@", "%40") + wavelength

    def _said(self, subset: ChannelSet) -> str:
        """A subset in words, with the wavelengths of channels that the model does not know."""
        if all(channel in self._known for channel in subset):
            return str(subset)
        waves = ("" if c in self._known or c.wavelength is None else f"@{c.wavelength}" for c in subset)
        return ",".join(channel.name + wave for channel, wave in zip(subset, waves, strict=True))


def batch_norms(body: nn.Module, every_path: bool = False) -> Iterator[tuple[str, _BatchNorm]]:
    """The batch normalisations with running statistics by path: by their first, or by every one they are used at."""
    for path, module in body.named_modules(remove_duplicate=not every_path):
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            yield path, module


def batches_to_arrive(body: nn.Module) -> int:
    """How many batches running averages need until less than 1 % is left in them of what they began with; 10 at least.

    That is 44 with the usual momentum of 0.1, and 459 with one of 0.01. Batch renormalisations weigh their first
    batches more, as those without a momentum do.

    Example:
        >>> batches_to_arrive(nn.BatchNorm2d(8)), batches_to_arrive(nn.BatchNorm2d(8, momentum=None))
        (44, 10)
    """
    momenta = [norm.momentum for _, norm in batch_norms(body) if norm.momentum and not isinstance(norm, BatchRenorm)]
    left = 1 - min(min(momenta, default=1.0), 0.999)
    return max(math.ceil(math.log(_FORGOTTEN) / math.log(left)), _FEWEST_BATCHES)


def keep_statistics(
    model: AnyChannelModel, subsets: Sequence[ChannelsLike] | None = None, affine: bool = False
) -> None:
    """Keep statistics of the batch normalisations apart for each subset from here on, in training too; in place.

    They begin as the model's own, and have seen no batch yet: an average that weighs a batch by how many there were
    forgets the model's own with the first; one with a momentum of 0.1 takes 44 batches until less than 1 % of it is
    left. `recalibrate` a model for subsets that came up less often (``subset_statistics.batches_seen()``). A call with
    a subset that has none is then an error.

    Args:
        model: adapted, with batch normalisations.
        subsets: those to keep them for, in any order, of any channels that the model takes; None: all 2^C - 1.
        affine: also a scale and shift of its own for each subset, which training has to fill; those of the body
            are then not used any more.

    Raises:
        ValueError: for a plain model, one without batch normalisation, unknown channels, more than 6 channels with
            the subsets unsaid, or another ``affine`` than that of the statistics kept so far.

    Source: switchable batch normalisation, Yu et al., "Slimmable Neural Networks", arXiv 1812.08928, section 3.2,
    where scale and shift are kept apart too.

    Example:
        >>> import timm
        >>> from anychan import adapt
        >>> model = adapt(timm.create_model("resnet18", num_classes=10), strategy="sliced")
        >>> keep_statistics(model, ["RGB", "RG"])
        >>> [str(subset) for subset in model.subset_statistics.subsets]
        ['RGB', 'RG']
    """
    _check_keeps(model)
    for subset in _checked_subsets(model.channels, subsets, model.resolve):
        model.subset_statistics.keep(model.body, subset, affine)


def recalibrate(
    model: AnyChannelModel,
    batches: Iterable[Tensor],
    subsets: Sequence[ChannelsLike] | None = None,
    channels: ChannelsLike | None = None,
) -> None:
    """Recompute the running statistics of the batch normalisations for each subset, from images; in place.

    No weight changes and no label is needed; some 2,500 images are enough. The statistics are plain means over
    the batches: each counts alike, and none longer than the next. Other subsets' statistics stay; where none were
    kept before, calls with a subset that is not named here become an error. If it fails, all is as before.

    Args:
        model: adapted, with batch normalisations.
        batches: images (N, C, H, W) with the planes of ``channels`` in their order, normalised as the model's input
            is, where the model is; augmented or not as in training; N at least 2; read once.
        subsets: those of ``channels`` to recompute, in any order; None: those that are kept, or all 2^C - 1 where
            none are.
        channels: the C channels of the batches, some of which the model may not know where its strategy takes such;
            None: the model's own.

    Raises:
        ValueError: for a plain model, one without batch normalisation, channels that the model does not take or the
            batches have not, more than 6 channels with the subsets unsaid, a batch that is no such tensor, no batch at
            all, or values that leave statistics infinite or NaN.

    Example:
        >>> import timm, torch
        >>> from anychan import adapt
        >>> model = adapt(timm.create_model("resnet18", num_classes=10), strategy="sliced").eval()
        >>> recalibrate(model, [torch.randn(16, 3, 64, 64) for _ in range(2)], ["RG", "R"])
        >>> model(torch.randn(1, 1, 64, 64), channels="R").shape
        torch.Size([1, 10])
    """
    _check_keeps(model)
    statistics, known = model.subset_statistics, model.resolve(channels)
    chosen = statistics.subsets if subsets is None and statistics else _checked_subsets(known, subsets, known.subset)
    planes = [list(known.indices(subset)) for subset in chosen]
    trial = _with_fresh_statistics(model, chosen)
    count = 0
    with evaluating(model), torch.no_grad(), refusing_own_norms(model.body):
        for x_NCHW in batches:
            _check_batch(x_NCHW, len(known))
            for subset, planes_S in zip(chosen, planes, strict=True):
                body = trial.bind(subset)
                for _, norm in batch_norms(body):
                    norm.training, norm.momentum = True, None  # by the batch, and a plain mean over batches
                body(x_NCHW[:, planes_S])
            count += 1
    if not count:
        raise ValueError("there is no batch of images to recalibrate with")
    if not all(_used(trial.subset_statistics.of(subset)) for subset in chosen):
        raise ValueError(
            f"{type(model.body).__name__} does not reach its batch normalisations as attributes of its modules, so "
            "that none was bound to a subset's statistics: it keeps layers in a list, or a method on the instance"
        )
    if lost := [subset for subset in chosen if not _finite(trial.subset_statistics.of(subset))]:
        raise ValueError(
            f"the statistics for {lost[0]} came out infinite or NaN: the batches hold such values, or large ones"
        )
    for subset in chosen:
        statistics.keep(model.body, subset, statistics.affine)
        statistics.of(subset).load_state_dict(trial.subset_statistics.of(subset).state_dict())


@contextmanager
def refusing_own_norms(body: nn.Module) -> Iterator[None]:
    """Meanwhile a ValueError if one of a body's own batch normalisations runs, and not that bound in its place."""
    own = {norm: path for path, norm in batch_norms(body)}

    def refuse(norm: nn.Module, given: object) -> None:
        if norm in own:  # what is bound in its place shares its hooks
            raise ValueError(
                f"{type(body).__name__} does not reach its batch normalisation {own[norm]!r} as an attribute of its "
                "modules, so that it has no subset's statistics: it keeps layers in a list, or a method on the instance"
            )

    hooks = [norm.register_forward_pre_hook(refuse) for norm in own]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _used(kept: nn.Module) -> bool:
    """Whether any of the normalisations ran: some, such as those of a head for training, need not."""
    return any(bool(norm.get_buffer("num_batches_tracked")) for norm in kept.children())


def _finite(kept: nn.Module) -> bool:
    return all(bool(numbers.isfinite().all()) for numbers in kept.buffers())


def _with_fresh_statistics(model: AnyChannelModel, subsets: Sequence[ChannelSet]) -> AnyChannelModel:
    """A model that shares all with another but its statistics, which are blank for these subsets."""
    fresh = copy.deepcopy(model.subset_statistics)
    for subset in subsets:
        fresh.keep(model.body, subset, fresh.affine)
        for kept in fresh.of(subset).children():
            kept.reset()  # type: ignore[operator] # _Kept's
    trial = copy.copy(model)  # the module only, with no bound copies yet
    trial._modules = {**model._modules, "subset_statistics": fresh}
    return trial


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """In evaluation mode, and afterwards each module in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _with(norm: _BatchNorm, kept: nn.Module) -> nn.Module:
    """A copy of a normalisation (the module only) with other statistics in it."""
    clone: nn.Module = object.__new__(type(norm))
    clone.__dict__.update(norm.__dict__)
    clone._buffers = _together(norm._buffers, kept._buffers)
    clone._parameters = _together(norm._parameters, kept._parameters)
    return clone


def _together(own: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """What is kept, and what else a normalisation has; the dictionary itself where one has all.

    When a module is moved, tensors in it are replaced, which would part a dictionary of its own from the other.
    """
    if own.keys() <= kept.keys():
        return kept
    return {**own, **kept} if kept else own


def _slashed(path: str) -> str:
    return path.replace(".", "/")  # a module's name has no dot in it


def _check_batch(x_NCHW: object, channels: int) -> None:
    if not isinstance(x_NCHW, Tensor):
        raise ValueError(f"a batch must be a tensor of images, without labels, not {type(x_NCHW).__name__}")
    if x_NCHW.ndim != 4 or x_NCHW.shape[1] != channels or len(x_NCHW) < 2:
        raise ValueError(f"a batch must have the shape (2 or more, {channels}, H, W), not {tuple(x_NCHW.shape)}")


def _check_keeps(model: AnyChannelModel) -> None:
    if not model.stems:
        raise ValueError("a plain model takes one channel set and has one set of statistics: adapt it first")
    if next(batch_norms(model.body), None) is None:
        raise ValueError(f"{type(model.body).__name__} has no batch normalisation with running statistics")


def _checked_subsets(
    known: ChannelSet, subsets: Sequence[ChannelsLike] | None, resolve: Callable[[ChannelsLike], ChannelSet]
) -> list[ChannelSet]:
    """The subsets that are asked for, each once; None: all of those known."""
    if subsets is None:
        if len(known) > MOST_CHANNELS:
            raise ValueError(f"{len(known)} channels have {2 ** len(known) - 1} subsets: name those wanted")
        return known.subsets()
    if isinstance(subsets, str):
        raise ValueError(f"subsets must be a list of channel sets, not the text {subsets!r}")
    if not subsets:
        raise ValueError("no subset is named")
    named = [resolve(subset) for subset in subsets]
    return list({frozenset(subset.names): subset for subset in named}.values())
