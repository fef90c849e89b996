"""Searches for settings: what each trial chose and came to."""

from __future__ import annotations

from typing import Any

from anychan.report._reading.searches import Search
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.runs import share_cell
from anychan.report._tables.table import Cell, Column, Group, Table


def search_table(search: Search) -> Table:
    """What each trial chose and came to, the best first."""
    names = list(dict.fromkeys(name for trial in search.trials for name in trial.chosen))
    best_first = sorted(search.trials, key=lambda trial: -1 if trial.accuracy is None else trial.accuracy, reverse=True)
    troubles = any(trial.said for trial in search.trials)
    columns = (
        Column("trial", "the first is number 0"),
        Column("accuracy", "on the images that the search chooses by, percent"),
        *(Column(name, numeric=False) for name in names),
        *([Column("outcome", numeric=False)] if troubles else []),
    )
    rows = tuple(
        (
            Cell(str(trial.number), sort=trial.number),
            share_cell(trial.accuracy),
            *(_chosen(trial.chosen.get(name)) for name in names),
            *([Cell(trial.said)] if troubles else []),
        )
        for trial in best_first
    )
    images = f"{fmt.count(search.held_out)} images held out of training" if search.held_out else "the validation split"
    epochs = fmt.counted(search.epochs, "epoch")
    options = "".join(f", {name} {value}" for name, value in search.options.items())
    caption = f"{search.name}: {search.model}{options}, {epochs} a trial, percent of {images}, seed {search.seed}."
    caption += f" Recorded on {search.processor}." if search.processor else ""
    return Table(caption, columns, (Group("", rows),))


def _chosen(value: Any) -> Cell:
    if isinstance(value, float):
        return Cell(f"{value:.3g}", sort=value)
    return Cell("" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value))
