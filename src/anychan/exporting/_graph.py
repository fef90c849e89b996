"""The module that is traced: an ordinary network for one channel set, or one that takes every subset it has a row for.

Shape suffixes: N images, C all channels, S those of a call, R rows (subsets).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from anychan.adaptation import AnyChannelModel, batch_norms, specialize
from anychan.adaptation.replacement import fold_batch_renorm
from anychan.blocks import BranchedConv2d, fold_branches
from anychan.channels import ChannelSet, ChannelsLike
from anychan.exporting._stems import graph_stem

MOST_SUBSETS = 64


class OneSubset(nn.Module):
    """A model for one channel set: ``image`` (N, S, H, W) to logits (N, K).

    Args:
        model: in evaluation mode, with its weights on the CPU.
        channels: the planes of ``image``, in their order.

    Raises:
        ValueError: if the model does not take them, or draws at random.
    """

    def __init__(self, model: AnyChannelModel, channels: ChannelSet) -> None:
        super().__init__()
        stems = model.stems
        if all(stem.promises.foldable for stem in stems.values()):
            self.body = specialize(model, channels)
            return
        bound = copy.deepcopy(model.bind(channels))
        for path, stem in stems.items():
            tabled = graph_stem(stem, [channels])
            if tabled is not None:
                bound.set_submodule(path, tabled)
        self.body = _without_training(bound)

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


class AllSubsets(nn.Module):
    """A model for every subset: ``image`` (N, S, H, W) and ``channels`` int64 (S,) to logits (N, K).

    ``channels`` says which of the model's channels each plane of ``image`` is; another number of them is an error of
    what runs the graph. A graph itself cannot refuse: for an index that is none, one that stands twice, and a subset
    without a row, all logits are NaN.

    Args:
        model: in evaluation mode, with its weights on the CPU.
        subsets: those that get a row, see `tabled_subsets`.

    Raises:
        ValueError: if a stem cannot be a table.
    """

    masks: Tensor

    def __init__(self, model: AnyChannelModel, subsets: Sequence[ChannelSet]) -> None:
        super().__init__()
        known = model.channels
        masks_RC = torch.tensor([[float(channel in subset) for channel in known] for subset in subsets])
        self.register_buffer("masks", masks_RC)
        body = copy.deepcopy(model.body)
        self._stems = tuple(model.stems)
        for path, stem in model.stems.items():
            tabled = graph_stem(stem, subsets)
            if tabled is None:
                why = (
                    "is not supported in one graph of all subsets"
                    if stem.promises.merges
                    else "gives the body as many tokens as there are channels, which one graph does not hold"
                )
                raise ValueError(f"strategy {model.strategy!r} {why}: name --channels, for a file of one channel set")
            body.set_submodule(path, tabled)
        # What is folded into a kernel is the same for all subsets, unless each has statistics of its own.
        self.body = fold_batch_renorm(body) if model.subset_statistics else _without_training(body)
        self._tables: dict[str, str] = {}  # by what they are for in the body, the names of the tables
        for target, rows in _statistics(model, subsets).items():
            name = f"table_{len(self._tables)}"
            self.register_buffer(name, torch.stack(rows))
            self._tables[target] = name

    def forward(self, image: Tensor, channels: Tensor) -> Tensor:
        planes = self.masks.shape[1]
        here_SC = channels[:, None] == torch.arange(planes)
        # A product, whose lengths must agree: one for each plane of the image, summed over those of each channel.
        count_C = image.new_ones(image.shape[1]) @ here_SC.to(image.dtype)
        matches_R = (count_C == self.masks).all(dim=1)
        known = matches_R.any() & here_SC.any(dim=1).all()
        row = matches_R.to(torch.int32).argmax(dim=0, keepdim=True)
        columns = channels.clamp(0, planes - 1)
        chosen = {target: self.get_buffer(name).index_select(0, row)[0] for target, name in self._tables.items()}
        for path in self._stems:
            chosen |= {f"{path}.row": row, f"{path}.columns": columns}
        logits_NK = functional_call(self.body, chosen, (image,))
        return logits_NK.masked_fill(~known, float("nan"))


def tabled_subsets(model: AnyChannelModel, wanted: Sequence[ChannelsLike] | None = None) -> list[ChannelSet]:
    """The subsets that a graph has rows for.

    Args:
        model: adapted.
        wanted: which, in any order; None: those with statistics, or all 2^C - 1.

    Raises:
        ValueError: if there are more than 64, one is wanted that the model does not answer, or one is of channels that
            the model's set does not have.
    """
    known, kept = model.channels, model.subset_statistics.subsets
    if wanted is None:
        count = len(kept) or 2 ** len(known) - 1
        chosen = (kept or known.subsets()) if count <= MOST_SUBSETS else []
    else:
        if isinstance(wanted, str | ChannelSet):
            raise ValueError(f"subsets {str(wanted)!r} are no list of channel sets, such as ['RG', 'R']")
        places = dict.fromkeys(tuple(sorted(known.indices(subset))) for subset in wanted)
        chosen = [ChannelSet(known[place] for place in each) for each in places]
        count = len(chosen)
        if not chosen:
            raise ValueError(f"subsets names none; choose from those of {known}")
    if count > MOST_SUBSETS:
        raise ValueError(
            f"{known} has {count} subsets, and one graph holds {MOST_SUBSETS} at most: name --subsets, those that are "
            "wanted, or --channels, for a file of one channel set"
        )
    answered = {frozenset(subset.names) for subset in kept}
    for subset in chosen:
        strange = [channel.name for channel in subset if channel not in known]
        if strange:
            raise ValueError(
                f"there are normalisation statistics for {subset}, but {strange[0]!r} is not among {known}, by whose "
                "places a graph is told its planes: name --channels, for a file of one channel set"
            )
        if answered and frozenset(subset.names) not in answered:
            there = " ".join(map(str, kept))
            raise ValueError(f"there are no normalisation statistics for {subset}, only for {there}")
    return chosen


def _without_training(body: nn.Module) -> nn.Module:
    """The body as `specialize` leaves it, but for its stems: what only training needs is folded."""
    body = fold_batch_renorm(body)
    return fold_branches(body) if any(isinstance(m, BranchedConv2d) for m in body.modules()) else body


def _statistics(model: AnyChannelModel, subsets: Sequence[ChannelSet]) -> dict[str, list[Tensor]]:
    """What the batch normalisations keep for each subset, by where it stands in the body; {} where they share all."""
    statistics = model.subset_statistics
    names = ("running_mean", "running_var", *(("weight", "bias") if statistics.affine else ()))
    tables: dict[str, list[Tensor]] = {}
    if not statistics:
        return tables
    for subset in subsets:
        bound = statistics.bound(model.body, subset)
        for path, _ in batch_norms(model.body):
            for name in names:
                value = getattr(bound[path], name)
                if value is not None:
                    tables.setdefault(f"{path}.{name}", []).append(value.detach())
    return tables
