"""What the recipes came to: from committed records into a small file that ships with anychan, and from it to the list.

``recipes/results.json`` is made by `make docs`, as an installed package has no docs.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anychan.evaluation._folder import read_record, read_run, record_path
from anychan.experiments.recipes import RECIPES, Recipe, list_recipes
from anychan.training import TrainConfig
from anychan.training.config import differences

RESULTS = "results.json"
_NOTES = [
    "An empty cell: no record yet. Intervals are 95 %; the data are in `--json`.",
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
        scores = "; ".join(_score(name, score) for name, score in expected.get("runs", {}).items())
        spent = f"{expected['seconds'] / 3600:.1f} h, {expected['hardware']}" if expected else ""
        name = f"{told['name']}-fair" if told["fair"] else told["name"]
        title = "its fair twins" if told["fair"] else told["title"]
        rows.append((name, title, told["command"], spent, scores))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *_NOTES])


def _score(name: str, score: Mapping[str, Any]) -> str:
    low, high = (100 * bound for bound in score["interval"])
    return f"{name} {100 * score['accuracy']:.1f} ({low:.1f} to {high:.1f})"


def list_recipes_with_results() -> list[dict[str, Any]]:
    """Each recipe's name, title, source, command, and what was ``expected`` of it by the committed records, or None.

    Behind each stand its ``fair`` twins, with a command and results of their own.

    Example:
        >>> list_recipes_with_results()[0]["command"]
        'anychan reproduce 000-A --data DATA --out runs'
    """
    path = RECIPES.joinpath(RESULTS)
    known = json.loads(path.read_text(encoding="utf-8"))["recipes"] if path.is_file() else {}
    return [
        {
            "name": name,
            "title": recipe.title,
            "source": recipe.source,
            "fair": fair,
            "command": f"anychan reproduce {name} --data DATA --out runs{' --fair' if fair else ''}",
            "expected": known.get(recipe.label(fair)),
        }
        for name in list_recipes()
        for recipe in [Recipe.read(name)]
        for fair in (False, True)
    ]


def recipe_results(folder: Path) -> dict[str, Any]:
    """What recipes and their fair twins came to, by the run folders of `reproduce` (seed 0) in a folder of records.

    A run that is not finished, or that had other settings than the recipe's, such as fewer epochs, is none of them.

    Args:
        folder: such as docs/records.

    Returns:
        What ships as ``recipes/results.json``: for each recipe of which there is a run ("000-A", its fair twins
        "000-A-fair"), ``seconds`` of training of all its runs there, the ``hardware``, and of each run by name its test
        ``accuracy`` on all channels with its ``interval``, ``n``, ``epochs``, ``data`` and ``commit``.

    Raises:
        ValueError: for records that cannot be read.
    """
    found = {}
    for recipe, fair in itertools.product(map(Recipe.read, list_recipes()), (False, True)):
        configs = recipe.configurations(folder, {"data": "any"}, fair)
        runs = {run: told for run, config in configs.items() if (told := _result_of(config))}
        if runs:
            hardware = sorted({told.pop("hardware") for told in runs.values()})
            seconds = sum(told["seconds"] for told in runs.values())
            found[recipe.label(fair)] = {"seconds": seconds, "hardware": " and ".join(hardware), "runs": runs}
    return {"schema": 1, "kind": "recipes", "recipes": found}


def _result_of(config: TrainConfig) -> dict[str, Any] | None:
    folder = config.out
    if not record_path(folder, "test").is_file() or not _is_of(config, run := read_run(folder)):
        return None
    evaluation = read_record(folder, "test")
    row = next(row for row in evaluation["results"] if not row["fill"])  # the first is that of all channels
    return {
        "accuracy": row["accuracy"],
        "interval": row["accuracy_interval"],
        "n": row["n"],
        "epochs": run["epochs"],
        "seconds": run["seconds"],
        "data": run["data"]["name"],
        "commit": run["commit"],
        "hardware": run["hardware"]["gpu"] or run["hardware"]["cpu"],
    }


def _is_of(config: TrainConfig, run: Mapping[str, Any]) -> bool:
    """Whether a run was made by a recipe's settings, to its end; what follows from its data may differ."""
    its = TrainConfig.from_dict(run["config"])
    alike = dataclasses.replace(config, bands=its.bands, skip_broken=its.skip_broken)
    # Where weights lie plays no part, but whether there were any does.
    started_alike = its.initial is None and bool(its.pretrained) == bool(config.pretrained)
    return run["status"] == "finished" and started_alike and not differences(its.to_dict(), alike.to_dict())
