"""Networks beside each other on all their channels: what they reach, and what that costs."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup

from anychan._layers import authors_layers
from anychan._plain import PLAIN
from anychan.report._charts.labels import label_points
from anychan.report._charts.runs import colour
from anychan.report._charts.svg import INK, MARKERS, PAPER, draw
from anychan.report._reading.pooling import interval_words, seed_words
from anychan.report._reading.records import Cost, Result, Run
from anychan.report._reading.source_figures import reported_figures
from anychan.report._sentences import numbers as fmt
from anychan.report._sentences.training_groups import trained_alike
from anychan.report._tables.costs import conditions, latency_cell, memory_cells, memory_columns, where_measured
from anychan.report._tables.pairs import difference_cell
from anychan.report._tables.runs import MACRO, accuracy_cell, image_count, macro_cells, share_cell
from anychan.report._tables.table import Cell, Column, Group, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A run that was evaluated on all channels, what it reached, what that costs.
_Costed = tuple[Run, Result, Cost]
_RESNET34 = ("resnet34", "resnet34_half", "resnet34_small")
_SHALLOW = 6  # weighted layers at most, the brief's limit
_FLIPS = "accuracy of answers from each image with its mirror image; of one run with its 95 % Wilson interval"
REPORTED = "reported"
_LONGEST_LABEL = 46  # characters of an axis's label in a line


def network_table(
    runs: Sequence[Run],
    split: str,
    against: str | None = None,
    notes: Mapping[str, Mapping[str, str]] | None = None,
    minus: str | None = None,
) -> Table:
    """A row for each run, the most accurate first: its metrics on all channels, its depth and its cost.

    Args:
        runs: those without an evaluation of all channels on ``split`` are left out.
        split: of the evaluations.
        against: name of the run whose accuracy the others' are given in percent of; None: no such column.
        notes: further columns beside the depth, and what is reported last: by their label, what stands there for each
            run by its name.
        minus: name of the run that the others' differences are from, with their paired intervals where both answered
            the same images; None: no such column.

    Raises:
        ValueError: if ``against`` or ``minus`` was not evaluated.
    """
    evaluated = _evaluated(runs, split)
    accuracies = {run.name: result.accuracy for run, result in evaluated}
    for name in (against, minus):
        if name is not None and name not in accuracies:
            raise ValueError(f"{name!r} was not evaluated on all channels of {split}")
    reference = accuracies[against] if against else None
    paired = _gaps(runs, split, minus) if minus else []
    costs = [result.cost for _, result in evaluated if result.cost]
    batches = _batches(costs)
    flipped = any(result.flips is not None for _, result in evaluated)
    beside = {label: by for label, by in (notes or {}).items() if label != REPORTED}
    reported = (notes or {}).get(REPORTED, {})
    columns = (
        Column("network", numeric=False),
        Column("accuracy", f"percent of images named right, with its {interval_words([run for run, _ in evaluated])}"),
        *([Column(f"of {against}", f"accuracy in percent of {against}'s")] if against else []),
        *([Column(f"minus {minus}", "percentage points, paired by image, 95 % interval")] if paired else []),
        Column("depth", "weighted layers on the longest path from input to logits"),
        *(Column(label, numeric=all(map(str.isdigit, by.values()))) for label, by in beside.items()),
        Column("parameters"),
        Column("MACs", "multiply-accumulates of one image"),
        *(Column(f"ms, batch of {batch}", "median and quartiles of the latency of a whole batch") for batch in batches),
        *([Column("with flips", _FLIPS)] if flipped else []),
        *memory_columns(costs),
        Column("precision", MACRO),
        Column("recall", MACRO),
        Column("F1", MACRO),
        *([Column(REPORTED, numeric=False)] if reported else []),
    )
    rows = tuple(
        (
            Cell(run.name),
            accuracy_cell(result),
            *([share_cell(result.accuracy / reference if reference else None)] if against else []),
            *([paired[number]] if paired else []),
            *_cost_cells(result.cost, [by.get(run.name, "") for by in beside.values()], batches),
            *([share_cell(result.flips, result.flips_interval)] if flipped else []),
            *(memory_cells(result.cost, costs) if result.cost else [Cell("")] * len(memory_columns(costs))),
            *macro_cells(result),
            *([Cell(reported.get(run.name, ""))] if reported else []),
        )
        for number, (run, result) in sorted(enumerate(evaluated), key=lambda one: -one[1][1].accuracy)
    )
    counted = image_count(evaluation for run, _ in evaluated if (evaluation := run.on(split)))
    cost = f" Cost{conditions(costs)}." if costs else ""
    shown = seed_words([run for run, _ in evaluated])
    elsewhere = " What sources report is of other images." if reported else ""
    caption = f"All channels, in percent: {counted} of the {split} split, {shown}.{cost}{elsewhere}"
    return Table(caption, columns, (Group("", rows),))


def _gaps(runs: Sequence[Run], split: str, against: str) -> list[Cell]:
    """Each run less the one held against, in their order; empty where their answers cannot be paired."""
    evaluated = _evaluated(runs, split)
    base_run, base = next((run, result) for run, result in evaluated if run.name == against)
    cells = []
    for run, result in evaluated:
        gap = None if run is base_run or _images(run, split) != _images(base_run, split) else _gap(result, base)
        cells.append(Cell("") if gap is None else difference_cell(*gap))
    return cells


def _images(run: Run, split: str) -> str | None:
    evaluation = run.on(split)
    return ((evaluation.data.get("fingerprints") or {}).get(split)) if evaluation else None


def _gap(one: Result, base: Result) -> tuple[float, tuple[float, float]] | None:
    """The difference of two runs, or of as many seeds of both, and its interval."""
    from anychan.evaluation.bootstrap import paired_interval
    from anychan.evaluation.paired import Paired
    from anychan.evaluation.predictions import unpack_right

    rights = [[unpack_right(bits, r.n) for bits in (r.rights or (r.right,)) if bits] for r in (one, base)]
    if not rights[0] or not rights[1] or len(rights[0]) != len(rights[1]) or one.n != base.n:
        return None
    if (one.left_out or base.left_out) and one.subset != base.subset:  # then each left out others
        return None
    if len(rights[0]) == 1:
        paired = Paired.of(rights[0][0], rights[1][0])
        return paired.difference, paired.interval
    differences = [a.astype(float) - b for a, b in zip(*rights, strict=True)]
    return one.accuracy - base.accuracy, paired_interval(differences)


def baseline(runs: Sequence[Run], split: str) -> str | None:
    """The run that networks are held against: a plain ResNet34, where one was evaluated."""
    return next((run.name for run, _ in _evaluated(runs, split) if _is_resnet34(run)), None)


def strongest(runs: Sequence[Run], split: str) -> str | None:
    """The most accurate plain ResNet34, of whichever stem; None where none was evaluated."""
    found = [(run, result) for run, result in _evaluated(runs, split) if _is_deep(run)]
    return max(found, key=lambda one: one[1].accuracy)[0].name if found else None


def _is_deep(run: Run) -> bool:
    return run.configuration.get("model") in _RESNET34 and _is_plain(run)


def _is_resnet34(run: Run) -> bool:
    return run.configuration.get("model") == "resnet34" and _is_plain(run)


def _is_plain(run: Run) -> bool:
    return bool(run.configuration.get("strategy", PLAIN) == PLAIN)


def are_networks(runs: Sequence[Run], split: str) -> bool:
    """Whether these are different networks whose cost was measured, and not one network with several stems."""
    return len({_network(run) for run, result in _evaluated(runs, split) if result.cost}) > 1


def without_other_stems(runs: Sequence[Run], split: str) -> list[Run]:
    """Of each network its runs with an ordinary stem, or the first where none has one, in their order."""
    of_each: dict[str, list[Run]] = {}
    for run, _ in _evaluated(runs, split):
        of_each.setdefault(_network(run), []).append(run)
    chosen = {id(run) for of in of_each.values() for run in [one for one in of if _is_plain(one)] or of[:1]}
    return [run for run in runs if id(run) in chosen]


def _network(run: Run) -> str:
    """What tells a network from others: its name and options, and not its stem."""
    return f"{run.architecture} {run.configuration.get('model_options')}"


def shallow_words(runs: Sequence[Run], split: str) -> str:
    """The best network of at most six layers beside the best plain ResNet34 that was trained alike, in a sentence.

    "" where there is none.
    """
    pairs = [pair for _, alike in trained_alike(runs) if (pair := _shallow_and_deep(alike, split))]
    if not pairs:
        return ""
    (best, found, cost), (against, base, of_base), several = max(pairs, key=lambda pair: pair[0][1].accuracy)
    gap = _gap(found, base) if _images(best, split) == _images(against, split) else None
    paired = "" if gap is None else f" ({' to '.join(map(fmt.difference, gap[1]))}, paired by image)"
    return (
        f"Of networks of at most {_SHALLOW} layers, trained for as many epochs on the same images as a ResNet34, "
        f"{best.name} is most accurate: {fmt.percent(found.accuracy)} % with {fmt.scaled(cost.parameters)} parameters "
        f"and {fmt.scaled(cost.macs)} MACs, {fmt.difference(found.accuracy - base.accuracy)} points{paired} beside "
        f"{against.name}, {'the best' if several else 'a'} ResNet34 with {fmt.scaled(of_base.parameters)} and "
        f"{fmt.scaled(of_base.macs)}."
    )


@dataclass(frozen=True)
class AgainstResNet34:
    """Networks of at most six layers, the best of each depth, and every ResNet34 that was trained alike.

    Args:
        how: they were trained, in words.
        against: the name of the best ResNet34, and its ``macs``.
        rows: each with what it reached, what that costs, and its difference from that one with its interval; None for
            that one itself, and where answers cannot be paired. By depth, the most accurate first.
    """

    how: str
    against: str
    macs: int
    rows: tuple[tuple[Run, Result, Cost, tuple[float, tuple[float, float]] | None], ...]


def against_resnet34(runs: Sequence[Run], split: str) -> AgainstResNet34 | None:
    """Of the runs trained alike that have the best shallow network beside a ResNet34; None where there are none."""
    pairs = [(how, alike, pair) for how, alike in trained_alike(runs) if (pair := _shallow_and_deep(alike, split))]
    if not pairs:
        return None
    how, alike, (_, (best, base, of_base), _) = max(pairs, key=lambda found: found[2][0][1].accuracy)
    costed = [(run, result, result.cost) for run, result in _evaluated(alike, split) if result.cost]
    by_depth: dict[int, _Costed] = {}
    for one in sorted(costed, key=lambda one: -one[1].accuracy):
        if one[2].depth is not None and one[2].depth <= _SHALLOW:
            by_depth.setdefault(one[2].depth, one)
    deep = [one for one in costed if _is_deep(one[0])]
    shown = [by_depth[depth] for depth in sorted(by_depth)] + sorted(deep, key=lambda one: -one[1].accuracy)
    gaps = [
        None if run is best or _images(run, split) != _images(best, split) else _gap(result, base)
        for run, result, _ in shown
    ]
    assert of_base.macs is not None
    rows = tuple((*one, gap) for one, gap in zip(shown, gaps, strict=True))
    return AgainstResNet34(how, best.name, of_base.macs, rows)


def _shallow_and_deep(runs: Sequence[Run], split: str) -> tuple[_Costed, _Costed, bool] | None:
    """The best shallow network and the best ResNet34 of runs, and whether there are several of these."""
    costed = [(run, result, result.cost) for run, result in _evaluated(runs, split) if result.cost]
    deep = [one for one in costed if _is_deep(one[0])]
    shallow = [one for one in costed if (one[2].depth or _SHALLOW + 1) <= _SHALLOW]
    if not deep or not shallow:
        return None
    best, against = (max(found, key=lambda one: one[1].accuracy) for found in (shallow, deep))
    return best, against, len(deep) > 1


def authors_notes(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    """Columns of the layers as authors count them, where these are not the depth of all, and of what sources report."""
    counts = authors_counts(runs)
    others = any(counts.get(run.name, str(_depth(run))) != str(_depth(run)) for run in runs)
    notes = {"author's layers": counts if others else {}, REPORTED: reported_figures(runs)}
    return {label: by_run for label, by_run in notes.items() if by_run}


def authors_counts(runs: Sequence[Run]) -> dict[str, str]:
    """As how many layers the author of a network counts it, by the run's name."""
    found = {}
    for run in runs:
        options = run.configuration.get("model_options")
        found[run.name] = authors_layers(run.architecture, options, _depth(run))
    return {name: str(layers) for name, layers in found.items() if layers is not None}


