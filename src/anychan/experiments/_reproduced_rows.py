"""What a run of a recipe came to beside what its source reports of it: a row a figure, in the source's units."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from anychan._records import parts_of, read_run_record, trained_by
from anychan.cost import measure_memory
from anychan.environment import checked_device, hardware
from anychan.evaluation._folder import read_record, record_path, training_conditions
from anychan.evaluation.intervals import wilson_interval
from anychan.experiments._kept import has_new_statistics, kept_epoch
from anychan.experiments._machine import machine_of
from anychan.experiments.completing import is_finished
from anychan.experiments.recipes import VALIDATION, Recipe
from anychan.models.files import WEIGHTS, load_model, read_info
from anychan.training import TrainConfig
from anychan.training.initial import SEEN_BEFORE

# Our measures of what sources report, each with the factor from ours to the reported unit: of an evaluation's row,
_MEASURED = {
    "accuracy": ("accuracy", 100.0),
    "precision": ("precision_macro", 100.0),
    "recall": ("recall_macro", 100.0),
    "f1": ("f1_macro", 100.0),
}
# of the record of the epoch that was kept, with the split that it is of,
_OF_EPOCH = {
    "accuracy (training)": ("train_accuracy", 100.0, "train"),
    "loss (training)": ("train_loss", 1.0, "train"),
    "loss (validation)": ("val_loss", 1.0, "val"),
}
# and of its cost.
_PARAMETERS = {"parameters (K)": 1e3, "parameters (M)": 1e6, "parameters (units of 2^20)": 2**20}
EPOCHS, LATENCY, _MACS = "epochs", "inference_s", "FLOPs (MACs of one image)"
_VALIDATION = " (validation)"
# Two operations a multiply-accumulate, of all images of a batch: "gflops (batch of 64)".
_GFLOPS = re.compile(r"gflops \(batch of (\d+)\)")
_MEMORY = re.compile(r"memory_mb \(training batch of (\d+)\)")


def rows_of(recipe: Recipe, run: str, config: TrainConfig) -> list[dict[str, Any]]:
    """A trained and evaluated run's rows."""
    return [{**_told(recipe, run, figure), **_found(figure, config)} for figure in _figures(recipe, run)]


def empty_rows(recipe: Recipe, run: str, missing: str) -> list[dict[str, Any]]:
    """The rows of a run that could not be made, with the reason."""
    empty: dict[str, Any] = {"n": None, "measured": {}, "missing": missing}
    return [{**_told(recipe, run, figure), **empty} for figure in _figures(recipe, run)]


def rows_of_one(recipe: Recipe, runs: Sequence[str]) -> list[dict[str, Any]]:
    """What was reported of one of several runs, where some of these are there: to be seen beside what each came to."""
    return [
        {"run": " or ".join(one["runs"]), "figure": figure, "reported": dict(values), "n": None, "measured": {}}
        for one in recipe.of_one
        if set(one["runs"]) & set(runs)
        for figure, values in one["reported"].items()
    ]


def facts_of_run(config: TrainConfig) -> dict[str, Any]:
    """How long a run took, for how many epochs, on what data, by which commit, where, and its depth.

    ``dirty`` is whether the commit lacks changes that it was trained with, and ``threads`` how many it had on a CPU;
    None where that is not known. Also the name of the file of ``weights``, where it started from one.
    """
    run, results = read_run_record(config.out), read_record(config.out, "test")["results"]
    told = {name: run.get(name) for name in ("seconds", "epochs", "commit", "dirty")}
    depth = next((row["cost"]["depth"] for row in results if row["cost"] and not row["fill"]), None)
    weights = {"weights": config.pretrained.name} if isinstance(config.pretrained, Path) else {}
    several = {"trained_by": commits} if len(commits := trained_by(run)) > 1 else {}
    trained = training_conditions(run)
    where = {"data": run["data"]["name"], "trained": trained, "threads": _threads(run)}
    return {**told, **several, **where, "depth": depth, **weights}


def _threads(run: Mapping[str, Any]) -> int | None:
    """On how many threads of a CPU a run was trained; None on an accelerator, or where parts of it had other counts."""
    if not str((run.get("machine") or {}).get("device") or "").startswith("cpu"):
        return None
    counts = {(part.get("hardware") or {}).get("threads") for part in parts_of(run)}
    return counts.pop() if len(counts) == 1 else None


def split_of(figure: str) -> str:
    """Of which split a rate or a loss is."""
    if figure in _OF_EPOCH:
        return _OF_EPOCH[figure][2]
    return "val" if figure.endswith(_VALIDATION) else "test"


def _figures(recipe: Recipe, run: str) -> list[str]:
    """The accuracy, and what else was reported."""
    return list(dict.fromkeys(["accuracy", *recipe.reported(run)]))


