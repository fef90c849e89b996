"""The charts of a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from anychan.report._charts.subsets import least_height, subset_rows
from anychan.report._charts.svg import FAINT, INK, MARKERS, PAPER, SERIES, draw
from anychan.report._reading.records import Epoch, Evaluation, Result, Run
from anychan.report._reading.settings import filled
from anychan.report._tables.runs import fill_name, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TOLD = 15  # subsets of one run in the words for those who do not see a chart
# Also drawn as keys by parts.html.j2, like the markers of runs.
_FILL_MARKERS = {"zeros": "x", "zeros-rescaled": "+", "mean": "1", "mean-of-present": "2"}
FILL_SIGNS = {"zeros": "×", "zeros-rescaled": "+", "mean": "Y", "mean-of-present": "⅄"}  # the same as text


def colour(index: int) -> str:
    """The colour of a run; from the seventh on they come round again."""
    return SERIES[index % len(SERIES)]


def retention_panels(runs: Sequence[Run], split: str) -> list[tuple[Markup, list[int]]]:
    """A retention chart for every six runs, in which each has a mark of its own, with the places of its runs."""
    panels: list[list[int]] = []
    for place, run in enumerate(runs):
        if (evaluation := run.on(split)) is None or not evaluation.has_subsets:
            continue
        if not panels or place % len(MARKERS) in {other % len(MARKERS) for other in panels[-1]}:
            panels.append([])
        panels[-1].append(place)
    charts = [(retention_chart(runs, split, places), places) for places in panels]  # all to one scale
    return [(chart, places) for chart, places in charts if chart is not None]


def retention_chart(runs: Sequence[Run], split: str, places: Sequence[int] | None = None) -> Markup | None:
    """Retention of every subset, a dot a run, its naive answers as small signs on the same line.

    The bar of a dot is the Wilson interval of the subset's accuracy over the accuracy on all channels, the
    latter taken as known. Runs that answered all channels alone keep all of it and are left out. None where nothing
    is left, or no retention was recorded.

    Args:
        runs: in the order that gives them their marks.
        split: of the evaluation.
        places: of the runs that are drawn; None: all.
    """
    evaluated = [
        (i, evaluation)
        for i, run in enumerate(runs)
        if (places is None or i in places) and (evaluation := run.on(split)) and evaluation.has_subsets
    ]
    rows = subset_rows([evaluation for _, evaluation in evaluated])
    known = [r for _, e in evaluated for r in e.results if r.retention is not None]
    if not known:
        return None
    of_all = [r for run in runs if (e := run.on(split)) and e.has_subsets for r in e.results]
    right = 1.03 * max(*map(_kept, of_all), *(_interval(r)[1] for r in of_all if not r.fill))

    def paint(axes: Axes) -> None:
        for place, (index, evaluation) in enumerate(evaluated):
            shift = _shift(place, len(evaluated))
            for fill, results in series(evaluation).items():
                found = {r.subset: r for r in results if r.retention is not None}
                points = [(y + shift, found[s]) for y, (_, subsets) in enumerate(rows) for s in subsets if s in found]
                if fill:
                    _naive_points(axes, points, index, fill)
                else:
                    _points(axes, points, index, evaluation.full)
        axes.axvline(100, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, right)
        axes.set_xlabel("accuracy kept, percent of that on all channels")
        axes.grid(visible=False, axis="y")

    label = f"Accuracy kept by channel subset, percent. {'; '.join(_kept_words(runs[i].name, e) for i, e in evaluated)}"
    each = (16 if len(rows) <= 16 else 8) + 10 * len(evaluated)
    height = 54 + len(rows) * max(each, least_height(rows))
    return draw(f"retention-{evaluated[0][0]}", label, (340, height), paint)


def _kept_words(name: str, evaluation: Evaluation) -> str:
    told = []
    for fill, results in series(evaluation).items():
        found = [(r.subset, r.retention) for r in results if r.retention is not None and r is not evaluation.full]
        if found:
            listed = ", ".join(f"{subset} {100 * kept:.0f}" for subset, kept in found[:_MOST_TOLD])
            more = f" and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
            told.append(f"{name}{f', {fill_name(fill)}' if fill else ''}: {listed}{more}")
    return "; ".join(told)


def accuracy_chart(runs: Sequence[Run], split: str) -> Markup | None:
    """Accuracy on every subset, a dot a run with its interval, beside specialists and naive answers.

    Specialists, those of the first run that was held against some, are open diamonds, naive answers small signs. None
    where no run answered subsets.

    Args:
        runs: in the order that gives them their marks.
        split: of the evaluation.
    """
    from anychan.evaluation.intervals import wilson_interval

    evaluated = [(i, found) for i, run in enumerate(runs) if (found := run.on(split)) and found.has_subsets]
    if not evaluated:
        return None
    rows = subset_rows([evaluation for _, evaluation in evaluated])
    beside = next((one for run in runs for one in run.specialists if one.split == split), None)
    specialists = {row.subset: row for row in beside.rows} if beside else {}
    lines = len(evaluated) + bool(specialists)

    def paint(axes: Axes) -> None:
        for y, (_, subsets) in enumerate(rows):
            for row in (specialists[subset] for subset in subsets if subset in specialists):
                at = y + _shift(0, lines)
                low, high = wilson_interval(round(row.specialist * row.n), row.n)
                axes.plot((100 * low, 100 * high), (at, at), color=INK, linewidth=1.2, solid_capstyle="butt")
                axes.plot(100 * row.specialist, at, "D", color=INK, markerfacecolor=PAPER, markersize=5)
        for place, (index, evaluation) in enumerate(evaluated, bool(specialists)):
            for fill, results in series(evaluation).items():
                found = {r.subset: r for r in results}
                points = [(y, found[s]) for y, (_, subsets) in enumerate(rows) for s in subsets if s in found]
                for y, result in points:
                    at, x = y + _shift(place, lines), 100 * result.accuracy
                    if fill:
                        axes.plot(x, at, _FILL_MARKERS.get(fill, "."), color=colour(index), markersize=6, alpha=0.75)
                        continue
                    bounds = [100 * bound for bound in result.interval]
                    axes.plot(bounds, (at, at), color=colour(index), linewidth=1.2, solid_capstyle="butt")
                    mark = MARKERS[index % len(MARKERS)]
                    axes.plot(x, at, mark, color=colour(index), markersize=6.5, markeredgecolor=PAPER)
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("accuracy, percent")
        axes.grid(visible=False, axis="y")

    told = [f"specialists: {_listed((s, row.specialist) for s, row in specialists.items())}"] if specialists else []
    told += [
        f"{runs[index].name}: {_listed((r.subset, r.accuracy) for r in evaluation.results if not r.fill)}"
        for index, evaluation in evaluated
    ]
    height = 54 + len(rows) * max(16 + 10 * lines, least_height(rows))
    return draw("accuracy", f"Accuracy by channel subset, percent. {'; '.join(told)}", (340, height), paint)


def _shift(place: int, lines: int) -> float:
    """From a row's middle to one of the lines in it."""
    return 0.62 * ((place + 0.5) / lines - 0.5)


