"""Recipes: experiments of the source documents, each as its page describes it, beside what it reported.

A recipe is a YAML file in ``recipes/``: settings that its runs share, its runs with theirs, test figures that its
source reports of each (rates in percent), and how they differ from ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from anychan._files import replacing
from anychan.environment import environment
from anychan.evaluation._folder import read_record, record_path
from anychan.experiments._lock import alone
from anychan.experiments.completing import attempt, is_finished, weights_missing
from anychan.experiments.settings import configuration, merged
from anychan.training import TrainConfig
from anychan.training.initial import SEEN_BEFORE

RECORD = "reproduction.json"
RECIPES = files("anychan.experiments").joinpath("recipes")
# What a fair twin takes from the recipe: what is compared, and not how it was trained.
_OWN = ("model", "model_options", "strategy", "strategy_options", "channel_sampling", "channel_probability")
# What every fair twin has in their place: `auto` would follow from each run's sampling, and so differ between twins.
_SAME = {"objective.name": "labels", "normalisation.statistics": "shared"}
_DROP = "channel_drop"  # of the augmentation: [001]'s own way to sample channels
# Our measures of what sources report, each with the factor from ours to the reported unit.
_MEASURED = {
    "accuracy": ("accuracy", 100.0),
    "precision": ("precision_macro", 100.0),
    "recall": ("recall_macro", 100.0),
    "f1": ("f1_macro", 100.0),
}
_COSTS = {"macs": "macs", "parameters": "parameters"}
VALIDATION, LATENCY = "accuracy (validation)", "inference_s"
# Two operations a multiply-accumulate, of all images of a batch: "gflops (batch of 64)".
_GFLOPS = re.compile(r"gflops \(batch of (\d+)\)")
_MEBI, _MEMORY = "parameters (units of 2^20)", "memory_mb (training)"


@dataclass(frozen=True)
class Recipe:
    """An experiment of a source document.

    Args:
        name: of its file.
        title, source, note: what it is, where it is from, what is to be said of it.
        settings: what its runs share.
        runs: by name, each with its settings, what was reported of it, and the layers as its author counts them.
        differences: why ours cannot be the reported figures.
    """

    name: str
    title: str
    source: str
    note: str
    settings: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]]
    differences: str = ""

    @classmethod
    def read(cls, name: str) -> Recipe:
        """One that comes with anychan.

        Raises:
            ValueError: for a name there is not.

        Example:
            >>> Recipe.read("002-B").title
            'Three RRDBs'
        """
        if name not in list_recipes():
            raise ValueError(f"unknown recipe {name!r}; there are {', '.join(list_recipes())}")
        told = yaml.safe_load(RECIPES.joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
        return cls(name=name, **told)

    def configurations(
        self,
        folder: Path,
        changes: Mapping[str, Any] | None = None,
        fair: bool = False,
        weights: Mapping[str, Path | str] | None = None,
    ) -> dict[str, TrainConfig]:
        """The runs' settings by name.

        Args:
            folder: where the runs go.
            changes: settings in place of the recipe's, such as ``data`` or fewer ``epochs``.
            fair: train as `anychan train` does by default instead of as the source did, but all on labels, in one pass
                a step, with shared statistics, so that systems can be compared with one another: only network, strategy
                and its sampling are taken from the recipe. Of twins that would be the same run there is the first.
            weights: by run, a file of pretrained weights in place of those that timm downloads.

        Raises:
            ValueError: for weights of a run that takes none, or settings that a run does not have.
        """
        found: dict[str, TrainConfig] = {}
        for name, run in self.runs.items():
            settings = merged(self.settings, run["settings"])
            if fair:
                dropped = settings.get("augmentation", {}).get(_DROP, 0.0)
                settings = {key: value for key, value in settings.items() if key in _OWN}
                settings = merged(settings, _SAME, {f"augmentation.{_DROP}": dropped} if dropped else {})
            file = (weights or {}).get(name) if settings.get("pretrained") else None
            settings = merged(settings, changes or {}, {} if file is None else {"pretrained": str(file)})
            seed = settings.get("seed", 0)
            out = folder / f"{self.label(fair)}-{re.sub('[, ]+', '-', name)}-seed{seed}"
            config = configuration(merged(settings, {"out": str(out)}))
            if not (fair and any(replace(config, out=other.out) == other for other in found.values())):
                found[name] = config
        if unfit := sorted(name for name in weights or () if not (name in found and found[name].pretrained)):
            there = ", ".join(name for name, config in found.items() if config.pretrained) or "none"
            raise ValueError(
                f"recipe {self.label(fair)} has no run {unfit[0]!r} from pretrained weights; there are {there}"
            )
        return found

    @property
    def from_pretrained(self) -> list[str]:
        """The runs that start from pretrained weights."""
        return [name for name, run in self.runs.items() if merged(self.settings, run["settings"]).get("pretrained")]

    def label(self, fair: bool) -> str:
        """What its files are called by."""
        return f"{self.name}-fair" if fair else self.name


def list_recipes() -> list[str]:
    """Names of the recipes that come with anychan, sorted."""
    return sorted(path.name.removesuffix(".yaml") for path in RECIPES.iterdir() if path.name.endswith(".yaml"))


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
        Where a run's pretrained weights cannot be downloaded, nothing is measured, and its rows say so: ``missing``.

    Raises:
        ValueError: for a run that the recipe does not have, settings that do not fit, a run there, asked for or not,
            with other settings or data than these, or if no run could be completed.
        OSError: if the data or a file of weights are not there, or runs cannot be written.
        FileExistsError: if another process is at the folder.
        InterruptedRunError: if it was interrupted; asked again, it goes on.
    """
    folder = Path(folder)
    configs = recipe.configurations(folder, changes, fair, weights)
    unknown = sorted(set(runs or ()) - configs.keys())
    if unknown:
        raise ValueError(f"recipe {recipe.label(fair)} has no run {unknown[0]!r}; there are {', '.join(configs)}")
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
    # All before the first is trained: a run of other settings would be lost from the record, and weights that cannot be
    # read would end it.
    there = {name for name, config in configs.items() if is_finished(config)}
    asked = {name: config for name, config in configs.items() if runs is None or name in runs or name in there}
    lacking = {name: said for name, config in asked.items() if name not in there and (said := weights_missing(config))}
    rows: list[dict[str, Any]] = []
    errors: dict[str, str] = {}
    for name, config in asked.items():  # what was run before stays in the record
        splits = ["test", *(["val"] if VALIDATION in _reported(recipe.runs[name]) else [])]
        if name in lacking:
            rows += _empty_rows(name, recipe.runs[name], lacking[name])
            continue
        failed = [
            error for split in splits if (error := attempt(config, split, cost="all" if split == "test" else "none"))
        ]
        if failed:
            errors[name] = "; ".join(failed)
        if record_path(config.out, "test").is_file() and not failed:
            rows += _rows(name, recipe.runs[name], config.out)
    if not any(row["measured"] for row in rows):
        first = next(iter([*errors.values(), *lacking.values()]))
        raise ValueError(f"no run could be completed, so nothing is written; the first: {first}")
    seed = next(iter(configs.values())).seed
    record = {
        "schema": 1,
        "kind": "reproduction",
        "recipe": recipe.name,
        "fair": fair,
        "seed": seed,
        "changes": {name: str(value) if isinstance(value, Path) else value for name, value in changes.items()},
        **environment(),
        "rows": rows,
        "errors": errors,
    }
    with replacing(folder / f"{recipe.label(fair)}-seed{seed}-{RECORD}") as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def _reported(run: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    """What the source reports of a run, by figure and subset; of most runs something."""
    return run.get("reported", {})


def _rows(name: str, run: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    rows = []
    for figure in _figures(run):
        split = "val" if figure == VALIDATION else "test"
        results = [row for row in read_record(folder, split)["results"] if not row["fill"]]
        measured = {row["subset"]: _measured(row, figure) for row in results}
        told = {**_told(name, run, figure), "n": results[0]["n"]}
        if figure.startswith("accuracy"):
            told["intervals"] = {row["subset"]: [100 * bound for bound in row["accuracy_interval"]] for row in results}
        rows.append({**told, "measured": measured})
    return rows


def _empty_rows(name: str, run: Mapping[str, Any], missing: str) -> list[dict[str, Any]]:
    empty: dict[str, Any] = {"n": None, "measured": {}, "missing": missing}
    return [{**_told(name, run, figure), **empty} for figure in _figures(run)]


def _figures(run: Mapping[str, Any]) -> list[str]:
    """The accuracy, and what else was reported."""
    return list(dict.fromkeys(["accuracy", *_reported(run)]))


def _told(name: str, run: Mapping[str, Any], figure: str) -> dict[str, Any]:
    warning = {"warning": SEEN_BEFORE} if run["settings"].get("pretrained") else {}
    reported = dict(_reported(run).get(figure, {}))
    return {"run": name, "layers": run.get("layers"), "figure": figure, "reported": reported, **warning}


def _measured(row: Mapping[str, Any], figure: str) -> float | None:
    """One of our figures in the unit of the source; None where it was not measured."""
    name, factor = _MEASURED.get(figure.removesuffix(" (validation)"), ("", 0.0))
    if name:
        return None if row[name] is None else factor * row[name]
    return None if row["cost"] is None else _cost_of(row["cost"], figure)


def _cost_of(cost: Mapping[str, Any], figure: str) -> float | None:
    if batch := _GFLOPS.fullmatch(figure):
        return 2e-9 * cost["macs"] * int(batch[1])
    if figure == LATENCY:  # of one image alone, as a call in the source
        return cost["latency_ms"]["1"]["median"] / 1000
    if figure == _MEBI:
        return cost["parameters"] / 2**20
    if figure == _MEMORY:
        found = cost["memory"]["training_bytes"]
        return None if found is None else found / 1e6
    return cost[_COSTS[figure]]


def reproduction_table(record: Mapping[str, Any]) -> str:
    """A reproduction's record as lines for people: of each run and figure what was measured above what was reported."""
    recipe = Recipe.read(record["recipe"])
    subsets = list(dict.fromkeys(subset for row in record["rows"] for subset in row["measured"]))
    rows = [("run", "figure", "", *subsets)]
    rows += [
        (row["run"], row["figure"], whose, *(_short(row[whose].get(subset)) for subset in subsets))
        for row in record["rows"]
        for whose in ("measured", "reported")
        if row[whose]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    failed = [f"{name} failed: {error}" for name, error in record["errors"].items()]
    missing = {row["run"]: row["missing"] for row in record["rows"] if "missing" in row}
    failed += [f"{name} was not run: {said}" for name, said in missing.items()]
    failed += dict.fromkeys(row["warning"] for row in record["rows"] if "warning" in row)
    how = "all trained alike, on labels" if record["fair"] else "trained as its source says"
    changes = ", ".join(f"{name}={value}" for name, value in record["changes"].items())
    images = " and ".join(sorted({f"{row['n']:,}" for row in record["rows"] if row["n"]}))
    title = f"{recipe.name}, {recipe.title} ({recipe.source}), {how}, with {changes}"
    said = f"Rates in percent, of {images} images; seed {record['seed']}; intervals of 95 % (Wilson) are in the record."
    texts = [" ".join(text.split()) for text in (recipe.note, recipe.differences)]
    return "\n".join([title, said, "", *(line.rstrip() for line in lines), "", *failed, *texts])


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}"
