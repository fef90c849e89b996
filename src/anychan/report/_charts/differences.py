"""Differences with their intervals, drawn about zero: an ablation's changes, a network beside its specialists."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from anychan.evaluation.paired import NOT_DISTINGUISHABLE, verdict
from anychan.report._charts.subsets import subset_words
from anychan.report._charts.svg import FAINT, INK, PAPER, SERIES, draw
from anychan.report._reading.records import AblationRecord, Gap, Specialist, Specialists
from anychan.report._sentences import numbers as fmt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A row of a chart: its label and its gaps, each drawn with its marker.
_Row = tuple[str, Sequence[tuple[str, Gap]]]
_MEAN, _FULL = "o", "s"
_LONGEST, _LONGEST_TITLE, _LINES = 26, 46, 2
_ENDS = (".", "?", "!")  # of a title that is a sentence
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
    """Its title, base and images; on average and on all channels which changes are decided, and how many not."""
    said = [ablation.title if ablation.title.endswith(_ENDS) else f"{ablation.title}.", _compared(ablation)]
    for what, where in (("mean", "On average over the subsets"), ("full", "On all channels")):
        judged = [(change.name, change.gaps[what]) for change in ablation.changes if what in change.gaps]
        decided = [(name, gap) for name, gap in judged if not gap.verdict.startswith("not")]
        told = [
            *_decided("above the base", [(name, gap) for name, gap in decided if gap.difference > 0]),
            *_decided("below it", [(name, gap) for name, gap in decided if gap.difference < 0]),
        ]
        if len(decided) < len(judged):
            told.append(f"{NOT_DISTINGUISHABLE}: {len(judged) - len(decided)} of {len(judged)}")
        said += [f"{where} {'; '.join(told)}."] if judged else []
    if ahead := [f"{change.name} (from {change.initial})" for change in ablation.changes if change.initial]:
        said.append(f"Trained longer, as they begin with trained weights: {fmt.listing(ahead)}.")
    return " ".join(said)


def _compared(ablation: AblationRecord) -> str:
    """What the changes are held against, and on which images, as far as it was recorded."""
    counts = fmt.listing([fmt.count(n) for n in ablation.images])
    images = f"{counts} images of the {ablation.split} split" if counts else f"the {ablation.split} split"
    if not ablation.base:
        return f"On {images}."
    return f"Base: {ablation.base}; {'n = ' if counts else 'on '}{images}."


def _decided(word: str, found: Sequence[tuple[str, Gap]]) -> list[str]:
    """The changes that are better, or worse, the furthest first, and how many more they are."""
    ordered = sorted(found, key=lambda one: -abs(one[1].difference))
    named = [
        f"{name} {fmt.difference(gap.difference)} ({' to '.join(map(fmt.difference, gap.interval))})"
        for name, gap in ordered[:_MOST_NAMED]
    ]
    more = [f"{len(ordered) - _MOST_NAMED} more"] if len(ordered) > _MOST_NAMED else []
    return [f"{word}: {fmt.listing([*named, *more])}"] if found else []


def answer_chart(found: Sequence[Specialists]) -> Markup:
    """Networks minus their specialists: each on average over the subsets, and on all channels."""
    rows = [(one.run, [(_MEAN, _gap(one)), *((_FULL, _gap_of(row)) for row in (one.full,) if row)]) for one in found]
    return _chart("answer", "One network minus its specialists", rows)


def gap_chart(found: Specialists, index: int) -> Markup:
    """A run minus the specialist of each subset, and minus all of them on average."""
    gaps = [(subset_words(row.subset, found.known), _gap_of(row)) for row in found.rows]
    gaps.append(("mean", _gap(found)))
    return _chart(f"gap-{index}", f"{found.run} minus the specialists", [(name, [(_MEAN, gap)]) for name, gap in gaps])


def _gap_of(row: Specialist) -> Gap:
    return Gap(row.difference, row.interval, row.verdict)


def _gap(found: Specialists) -> Gap:
    """That of the mean over the subsets."""
    return Gap(found.difference, found.interval, verdict(found.difference, found.interval))


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
            f"{_judged(gap)}"
            for marker, gap in gaps
        )
        for label, gaps in rows
    )
    named = title if title.endswith(_ENDS) else f"{title}:"
    return draw(name, f"{named} {told}", (340, 74 + 26 * len(rows)), paint)


def _judged(gap: Gap) -> str:
    """The verdict, of two networks by the side of zero that it is on, as the chart does not name them a and b."""
    return {"a is better": "above zero", "b is better": "below zero"}.get(gap.verdict, gap.verdict)


def _wrapped(text: str, width: int) -> str:
    """In two lines at most, cut where it is longer."""
    return "\n".join(textwrap.wrap(text, width, max_lines=_LINES, placeholder="…"))
