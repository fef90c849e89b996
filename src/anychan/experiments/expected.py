"""What the recipes came to: from committed records into a small file that ships with anychan, and from it to the list.

``recipes/results.json`` is made by `make docs`, as an installed package has no docs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anychan._columns import columns
from anychan._records import read_record
from anychan.experiments.recipes import LEFT_OPEN, RECIPES, Recipe, list_recipes
from anychan.experiments.reproduction import RECORD

RESULTS = "results.json"
# Settings that may be others than the recipe's: what it comes to does not rest on them.
_NEUTRAL = {*LEFT_OPEN} - {"epochs", "image_size"}
_NOTES = [
    "An empty cell: no record yet. Accuracies are percent of the test images of the data named, with 95 % intervals.",
    "Fair twins compare systems with one another: the same networks and stems, all trained as `anychan train` does by",
    "default, but on labels alone; any-channel stems see a random subset a batch (hierarchical sampling) and keep",
    "statistics for each, plain networks see all channels. Runs that differ only in how their source trained or",
    "sampled channels are one twin: v4 of [004] is v2.",
]


def recipes_table() -> str:
    """The recipes with what their runs came to; accuracies in percent, empty where there is no record yet."""
    rows = [("recipe", "what", "command", "time", "accuracy on all channels")]
    for told in list_recipes_with_results():
        expected = told["expected"] or {}
        scores = _scores(expected["runs"]) if expected else ""
        spent = _spent(expected, alone=bool(told["not_run"])) if expected else ""
        name = f"{told['name']}-fair" if told["fair"] else told["name"]
        title = "its fair twins" if told["fair"] else told["title"]
        rows.append((name, title, told["command"], spent, scores))
    return "\n".join([*columns(rows), "", *_NOTES])


def _spent(expected: Mapping[str, Any], alone: bool) -> str:
    """How long training took and on what; of which runs alone, where others would take longer still."""
    of = f" for {' and '.join(expected['runs'])} alone" if alone else ""
    threads = sorted({run["threads"] for run in expected["runs"].values() if run.get("threads")})
    on = f" (threads: {' and '.join(map(str, threads))})" if threads else ""  # older records do not say
    return f"{expected['seconds'] / 3600:.1f} h{of}, {expected['hardware']}{on}"


def _scores(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """The accuracy of each run, and of which data's images they are."""
    data = dict.fromkeys(run["data"] for run in runs.values())
    return f"{'; '.join(_score(name, run) for name, run in runs.items())}, on {' and '.join(data)}"


def _score(name: str, score: Mapping[str, Any]) -> str:
    low, high = (100 * bound for bound in score["interval"])
    return f"{name} {100 * score['accuracy']:.1f} ({low:.1f} to {high:.1f})"


def list_recipes_with_results() -> list[dict[str, Any]]:
    """Each recipe's name, title, source, command, and what is ``expected`` of it by the committed records, or None.

    Behind each stand its ``fair`` twins, with a command and results of their own. ``not_run`` are runs without a
    result, whose time is not in that of ``expected``; those from pretrained weights, which may not be had, aside.

    Example:
        >>> list_recipes_with_results()[0]["command"]
        'anychan reproduce 000-A --data DATA --out runs'
    """
    path = RECIPES.joinpath(RESULTS)
    known = json.loads(path.read_text(encoding="utf-8"))["recipes"] if path.is_file() else {}
    recipes = [Recipe.read(name) for name in list_recipes()]
    return [_told(recipe, fair, known.get(recipe.label(fair))) for recipe in recipes for fair in (False, True)]


def _told(recipe: Recipe, fair: bool, expected: Mapping[str, Any] | None) -> dict[str, Any]:
    """One of the list."""
    there = expected["runs"] if expected else {}
    asked = [run for run in recipe.names(fair) if not recipe.settings_of(run, fair).get("pretrained")]
    return {
        "name": recipe.name,
        "title": recipe.title,
        "source": recipe.source,
        "fair": fair,
        "command": f"anychan reproduce {recipe.name} --data DATA --out runs{' --fair' if fair else ''}",
        "expected": expected,
        "not_run": [run for run in asked if run not in there],
    }


def recipe_results(folder: Path) -> dict[str, Any]:
    """What recipes and their fair twins came to, by the records of `reproduce` (seed 0) in a folder and those below.

    A record of other settings than the recipe's, such as fewer epochs, is none of them, nor is one from before records
    said what was run.

    Args:
        folder: such as docs/records.

    Returns:
        What ships as ``recipes/results.json``: for each recipe of which there is a record ("000-A", its fair twins
        "000-A-fair"), ``seconds`` of training of all its runs there, the ``hardware``, and of each run by name its test
        ``accuracy`` on all channels with its ``interval``, ``n``, ``epochs``, ``data``, ``commit`` and, of newer
        records, ``dirty`` and ``threads``.

    Raises:
        ValueError: for records that cannot be read.
    """
    found = {}
    for path in sorted(folder.glob(f"**/*{RECORD}")):
        record = read_record(path, "reproduction")
        runs = {
            row["run"]: _result(row, record["runs"][row["run"]]) for row in record["rows"] if _is_score(row, record)
        }
        if runs and record["seed"] == 0 and record["changes"].keys() <= _NEUTRAL:
            made = [record["runs"][name] for name in runs]
            hardware = dict.fromkeys(run["trained"]["processor"] or "a processor not recorded" for run in made)
            found[Recipe.read(record["recipe"]).label(record["fair"])] = {
                "seconds": sum(run["seconds"] for run in made),
                "hardware": " and ".join(hardware),
                "runs": runs,
            }
    return {"schema": 1, "kind": "recipes", "recipes": dict(sorted(found.items()))}


def _is_score(row: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a row has a run's accuracy on test."""
    return row["figure"] == "accuracy" and bool(row["measured"]) and row["run"] in record.get("runs", {})


def _result(row: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    full = next(iter(row["measured"]))  # the first is that of all channels
    return {
        "accuracy": row["measured"][full] / 100,
        "interval": [bound / 100 for bound in row["intervals"][full]],
        "n": row["n"],
        **{name: run[name] for name in ("epochs", "seconds", "data", "commit")},
        **{name: run[name] for name in ("dirty", "threads") if name in run},
    }
