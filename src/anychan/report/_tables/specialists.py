"""The specialists' row of a table of runs: plain networks, each trained for one subset alone."""

from __future__ import annotations

from collections.abc import Sequence

from anychan.report._reading.records import Run, Specialist
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.table import Cell

SPECIALISTS = "Specialists are plain networks, each trained for one subset alone."


def specialists_rows(runs: Sequence[Run], split: str, subsets: Sequence[str]) -> dict[int, tuple[Cell, ...]]:
    """A row for the specialists that runs were compared with, by the place of the first run; those alike share it."""
    found: dict[tuple[Cell, ...], dict[int, str]] = {}
    for place, run in enumerate(runs):
        if cells := _cells(run, split, subsets):
            found.setdefault(cells[1:], {})[place] = f"{run.name}{cells[0].text}"
    return {min(names): (_named(list(names.values())), *cells) for cells, names in found.items()}


def _named(names: Sequence[str]) -> Cell:
    """Two names at most, and how many more: they stand in a column."""
    if len(names) <= 2:
        return Cell(f"specialists of {fmt.listing(names)}")
    return Cell(f"specialists of {names[0]} and {len(names) - 1} more", f"with {fmt.listing(names[1:])}")


def _cells(run: Run, split: str, subsets: Sequence[str]) -> tuple[Cell, ...]:
    """What of the seeds was compared, then the accuracy on each subset; nothing where none was.

    Of several seeds, each with specialists of its own, it is the mean. Its interval is over seeds and images, as that
    of the run, and missing where a record does not say which images a specialist has right. Seeds that were compared
    with none are left out, which the row's name says.
    """
    seeds = run.each_seed
    found = [by_subset for seed in seeds if (by_subset := _by_subset(seed, split))]
    if not found:
        return ()
    some = f" ({len(found)} of {len(seeds)} seeds)" if len(found) < len(seeds) else ""
    return (Cell(some), *(_cell([rows[subset] for rows in found if subset in rows]) for subset in subsets))


def _by_subset(run: Run, split: str) -> dict[str, Specialist]:
    return {row.subset: row for found in run.specialists if found.split == split for row in found.rows}


def _cell(seeds: Sequence[Specialist]) -> Cell:
    if not seeds:
        return Cell("")
    accuracy, interval = sum(row.specialist for row in seeds) / len(seeds), _interval(seeds)
    return Cell(fmt.percent(accuracy), "" if interval is None else fmt.interval(interval), accuracy)


def _interval(seeds: Sequence[Specialist]) -> tuple[float, float] | None:
    from anychan.evaluation.bootstrap import accuracy_interval
    from anychan.evaluation.intervals import wilson_interval
    from anychan.evaluation.predictions import unpack_right

    first = seeds[0]
    if len(seeds) == 1:
        return wilson_interval(round(first.specialist * first.n), first.n)
    if not all(row.right and row.n == first.n for row in seeds):
        return None
    return accuracy_interval([unpack_right(row.right, row.n) for row in seeds])
