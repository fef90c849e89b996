"""A model that is called with the channels its input has.

How a call's channels reach the stem: a body's own ``forward(x)`` knows nothing of channels. So a call binds
them first: the modules on the paths from the body to its stems are copied (the modules only, a few dictionaries;
parameters, buffers and all other modules are shared) and in the copy each stem carries its channel set. Where
batch normalisations keep statistics for each subset, they are bound in the same way. Nothing global is set, so
threads with different channels do not meet, and a channel set has its own module for ``torch.compile`` to
specialise on. What a forward writes to attributes of a copied module stays in the copy: the model does not see it, and
with the next call attributes that the model has are as it has them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from anychan.adaptation._stem_wrappers import StemStandIn
from anychan.adaptation._timm_conventions import TimmConventions
from anychan.adaptation.normalisation import SubsetStatistics, refusing_own_norms
from anychan.blocks.folding import kernel_layout
from anychan.channels import ChannelSet, ChannelsLike
from anychan.nn import AnyChannelConv2d
from anychan.nn._contract import channel_groups, cut

_MODES = {True: "training", False: "evaluation"}
_MOST_CLONES = 64  # channel sets whose copies are kept; 13 bands have 8,191
# Before 2.12 torch cannot compile a look at all attributes of a module: what copies modules, and what that is given,
# runs beside the graph there.
_beside_the_graph: Any = torch.compiler.disable if torch.__version__ < "2.12" else lambda function: function


@dataclass
class _Noted:
    """What bound stems note for their model.

    Args:
        reached: threads whose last call came to a stem. Threads that call with the same channels share a copy of the
            body, in which each puts stems of its own, so that one may run another's.
        switched: the mode to which something that is bound was switched by itself. That reaches those of the model's
            modules that are shared, and no others.
        answering: threads in a call, in which a body may switch a part of itself, each time anew.
    """

    reached: set[int] = field(default_factory=set)
    answering: set[int] = field(default_factory=set)
    switched: bool | None = None


class BoundStem(StemStandIn):
    """A stem with the channels of one call, the mode that it was bound in, and the layout of its body's kernels.

    The layout in memory of a single plane is open: as it comes, it could bring the whole body into the other layout.
    """

    def __init__(
        self,
        stem: AnyChannelConv2d,
        channels: ChannelSet,
        present: Tensor | None,
        channels_last: bool,
        noted: _Noted,
    ) -> None:
        super().__init__(stem)
        self.stem, self.channels, self.present, self.channels_last = stem, channels, present, channels_last
        self.training, self.noted = stem.training, noted
        self.in_channels = len(channels)

    def train(self, mode: bool = True) -> Self:
        if threading.get_ident() not in self.noted.answering:
            self.noted.switched = mode
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.training != self.stem.training:  # the copies beside this one have the old mode, the shared modules not
            before, now = (_MODES[mode] for mode in (self.training, self.stem.training))
            raise ValueError(
                f"{self.channels} were bound in {before} mode, but the model is in {now} mode now: bind again"
            )
        if not torch.compiler.is_compiling():
            self.noted.reached.add(threading.get_ident())
        if self.channels_last and x.ndim == 4:
            x = x.to(memory_format=torch.channels_last)
        stem = self.stem
        if stem._forward_hooks or stem._forward_pre_hooks or stem._backward_hooks or stem._backward_pre_hooks:
            # which a call runs
            return self.stem(x, self.channels, self.present)
        return self.stem.forward_resolved(x, self.channels, self.present)


class AnyChannelModel(TimmConventions):
    """A model that is called with the channels its input has: ``model(x, channels="RG")``.

    Args:
        body: the ordinary network, with its stems already in place.
        stems: paths of the stems in ``body``; none for a plain network, which takes its full channel set only.
        channels: the channels it knows.
        strategy: the name of the stems' strategy; "plain" without stems.

    Attributes:
        subset_statistics: of its batch normalisations, kept apart for each subset; empty: all subsets share the
            body's own. `keep_statistics` and `recalibrate` fill it.
    """

    def __init__(self, body: nn.Module, stems: Sequence[str], channels: ChannelSet, strategy: str) -> None:
        super().__init__()
        self.body = body
        self.channels = channels
        self.strategy = strategy
        self.subset_statistics = SubsetStatistics(channels)
        self._stem_paths = tuple(stems)
        # Of the channel sets bound last, by path in the body; this dictionary is replaced, never changed.
        self._clones: dict[Any, dict[str, nn.Module]] = {}
        self._noted = _Noted()
        self._norms_reached = False  # whether a call has shown that no normalisation is reached but the bound ones

    def train(self, mode: bool = True) -> Self:
        self._noted.switched = None
        return super().train(mode)

    @property
    def stems(self) -> dict[str, AnyChannelConv2d]:
        """The any-channel convolutions by their paths in ``body``."""
        return {path: self.body.get_submodule(path) for path in self._stem_paths}  # type: ignore[misc] # by construction

    def forward(self, x: Tensor, channels: ChannelsLike | None = None, present: Tensor | None = None) -> Tensor:
        """Run the network on some of its channels.

        Args:
            x: (N, S, H, W), the planes of ``channels`` in their order.
            channels: names of the planes; None: all the model knows.
            present: bool (N, S), where the images of a batch have different channels.

        Returns:
            What the body returns, logits (N, K) for a classifier.

        Raises:
            ValueError: for channels the model does not take, a subset without normalisation statistics of its
                own where others have them, a plain model given less than all, or a body that does not reach its stem
                as an attribute.
        """
        if not self._stem_paths:
            return self.body(self._all_planes(x, channels, present))
        if not isinstance(x, Tensor):
            raise ValueError(
                f"x must be a tensor, not {type(x).__name__}: what bind(channels) gives takes other inputs"
            )
        chosen = self.resolve(channels, planes=x.shape[1] if x.ndim == 4 else None)
        if present is not None and self._one_set_at_a_time:
            return self._each_set_alone(x, chosen, present)
        return self._answer(x, chosen, present)

    @_beside_the_graph
    def resolve(self, channels: ChannelsLike | None = None, planes: int | None = None) -> ChannelSet:
        """The channels of a call, with what is known of them; see `AnyChannelConv2d.resolve`."""
        for stem in self.stems.values():
            return stem.resolve(channels, planes)
        return self.channels.subset(channels)

    def bind(self, channels: ChannelsLike | None = None, present: Tensor | None = None) -> nn.Module:
        """The body as a module for one channel set, called ``(x)``: parameters and buffers are the model's own.

        It is for the mode that the model is in. After ``model.train()`` or ``model.eval()`` it refuses to be called,
        with a ValueError, until the channels are bound again, which gives the same module brought up to date as long as
        it is among the 64 bound last. Switch the model, not what is bound; and bind again after freezing single layers.

        Args:
            channels: names of the planes it will be given; None: all.
            present: bool (N, S) for the one batch it will be given, or None.
        """
        chosen = self.resolve(channels)
        if not self._stem_paths:
            if chosen.names != self.channels.names or present is not None:
                raise ValueError(self._plain_refusal(chosen))
            return self.body
        return self._bind(chosen, present)

    @_beside_the_graph
    def _bind(self, chosen: ChannelSet, present: Tensor | None) -> nn.Module:
        switched = self._noted.switched
        if switched is not None and switched != self.training:
            raise ValueError(
                f"what was bound to channels was switched to {_MODES[switched]} mode by itself, and the adapted model "
                f"is in {_MODES[self.training]} mode: call its {'train' if switched else 'eval'}() too"
            )
        return self._bound(self._bound_stems(chosen, present), chosen, present)

    def _bound_stems(self, chosen: ChannelSet, present: Tensor | None) -> dict[str, BoundStem]:
        bound: dict[AnyChannelConv2d, BoundStem] = {}  # a stem that is used in two places has two paths
        last = len(chosen) == 1 and kernel_layout(self.body) == torch.channels_last
        # A compiled graph does not say that it reached a stem, and must not be compiled anew when other calls do.
        noted = _Noted() if torch.compiler.is_compiling() else self._noted
        for stem in self.stems.values():
            bound.setdefault(stem, BoundStem(stem, chosen, present, last, noted))
        return {path: bound[stem] for path, stem in self.stems.items()}

    def _bound(self, stems: Mapping[str, BoundStem], chosen: ChannelSet, present: Tensor | None) -> nn.Module:
        bound: dict[str, nn.Module] = {**stems, **self.subset_statistics.bound(self.body, chosen)}
        ancestors = {path[:end] for path in bound for end, letter in enumerate(path) if letter == "."}
        # A compiled graph makes no copies when it runs, and must not be compiled anew when others do.
        lasting = present is None and not torch.compiler.is_compiling()
        clones = self._clones_of((chosen.names, chosen.wavelengths)) if lasting else {}
        return _clone_path(self.body, "", bound, ancestors, clones)

    def _clones_of(self, key: Any) -> dict[str, nn.Module]:
        """The copies of a channel set, which is the one used last from here on; those used long ago are let go.

        Threads that come here together may each see a state without what the other adds: it is made again then.
        """
        kept = self._clones
        clones = kept.get(key, {})
        if next(reversed(kept), None) != key:
            others = [(other, its) for other, its in kept.items() if other != key]
            self._clones = dict([*others[-(_MOST_CLONES - 1) :], (key, clones)])
        return clones

    def _answer(self, x: Tensor, chosen: ChannelSet, present: Tensor | None) -> Any:
        bound = self._bind(chosen, present)
        if torch.compiler.is_compiling():
            return bound(x)
        thread = threading.get_ident()
        self._noted.reached.discard(thread)
        unsure = self.subset_statistics and not self._norms_reached
        self._noted.answering.add(thread)
        try:
            with refusing_own_norms(self.body) if unsure else nullcontext():
                output = bound(x)
        finally:
            self._noted.answering.discard(thread)
        self._norms_reached |= bool(unsure)
        if thread not in self._noted.reached:
            raise ValueError(
                f"{type(self.body).__name__} does not reach its stem {self._stem_paths[0]!r} as an attribute of its "
                "modules, so that no channels can be bound there: it keeps layers in a list of its own, or a method on "
                "the instance. Have its forward take them from the module, as self.conv1 or from an nn.ModuleList"
            )
        return output

    @property
    def _one_set_at_a_time(self) -> bool:
        """Whether images with different channels cannot go through the body together."""
        return bool(self.subset_statistics) or not all(stem.promises.merges for stem in self.stems.values())

    def _each_set_alone(self, x: Tensor, chosen: ChannelSet, present: Tensor) -> Tensor:
        outputs, rows = [], []
        for row_N, planes, there in channel_groups(chosen, x, present):
            outputs.append(self._answer(cut(x, row_N, planes), there, None))
            rows.append(row_N)
        order = torch.argsort(torch.cat(rows))

        def together(*parts: Any) -> Any:  # of logits, or of a map in a backbone's list
            if all(part is None for part in parts):
                return None
            for part, row_N in zip(parts, rows, strict=True):
                if not isinstance(part, Tensor) or part.shape[:1] != row_N.shape:
                    gives = f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__
                    raise ValueError(
                        f"{type(self.body).__name__} gives {gives} for {len(row_N)} of the images, not a row each, so "
                        "that those of several channel sets (present=) cannot be put together: call it with one each"
                    )
            return torch.cat(parts)[order]

        return tree_map(together, *outputs)

    def _all_planes(self, x: Tensor, channels: ChannelsLike | None, present: Tensor | None) -> Tensor:
        chosen = self.channels.subset(channels)
        if len(chosen) < len(self.channels) or (present is not None and not bool(present.all())):
            raise ValueError(self._plain_refusal(chosen))
        if x.ndim != 4 or x.shape[1] != len(chosen):
            raise ValueError(f"x must have the shape (N, {len(chosen)}, H, W) for {chosen}, not {tuple(x.shape)}")
        in_order = chosen.names == self.channels.names
        return x if in_order else x[:, list(chosen.indices(self.channels.names))]

    def _plain_refusal(self, chosen: ChannelSet) -> str:
        return f"a plain model takes all of {self.channels}, not {chosen}: adapt it, or fill the missing planes"

    def _replicate_for_data_parallel(self) -> AnyChannelModel:
        """A replica on another device, for `torch.nn.DataParallel`, which binds its own body."""
        if self.subset_statistics.affine:  # a replica's parameters are attributes, not found by the body's names
            raise ValueError(
                "nn.DataParallel does not see scales and shifts that are kept for each subset: take "
                "DistributedDataParallel"
            )
        replica: AnyChannelModel = super()._replicate_for_data_parallel()
        replica._clones = {}
        return replica

    def __getstate__(self) -> dict[str, Any]:
        # A copy binds its own body, is not compiled, and was not called.
        return {**super().__getstate__(), "_clones": {}, "_noted": _Noted(), "_norms_reached": False}


def _clone_path(
    module: nn.Module, path: str, bound: Mapping[str, nn.Module], ancestors: Set[str], clones: dict[str, nn.Module]
) -> nn.Module:
    """A copy of ``module`` that differs in its bound modules and shares all else, brought up to date if there is one.

    Each attribute is replaced in one assignment by an equivalent, so a thread that runs an older copy's forward
    meets nothing half-made.
    """
    if "_orig_mod" in module._modules or module._compiled_call_impl is not None:
        raise ValueError(
            f"{path or type(module).__name__} is compiled by itself, so that no channels can be bound in it: compile "
            "the adapted model, torch.compile(any_model)"
        )
    children = dict(module._modules)
    prefix = f"{path}." if path else ""
    for name, child in module._modules.items():
        child_path = prefix + name
        if child_path in bound:
            children[name] = bound[child_path]
        elif child is not None and child_path in ancestors:
            children[name] = _clone_path(child, child_path, bound, ancestors, clones)
    clone = clones.get(path)
    if clone is None or type(clone) is not type(module):
        clone = clones[path] = object.__new__(type(module))
    clone.__dict__.update({**module.__dict__, "_modules": children})
    return clone
