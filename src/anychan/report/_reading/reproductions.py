"""Experiments of source documents, as `anychan reproduce` recorded them, read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from anychan._layers import layers_words
from anychan.experiments.recipes import DIRTY, Recipe, alike
from anychan.report._reading.commands import Again, reproduction_again
from anychan.report._reading.fields import Fields, read_json
from anychan.report._reading.pairs import read_pairs
from anychan.report._reading.records import Comparison
from anychan.report._sentences import numbers as fmt
from anychan.report._sentences.trained_where import place, place_words

_RECORD = "*reproduction.json"


@dataclass(frozen=True)
class Figure:
    """One figure of a run by channel subset, in the unit of its source; ``intervals`` are of what was measured."""

    run: str
    name: str
    measured: Mapping[str, float | None]
    reported: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]]
    n: int | None


@dataclass(frozen=True)
class Reproduction:
    """A recipe's runs beside what its source reported.

    ``heading`` and ``how`` say which and how they were made, ``notes`` what failed or was not run, what to beware of,
    and in what ours differ; ``where`` they were trained, or of older records what the record was made on. ``pairs`` are
    each two runs beside one another. ``layers`` has by run the depth of its network and its author's count of
    layers, in words, as far as they are known; ``again`` is how it is made again.
    """

    recipe: str
    fair: bool
    seed: int
    heading: str
    how: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    where: str
    pairs: tuple[Comparison, ...]
    layers: Mapping[str, str]
    again: Again


def records_of_reproductions(path: Path) -> list[Path]:
    """The record that a path is, or those that lie in a folder; none for a run's folder, or where there is none."""
    if path.is_file():
        return [path] if path.match(_RECORD) else []
    return [] if (path / "run.json").is_file() else sorted(path.glob(_RECORD))


def folders_of_its_runs(path: Path) -> set[str]:
    """What the folders of a reproduction's runs are called, which lie beside its record.

    Raises:
        ValueError: see ``read_reproduction``.
    """
    record = read_json(path, kind="reproduction")
    recipe, fair = _recipe(path, record.text("recipe")), record.values.get("fair") is True
    return {recipe.folder_of(name, fair, record.integer("seed")) for name in recipe.names(fair)}


def read_reproductions(paths: Sequence[Path]) -> list[Reproduction]:
    """Read records of reproductions and folders of them; they come by recipe and seed.

    Raises:
        ValueError: if one is given twice, or cannot be read (see ``read_reproduction``).
    """
    files = [file for path in paths for file in records_of_reproductions(path)]
    seen = [file.resolve() for file in files]
    if twice := next((file for i, file in enumerate(files) if seen[i] in seen[:i]), None):
        raise ValueError(f"{twice}: this record is given twice")
    return sorted(map(read_reproduction, files), key=lambda found: (found.recipe, found.fair, found.seed))


def read_reproduction(path: Path) -> Reproduction:
    """Read a reproduction's record.

    Raises:
        ValueError: if it is broken, of another kind or schema, or of a recipe that does not come with anychan.
    """
    record = read_json(path, kind="reproduction")
    name, fair, rows = record.text("recipe"), record.values.get("fair") is True, record.children("rows")
    recipe = _recipe(path, name)
    changed = record.child("changes").values
    changes = {key: _words(value) for key, value in changed.items() if key != "seed"}
    explained = recipe.explained(fair, changed)
    told = ", ".join(f"{key}={value}" for key, value in changes.items())
    heading = f"{name}, {recipe.title} ({recipe.source}){', fair twins' if fair else ''}"
    how = f"all trained {alike(_formats(record))}, on labels" if fair else "trained as the source says"
    note = " ".join(str(record.values.get("note") or "").split())
    return Reproduction(
        recipe=name,
        fair=fair,
        seed=record.integer("seed"),
        heading=heading,
        how=f"{how}, with {told}" if told else how,
        figures=tuple(map(_figure, rows)),
        notes=(*_troubles(record, rows), *_not_run(record, recipe), *([note] if note else []), *explained),
        where=_where(record),
        pairs=tuple(read_pairs(record)),
        layers=_layers(recipe, fair, record),
        again=reproduction_again(record, recipe, heading),
    )