def _told(recipe: Recipe, run: str, figure: str) -> dict[str, Any]:
    warning = {"warning": SEEN_BEFORE} if recipe.runs[run]["settings"].get("pretrained") else {}
    return {"run": run, "figure": figure, "reported": dict(recipe.reported(run).get(figure, {})), **warning}


def _found(figure: str, config: TrainConfig) -> dict[str, Any]:
    if figure == EPOCHS or figure in _OF_EPOCH:
        return _in_training(figure, config)
    if batch := _MEMORY.fullmatch(figure):
        return _memory(config, int(batch[1]))
    if figure == VALIDATION and not record_path(config.out, "val").is_file():
        return _validated(config)
    results = [row for row in read_record(config.out, split_of(figure))["results"] if not row["fill"]]
    found = {"n": results[0]["n"], "measured": {row["subset"]: _measured(row, figure) for row in results}}
    if figure.startswith("accuracy"):
        found["intervals"] = {row["subset"]: [100 * bound for bound in row["accuracy_interval"]] for row in results}
    if figure == LATENCY and (machines := dict.fromkeys(machine_of(row["cost"]) for row in results if row["cost"])):
        found["machine"] = " and ".join(machines)
    return found


def validated_in_training(config: TrainConfig) -> bool:
    """Whether a run whose weights are elsewhere tells of the epoch that it kept how good that was on validation.

    Not where the model was made another one after training, or images were left out, which may have been of validation.
    """
    if (config.out / WEIGHTS).is_file() or not is_finished(config):
        return False
    changed = has_new_statistics(config.out) or read_run_record(config.out).get("skipped")
    return not changed and kept_epoch(config.out)["val_accuracy"] is not None


def _validated(config: TrainConfig) -> dict[str, Any]:
    """Accuracy on the validation split with all channels, as training measured it of the epoch that was kept."""
    n, share = read_run_record(config.out)["data"]["splits"]["val"], kept_epoch(config.out)["val_accuracy"]
    channels, interval = str(read_info(config.out).channels), wilson_interval(round(share * n), n)
    bounds = [100 * bound for bound in interval]
    return {"n": n, "measured": {channels: 100 * share}, "intervals": {channels: bounds}}


def _in_training(figure: str, config: TrainConfig) -> dict[str, Any]:
    """The epochs that were run; a rate or a loss of the epoch that was kept, of its sampled channels in training."""
    run, channels = read_run_record(config.out), str(read_info(config.out).channels)
    if figure == EPOCHS:
        return {"n": None, "measured": {channels: run["epochs"]}}
    name, factor, split = _OF_EPOCH[figure]
    value = kept_epoch(config.out)[name]
    images = _trained_an_epoch(run) if split == "train" else run["data"]["splits"][split]
    return {"n": images, "measured": {channels: None if value is None else factor * value}}


def _trained_an_epoch(run: Mapping[str, Any]) -> int:
    """How many images an epoch had: those that fill whole steps, which all processes share equally."""
    listed, skipped = run["data"]["splits"]["train"], len(run["skipped"])
    # In earlier records: a split that was evaluated has no broken images, which are left out of training alone.
    images = run.get("training_images", listed - skipped - (run["config"].get("held_out") or 0))
    return int(images - images % min(images, run["config"]["batch_size"]))


def _memory(config: TrainConfig, batch: int) -> dict[str, Any]:
    """The peak of a training step of as many images as the source reports of; the weights' values play no part."""
    info = read_info(config.out)
    model = load_model(config.out)[0] if (config.out / WEIGHTS).is_file() else info.create_annealed()
    try:
        device = checked_device(None if config.device == "auto" else config.device)
        found = measure_memory(model.to(device), info.channels, info.image_size, batch).training_bytes
    except (ValueError, RuntimeError) as error:  # the latter such as a GPU's memory that does not suffice for so many
        return {"n": None, "measured": {}, "missing": " ".join(str(error).split())}
    machine = machine_of({"device": str(device), "hardware": hardware(), "threads": torch.get_num_threads()})
    return {"n": None, "measured": {str(info.channels): found / 1e6}, "machine": machine}


def _measured(row: Mapping[str, Any], figure: str) -> float | None:
    """One of our figures in the unit of the source; None where it was not measured."""
    name, factor = _MEASURED.get(figure.removesuffix(_VALIDATION), ("", 0.0))
    if name:
        return None if row[name] is None else factor * row[name]
    return None if row["cost"] is None else _cost_of(row["cost"], figure)


def _cost_of(cost: Mapping[str, Any], figure: str) -> float:
    if batch := _GFLOPS.fullmatch(figure):
        return 2e-9 * float(cost["macs"]) * int(batch[1])
    if figure == LATENCY:  # of one image alone, as a call in the source
        return float(cost["latency_ms"]["1"]["median"]) / 1000
    if figure == _MACS:
        return int(cost["macs"])
    return float(cost["parameters"]) / _PARAMETERS[figure]
