"""Ablations: what each change came to, against the base."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from anychan.report._reading.records import AblationRecord, Change
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.costs import latency_cell
from anychan.report._tables.pairs import difference_cell
from anychan.report._tables.runs import share_cell
from anychan.report._tables.table import Cell, Column, Group, Table

# A column of a table, and a change's cell in it.
_Shown = tuple[Column, Callable[[Change], Cell]]
_OF = {"mean": "mean over subsets", "full": "all channels"}


def table_of_ablation(ablation: AblationRecord) -> Table:
    """What each change came to, a row each; one that failed says so."""
    further = _accuracies(ablation.changes) + _costs(ablation.changes)
    judged = [_judged(change) for change in ablation.changes]
    judged_by = {of.text for _, of, _ in judged if of.text}
    columns = (
        Column("change", numeric=False),
        *(column for column, _ in further),
        Column("difference", "from the base, in percentage points, with its 95 % interval"),
        *([Column("of", "what the difference is of", numeric=False)] if len(judged_by) > 1 else []),
        Column("verdict", numeric=False),
    )
    rows = tuple(
        (
            Cell(change.name),
            *(cell(change) for _, cell in further),
            difference,
            *([of] if len(judged_by) > 1 else []),
            told,
        )
        for change, (difference, of, told) in zip(ablation.changes, judged, strict=True)
    )
    seeds = fmt.listing([str(seed) for seed in ablation.seeds])
    several = "seeds" if len(ablation.seeds) > 1 else "seed"
    title = ablation.title if ablation.title.endswith((".", "?", "!")) else f"{ablation.title}."
    counted = f"{fmt.listing([fmt.count(n) for n in ablation.images])} images of the " if ablation.images else ""
    base = f" Base: {ablation.base}." if ablation.base else ""
    caption = f"{title}{base} Percent of {counted}{ablation.split} split, {several} {seeds}; {_sure(ablation)}"
    caption += _places(ablation)
    caption += f" Differences are of the {_OF['mean']}." if judged_by == {_OF["mean"]} else ""
    caption += f" {ablation.note}" if ablation.note else ""
    return Table(caption, columns, (Group("", rows),))


def _sure(ablation: AblationRecord) -> str:
    """What the intervals are over, and which differences are of fewer seeds than were asked for, as runs failed."""
    said = f"95 % intervals over images{' and seeds' if len(ablation.seeds) > 1 else ''}, not corrected."
    fewer = [
        f"{change.name}, seed {change.paired[0]}, interval over images alone"
        if len(change.paired) == 1
        else f"{change.name}, seeds {fmt.listing(list(map(str, change.paired)))}"
        for change in ablation.changes
        if change.gaps and change.paired != ablation.seeds
    ]
    if not fewer:
        return said
    why = "Where runs failed, a difference is of the seeds that both have, so that columns need not subtract"
    return f"{said} {why}: {'; '.join(fewer)}."


def _places(ablation: AblationRecord) -> str:
    """Where an ablation's runs were trained and timed; of older records what they were put together on is known."""
    timed = list(dict.fromkeys(change.timed_on for change in ablation.changes if change.timed_on))
    on = f" Timed on {fmt.listing(timed)}." if timed else ""
    if ablation.trained:
        return f" Trained {fmt.listing(list(ablation.trained))}.{on}"
    recorded = f" Recorded on {ablation.processor}." if ablation.processor else ""
    return recorded if timed == [ablation.processor] else recorded + on


def _judged(change: Change) -> tuple[Cell, Cell, Cell]:
    """The first of its differences, what it is of, the verdict; and what failed."""
    what, gap = next(iter(change.gaps.items()), ("", None))
    said = [*([gap.verdict] if gap else []), *(f"seed {seed} failed: {error}" for seed, error in change.errors.items())]
    return (
        difference_cell(gap.difference, gap.interval) if gap else Cell(""),
        Cell(_OF.get(what, "")),
        Cell("; ".join(said)),
    )


def _accuracies(changes: Sequence[Change]) -> list[_Shown]:
    """On all channels, on the subsets where runs answered some, and on fewer channels where the runs' differ."""
    accuracy = "accuracy, percent, mean over seeds"
    found: list[_Shown] = [(Column("all channels", accuracy), lambda change: share_cell(change.full))]
    if any(change.mean is not None for change in changes):
        found.append((Column(_OF["mean"], accuracy), lambda change: share_cell(change.mean)))
    if len({change.channels for change in changes if change.channels}) > 1:
        accuracy = "accuracy, percent, mean over the subsets asked for and over seeds"
        found += [
            (Column("half of its channels", accuracy), lambda change: share_cell(change.half)),
            (Column("one of its channels", accuracy), lambda change: share_cell(change.one)),
        ]
    return found


def _costs(changes: Sequence[Change]) -> list[_Shown]:
    """MACs and time, where they were measured."""
    if all(change.macs is None for change in changes):
        return []
    time = "of one image with all channels, one call at a time, median and quartiles"
    return [
        (Column("MACs", "of one image with all channels"), lambda change: Cell(fmt.scaled(change.macs))),
        (Column("ms", time), lambda change: latency_cell(change.latency)),
    ]
