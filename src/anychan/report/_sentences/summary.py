"""What several runs came to: which is first, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from statistics import fmean

from anychan.evaluation.paired import NOT_DISTINGUISHABLE
from anychan.report._reading.pooled_specialists import specialists_of
from anychan.report._reading.records import Result, Run, Specialists
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.networks import shallow_words
from anychan.report._tables.runs import subset_order

_PLACES = 3  # that are told from the first
_NAMED = 7  # subsets, or runs that are level; of more their number is told


def summary(rows: Sequence[Run], split: str | None) -> list[str]:
    """A few sentences on several configurations; none for one, or where they did not see the same images.

    Args:
        rows: a row each; of several seeds one row.
        split: what is reported.
    """
    told = [(run, evaluation) for run in rows if (evaluation := run.on(split))]
    if len(told) < 2 or len({evaluation.images for _, evaluation in told}) > 1:
        return []
    said = []
    full = [(run.name, found) for run, evaluation in told if (found := evaluation.full)]
    if len({found.subset for _, found in full}) == 1 and len(full) > 1:
        reached = [(name, one.accuracy) for name, one in full]
        said.append(_ranked(f"On all channels ({full[0][1].subset})", reached, _of(full, split)))
    own = [(run.name, {r.subset: r.accuracy for r in evaluation.results if not r.fill}) for run, evaluation in told]
    order = subset_order([evaluation for _, evaluation in told])
    smaller = [subset for subset in order if all(subset != found.subset for _, found in full)]
    if len(smaller) > 1:
        asked = [(name, found) for name, found in own if found.keys() >= {*smaller}]
        means = [(name, fmean([found[subset] for subset in smaller])) for name, found in asked]
        if len(means) > 1:
            over = fmt.listing(smaller) if len(smaller) <= _NAMED else f"the {len(smaller)} smaller subsets"
            said.append(_ranked(f"On average over {over}", means, ""))
    if said:
        said.append("These places are by point estimates, which another seed may change.")
    said += [words] if (words := shallow_words(rows, split or "")) else []
    beside = [found for found in specialists_of(rows) if found.split == split]
    return [*said, *map(_beside, beside if len(beside) == 1 else [])]  # of several there is a table


def _of(full: Sequence[tuple[str, Result]], split: str | None) -> str:
    """Of how many images the most accurate are, with their interval where it is the same for all of them."""
    best = max(full, key=lambda one: one[1].accuracy)[1]
    first = [one for _, one in full if fmt.percent(one.accuracy) == fmt.percent(best.accuracy)]
    intervals = {" to ".join(map(fmt.percent, one.interval)) for one in first}
    sure = f" (95 % interval {intervals.pop()})" if len(intervals) == 1 else ""
    return f" of {fmt.count(best.n)} {split} images{sure}"


def _ranked(where: str, found: Sequence[tuple[str, float]], of: str) -> str:
    """The first few places and the last, with what they reach; ``of`` says more of the first.

    Runs whose percentages read alike share a place.
    """
    ordered = sorted(found, key=lambda one: -one[1])
    places = [
        ([name for name, _ in level], reached) for reached, level in groupby(ordered, lambda one: fmt.percent(one[1]))
    ]
    (first, most), *others = places
    words = f"{where} {_names(first)} {'are level' if len(first) > 1 else 'is most accurate'}, with {most} %{of}"
    behind = fmt.listing([f"{_names(names)} with {reached} %" for names, reached in others[: _PLACES - 1]])
    words += f", before {behind}" if behind else ""
    last = f"; the least is {places[-1][1]} %, by {_names(places[-1][0])}" if len(places) > _PLACES else ""
    return f"{words}{last}."


def _names(names: Sequence[str]) -> str:
    return fmt.listing(names) if len(names) <= _NAMED else f"{len(names)} runs"


def _beside(found: Specialists) -> str:
    """A run beside its specialists: the mean, and on how many subsets anything is decided."""
    low, high = found.interval
    decided = [row for row in found.rows if row.verdict != NOT_DISTINGUISHABLE]
    sure = "which is not distinguishable from none" if low <= 0 <= high else "and the interval leaves out zero"
    by_subset = (
        f"; {fmt.listing([f'{row.subset} by {fmt.difference(row.difference)}' for row in decided])} is decided"
        if decided
        else f"; on none of {fmt.listing([row.subset for row in found.rows])} by itself is the difference decided"
    )
    over = f", over {len(found.seeds)} seeds" if found.seeds else ""
    return (
        f"{found.run} beside a plain network trained for each subset alone{over}: {fmt.difference(found.difference)} "
        f"points on average ({fmt.difference(low)} to {fmt.difference(high)}), {sure}{by_subset}."
    )
