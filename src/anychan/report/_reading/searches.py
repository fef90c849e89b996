"""Searches for settings, as `anychan sweep` recorded them, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anychan.report._reading.commands import Again, search_again
from anychan.report._reading.fields import Fields, read_json

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
    record, name = read_json(path, kind="sweep"), path.resolve().parent.name
    config, hardware = record.child("config"), record.maybe_child("hardware").values
    return Search(
        name=name,
        model=config.text("model"),
        options=config.maybe_child("model_options").values,
        epochs=config.integer("epochs"),
        seed=config.integer("seed"),
        held_out=config.maybe_integer("held_out"),
        trials=tuple(map(_trial, record.children("trials"))),
        processor=str(hardware.get("gpu") or hardware.get("cpu") or ""),
        again=search_again(record, name),
    )


def _trial(trial: Fields) -> Trial:
    accuracy, state = trial.maybe("val_accuracy"), trial.text("state")
    error = str(trial.values.get("error") or "")
    return Trial(
        number=trial.integer("number"),
        chosen=trial.child("settings").values,
        accuracy=accuracy,
        said=error or ("" if accuracy is not None else state),
    )
