"""What source documents report of the networks that runs have: from the recipes, to stand beside what ours reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anychan._plain import PLAIN
from anychan.experiments.recipes import VALIDATION, Recipe, list_recipes
from anychan.report._reading.records import Run
from anychan.report._sentences import numbers as fmt


def reported_figures(runs: Sequence[Run]) -> dict[str, str]:
    """Accuracy on all channels, trained from scratch, and parameters, by the run's name; of those with a plain stem.

    Parameters do not depend on weights: a source may have them beside its pretrained network only, which is said.
    """
    recipes = [Recipe.read(name) for name in list_recipes()]
    found = {run.name: [told for recipe in recipes if (told := _told(recipe, run))] for run in runs}
    return {name: "; ".join(told) for name, told in found.items() if told}


def _told(recipe: Recipe, run: Run) -> str:
    """What a recipe's source reports of a run's network; "" for nothing."""
    own = _network(run.configuration)
    same = [name for name in recipe.runs if own is not None and _network(recipe.settings_of(name)) == own]
    scratch = [name for name in same if name not in recipe.from_pretrained]
    pretrained = [name for name in same if name in recipe.from_pretrained]
    said = []
    if (accuracy := _figure(recipe, scratch, "accuracy")) is not None:
        said.append(f"{accuracy:.1f} %")
    elif (accuracy := _figure(recipe, scratch, VALIDATION)) is not None:
        said.append(f"{accuracy:.1f} % on validation")
    for runs, where in ((scratch, ""), (pretrained, " in its pretrained row")):
        parameters = [
            scale * value
            for unit, scale in (("K", 1e3), ("M", 1e6))
            if (value := _figure(recipe, runs, f"parameters ({unit})")) is not None
        ]
        if parameters:
            said.append(f"{fmt.scaled(parameters[0])} parameters{where}")
            break
    return f"{', '.join(said)} ({recipe.source})" if said else ""


def _network(settings: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What tells a network from others; None of one with an any-channel stem."""
    plain = settings.get("strategy", PLAIN) == PLAIN
    return (settings.get("model"), settings.get("model_options") or {}) if plain else None


def _figure(recipe: Recipe, runs: Sequence[str], name: str) -> float | None:
    """The first that is reported, of all channels, which stand first."""
    return next((value for run in runs for value in recipe.reported(run).get(name, {}).values()), None)