def _depth(run: Run) -> int | None:
    return next((cost.depth for one in run.evaluations.values() if one.full and (cost := one.full.cost)), None)


def front_charts(runs: Sequence[Run], split: str, shown: Sequence[Run] | None = None) -> dict[str, Markup]:
    """Charts of accuracy on all channels against depth, parameters, MACs and latency by batch, a point a run.

    A line joins the runs that no other is both cheaper and better than. ``shown`` are those to draw, None for all; each
    has the colour of its place among all. A chart of latency shows those timed where most were, and says so.
    """
    drawn = [(index, run) for index, run in enumerate(runs) if shown is None or any(run is one for one in shown)]
    points = [(index, run, result) for index, run in drawn for _, result in _evaluated([run], split)]
    measured = [(index, run, result, result.cost) for index, run, result in points if result.cost]
    quantities: list[tuple[str, str, Callable[[Cost], float | None]]] = [
        ("depth", "depth, weighted layers", lambda cost: cost.depth),
        ("parameters", "parameters, millions", lambda cost: _scaled(cost.parameters, 1e6)),
        ("macs", "MACs of one image, millions", lambda cost: _scaled(cost.macs, 1e6)),
        *(
            ("latency" if batch == 1 else f"latency-{batch}", f"ms, batch of {batch}", partial(_median, batch=batch))
            for batch in _batches([cost for _, _, _, cost in measured])
        ),
    ]
    charts = {}
    for name, label, value in quantities:
        drawable = [(index, run.name, x, result, cost) for index, run, result, cost in measured if (x := value(cost))]
        if not drawable:
            continue
        where = ""
        if name.startswith("latency"):
            where = Counter(_timed_on(cost) for *_, cost in drawable).most_common(1)[0][0]
            drawable = [one for one in drawable if _timed_on(one[-1]) == where]
        known = [(index, run, x, result) for index, run, x, result, _ in drawable]
        charts[name] = _front_chart(name, f"{label}, on {where}" if where else label, known)
    return charts


