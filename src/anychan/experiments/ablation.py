"""``ablate``: one recipe and changes to it, a run each, compared with the recipe image by image."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from anychan._files import replacing
from anychan.environment import environment
from anychan.evaluation._folder import read_record
from anychan.evaluation.bootstrap import DRAWS, paired_bootstrap
from anychan.evaluation.paired import NOT_DISTINGUISHABLE
from anychan.evaluation.predictions import unpack_right
from anychan.experiments.completing import complete
from anychan.experiments.settings import configuration, merged
from anychan.training import InterruptedRunError, TrainConfig, TrainingStoppedError

BASE, RECORD = "base", "ablation.json"


@dataclass(frozen=True)
class Ablation:
    """A recipe, and changes to it.

    Args:
        base: settings of `anychan train`, by their names, in groups or dotted.
        changes: by a name, the settings that differ.
        title: what is asked.
        seeds: each is a run of the base and of every change.
        split: what the runs are compared on: "val", or where images are held out of training for it these.

    Raises:
        ValueError: if there is nothing to change, two names give one folder, or settings are wrong.

    Example:
        >>> base = {"data": "photographs.zip", "model": "wide6"}
        >>> ablation = Ablation(base, {"narrow": {"model_options.width": 32}}, seeds=(0, 1))
        >>> [(name, seed, config.model_options) for name, seed, config in ablation.runs(Path("runs"))]
        [('base', 0, {}), ('narrow', 0, {'width': 32}), ('base', 1, {}), ('narrow', 1, {'width': 32})]
    """

    base: Mapping[str, Any]
    changes: Mapping[str, Mapping[str, Any]]
    title: str = ""
    seeds: Sequence[int] = (0,)
    split: str = "val"

    def __post_init__(self) -> None:
        if not self.changes or not self.seeds:
            raise ValueError("an ablation needs changes and seeds, one of each at least")
        names = [_folder_name(name) for name in (BASE, *self.changes)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two changes would lie in one folder, {twice[0]!r}: give them other names")
        list(self.runs(Path("unused")))  # settings that are wrong are refused before the first run

    @classmethod
    def read(cls, path: Path, **settings: Any) -> Ablation:
        """From a YAML file with ``base``, ``changes`` or ``grid`` (values for each setting, all combined), and more.

        Args:
            path: the file.
            **settings: of the base, in place of the file's; and ``seeds``.

        Raises:
            FileNotFoundError: if it is not there.
            ValueError: if it is no YAML, or no ablation.
        """
        try:
            told = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is no YAML: {error}") from error
        known = {"title", "base", "changes", "grid", "seeds", "split"}
        if (
            not isinstance(told, Mapping)
            or not {"base"} <= told.keys() <= known
            or ("changes" in told) == ("grid" in told)
        ):
            raise ValueError(
                f"{path} is no ablation: it should have base, changes or grid, and may have title, seeds, split"
            )
        told = dict(told)
        if "grid" in told:
            told["changes"] = dict(_combined(told.pop("grid")))
        seeds = settings.pop("seeds", None)
        told["base"] = merged(told["base"], settings)
        return cls(**(told if seeds is None else {**told, "seeds": seeds}))

    def runs(self, folder: Path) -> Iterable[tuple[str, int, TrainConfig]]:
        """Each run's change, seed and configuration, the base first of every seed."""
        for seed in self.seeds:
            for name, change in ((BASE, {}), *self.changes.items()):
                place = {"out": str(folder / f"{_folder_name(name)}-seed{seed}"), "seed": seed}
                try:
                    yield name, seed, configuration(merged(self.base, change, place))
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error


