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
from anychan._records import read_record as read_record_file
from anychan.channels import ChannelSet
from anychan.environment import environment
from anychan.evaluation import HELD_OUT
from anychan.evaluation._folder import read_record, record_path
from anychan.evaluation.bootstrap import DRAWS, paired_bootstrap
from anychan.evaluation.paired import NOT_DISTINGUISHABLE
from anychan.evaluation.predictions import unpack_right
from anychan.experiments._lock import alone
from anychan.experiments.completing import check_split
from anychan.experiments.executors import EXECUTORS, Executor
from anychan.experiments.settings import configuration, merged
from anychan.training import TrainConfig
from anychan.training.config import differences

BASE, RECORD = "base", "ablation.json"
_GIVEN = {"seed", "out", "resume"}


@dataclass(frozen=True)
class Ablation:
    """A recipe, and changes to it.

    Args:
        base: settings of `anychan train`, by their names, in groups or dotted.
        changes: by a name, the settings that differ.
        title: what is asked.
        seeds: each is a run of the base and of every change.
        split: what the runs are compared on; "": "held-out" where the base holds training images out, else "val".

    Raises:
        ValueError: if there is nothing to change, a name is no text, two names give one folder, a seed is given twice
            or in a change, or settings are wrong.

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
    split: str = ""

    def __post_init__(self) -> None:
        changes_are_groups = isinstance(self.changes, Mapping) and all(
            isinstance(change, Mapping) for change in self.changes.values()
        )
        if not isinstance(self.base, Mapping) or not changes_are_groups or not isinstance(self.seeds, list | tuple):
            raise ValueError("an ablation has settings as its base, settings for each name as changes, a list of seeds")
        for name in self.changes:
            if not isinstance(name, str):  # YAML takes `no` for a truth value and `32` for a number
                raise ValueError(f"change {name!r} is no text: put its name in quotes")
        if not self.changes or not self.seeds:
            raise ValueError("an ablation needs changes and seeds, one of each at least")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)}: one is given twice")
        for name, settings in ((BASE, self.base), *self.changes.items()):
            given = sorted(_GIVEN & settings.keys())
            if given:
                raise ValueError(f"{name}: {given[0]} is given by the ablation itself; name seeds as seeds")
        names = [_folder_name(name) for name in (BASE, *self.changes)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two changes would lie in one folder, {twice[0]!r}: give them other names")
        configs = [config for _, _, config in self.runs(Path("unused"))]  # wrong settings are refused before any run
        if not self.split:
            object.__setattr__(self, "split", "val" if configs[0].held_out is None else HELD_OUT)

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
            if not isinstance(told["grid"], Mapping) or not all(isinstance(v, list) for v in told["grid"].values()):
                raise ValueError(f"{path}: a grid has a list of values for each setting")
            told["changes"] = dict(_combined(told.pop("grid")))
        seeds = settings.pop("seeds", None)
        if isinstance(told["base"], Mapping):
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


def ablate(ablation: Ablation, folder: Path | str, executor: str = "sequential") -> dict[str, Any]:
    """Run what is not there yet, and compare every change with the base.

    Asked again, it goes on where it was interrupted, in the middle of a run too. A run that fails is noted, and the
    rest is finished.

    Args:
        ablation: what to run.
        folder: where the runs lie, and ``ablation.json``.
        executor: a key of ``EXECUTORS``: "sequential", or "ray" for many machines.

    Returns:
        The record, also written to ``ablation.json``: ``rows``, one a change, with the accuracy on all channels and the
        mean over the subsets, averaged over seeds, the differences from the base with their 95 % intervals (bootstrap
        over images and seeds), a verdict, and errors.

    Raises:
        InterruptedRunError: if it was interrupted.
        OSError: if the data are not there, or runs cannot be written.
        FileExistsError: if another process is at the folder.
        ValueError: for an unknown executor or one that is not installed, if there is nothing to compare the runs on, an
            earlier record in the folder has seeds or changes that are not asked for now or with other settings, or no
            run could be completed.
    """
    if executor not in EXECUTORS:
        raise ValueError(f"unknown executor {executor!r}; there are {', '.join(EXECUTORS)}")
    folder = Path(folder)
    for name, _, config in ablation.runs(folder):
        try:
            check_split(config, ablation.split)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    with alone(folder):  # what is there is looked at inside: another process may just have written it
        _check_earlier(ablation, folder / RECORD)
        return _made(ablation, folder, EXECUTORS[executor])


def _made(ablation: Ablation, folder: Path, executor: Executor) -> dict[str, Any]:
    asked = [*ablation.runs(folder)]
    outcomes = executor([config for _, _, config in asked], ablation.split)
    told = zip(asked, outcomes, strict=True)
    errors = {(name, seed): failed for (name, seed, _), failed in told if failed is not None}
    if len(errors) == len(ablation.seeds) * (1 + len(ablation.changes)):
        raise ValueError(f"no run could be completed, so nothing is written; the first: {next(iter(errors.values()))}")
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


def _check_earlier(ablation: Ablation, path: Path) -> None:
    """That no row of an earlier record would be lost."""
    if not path.is_file():
        return
    earlier = read_record_file(path, "ablation")
    for what, before, now in (
        ("seed", earlier["seeds"], ablation.seeds),
        ("change", earlier["changes"], ablation.changes),
    ):
        lost = [item for item in before if item not in now]
        if lost:
            raise ValueError(f"{path} holds {what} {lost[0]!r}, which would be lost: name it too, or another folder")
    for name in (BASE, *earlier["changes"]):
        before, now = (
            configuration(merged(base, changes.get(name, {}), {"out": "unused"})).to_dict()
            for base, changes in ((earlier["base"], earlier["changes"]), (ablation.base, ablation.changes))
        )
        if changed := differences(before, now):
            raise ValueError(
                f"{path} holds {name!r} with other settings ({'; '.join(changed)}): name another, or another folder"
            )


@dataclass(frozen=True)
class _Answers:
    """Which images a run has right, by subset, the full set's name, and the fingerprint of the images."""

    right: Mapping[str, npt.NDArray[np.bool_]]
    full: str
    images: str