def _timed_on(cost: Cost) -> str:
    return where_measured(cost.device, cost.hardware, cost.threads)


def _front_chart(name: str, label: str, known: Sequence[tuple[int, str, float, Result]]) -> Markup:
    front: list[tuple[float, float]] = []
    for _, _, cost, result in sorted(known, key=lambda point: (point[2], -point[3].accuracy)):
        if not front or 100 * result.accuracy > front[-1][1]:
            front.append((cost, 100 * result.accuracy))

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import LogLocator, NullLocator

        axes.plot(*zip(*front, strict=True), color=INK, linewidth=0.8, zorder=1)
        for index, _, cost, result in known:
            low, high = (100 * bound for bound in result.interval)
            axes.plot((cost, cost), (low, high), color=colour(index), linewidth=1.2, zorder=2)
            marker = MARKERS[index // 6 % len(MARKERS)]
            axes.plot(cost, 100 * result.accuracy, marker, color=colour(index), markeredgecolor=PAPER, markersize=6.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 4, 6) if name == "depth" else (1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.18)
        axes.set_xlabel(textwrap.fill(label, _LONGEST_LABEL))
        axes.set_title(f"accuracy, percent{f' (names without {left})' if left else ''}")
        points = [(cost, 100 * result.accuracy) for _, _, cost, result in known]
        bars = [[(cost, 100 * bound) for bound in result.interval] for _, _, cost, result in known]
        label_points(axes, names, points, [front, *bars])

    names, left = _without_what_most_share([run for _, run, _, _ in known])
    told = "; ".join(f"{run} {100 * result.accuracy:.1f} % at {cost:.3g}" for _, run, cost, result in known)
    return draw(f"front-{name}", f"Accuracy against {label}: {told}", (340, 280), paint)


def _without_what_most_share(names: Sequence[str]) -> tuple[list[str], str]:
    """Names without a first word, such as "network-", that most of them have, and that word; "" where none is shared.

    Example:
        >>> _without_what_most_share(["network-wide6", "network-wide4", "small"])
        (['wide6', 'wide4', 'small'], 'network-')
    """
    first, count = Counter(name[: name.find("-") + 1] for name in names).most_common(1)[0]
    short = [name.removeprefix(first) for name in names]
    if not first or 2 * count <= len(names) or len({*short}) < len(names) or not all(short):
        return list(names), ""
    return short, first


def _evaluated(runs: Sequence[Run], split: str) -> list[tuple[Run, Result]]:
    return [(run, full) for run in runs if (evaluation := run.on(split)) and (full := evaluation.full)]


def _cost_cells(cost: Cost | None, notes: Sequence[str], batches: Sequence[int]) -> tuple[Cell, ...]:
    """The depth, with what stands beside it, and what a network costs."""
    if cost is None:
        return (Cell(""), *map(Cell, notes), *(Cell(""),) * (2 + len(batches)))
    return (
        Cell(fmt.count(cost.depth), sort=cost.depth),
        *map(Cell, notes),
        Cell(fmt.scaled(cost.parameters), sort=cost.parameters),
        Cell(fmt.scaled(cost.macs), sort=cost.macs),
        *(latency_cell(cost.latency.get(batch)) for batch in batches),
    )


def _batches(costs: Sequence[Cost]) -> list[int]:
    """The sizes of batches that were timed."""
    return sorted({batch for cost in costs for batch in cost.latency})


def _median(cost: Cost, batch: int) -> float | None:
    return cost.latency[batch].median if batch in cost.latency else None


def _scaled(number: int | None, unit: float) -> float | None:
    return None if number is None else number / unit
