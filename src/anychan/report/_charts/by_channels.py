"""Accuracy and cost against the number of channels, a line a strategy, where that is what an ablation varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from anychan.report._charts.labels import label_points
from anychan.report._charts.runs import colour
from anychan.report._charts.svg import MARKERS, PAPER, draw
from anychan.report._reading.records import AblationRecord, Change

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class _Point:
    """A value at a number of channels, and its interval; None where there is none, or it was not recorded."""

    channels: int
    value: float
    interval: tuple[float, float] | None = None


def channel_charts(ablation: AblationRecord, index: int = 0) -> dict[str, Markup]:
    """Accuracy on all of a run's channels against how many they are, and the MACs of one image, by these words.

    A line is of runs that differ in their channels alone, and has the name of their strategy; where two lines would
    have the same, that of its change with the most channels. Intervals are 95 % Wilson ones over the images of one
    seed. Times are left out: those of small networks say more of what else the machine did.

    Args:
        ablation: one whose runs do not differ in the number of channels has no such chart.
        index: of the ablation on its page.
    """
    lines: dict[str, list[Change]] = {}
    for change in ablation.changes:
        if change.channels:
            lines.setdefault(change.but_for_channels, []).append(change)
    varied = [sorted(line, key=_channels) for line in lines.values() if len({change.channels for change in line}) > 1]
    told_apart = len({line[0].strategy for line in varied}) == len(varied)
    named = {line[0].strategy if told_apart else line[-1].name: line for line in varied}
    found = {}
    for quantity, label, points in (
        ("accuracy", "accuracy, percent", {name: _accuracies(line, ablation) for name, line in named.items()}),
        ("macs", "MACs of one image, thousands", {name: _macs(line) for name, line in named.items()}),
    ):
        if any(points.values()):
            known = {name: line for name, line in points.items() if line}
            found[quantity] = _chart(f"channels-{index}-{quantity}", label, known)
    return found


def _channels(change: Change) -> int:
    return change.channels or 0


def _accuracies(line: Sequence[Change], ablation: AblationRecord) -> list[_Point]:
    from anychan.evaluation.intervals import wilson_interval

    # A change answers the images of the base, whose row does not say how many.
    counts = {change.n for change in ablation.changes if change.n}
    same = counts.pop() if len(counts) == 1 else None
    points = []
    for change in line:
        n = change.n or same
        if change.full is not None:
            sure = wilson_interval(round(change.full * n), n) if n and len(change.seeds) == 1 else None
            interval = None if sure is None else (100 * sure[0], 100 * sure[1])
            points.append(_Point(_channels(change), 100 * change.full, interval))
    return points


def _macs(line: Sequence[Change]) -> list[_Point]:
    return [_Point(_channels(change), change.macs / 1000) for change in line if change.macs is not None]


def _chart(name: str, label: str, lines: Mapping[str, Sequence[_Point]]) -> Markup:
    corners = [[(point.channels, point.value) for point in line] for line in lines.values()]
    ticks = sorted({point.channels for line in lines.values() for point in line})

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import FixedLocator, NullLocator

        for index, line in enumerate(lines.values()):
            shift = 1 + 0.02 * (index - (len(lines) - 1) / 2)  # so that bars stand beside each other
            x = [shift * point.channels for point in line]
            for at, point in zip(x, line, strict=True):
                if point.interval:
                    axes.plot((at, at), point.interval, color=colour(index), linewidth=1, alpha=0.6)
            marker = MARKERS[index % len(MARKERS)]
            axes.plot(x, [point.value for point in line], color=colour(index), marker=marker, markeredgecolor=PAPER)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.08)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("channels")
        axes.set_title(label)
        label_points(axes, list(lines), [line[-1] for line in corners], corners)

    told = "; ".join(
        f"{whose} {', '.join(f'{point.value:.3g} with {point.channels}' for point in line)}"
        for whose, line in lines.items()
    )
    return draw(name, f"{label[0].upper()}{label[1:]}, by the number of channels: {told}", (340, 260), paint)