def _row(name: str, ablation: Ablation, folder: Path, errors: dict[tuple[str, int], str]) -> dict[str, Any]:
    """What one change came to, against the base; ``mean`` is over the base's subsets, two or more, where it has all."""
    own, base = (
        {
            seed: answers
            for seed in ablation.seeds
            if (of, seed) not in errors and (answers := _answers(folder, of, seed, ablation.split))
        }
        for of in (name, BASE)
    )
    for seed in list(own):
        if seed in base and own[seed].images != base[seed].images:
            errors[name, seed] = "was compared on other images than the base"
            del own[seed]
    row: dict[str, Any] = {
        "name": name,
        "seeds": list(own),
        "errors": {str(seed): error for (of, seed), error in errors.items() if of == name},
    }
    if not own:
        return row
    first = next(iter(own.values()))
    row["accuracy"] = {s: float(np.mean([answers.right[s].mean() for answers in own.values()])) for s in first.right}
    row["full"] = row["accuracy"].get(first.full)
    paired = [seed for seed in own if seed in base]
    if not paired:
        return row
    of_base = base[paired[0]]
    of_all = [*of_base.right] if len(of_base.right) > 1 else []  # of a plain base the mean would be the full set again
    if of_all and of_base.right.keys() <= first.right.keys():
        row["mean"] = float(np.mean([row["accuracy"][subset] for subset in of_all]))
    if name == BASE:
        return row
    row["n"] = len(next(iter(first.right.values())))
    for what, subsets in (("full", [of_base.full] if first.full == of_base.full else []), ("mean", of_all)):
        # Images without any of a subset's channels were left out of it: then there is no mean by image.
        same_images = len({len(right[s]) for right in (first.right, of_base.right) for s in subsets if s in right}) == 1
        if same_images and all(subset in first.right for subset in subsets):
            row[f"difference_{what}"] = _difference([own[s] for s in paired], [base[s] for s in paired], subsets)
    return row


def _answers(folder: Path, name: str, seed: int, split: str) -> _Answers | None:
    """What a run answered by itself; None where it was not evaluated."""
    run = folder / f"{_folder_name(name)}-seed{seed}"
    if not record_path(run, split).is_file():
        return None
    record = read_record(run, split)
    known = ChannelSet.from_dict(record["channels"])
    right = {row["subset"]: unpack_right(row["right"], row["n"]) for row in record["results"] if not row["fill"]}
    return _Answers(right, str(known), record["data"]["fingerprints"][split])


def _difference(own: Sequence[_Answers], base: Sequence[_Answers], subsets: Sequence[str]) -> dict[str, Any]:
    """Of the mean over subsets, paired by image and by seed."""
    rows = np.stack(
        [
            np.mean([a.right[s].astype(float) - b.right[s] for s in subsets], axis=0)
            for a, b in zip(own, base, strict=True)
        ]
    )
    low, high = paired_bootstrap(rows)
    verdict = NOT_DISTINGUISHABLE if low <= 0 <= high else "better" if low > 0 else "worse"
    return {"difference": float(rows.mean()), "interval": [low, high], "verdict": verdict}


def _folder_name(change: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", change.lower()).strip("-") or "change"


def _combined(grid: Mapping[str, Sequence[Any]]) -> Iterable[tuple[str, dict[str, Any]]]:
    for values in itertools.product(*grid.values()):
        change = dict(zip(grid, values, strict=True))
        yield ", ".join(f"{name}={value}" for name, value in change.items()), change


def ablation_table(record: Mapping[str, Any]) -> str:
    """An ablation's record as lines for people; accuracies and differences in percent."""
    rows = [("change", "all", "difference", "", "subsets", "difference", "", "")]
    for row in record["rows"]:
        failed = "; ".join(f"seed {seed} failed: {error}" for seed, error in row["errors"].items())
        told = [_told(row.get(f"difference_{what}")) for what in ("full", "mean")]
        rows.append((row["name"], _percent(row.get("full")), *told[0], _percent(row.get("mean")), *told[1], failed))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    seeds = ", ".join(map(str, record["seeds"]))
    title = f"{record['title'] or 'Ablation'}: {record['split']}, percent, seeds {seeds}"
    note = "Of many changes that do nothing one in twenty looks as if it did: intervals are not corrected for that."
    return "\n".join([title, "", *lines, "", note])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _told(difference: Mapping[str, Any] | None) -> tuple[str, str]:
    if difference is None:
        return "", ""
    low, high = (100 * bound for bound in difference["interval"])
    return f"{100 * difference['difference']:+.1f} ({low:+.1f} to {high:+.1f})", difference["verdict"]
