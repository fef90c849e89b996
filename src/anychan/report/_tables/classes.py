"""The classes: which run names which of them, which lose most when a channel is not there, what they are taken for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from anychan.report._reading.records import Evaluation, Result, Run
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.runs import share_cell
from anychan.report._tables.table import Cell, Column, Group, Table

_MOST = 5  # classes a channel
_TAKEN_FOR = "the class that gains most of its images without the channel, and how many; of several seeds on average"
_UNTOLD = "percent of the channel's variance that a linear prediction from the others leaves in images of the class"


def loss_table(evaluation: Evaluation, short: Mapping[str, str]) -> Table | None:
    """For each channel, the classes whose recall falls most without it; None where none does or that was not evaluated.

    Args:
        evaluation: answered by the model itself on all channels and without one.
        short: names of classes as they are shown.
    """
    full = evaluation.full
    groups = []
    for name, without in _each_without(evaluation):
        if full and (rows := _rows(full, without, evaluation, short, evaluation.untold.get(name, ()))):
            groups.append(Group(f"without {name}, on {without.subset}", rows))
    if full is None or not groups:
        return None
    columns = (
        Column("class", numeric=False),
        Column("images"),
        Column("recall on all", "percent of the class's images named right on all channels"),
        Column("recall without", "percent named right without the channel"),
        Column("lost", "percentage points"),
        *([Column("untold", _UNTOLD)] if evaluation.untold else []),
        Column("taken for", _TAKEN_FOR, numeric=False),
    )
    least = min((score.support for score in full.per_class if score.support), default=0)
    chance = (
        f" Of {least} images a class, a loss below {_chance(least):.0f} points may be chance, and of the largest of "
        f"{len(evaluation.classes)} so may be a larger one."
        if least
        else ""
    )
    caption = f"Classes that lose most without a channel, the {_MOST} largest losses of recall.{chance}"
    return Table(caption, columns, tuple(groups))


def unlost_words(evaluation: Evaluation) -> str:
    """Without which channels no class lost any recall, in a sentence; "" where each costs some, or it is not known."""
    full = evaluation.full
    found = [
        name
        for name, without in _each_without(evaluation)
        if full and (losses := _losses(full, without)) and all(lost <= 0 for lost, _ in losses)
    ]
    where = f"one of {fmt.listing(found)} was left out" if len(found) > 1 else f"{''.join(found)} was left out"
    return f"No class lost any recall where {where}." if found else ""


def recall_tables(runs: Sequence[Run], split: str | None) -> list[Table]:
    """The recall of every class on all channels in every run: a table for each list of classes that several runs have.

    The classes that are named least stand first. A run that was not evaluated on all channels is left out.
    """
    groups: dict[tuple[str, ...], list[tuple[Run, Result]]] = {}
    for run in runs:
        evaluation = run.on(split)
        if evaluation and evaluation.full and evaluation.full.per_class:
            groups.setdefault(tuple(evaluation.classes), []).append((run, evaluation.full))
    return [_recall_table(classes, found) for classes, found in groups.items() if len(found) > 1]


def _recall_table(classes: Sequence[str], found: Sequence[tuple[Run, Result]]) -> Table:
    recalls = list(zip(*([score.recall for score in full.per_class] for _, full in found), strict=True))
    short = fmt.short_names(classes)

    def mean_recall(place: int) -> float:
        known = [recall for recall in recalls[place] if recall is not None]
        return fmean(known) if known else math.inf  # without an image, last

    rows = tuple(
        (Cell(short[classes[place]]), *map(_shaded, recalls[place]))
        for place in sorted(range(len(classes)), key=mean_recall)
    )
    columns = (Column("class", numeric=False), *(Column(run.name) for run, _ in found))
    caption = (
        "Recall of every class on all channels, in percent; those that these runs on average name least come first."
    )
    return Table(caption, columns, (Group("", rows),))


def _shaded(recall: float | None) -> Cell:
    return Cell("") if recall is None else Cell(fmt.percent(recall, 0), sort=recall, shade=recall)


def _each_without(evaluation: Evaluation) -> Iterator[tuple[str, Result]]:
    """Each channel of several, with what the model itself answered on all others, where it was evaluated."""
    for name in evaluation.channels.names if len(evaluation.channels) > 1 else ():
        if (without := _without(evaluation, name)) is not None:
            yield name, without


def _without(evaluation: Evaluation, name: str) -> Result | None:
    rest = set(evaluation.channels.names) - {name}
    own = (result for result in evaluation.results if not result.fill)
    return next((r for r in own if set(evaluation.channels.subset(r.subset).names) == rest), None)


def _rows(
    full: Result,
    without: Result,
    evaluation: Evaluation,
    short: Mapping[str, str],
    untold: Sequence[float | None],
) -> tuple[tuple[Cell, ...], ...]:
    rows = []
    for lost, place in sorted(_losses(full, without), key=lambda found: -found[0])[:_MOST]:
        if lost > 0:
            one, other = full.per_class[place], without.per_class[place]
            rows.append(
                (
                    Cell(short.get(one.name, one.name)),
                    Cell(fmt.count(one.support), sort=one.support),
                    share_cell(one.recall),
                    share_cell(other.recall),
                    Cell(fmt.percent(lost), sort=lost),
                    *([share_cell(untold[place] if untold else None)] if evaluation.untold else []),
                    _taken_for(full, without, evaluation.classes, place, short),
                )
            )
    return tuple(rows)


def _losses(full: Result, without: Result) -> list[tuple[float, int]]:
    """What each class's recall loses without the channel, where it is known, and the class's place."""
    return [
        (one.recall - other.recall, place)
        for place, (one, other) in enumerate(zip(full.per_class, without.per_class, strict=True))
        if one.recall is not None and other.recall is not None
    ]


def _taken_for(full: Result, without: Result, classes: Sequence[str], row: int, short: Mapping[str, str]) -> Cell:
    """The other class whose answers to images of this one grow most without the channel, and by how many.

    Of several seeds a confusion is the sum, and what is told is the mean.
    """
    if not full.confusion or not without.confusion:
        return Cell("")
    more = [
        (after - before, -j)
        for j, (before, after) in enumerate(zip(full.confusion[row], without.confusion[row], strict=True))
        if j != row
    ]
    gained, place = max(more, default=(0, 0))
    if gained <= 0:
        return Cell("")
    mean = round(gained / len(full.confusions), 1) if full.confusions else gained
    return Cell(short.get(classes[-place], classes[-place]), f"+{mean:g}", mean)


def _chance(n: int) -> float:
    """Points that hold 95 % of the differences of two models that are each right on half of n images by chance."""
    return 100 * 1.96 * math.sqrt(2 * 0.25 / n)
