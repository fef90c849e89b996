"""The tables of a report, made from records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from anychan.report._reading.pooling import interval_words, seed_words
from anychan.report._reading.records import Evaluation, Result, Run
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.costs import where_measured
from anychan.report._tables.specialists import SPECIALISTS, specialists_rows
from anychan.report._tables.table import Cell, Column, Group, Table

# What the naive answers put in the place of a missing channel; a name not listed stands for itself.
FILLS = {
    "zeros": "black",
    "zeros-rescaled": "black, others rescaled",
    "mean": "its mean",
    "mean-of-present": "mean of those present",
}


MACRO = "macro average over classes, percent, with its 95 % interval (delta method; none where it finds no variance)"


def fill_name(fill: str) -> str:
    """What a naive answer puts in the place of a missing channel, in words."""
    return FILLS.get(fill, fill)


def series(evaluation: Evaluation) -> dict[str, list[Result]]:
    """The results by fill in recorded order, the model's own (fill "") first."""
    found: dict[str, list[Result]] = {"": []}
    for result in evaluation.results:
        found.setdefault(result.fill, []).append(result)
    return {fill: results for fill, results in found.items() if results}


def subset_order(evaluations: Iterable[Evaluation]) -> list[str]:
    """Every subset that was evaluated, larger ones first, else in recorded order."""
    sizes = {r.subset: e.size(r) for e in evaluations for r in e.results}
    return sorted(sizes, key=lambda subset: -sizes[subset])


def overview_table(runs: Sequence[Run], split: str) -> Table:
    """Accuracy of every run, and of its naive answers, on every subset: a row each, a column a subset."""
    evaluated = [(run, evaluation) for run in runs if (evaluation := run.on(split))]
    subsets = subset_order(e for _, e in evaluated)
    specialists = specialists_rows([run for run, _ in evaluated], split, subsets)
    groups = []
    for place, (run, evaluation) in enumerate(evaluated):
        rows = {fill: {r.subset: r for r in results} for fill, results in series(evaluation).items()}
        for kind, fills in ("", [f for f in rows if not f]), ("naive", [f for f in rows if f]):
            if fills:
                cells = (
                    (Cell(fill_name(f) if f else run.name), *(accuracy_cell(rows[f].get(s)) for s in subsets))
                    for f in fills
                )
                groups.append(Group("" if not kind else f"{run.name}, missing channels filled", tuple(cells), kind))
        groups += [Group("", (specialists[place],))] if place in specialists else []
    counted = image_count(e for _, e in evaluated)
    caption = (
        f"Accuracy in percent with its {interval_words(runs)}: {counted} of the {split} split, {seed_words(runs)}."
        f"{f' {SPECIALISTS}' if specialists else ''}"
    )
    return Table(caption, (Column("run", numeric=False), *(Column(s) for s in subsets)), tuple(_joined(groups)))


def _joined(groups: Iterable[Group]) -> list[Group]:
    """Neighbours without a title as one group, whose rows can be sorted."""
    found: list[Group] = []
    for group in groups:
        if found and not (group.title or found[-1].title):
            found[-1] = Group("", (*found[-1].rows, *group.rows))
        else:
            found.append(group)
    return found


