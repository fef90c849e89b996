"""Searches for settings, as `anychan sweep` recorded them: what was tried, and what each trial came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anychan.report import _format as fmt
from anychan.report._again import Again, search_again
from anychan.report._json import Fields, read_json
from anychan.report._table import Cell, Column, Group, Table
from anychan.report._tables import share_cell

SEARCH = "sweep.json"


@dataclass(frozen=True)
class Trial:
    """One run of a search: what it chose, its accuracy on validation; None, and why, where there is none."""

    number: int
    chosen: Mapping[str, Any]
    accuracy: float | None
    said: str


@dataclass(frozen=True)
class Search:
    """A search: of which network with which options, by which images it chose, its trials, what it was recorded on.

    ``held_out`` is how many training images it validated on; None: the validation split. ``again`` is how it is made
    again.
    """

    name: str
    model: str
    options: Mapping[str, Any]
    epochs: int
    seed: int
    held_out: int | None
    trials: tuple[Trial, ...]
    processor: str
    again: Again


def is_search(folder: Path) -> bool:
    """Whether a folder is that of a search."""
    return (folder / SEARCH).is_file()


def read_search(path: Path) -> Search:
    """Read a sweep.json.

    Raises:
        ValueError: if it is broken, or of another kind or schema.
    """
    record = read_json(path, kind="sweep")
    config, hardware = record.child("config"), record.maybe_child("hardware").values
    return Search(
        name=path.parent.name,
        model=config.text("model"),
        options=config.maybe_child("model_options").values,
        epochs=config.integer("epochs"),
        seed=config.integer("seed"),
        held_out=config.maybe_integer("held_out"),
        trials=tuple(map(_trial, record.children("trials"))),
        processor=str(hardware.get("gpu") or hardware.get("cpu") or ""),
        again=search_again(record, path.parent.name),
    )


def search_table(search: Search) -> Table:
    """What each trial chose and came to, the best first."""
    names = list(dict.fromkeys(name for trial in search.trials for name in trial.chosen))
    best_first = sorted(search.trials, key=lambda trial: -1 if trial.accuracy is None else trial.accuracy, reverse=True)
    troubles = any(trial.said for trial in search.trials)
    columns = (
        Column("trial", "the first is number 0"),
        Column("accuracy", "on the images that the search chooses by, percent"),
        *(Column(name, numeric=False) for name in names),
        *([Column("", numeric=False)] if troubles else []),
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


def _trial(trial: Fields) -> Trial:
    accuracy, state = trial.maybe("val_accuracy"), trial.text("state")
    error = str(trial.values.get("error") or "")
    return Trial(
        number=trial.integer("number"),
        chosen=trial.child("settings").values,
        accuracy=accuracy,
        said=error or ("" if accuracy is not None else state),
    )


def _chosen(value: Any) -> Cell:
    if isinstance(value, float):
        return Cell(f"{value:.3g}", sort=value)
    return Cell("" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value))
