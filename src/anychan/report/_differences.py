"""Differences with their intervals, drawn about zero: an ablation's changes, a network beside its specialists."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from anychan.evaluation.paired import verdict
from anychan.report import _format as fmt
from anychan.report._cost_tables import latency_cell
from anychan.report._pair_tables import difference_cell
from anychan.report._records import AblationRecord, Change, Gap, Specialists
from anychan.report._svg import FAINT, INK, PAPER, SERIES, draw
from anychan.report._table import Cell, Column, Group, Table
from anychan.report._tables import share_cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A row of a chart: its label and its gaps, each drawn with its marker.
_Row = tuple[str, Sequence[tuple[str, Gap]]]
# A column of a table, and a change's cell in it.
_Shown = tuple[Column, Callable[[Change], Cell]]
_MEAN, _FULL = "o", "s"
_OF = {"mean": "mean over subsets", "full": "all channels"}
_LONGEST, _LONGEST_TITLE, _LINES = 26, 46, 2
_MOST_NAMED = 3  # of the changes that are decided, in the words below a chart


def ablation_charts(ablations: Sequence[AblationRecord]) -> list[tuple[Markup, str]]:
    """A small chart an ablation, and what was found: of each change the difference on average, and on all channels."""
    markers = {"mean": _MEAN, "full": _FULL}
    charts = []
    for i, ablation in enumerate(ablations):
        rows = [
            (change.name, [(markers[what], gap) for what, gap in change.gaps.items()])
            for change in ablation.changes
            if change.gaps
        ]
        if rows:
            charts.append((_chart(f"ablation-{i}", ablation.title, rows), _finding(ablation)))
    return charts


def _finding(ablation: AblationRecord) -> str:
    """What an ablation's base is, and on average and on all channels which changes are decided, and how many not."""
    said = [f"Base: {ablation.base}."] if ablation.base else []
    for what, where in (("mean", "On average over the subsets"), ("full", "On all channels")):
        judged = [(change.name, change.gaps[what]) for change in ablation.changes if what in change.gaps]
        decided = [(name, gap) for name, gap in judged if not gap.verdict.startswith("not")]
        told = [
            *_decided("better", [(name, gap) for name, gap in decided if gap.difference > 0]),
            *_decided("worse", [(name, gap) for name, gap in decided if gap.difference < 0]),
        ]
        if len(decided) < len(judged):
            told.append(f"not distinguishable from the base: {len(judged) - len(decided)} of {len(judged)}")
        said += [f"{where} {'; '.join(told)}."] if judged else []
    return " ".join(said)


def _decided(word: str, found: Sequence[tuple[str, Gap]]) -> list[str]:
    """The changes that are better, or worse, the furthest first, and how many more they are."""
    ordered = sorted(found, key=lambda one: -abs(one[1].difference))
    named = [
        f"{name} {fmt.difference(gap.difference)} ({' to '.join(map(fmt.difference, gap.interval))})"
        for name, gap in ordered[:_MOST_NAMED]
    ]
    more = [f"{len(ordered) - _MOST_NAMED} more"] if len(ordered) > _MOST_NAMED else []
    return [f"{word}: {fmt.listing([*named, *more])}"] if found else []


def gap_chart(found: Specialists, index: int) -> Markup:
    """A run less the specialist of each subset, and less all of them on average."""
    gaps = [(row.subset, Gap(row.difference, row.interval, row.verdict)) for row in found.rows]
    gaps.append(("mean", Gap(found.difference, found.interval, verdict(found.difference, found.interval))))
    return _chart(f"gap-{index}", f"{found.run} less the specialists", [(name, [(_MEAN, gap)]) for name, gap in gaps])


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


def _chart(name: str, title: str, rows: Sequence[_Row]) -> Markup:
    """Differences about zero, a row each; those of one row stand below each other, squares open."""
    bounds = [100 * bound for _, gaps in rows for _, gap in gaps for bound in (*gap.interval, 0.0)]
    margin = 0.06 * (max(bounds) - min(bounds)) or 1.0

    def paint(axes: Axes) -> None:
        for row, (_, gaps) in enumerate(rows):
            for number, (marker, gap) in enumerate(gaps):
                y = row + 0.3 * (number - (len(gaps) - 1) / 2)
                clear = not gap.verdict.startswith("not")
                colour = INK if not clear else SERIES[0] if gap.difference > 0 else SERIES[1]
                axes.plot([100 * bound for bound in gap.interval], (y, y), color=colour, linewidth=1.4)
                face = PAPER if marker == _FULL else colour
                axes.plot(100 * gap.difference, y, marker, color=colour, markerfacecolor=face, markersize=4.8)
        axes.axvline(0, color=FAINT, linewidth=1)
        axes.set_yticks(range(len(rows)), [_wrapped(label, _LONGEST) for label, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(min(bounds) - margin, max(bounds) + margin)
        axes.set_xlabel("percentage points")
        axes.set_title(_wrapped(title, _LONGEST_TITLE))
        axes.grid(visible=False, axis="y")

    several = any(len(gaps) > 1 for _, gaps in rows)
    words = {_MEAN: "on average " if several else "", _FULL: "on all channels " if several else ""}
    told = "; ".join(
        f"{label} "
        + ", ".join(
            f"{words[marker]}{fmt.difference(gap.difference)} ({' to '.join(map(fmt.difference, gap.interval))}), "
            f"{gap.verdict}"
            for marker, gap in gaps
        )
        for label, gaps in rows
    )
    return draw(name, f"{title}: {told}", (340, 74 + 26 * len(rows)), paint)


def _wrapped(text: str, width: int) -> str:
    """In two lines at most, cut where it is longer."""
    return "\n".join(textwrap.wrap(text, width, max_lines=_LINES, placeholder="…"))