def subset_table(run: Run, evaluation: Evaluation) -> Table:
    """Every metric of one run, a row a subset; the naive answers are grouped beneath.

    How long answering took stands there only where no cost was measured, which tells it better.
    """
    costed = any(result.cost for result in evaluation.results)
    timed = not costed and any(result.inference_ms is not None for result in evaluation.results)
    ranked = any(result.top5 is not None for result in evaluation.results)
    columns = (
        Column("channels", numeric=False),
        Column("accuracy", "percent of images named right"),
        Column(
            "95 % interval",
            "interval of the mean accuracy over seeds and images"
            if run.pooled
            else "Wilson score interval of the accuracy over images",
        ),
        *([Column("top 5", "percent of images whose class is among the five likeliest")] if ranked else []),
        Column("precision", MACRO),
        Column("recall", MACRO),
        Column("F1", MACRO),
        Column("ECE", "expected calibration error: mean distance of confidence and accuracy, percentage points"),
        Column("retention", "accuracy on the subset over that on all channels for the same images, percent"),
        *([Column("ms", "milliseconds an image while it was evaluated")] if timed else []),
    )
    groups = [
        Group(
            f"missing channels filled: {fill_name(fill)}" if fill else "",
            tuple(_metrics(r, ranked, timed) for r in results),
            "naive" if fill else "",
        )
        for fill, results in series(evaluation).items()
    ]
    own = [found for one in run.each_seed if (found := one.on(evaluation.split))]
    places = {where_measured(r.device, r.hardware, r.hardware.get("threads")) for found in own for r in found.results}
    gone = [f"{fmt.count(r.left_out)} of {r.subset}" for r in series(evaluation).get("", []) if r.left_out]
    counted = f"{image_count([evaluation])} of the {evaluation.split} split"
    counted += f", of which {fmt.count(evaluation.lacking)} lack some channels" if evaluation.lacking else ""
    on = f"; timed on {' and on '.join(sorted(places))}" if timed else ""
    caption = f"{run.name}: {counted}, {seed_words([run])}{on}."
    if gone:
        caption += f" Images with none of a subset's channels are left out: {fmt.listing(gone)}"
        caption += "; retention is over the accuracy of the same images on all channels."
    return Table(caption, columns, tuple(groups))


def class_table(result: Result) -> Table:
    """Precision, recall and F1 of every class, the ones that are told worst first."""
    columns = (Column("class", numeric=False), *(Column(name) for name in ("images", "precision", "recall", "F1")))
    scores = sorted(result.per_class, key=lambda score: math.inf if score.f1 is None else score.f1)
    rows = tuple(
        (
            Cell(s.name),
            Cell(fmt.count(s.support), sort=s.support),
            share_cell(s.precision),
            share_cell(s.recall),
            share_cell(s.f1),
        )
        for s in scores
    )
    return Table(f"Classes on {result.subset}, in percent, the lowest F1 first.", columns, (Group("", rows),))


def confusion_table(pairs: Sequence[tuple[str, str, int, int]]) -> Table | None:
    """The pairs of classes that are mistaken most: true class, answer, how often, of how many images; None of none."""
    if not pairs:
        return None
    columns = (Column("is", numeric=False), Column("was called", numeric=False), Column("times"), Column("of"))
    rows = tuple((Cell(true), Cell(said), Cell(str(times)), Cell(str(of))) for true, said, times, of in pairs)
    return Table("Most frequent confusions.", columns, (Group("", rows),))


def accuracy_cell(result: Result | None) -> Cell:
    if result is None:
        return Cell("")
    return share_cell(result.accuracy, result.interval)


def _metrics(result: Result, ranked: bool, timed: bool) -> tuple[Cell, ...]:
    return (
        Cell(result.subset),
        share_cell(result.accuracy),
        Cell(fmt.interval(result.interval), sort=result.interval[0]),
        *([share_cell(result.top5)] if ranked else []),
        *macro_cells(result),
        share_cell(result.calibration_error),
        share_cell(result.retention),
        *([Cell(fmt.milliseconds(result.inference_ms), sort=result.inference_ms)] if timed else []),
    )


def macro_cells(result: Result) -> tuple[Cell, ...]:
    """Macro precision, recall and F1, each with its interval where the confusion matrix tells it."""
    intervals = result.macro_intervals
    shares = {"precision": result.precision, "recall": result.recall, "f1": result.f1}
    return tuple(
        Cell(fmt.percent(share), fmt.interval(intervals[name]) if name in intervals else "", share)
        for name, share in shares.items()
    )


def share_cell(share: float | None, interval: tuple[float, float] | None = None) -> Cell:
    return Cell(fmt.percent(share), fmt.interval(interval) if interval else "", share)


def image_count(evaluations: Iterable[Evaluation]) -> str:
    counts = sorted({result.n for evaluation in evaluations for result in evaluation.results})
    return "no images" if not counts else f"n = {' or '.join(fmt.count(n) for n in counts)} images"
