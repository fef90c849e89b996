"""``reproduce``: a recipe's runs, or their fair twins, beside what the source reported."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anychan._lock import alone
from anychan._records import write_record
from anychan.data.augment_config import AugmentationConfig
from anychan.environment import environment
from anychan.evaluation._folder import record_path
from anychan.experiments._reproduced_pairs import pairs_of, untested
from anychan.experiments._reproduced_rows import empty_rows, facts_of_run, rows_of, rows_of_one, validated_in_training
from anychan.experiments.completing import attempt, check_answers, check_split, is_finished, weights_missing
from anychan.experiments.recipes import Recipe, alike
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
            is evaluated on, a run there, asked for or not, with other settings or data than these or with answers of
            another model or other images, or if no run could be completed.
        OSError: if the data or a file of weights are not there, or runs cannot be written.
        FileExistsError: if another process is at the folder.
        InterruptedRunError: if it was interrupted; asked again, it goes on.
    """
    folder = Path(folder)
    configs = recipe.configurations(folder, changes, fair, weights)
    if runs is not None and not runs:
        raise ValueError(f"no run of recipe {recipe.label(fair)} is named; there are {', '.join(configs)}")
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
    # All before the first is trained: a run of other settings or other answers would be lost from the record, weights
    # that cannot be read would end it, and without a split there would be nothing to put into it.
    there = {name for name, config in configs.items() if is_finished(config)}
    for name in there:
        for split in recipe.splits(name):
            check_answers(configs[name], split)
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
        "recipe": recipe.name,
        "fair": fair,
        "seed": seed,
        "changes": {name: str(value) if isinstance(value, Path) else value for name, value in changes.items()},
        **environment(),
        **({"note": _how_twins_were_trained(recipe, made, runs_made)} if fair else {}),
        "runs": runs_made,
        "rows": rows,
        "pairs": pairs_of(made),
        **({"untested": apart} if apart else {}),
        "errors": errors,
    }
    return write_record(folder / f"{recipe.label(fair)}-seed{seed}-{RECORD}", "reproduction", record)


def _how_twins_were_trained(
    recipe: Recipe, configs: Mapping[str, TrainConfig], facts: Mapping[str, Mapping[str, Any]]
) -> str:
    """How these fair twins were trained, which is not as their source says."""
    but = alike(run["trained"]["precision"] for run in facts.values())
    one = next(iter(configs.values()))  # as good as any, but for its channels
    optimizer, schedule = one.optimizer, one.schedule
    off = dataclasses.asdict(AugmentationConfig())
    augmentation = ", ".join(
        f"{name} {value}" for name, value in dataclasses.asdict(one.augmentation).items() if value != off[name]
    )
    settings = [
        f"epochs {one.epochs}",
        f"images of {one.image_size}x{one.image_size} in batches of {one.batch_size}",
        f"{optimizer.name} at {optimizer.rate:g} with a decay of {optimizer.decay:g}",
        f"schedule {schedule.name}, warmup_epochs {schedule.warmup_epochs:g}",
        f"label_smoothing {one.label_smoothing:g}",
        "no early stopping" if one.early_stopping.patience is None else "early stopping",
        f"augmentation {augmentation or 'none'}",
        f"objective {one.objective.name}",
    ]
    channels: dict[str, list[str]] = {}
    for name, config in configs.items():
        how = f"channel sampling {config.channel_sampling}, statistics {config.normalisation.statistics}"
        channels.setdefault(how, []).append(name)
    said = [
        f"Fair twins are not trained as their source says, but {but}: {'; '.join(settings)}.",
        *(f"{', '.join(map(repr, names))}: {how}." for how, names in channels.items()),
        *(f"{name!r} is not run: its twin is that of {same!r}." for name, same in recipe.left_out.items()),
        "What was reported is of the source's own training and image size.",
    ]
    return " ".join(said)