def ablate(ablation: Ablation, folder: Path | str) -> dict[str, Any]:
    """Run what is not there yet, and compare every change with the base.

    Asked again, it goes on where it was interrupted, in the middle of a run too. A run that fails is noted, and the
    rest is finished.

    Args:
        ablation: what to run.
        folder: where the runs lie, and ``ablation.json``.

    Returns:
        The record, also written to ``ablation.json``: ``rows``, one a change, with the accuracy on all channels and the
        mean over the subsets, averaged over seeds, the differences from the base with their 95 % intervals (bootstrap
        over images and seeds), a verdict, and errors.

    Raises:
        InterruptedRunError: if it was interrupted.
        ValueError: if a run in the folder has other settings.
    """
    folder, errors = Path(folder), {}
    for name, seed, config in ablation.runs(folder):
        try:
            complete(config, ablation.split)
        except InterruptedRunError:
            raise
        except (ValueError, TrainingStoppedError) as error:
            errors[name, seed] = str(error)
    rows = [_row(name, ablation, folder, errors) for name in (BASE, *ablation.changes)]
    record = {
        "schema": 1,
        "kind": "ablation",
        "title": ablation.title,
        "base": dict(ablation.base),
        "changes": {name: dict(change) for name, change in ablation.changes.items()},
        "seeds": list(ablation.seeds),
        "split": ablation.split,
        "draws": DRAWS,
        **environment(),
        "rows": rows,
    }
    with replacing(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def _row(name: str, ablation: Ablation, folder: Path, errors: Mapping[tuple[str, int], str]) -> dict[str, Any]:
    """What one change came to, against the base."""
    own = {seed: _right(folder, name, seed, ablation.split) for seed in ablation.seeds}
    base = {seed: _right(folder, BASE, seed, ablation.split) for seed in ablation.seeds}
    done = [seed for seed in ablation.seeds if own[seed]]
    row: dict[str, Any] = {
        "name": name,
        "seeds": done,
        "errors": {str(seed): error for (of, seed), error in errors.items() if of == name},
    }
    if done:
        first = own[done[0]]
        row["accuracy"] = {subset: float(np.mean([own[seed][subset].mean() for seed in done])) for subset in first}
        row["full"] = row["accuracy"][next(iter(first))]
        row["mean"] = float(np.mean(list(row["accuracy"].values())))
    paired = [seed for seed in done if base[seed]]
    if paired and name != BASE:
        row["n"] = len(next(iter(own[paired[0]].values())))
        row["difference_full"] = _difference(own, base, paired, whole=True)
        row["difference_mean"] = _difference(own, base, paired, whole=False)
    return row


def _right(folder: Path, name: str, seed: int, split: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Which images a run has right, by subset, the full set first; empty where it was not evaluated."""
    run = folder / f"{_folder_name(name)}-seed{seed}"
    try:
        results = read_record(run, split)["results"]
    except FileNotFoundError:
        return {}
    return {row["subset"]: unpack_right(row["right"], row["n"]) for row in results if not row["fill"]}


def _difference(
    own: Mapping[int, Mapping[str, Any]], base: Mapping[int, Mapping[str, Any]], seeds: Sequence[int], *, whole: bool
) -> dict[str, Any]:
    """Of the full set, or of the mean over the subsets that both were asked about."""
    rows = []
    for seed in seeds:
        common = [subset for subset in own[seed] if subset in base[seed]][: 1 if whole else None]
        rows.append(np.mean([own[seed][s].astype(float) - base[seed][s] for s in common], axis=0))
    low, high = paired_bootstrap(np.stack(rows))
    verdict = NOT_DISTINGUISHABLE if low <= 0 <= high else "better" if low > 0 else "worse"
    return {"difference": float(np.mean(rows)), "interval": [low, high], "verdict": verdict}


def _folder_name(change: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", change.lower()).strip("-") or "change"


def _combined(grid: Mapping[str, Sequence[Any]]) -> Iterable[tuple[str, dict[str, Any]]]:
    for values in itertools.product(*grid.values()):
        change = dict(zip(grid, values, strict=True))
        yield ", ".join(f"{name}={value}" for name, value in change.items()), change


def ablation_table(record: Mapping[str, Any]) -> str:
    """An ablation's record as lines for people; accuracies and differences in percent."""
    rows = [("change", "all", "difference", "", "subsets", "difference", "")]
    for row in record["rows"]:
        failed = "; ".join(row["errors"].values())
        if "full" not in row:
            rows.append((row["name"], "failed", failed, "", "", "", ""))
            continue
        told = [_told(row.get(f"difference_{what}")) for what in ("full", "mean")]
        rows.append((row["name"], f"{100 * row['full']:.1f}", *told[0], f"{100 * row['mean']:.1f}", *told[1]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    seeds = ", ".join(map(str, record["seeds"]))
    return "\n".join([f"{record['title'] or 'Ablation'}: {record['split']}, percent, seeds {seeds}", "", *lines])


def _told(difference: Mapping[str, Any] | None) -> tuple[str, str]:
    if difference is None:
        return "", ""
    low, high = (100 * bound for bound in difference["interval"])
    return f"{100 * difference['difference']:+.1f} ({low:+.1f} to {high:+.1f})", difference["verdict"]