def _listed(accuracies: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{subset} {100 * accuracy:.1f}" for subset, accuracy in accuracies)


def curve_chart(run: Run, index: int, quantity: str, limits: tuple[float, float]) -> Markup | None:
    """Training and validation ``quantity`` ("loss" or "accuracy") over epochs; None where there is none."""
    from matplotlib.ticker import MaxNLocator

    percent = 100.0 if quantity == "accuracy" else 1.0
    lines = {part: curve(run.epochs, f"{part}_{quantity}", percent) for part in ("train", "val")}
    if not any(lines.values()):
        return None

    def paint(axes: Axes) -> None:
        for part, style in (("train", "--"), ("val", "-")):
            if lines[part]:
                epochs, values = zip(*lines[part], strict=True)
                marker = "o" if len(values) < 3 else None
                axes.plot(epochs, values, linestyle=style, color=colour(index), marker=marker)
        best = run.record.get("best_epoch")
        if run.record.get("selected") == "best" and best is not None:
            axes.axvline(best, color=FAINT, linewidth=1, linestyle=":")
        axes.set_ylim(limits)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("epoch")
        axes.set_title("loss" if quantity == "loss" else "accuracy, percent")

    ends = [f"{part} {points[-1][1]:.3g} after epoch {points[-1][0]}" for part, points in lines.items() if points]
    return draw(f"{quantity}-{index}", f"{run.name}, {quantity} by epoch: {', '.join(ends)}", (300, 200), paint)


def curve(epochs: Sequence[Epoch], field: str, factor: float = 1.0) -> list[tuple[int, float]]:
    """Epoch and value wherever the value was recorded."""
    return [(e.epoch, factor * getattr(e, field)) for e in epochs if getattr(e, field) is not None]


def curve_limits(run: Run, runs: Sequence[Run], quantity: str) -> tuple[float, float]:
    """The vertical scale of a run's curves: one for all runs, so that they can be held against each other.

    Losses share one only with those of the same objective: to imitate a teacher is measured on another scale.
    """
    if quantity == "loss":
        runs = [other for other in runs if _objective(other) == _objective(run)]
    factor = 100.0 if quantity == "accuracy" else 1.0
    values = [
        value
        for run in runs
        for part in ("train", "val")
        for _, value in curve(run.epochs, f"{part}_{quantity}", factor)
    ]
    return (0.0, 1.08 * max(values, default=1.0) or 1.0)


def _objective(run: Run) -> list[Any]:
    """What a run's training loss is made of."""
    config = filled(run.configuration)
    taught = config.get("objective.teacher") is not None
    return [taught, *(config.get(f"objective.{name}") for name in ("name", "temperature", "label_share", "full_share"))]


def calibration_chart(run: Run, index: int, result: Result) -> Markup | None:
    """Accuracy against confidence, the area of a point telling how many answers it stands for."""
    bins = result.calibration
    if not bins:
        return None
    most = max(b.count for b in bins)

    def paint(axes: Axes) -> None:
        axes.plot((0, 100), (0, 100), color=FAINT, linewidth=1)
        x, y = [100 * b.confidence for b in bins], [100 * b.accuracy for b in bins]
        areas = [6 + 90 * b.count / most for b in bins]
        axes.plot(x, y, color=colour(index), linewidth=1)
        axes.scatter(x, y, areas, color=colour(index), edgecolors=PAPER, zorder=3, clip_on=False)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_aspect("equal")
        axes.set_xlabel("confidence, percent")
        axes.set_title("accuracy, percent")

    points = "; ".join(f"{100 * b.confidence:.0f} %: {100 * b.accuracy:.0f} % of {b.count}" for b in bins)
    label = f"{run.name} on {result.subset}, accuracy by confidence: {points}"
    return draw(f"calibration-{index}", label, (290, 300), paint)


def _points(axes: Axes, points: list[tuple[float, Result]], index: int, full: Result | None) -> None:
    for y, result in points:
        if result is not full:  # of all channels it is known: they are what is kept of
            axes.plot(_interval(result), (y, y), color=colour(index), linewidth=1.2, solid_capstyle="butt")
        marker = MARKERS[index % len(MARKERS)]
        axes.plot(_kept(result), y, marker, color=colour(index), markersize=6.5, markeredgecolor=PAPER)


def _kept(result: Result) -> float:
    return 100 * (result.retention or 0.0)


def _interval(result: Result) -> tuple[float, float]:
    """What is kept at least and at most, in percent, the accuracy on all channels taken as known."""
    scale = _kept(result) / result.accuracy if result.accuracy else 0.0
    low, high = result.interval
    return (scale * low, scale * high)


def _naive_points(axes: Axes, points: list[tuple[float, Result]], index: int, fill: str) -> None:
    marker = _FILL_MARKERS.get(fill, ".")
    for y, result in points:
        axes.plot(_kept(result), y, marker, color=colour(index), markersize=6, alpha=0.75)
