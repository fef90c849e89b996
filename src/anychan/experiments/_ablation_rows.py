"""What the runs of one change of an ablation came to, against the base."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anychan._records import read_run_record, trained_by
from anychan.channels import ChannelSet
from anychan.evaluation._folder import read_record, record_path, training_conditions
from anychan.evaluation.bootstrap import paired_interval
from anychan.evaluation.paired import Paired, verdict
from anychan.evaluation.predictions import unpack_right
from anychan.evaluation.questions import own_subsets
from anychan.models.files import read_info

BASE = "base"
# How an interval and its verdict were come by: `Paired`, of one subset and one seed; else `paired_interval`.
EXACT = "Newcombe's over images, with the exact McNemar test"
BOOTSTRAP, STUDENT = "bootstrap over images", "Student's t over images and seeds"
_TOLD = {"a is better": "better", "b is better": "worse"}
_COSTS = ("parameters", "macs", "kernel_macs", "latency_ms")
_WHERE = ("image_size", "device", "hardware", "threads")  # of what size of images, and on which machine


def folder_name(change: str) -> str:
    """What a change's run folders are called by.

    Example:
        >>> folder_name("Half as wide!")
        'half-as-wide'
    """
    return re.sub(r"[^a-z0-9]+", "-", change.lower()).strip("-") or "change"


def ablation_row(
    name: str, seeds: Sequence[int], split: str, folder: Path, errors: dict[tuple[str, int], str]
) -> dict[str, Any]:
    """What one change came to; ``mean`` is over the base's subsets, two or more, where it has all.

    Accuracies are means over its own seeds that did not fail, differences of those ``seeds`` that the base has too.

    Args:
        name: of the change, or of the base.
        seeds, split: of the ablation.
        folder: where its runs lie.
        errors: of the runs that failed, by name and seed; those that cannot be compared are added.
    """
    own, base = (
        {seed: answers for seed in seeds if (of, seed) not in errors and (answers := _answers(folder, of, seed, split))}
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
    row["trained"] = [answers.trained for answers in own.values()]
    commits = [commit for answers in own.values() for commit in answers.trained_by]
    row["trained_by"] = [commit for i, commit in enumerate(commits) if commit not in commits[:i]]
    row["accuracy"] = {s: float(np.mean([answers.right[s].mean() for answers in own.values()])) for s in first.right}
    row["full"] = row["accuracy"].get(first.full)
    row["channels"] = first.channels
    row["by_size"] = {
        str(size): float(np.mean([row["accuracy"][s] for s in first.right if first.sizes[s] == size]))
        for size in sorted(set(first.sizes.values()), reverse=True)
    }
    if first.cost:
        row["cost"] = {name: first.cost[name] for name in (*_COSTS, *(name for name in _WHERE if name in first.cost))}
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
        # Images without any of a subset's channels were left out of it: then there is no mean by image, as those of as
        # many may be others.
        asked = [(answers, s) for answers in (first, of_base) for s in subsets if s in answers.right]
        same_images = len({len(answers.right[s]) for answers, s in asked}) == 1
        same_images &= len(subsets) == 1 or not any(answers.left_out[s] for answers, s in asked)
        if same_images and all(subset in first.right for subset in subsets):
            difference = _difference([own[s] for s in paired], [base[s] for s in paired], subsets)
            row[f"difference_{what}"] = {**difference, "seeds": paired}
    return row


@dataclass(frozen=True)
class _Answers:
    """What a run answered by itself.

    Args:
        right: which images it has right, by subset.
        left_out: how many images have none of a subset's channels.
        sizes: how many channels each subset has.
        full, channels: the name of all its channels, and how many they are.
        images: their fingerprint.
        trained: in which number format and on what the run was trained.
        trained_by: by which commits.
        cost: of a call with all channels, as the evaluation's record has it; None where it was not measured.
    """

    right: Mapping[str, npt.NDArray[np.bool_]]
    left_out: Mapping[str, int]
    sizes: Mapping[str, int]
    full: str
    channels: int
    images: str
    trained: Mapping[str, str | None]
    trained_by: Sequence[Mapping[str, Any]]
    cost: Mapping[str, Any] | None


def _answers(folder: Path, name: str, seed: int, split: str) -> _Answers | None:
    """What a run answered by itself; None where it was not evaluated."""
    run = folder / f"{folder_name(name)}-seed{seed}"
    if not record_path(run, split).is_file():
        return None
    record = read_record(run, split)
    known = ChannelSet.from_dict(record["channels"])
    # What else somebody asked of the run changes no row.
    asked = {frozenset(known.subset(subset).names) for subset in own_subsets(read_info(run))}
    rows = {
        row["subset"]: row
        for row in record["results"]
        if not row["fill"] and frozenset(known.subset(row["subset"]).names) in asked
    }
    made = read_run_record(run)
    return _Answers(
        right={subset: unpack_right(row["right"], row["n"]) for subset, row in rows.items()},
        left_out={subset: row.get("left_out", 0) for subset, row in rows.items()},  # older records do not say
        sizes={subset: len(known.subset(subset)) for subset in rows},
        full=str(known),
        channels=len(known),
        images=record["data"]["fingerprints"][split],
        trained=training_conditions(made),
        trained_by=trained_by(made),
        cost=rows.get(str(known), {}).get("cost"),
    )


def _difference(own: Sequence[_Answers], base: Sequence[_Answers], subsets: Sequence[str]) -> dict[str, Any]:
    """Of the mean over subsets, paired by image and by seed."""
    if len(own) == len(subsets) == 1:
        paired = Paired.of(own[0].right[subsets[0]], base[0].right[subsets[0]])
        found = {"difference": paired.difference, "interval": list(paired.interval), "p": paired.p}
        return {**found, "method": EXACT, "verdict": _TOLD.get(paired.verdict, paired.verdict)}
    rows = np.stack(
        [
            np.mean([a.right[s].astype(float) - b.right[s] for s in subsets], axis=0)
            for a, b in zip(own, base, strict=True)
        ]
    )
    low, high = (min(max(bound, -1.0), 1.0) for bound in paired_interval(rows))  # Student's t may go beyond
    difference, method = float(rows.mean()), BOOTSTRAP if len(rows) == 1 else STUDENT
    told = verdict(difference, (low, high))
    return {"difference": difference, "interval": [low, high], "method": method, "verdict": _TOLD.get(told, told)}
