"""``reproduce``: a recipe's runs, or their fair twins, beside what the source reported."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anychan._files import replacing
from anychan._lock import alone
from anychan.environment import environment
from anychan.evaluation._folder import record_path
from anychan.experiments._reproduced_pairs import pairs_of, untested
from anychan.experiments._reproduced_rows import empty_rows, facts_of_run, rows_of, rows_of_one, validated_in_training
from anychan.experiments._reproduced_words import how_twins_were_trained
from anychan.experiments.completing import attempt, check_split, is_finished, weights_missing
from anychan.experiments.recipes import Recipe
from anychan.training import TrainConfig

RECORD = "reproduction.json"


def reproduce(
    recipe: Recipe,
    folder: Path | str,
    changes: Mapping[str, Any],
    *,
    runs: Sequence[str] | None = None,
    fair: bool = False,
    weights: Mapping[str, Path | str] | None = None,
) -> dict[str, Any]:
    """Train and evaluate a recipe's runs, those that are not there yet, and put them beside what was reported.

    Args:
        recipe: which.
        folder: where runs go, and ``reproduction.json``.
        changes: settings in place of the recipe's; ``data`` at least.
        runs: only these of the recipe's runs; None: all.
        fair, weights: see `Recipe.configurations`.

    Returns:
        The record, also written to ``<recipe>-seed<seed>-reproduction.json`` in the folder: ``rows``, each a run and a
        figure, with what was ``reported`` and what was ``measured``, by subset. Runs that were there already are in it.
        Accuracies have their Wilson ``intervals`` of 95 %, times and memory the ``machine``. What could not be measured
        says why: ``missing``, such as pretrained weights that cannot be downloaded. ``pairs`` has a test of each two
        runs, and ``untested`` why there is none of some. Of fair twins ``note`` says how they were trained. ``runs``
        says by name how long each took, for how many epochs, on what data, by which commit and on what it was trained,
        and its network's depth.

    Raises:
        ValueError: for a run that the recipe does not have, settings that do not fit, data without a split that a run
            is evaluated on, a run there, asked for or not, with other settings or data than these, or if no run could
            be completed.
        OSError: if the data or a file of weights are not there, or runs cannot be written.
        FileExistsError: if another process is at the folder.
        InterruptedRunError: if it was interrupted; asked again, it goes on.
    """
    folder = Path(folder)
    configs = recipe.configurations(folder, changes, fair, weights)
    if unknown := sorted(set(runs or ()) - configs.keys()):
        same = recipe.left_out.get(unknown[0]) if fair else None
        why = f", since its twin is that of {same!r}" if same else ""
        there = ", ".join(configs)
        raise ValueError(f"recipe {recipe.label(fair)} has no run {unknown[0]!r}{why}; there are {there}")
    with alone(folder, f".{recipe.label(fair)}.lock"):  # other recipes may have their runs beside these
        return _made(recipe, folder, changes, configs, runs=runs, fair=fair)


def _made(
    recipe: Recipe,
    folder: Path,
    changes: Mapping[str, Any],
    configs: Mapping[str, TrainConfig],
    *,
    runs: Sequence[str] | None,
    fair: bool,
) -> dict[str, Any]:
    # All before the first is trained: a run of other settings would be lost from the record, weights that cannot be
    # read would end it, and without a split there would be nothing to put into it.
    there = {name for name, config in configs.items() if is_finished(config)}
    asked = {name: config for name, config in configs.items() if runs is None or name in runs or name in there}
    for name, config in asked.items():
        for split in recipe.splits(name):
            try:
                check_split(config, split)
            except ValueError as none:
                raise ValueError(f"{name}: {none}") from none
    lacking = {name: said for name, config in asked.items() if name not in there and (said := weights_missing(config))}
    rows: list[dict[str, Any]] = []
    runs_made: dict[str, dict[str, Any]] = {}
    errors: dict[str, str] = {}
    for name, config in asked.items():  # what was run before stays in the record
        if name in lacking:
            rows += empty_rows(recipe, name, lacking[name])
            continue
        failed = [
            error
            for split in recipe.splits(name)
            if not (split == "val" and validated_in_training(config))
            and (error := attempt(config, split, cost="all" if split == "test" else "none"))
        ]
        if failed:
            errors[name] = "; ".join(failed)
        if record_path(config.out, "test").is_file() and not failed:
            rows += rows_of(recipe, name, config)
            runs_made[name] = facts_of_run(config)
    if not any(row["measured"] for row in rows):
        first = next(iter([*errors.values(), *lacking.values()]))
        raise ValueError(f"no run could be completed, so nothing is written; the first: {first}")
    rows += rows_of_one(recipe, [row["run"] for row in rows])
    seed = next(iter(configs.values())).seed
    made = {name: configs[name] for name in runs_made}
    apart = untested(made)
    record = {
        "schema": 1,
        "kind": "reproduction",
        "recipe": recipe.name,
        "fair": fair,
        "seed": seed,
        "changes": {name: str(value) if isinstance(value, Path) else value for name, value in changes.items()},
        **environment(),
        **({"note": how_twins_were_trained(recipe, made)} if fair else {}),
        "runs": runs_made,
        "rows": rows,
        "pairs": pairs_of(made),
        **({"untested": apart} if apart else {}),
        "errors": errors,
    }
    with replacing(folder / f"{recipe.label(fair)}-seed{seed}-{RECORD}") as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record
