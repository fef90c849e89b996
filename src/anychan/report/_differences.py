"""Differences with their intervals, drawn about zero: an ablation's changes, a network beside its specialists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from anychan.report import _format as fmt
from anychan.report._records import AblationRecord, Change, Specialists
from anychan.report._svg import FAINT, INK, SERIES, draw
from anychan.report._table import Cell, Column, Group, Table
from anychan.report._tables import difference_cell, share_cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A row of a chart: its label, the difference, its interval, the verdict.
_Row = tuple[str, float, tuple[float, float], str]
_LONGEST = 28


def ablation_charts(ablations: Sequence[AblationRecord]) -> list[Markup]:
    """A small chart an ablation, all on one scale, so that they can be held against each other."""
    rows = [[row for change in ablation.changes if (row := _row(change))] for ablation in ablations]
    bounds = [abs(bound) for found in rows for _, _, interval, _ in found for bound in interval]
    most = 108 * max(bounds, default=0.0) or 1.0
    return [
        _chart(f"ablation-{i}", ablation.title, found, most)
        for i, (ablation, found) in enumerate(zip(ablations, rows, strict=True))
        if found
    ]


def gap_chart(found: Specialists, index: int) -> Markup:
    """A run less the specialist of each subset, and less all of them on average."""
    rows: list[_Row] = [(row.subset, row.difference, row.interval, row.verdict) for row in found.rows]
    low, high = found.interval
    verdict = "not distinguishable" if low <= 0 <= high else "a is better" if low > 0 else "b is better"
    rows.append(("mean", found.difference, found.interval, verdict))
    most = 108 * max(abs(bound) for _, _, interval, _ in rows for bound in interval) or 1.0
    return _chart(f"gap-{index}", f"{found.run} less the specialists", rows, most)


def ablation_table(ablation: AblationRecord) -> Table:
    """What each change came to, a row each; one that failed says so."""
    further = _further(ablation.changes)
    columns = (
        Column("change", numeric=False),
        Column("all channels", "accuracy, percent, mean over seeds"),
        Column("mean over subsets", "accuracy, percent, mean over seeds"),
        *(column for column, _ in further),
        Column("difference", "from the base, in points of percent, with its 95 % interval over images and seeds"),
        Column("of", "what the difference is of", numeric=False),
        Column("verdict", numeric=False),
    )
    rows = tuple(
        (
            Cell(change.name),
            share_cell(change.full),
            share_cell(change.mean),
            *(cell(change) for _, cell in further),
            Cell("") if change.difference is None or change.interval is None
            else difference_cell(change.difference, change.interval),
            Cell({"mean": "mean over subsets", "full": "all channels"}.get(change.what, "")),
            Cell("; ".join(said for said in (change.verdict, *_failures(change)) if said)),
        )
        for change in ablation.changes
    )  # fmt: skip
    seeds = fmt.listing([str(seed) for seed in ablation.seeds])
    several = "seeds" if len(ablation.seeds) > 1 else "seed"
    of = "over images and seeds" if len(ablation.seeds) > 1 else "over images"
    title = ablation.title if ablation.title.endswith((".", "?", "!")) else f"{ablation.title}."
    caption = f"{title} {ablation.split} split, percent, {several} {seeds}; 95 % intervals {of}, not corrected."
    caption += f" Run on {ablation.processor}." if ablation.processor else ""
    return Table(caption, columns, (Group("", rows),))


def _further(changes: Sequence[Change]) -> list[tuple[Column, Callable[[Change], Cell]]]:
    """What only some ablations need: accuracies on fewer channels where the runs' differ, and costs."""
    found: list[tuple[Column, Callable[[Change], Cell]]] = []
    if len({change.channels for change in changes if change.channels}) > 1:
        accuracy = "accuracy, percent, mean over the subsets asked for and over seeds"
        found += [
            (Column("half of its channels", accuracy), lambda change: share_cell(change.half)),
            (Column("one of its channels", accuracy), lambda change: share_cell(change.one)),
        ]
    if any(change.macs is not None for change in changes):
        found += [
            (Column("MACs", "of one image with all channels"), lambda change: Cell(fmt.scaled(change.macs))),
            (
                Column("ms", "of one image with all channels, one call at a time, median"),
                lambda change: Cell(fmt.milliseconds(change.milliseconds)),
            ),
        ]
    return found


def _failures(change: Change) -> list[str]:
    return [f"seed {seed} failed: {error}" for seed, error in change.errors.items()]


def _row(change: Change) -> _Row | None:
    if change.difference is None or change.interval is None:
        return None
    return change.name, change.difference, change.interval, change.verdict


def _chart(name: str, title: str, rows: Sequence[_Row], most: float) -> Markup:
    def paint(axes: Axes) -> None:
        for y, (_, difference, (low, high), verdict) in enumerate(rows):
            clear = not verdict.startswith("not")
            colour = INK if not clear else SERIES[0] if difference > 0 else SERIES[1]
            axes.plot((100 * low, 100 * high), (y, y), color=colour, linewidth=1.4)
            axes.plot(100 * difference, y, "o", color=colour, markersize=5.5)
        axes.axvline(0, color=FAINT, linewidth=1)
        axes.set_yticks(range(len(rows)), [_short(label) for label, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(-most, most)
        axes.set_xlabel("points of percent")
        axes.set_title(_short(title, 44))
        axes.grid(visible=False, axis="y")

    told = "; ".join(
        f"{label} {fmt.difference(difference)} ({' to '.join(map(fmt.difference, interval))}), {verdict}"
        for label, difference, interval, verdict in rows
    )
    return draw(name, f"{title}: {told}", (340, 74 + 22 * len(rows)), paint)


def _short(text: str, most: int = _LONGEST) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
