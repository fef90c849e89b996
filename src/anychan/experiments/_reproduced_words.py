"""A reproduction's record as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from anychan._columns import columns
from anychan._layers import layers_words
from anychan.evaluation.tables import pairs_table
from anychan.experiments._reproduced_rows import LATENCY, split_of
from anychan.experiments.recipes import DIFFER_IN_MORE, DIRTY, Recipe, alike, decimals

_SPLITS = {"test": "test", "val": "validation", "train": "training"}


def reproduction_table(record: Mapping[str, Any]) -> str:
    """A reproduction's record as lines for people: of each run and figure what was measured above what was reported."""
    recipe = Recipe.read(record["recipe"])
    subsets = list(dict.fromkeys(subset for row in record["rows"] for subset in (*row["measured"], *row["reported"])))
    rows = [("run", "figure", "", *subsets)]
    for row in record["rows"]:
        short = partial(_short, least=decimals(row["reported"]))
        for whose, tell in (("measured", short), ("intervals", _interval), ("reported", short)):
            if row.get(whose):
                label = "95 %" if whose == "intervals" else whose
                rows.append((row["run"], row["figure"], label, *(tell(row[whose].get(subset)) for subset in subsets)))
    formats = [run["trained"]["precision"] for run in record.get("runs", {}).values()]  # older records have none
    how = f"all trained {alike(formats)}, on labels" if record["fair"] else "trained as its source says"
    changes = ", ".join(f"{name}={value}" for name, value in record["changes"].items())
    title = f"{recipe.name}, {recipe.title} ({recipe.source}), {how}, with {changes}"
    said = f"Rates in percent, of {_images(record['rows'])}; seed {record['seed']}; 95 %: Wilson's interval."
    lines = [title, said, "", *columns(rows, left=range(3)), ""]
    if pairs := record.get("pairs"):  # older records have none
        lines += [pairs_table(pairs), *([] if record["fair"] else ["", DIFFER_IN_MORE]), ""]
    return "\n".join([*lines, *_notes(record, recipe)])


def _images(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many images rates are of, by split."""
    said = []
    for split, name in _SPLITS.items():
        counts = sorted({row["n"] for row in rows if row["n"] and split_of(row["figure"]) == split})
        said += [f"{' and '.join(f'{n:,}' for n in counts)} {name} images"] if counts else []
    return ", ".join(said)


def _notes(record: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """What went wrong, where was measured, what to beware of, how runs were trained and why ours must differ."""
    notes = [f"{name} failed: {error}" for name, error in record["errors"].items()]
    there = {row["run"] for row in record["rows"]} | record["errors"].keys()
    if lacking := [repr(name) for name in recipe.names(record["fair"]) if name not in there]:
        notes.append(f"Not run: {', '.join(lacking)}.")
    places: dict[str, list[str]] = {}
    for name, run in record.get("runs", {}).items():
        trained = {key: value or "not recorded" for key, value in run["trained"].items()}
        places.setdefault(f"in {trained['precision']} on {trained['processor']}", []).append(name)
    notes += [f"Trained {place}: {', '.join(names)}." for place, names in places.items()]
    if changed := [name for name, run in record.get("runs", {}).items() if run.get("dirty")]:  # older ones do not say
        notes.append(f"{DIRTY}: {', '.join(changed)}.")
    counted = {name: _layers(recipe, name, record) for name in dict.fromkeys(row["run"] for row in record["rows"])}
    if told := [f"{name} ({words})" for name, words in counted.items() if words]:
        notes.append(f"Layers: {'; '.join(told)}.")
    made = {row["run"] for row in record["rows"] if row["measured"]}
    notes += dict.fromkeys(
        f"{row['figure']} of {row['run']} was not measured: {row['missing']}"
        if row["run"] in made
        else f"{row['run']} was not run: {row['missing']}"
        for row in record["rows"]
        if "missing" in row
    )
    notes += [record["untested"]] if record.get("untested") else []
    notes += _machines(record)
    notes += dict.fromkeys(row["warning"] for row in record["rows"] if "warning" in row)
    if record["fair"]:
        notes.append(record.get("note", "This record is from before fair twins said how they were trained."))
    return [*notes, *recipe.explained(record["fair"], record["changes"])]


def _layers(recipe: Recipe, run: str, record: Mapping[str, Any]) -> str:
    """The depth of a run's network and its author's count of layers, as far as they are known."""
    if run not in recipe.runs:  # one of several
        return ""
    settings = recipe.settings_of(run, record["fair"])
    depth = record.get("runs", {}).get(run, {}).get("depth")  # older records have none
    return layers_words(settings["model"], settings.get("model_options"), depth)


def _machines(record: Mapping[str, Any]) -> list[str]:
    """On which machines times and memory were measured; of older rows the machine of the record is known."""
    figures: dict[str, list[str]] = {}
    for row in record["rows"]:
        if "machine" in row:
            figures.setdefault(f"measured on {row['machine']}", []).append(row["figure"])
        elif row["figure"] == LATENCY and row["measured"]:
            hardware = record["hardware"]
            made_on = hardware["gpu"] or f"{hardware['cpu']} (threads: {hardware['threads']})"
            figures.setdefault(f"the record was made on {made_on}", []).append(row["figure"])
    return [f"{', '.join(dict.fromkeys(of))}: {said}." for said, of in figures.items()]


def _short(value: float | None, least: int) -> str:
    """With as many decimal places at least as its source gives."""
    if value is None:
        return ""
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(least, 2 if abs(value) >= 1 else 4)}f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.1f}-{bounds[1]:.1f}"
