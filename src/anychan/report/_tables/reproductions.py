"""Experiments of source documents: what was measured above what was reported."""

from __future__ import annotations

from collections.abc import Sequence

from anychan.experiments.recipes import DIFFER_IN_MORE, decimals
from anychan.report._reading.reproductions import Figure, Reproduction
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.pairs import table_of_comparisons
from anychan.report._tables.table import Cell, Column, Group, Table

_RATES = ("accuracy", "precision", "recall", "f1", "loss")


def reproduction_tables(found: Reproduction) -> list[Table]:
    """What was measured above what was reported and, where there are several, each two runs beside one another."""
    note = "" if found.fair else DIFFER_IN_MORE
    return [_beside_reported(found), *([table_of_comparisons(found.pairs, note)] if found.pairs else [])]


def _beside_reported(found: Reproduction) -> Table:
    """Two rows a figure; an empty cell was not measured or not reported."""
    subsets = list(dict.fromkeys(s for f in found.figures for by_subset in (f.measured, f.reported) for s in by_subset))
    runs = list(dict.fromkeys(figure.run for figure in found.figures))
    groups = [
        Group(
            f"{run} ({layers})" if (layers := found.layers.get(run)) else run,
            tuple(row for f in found.figures if f.run == run for row in _rows(f, subsets)),
        )
        for run in runs
    ]
    sure = ", accuracies with their 95 % Wilson interval" if any(figure.intervals for figure in found.figures) else ""
    images = _images(found.figures)
    of = f", of {fmt.listing(images)} images" if images else ""
    caption = f"{found.recipe}, {found.how}: rates in percent{sure}{of}, seed {found.seed}."
    caption += f" {found.where}" if found.where else ""
    return Table(caption, (Column("figure", numeric=False), *(Column(subset) for subset in subsets)), tuple(groups))


def _rows(figure: Figure, subsets: Sequence[str]) -> list[tuple[Cell, ...]]:
    least = decimals(figure.reported)
    measured = [_cell(figure.measured.get(subset), least, figure.intervals.get(subset)) for subset in subsets]
    reported = [_cell(figure.reported.get(subset), least) for subset in subsets]
    return [
        *([(Cell(f"{figure.name}, measured"), *measured)] if figure.measured else []),
        *([(Cell(f"{figure.name}, reported"), *reported)] if figure.reported else []),
    ]


def _images(figures: Sequence[Figure]) -> list[str]:
    """How many images of which split rates are of, which "accuracy (validation)" says in its name."""
    named = [(figure.n, *figure.name.removesuffix(")").partition(" (")) for figure in figures if figure.measured]
    counts = dict.fromkeys((n, split or "test") for n, rate, _, split in named if n and rate in _RATES)
    return [f"{fmt.count(n)} {split}" for n, split in counts]


def _cell(value: float | None, least: int, bounds: tuple[float, float] | None = None) -> Cell:
    """With as many decimal places at least as its source gives."""
    if value is None:
        return Cell("")
    whole = isinstance(value, int) or abs(value) >= 1000
    text = fmt.count(round(value)) if whole else f"{value:.{max(least, 2 if abs(value) >= 1 else 4)}f}"
    return Cell(text, "–".join(f"{bound:.1f}" for bound in bounds or ()), value)
