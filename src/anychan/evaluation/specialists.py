"""One model for every subset beside its specialists: plain models, each trained for one subset.

Answers are read from the evaluation records, which hold a bit an image, so that runs can be paired whose tables of
predictions were not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anychan._plain import PLAIN
from anychan._records import read_run_record, write_record
from anychan.channels import ChannelSet
from anychan.data.dataset import same_images
from anychan.evaluation._folder import path_from, read_record, right_of, training_conditions
from anychan.evaluation.bootstrap import DRAWS, paired_interval
from anychan.evaluation.holm import corrected
from anychan.evaluation.paired import Paired
from anychan.evaluation.predictions import pack_bits

# Settings that older records do not have yet, and what they trained with.
_LATER = {"sampling_unit": "batch", "pretrained": False, "skip_broken": False, "normalisation.kind": "batch"}
# What runs that are compared must have in common to have been trained alike.
_ALIKE = (
    *(
        "bands",
        "skip_broken",
        "held_out",
        "initial",
        "pretrained",
        "sampling_unit",
        "model",
        "model_options",
        "image_size",
        "epochs",
        "batch_size",
        "seed",
        "label_smoothing",
        "ema_decay",
    ),
    *("optimizer", "schedule", "early_stopping", "augmentation", "normalisation.kind"),
)


def compare_specialists(
    run: Path | str, specialists: Sequence[Path | str], split: str = "test", *, seed: int = 0
) -> dict[str, Any]:
    """Pair a run with plain models that were each trained for one channel subset, and with all of them on average.

    Args:
        run: an any-channel run, evaluated on the specialists' subsets.
        specialists: run folders, each evaluated on all its channels.
        split: train, val or test.
        seed: of the bootstrap.

    Returns:
        What is also written to ``run/specialists/<split>.json``: ``{"schema", "kind": "specialists", "split", "run",
        "rows", "mean", "cost"}``. A row is a subset with its ``specialist`` and what ``Paired.to_dict`` holds, a being
        the run, ``specialist_right`` (which images the specialist has right, see ``pack_right``), and ``p_holm``,
        corrected for the number of subsets, which the verdict goes by; ``specialist_from_run`` is its path from the
        run's folder, and ``model_sha256`` tells which weights answered: a report leaves out what is no longer so.
        ``mean`` is over the subsets; the 95 % interval of its difference is the percentile bootstrap over images
        (10,000 draws of as many images, each with its answers to all subsets), so it speaks of other images and not of
        other seeds. ``cost`` has parameters, the passes (with gradients) through the network that each training image
        made, and the seconds of training, of the one run and of all specialists. ``differs`` names the settings in
        which they were not trained alike, but for channels, objective and statistics; ``trained``, of the run and in
        each row of its specialist, has the number format (``precision``) and the ``processor`` of training, which are
        no settings, null where run.json does not say.

    Raises:
        FileNotFoundError: if a run was not evaluated on the split.
        ValueError: if no specialist is given, two have the same channels, or the run was not evaluated on them, or
            on other images.
    """
    run, paths = Path(run), [Path(path) for path in specialists]
    if not paths:
        raise ValueError("no specialist is given")
    record = read_record(run, split)
    known = ChannelSet.from_dict(record["channels"])
    rows, differences, chosen = [], [], []
    partly: list[str] = []
    for path in paths:
        own = read_record(path, split)
        names = ChannelSet.from_dict(own["channels"]).names
        absent = sorted(set(names) - set(known.names))
        if absent:
            raise ValueError(f"{path} sees channel {absent[0]!r}, which {run} does not know; there are {known}")
        subset = ChannelSet(channel for channel in known if channel.name in names)
        if str(subset) in chosen:
            raise ValueError(f"{path} is a second specialist for {subset}")
        chosen.append(str(subset))
        if not same_images(record["data"], own["data"], split):
            raise ValueError(
                f"{run} and {path} were evaluated on different data, or such as were read otherwise: evaluate both on "
                "the same with --data"
            )
        rows_of_both = _row(run, record, known, subset), _row(path, own, known, subset)
        of_run, of_specialist = (right_of(of, split, row) for of, row in zip((run, path), rows_of_both, strict=True))
        if any(row.get("left_out") for row in rows_of_both):  # older records do not say
            partly.append(str(subset))
        paired = Paired.of(of_run, of_specialist)
        names_of = {"subset": str(subset), "specialist": path.name, "specialist_from_run": path_from(run, path)}
        names_of["model_sha256"] = own["model_sha256"]
        trained = training_conditions(read_run_record(path))
        of_its_own = {"specialist_right": pack_bits(of_specialist), "trained": trained}
        rows.append({**names_of, **paired.to_dict(), **of_its_own})
        differences.append(of_run.astype(np.float64) - of_specialist)
    if len(rows) > 1 and partly:  # as many as of another subset may be others
        raise ValueError(
            f"{run}'s answers to {' and '.join(partly)} leave images out that have none of its channels: the mean over "
            "subsets needs the same images for all"
        )
    if len(counts := {row["n"] for row in rows}) > 1:
        raise ValueError(
            f"{run}'s answers to its subsets are of {' or '.join(map(str, sorted(counts)))} images, as some have none "
            "of a subset's channels: the mean over subsets needs the same images for all"
        )
    order = sorted(range(len(rows)), key=lambda i: (-len(known.subset(chosen[i])), known.indices(chosen[i])))
    found = {
        "split": split,
        "run": run.name,
        "model_sha256": record["model_sha256"],
        "images": record["data"]["fingerprints"][split],
        "trained": training_conditions(read_run_record(run)),
        "differs": sorted({name for path in paths for name in _differing(read_run_record(run), read_run_record(path))}),
        "rows": corrected([rows[i] for i in order]),
        "mean": _mean(rows, np.stack(differences), seed),
        "cost": {"run": _cost(run, split), "specialists": _sum([_cost(path, split) for path in paths])},
    }
    return write_record(run / "specialists" / f"{split}.json", "specialists", found)


def _row(run: Path, record: Mapping[str, Any], known: ChannelSet, subset: ChannelSet) -> dict[str, Any]:
    """What a run answers by itself on a subset, in whichever order it names the channels."""
    for row in record["results"]:
        if not row["fill"] and set(known.subset(row["subset"]).names) == set(subset.names):
            found: dict[str, Any] = row
            return found
    raise ValueError(
        f"{run} was not evaluated on {subset}: run `anychan evaluate {run} --channels {subset} "
        f"--split {record['split']}`"
    )


def _mean(rows: Sequence[dict[str, Any]], differences_SN: npt.NDArray[np.float64], seed: int) -> dict[str, Any]:
    of_images_N = differences_SN.mean(axis=0)
    return {
        "accuracy": float(np.mean([row["accuracy_a"] for row in rows])),
        "specialists": float(np.mean([row["accuracy_b"] for row in rows])),
        "difference": float(of_images_N.mean()),
        "difference_interval": list(paired_interval(of_images_N[None], seed=seed)),
        "draws": DRAWS,
        "seed": seed,
    }


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """The settings in which two runs were not trained alike, but for what makes one of them a specialist."""
    for name in _ALIKE:
        if _setting(one, name) != _setting(other, name):
            yield name
    if one["data"]["fingerprints"]["train"] != other["data"]["fingerprints"]["train"]:
        yield "data"
    if other["config"]["strategy"] != PLAIN:
        yield "strategy"


def _setting(run: Mapping[str, Any], name: str) -> Any:
    value: Any = run["config"]
    for key in name.split("."):
        value = (value or {}).get(key)
    return _LATER.get(name) if value is None else value


def _cost(run: Path, split: str) -> dict[str, Any]:
    record = read_run_record(run)
    objective = record["config"].get("objective", {"name": "labels"})
    costs = [row["cost"] for row in read_record(run, split)["results"] if not row["fill"] and row["cost"]]
    return {
        "parameters": costs[0]["parameters"] if costs else None,  # as many on every subset
        "passes": record["epochs"] * (1 + (objective["subsets"] if objective["name"] == "sandwich" else 0)),
        "seconds": record["seconds"],
    }


def _sum(costs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    numbers = {name: [cost[name] for cost in costs] for name in costs[0]}
    return {name: None if None in given else sum(given) for name, given in numbers.items()}