def _layers(recipe: Recipe, fair: bool, record: Fields) -> dict[str, str]:
    """By run its network's depth, which older records do not have, and its author's count."""
    made = record.maybe_child("runs")
    found = {}
    for name in recipe.runs:
        settings = recipe.settings_of(name, fair)
        depth = made.maybe_child(name).maybe_integer("depth")
        found[name] = layers_words(settings["model"], settings.get("model_options"), depth)
    return found


def _formats(record: Fields) -> list[str | None]:
    """The number formats of the runs, None where it is not recorded; of older records none."""
    runs = record.maybe_child("runs").values.values()
    return [record.of(run).maybe_child("trained").values.get("precision") for run in runs]


def _where(record: Fields) -> str:
    """Where the runs were trained; of an older record, which does not say it, what it was made on."""
    places: dict[str, list[str]] = {}
    for name, run in record.maybe_child("runs").values.items():
        trained = record.of(run).maybe_child("trained").values
        where = place(str(trained.get("precision") or ""), str(trained.get("processor") or ""))
        places.setdefault(where, []).append(name)
    if places:
        return place_words(places)
    hardware = record.maybe_child("hardware").values
    processor = hardware.get("gpu") or hardware.get("cpu")
    return f"Recorded on {processor}." if processor else ""


def _figure(row: Fields) -> Figure:
    measured, reported, intervals = row.child("measured"), row.child("reported"), row.maybe_child("intervals")
    return Figure(
        run=row.text("run"),
        name=row.text("figure"),
        measured={subset: _value(measured, subset) for subset in measured.values},
        reported={subset: _value(reported, subset) for subset in reported.values},
        intervals={subset: intervals.interval(subset) for subset in intervals.values},
        n=row.maybe_integer("n"),
    )


def _value(by_subset: Fields, subset: str) -> float | None:
    """A number; a whole one, such as a count of epochs, stays one."""
    value = by_subset.maybe(subset)
    return by_subset.values[subset] if isinstance(by_subset.values[subset], int) else value


def _troubles(record: Fields, rows: Sequence[Fields]) -> list[str]:
    """What failed or could not be measured, each reason once; on what times were; the warnings of runs."""
    said = [f"{run} failed: {error.rstrip('.')}." for run, error in record.child("errors").values.items()]
    made = {row.text("run") for row in rows if row.child("measured").values}
    for reason, names in _by(rows, "missing", lambda run, figure: f"{figure} of {run}" if run in made else run):
        said.append(f"{fmt.listing(names)} {'was' if len(names) == 1 else 'were'} not measured: {reason.rstrip('.')}.")
    said += [f"Measured on {on}: {fmt.listing(names)}." for on, names in _by(rows, "machine", lambda _, figure: figure)]
    said += [f"Beware: {warning}." for warning, _ in _by(rows, "warning", lambda run, _: run)]
    if record.values.get("untested"):
        said.append(f"{record.text('untested')}.")
    runs = record.maybe_child("runs")
    if changed := [name for name in runs.values if runs.child(name).values.get("dirty")]:  # older ones do not say
        said.append(f"{DIRTY}: {fmt.listing(changed)}.")
    if record.values.get("dirty"):
        said.append("Made from a working tree with changes that no commit holds.")
    return said


def _not_run(record: Fields, recipe: Recipe) -> list[str]:
    """Which of the recipe's runs, or of its fair twins, the record does not have."""
    there = {row.text("run") for row in record.children("rows")} | record.child("errors").values.keys()
    lacking = [repr(name) for name in recipe.names(record.values.get("fair") is True) if name not in there]
    return [f"Not run: {fmt.listing(lacking)}."] if lacking else []


def _by(rows: Sequence[Fields], key: str, say: Callable[[str, str], str]) -> list[tuple[str, list[str]]]:
    """What rows hold under a key, each once, with the distinct words for the runs and figures that hold it."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.values.get(key):
            found.setdefault(row.text(key), {})[say(row.text("run"), row.text("figure"))] = None
    return [(text, list(names)) for text, names in found.items()]


def _recipe(path: Path, name: str) -> Recipe:
    """A recipe that comes with anychan."""
    try:
        return Recipe.read(name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _words(value: Any) -> str:
    """A changed setting; of a path its last part."""
    return PurePath(value).name if isinstance(value, str) and "/" in value else str(value)
