"""Compare two evaluated runs image by image.

Answers are read from the evaluation records, which hold a bit an image, so that runs can be compared whose tables of
predictions were not kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anychan._records import read_record as read_any_record
from anychan._records import write_record
from anychan.channels import ChannelSet
from anychan.data.dataset import same_images
from anychan.evaluation._folder import path_from, read_record, right_of
from anychan.evaluation.holm import corrected
from anychan.evaluation.paired import Paired

# What a record says of a run's answers to one channel set, by fill.
_Row = Mapping[str, Any]
_ByFill = dict[str, _Row]


def compare_runs(
    a: Path | str, b: Path | str, split: str = "test", channels: str | Sequence[str] | None = None
) -> dict[str, Any]:
    """Pair two runs on the same images, subset by subset: exact McNemar test and paired interval.

    Where both answer a subset in the same way (by themselves, or with the same fill) these answers are paired. Where
    only one answers it by itself, its answers are paired with each fill of the other.

    Args:
        a, b: run folders, both evaluated on ``split``.
        split: train, val, test or held-out.
        channels: a channel set or a list of them; None or "all": those that both runs were evaluated on.

    Returns:
        What is also written to ``a/comparisons/<b's name>-<split>.json``, for the report (with a number after the
        name where another run of that name has the file; an earlier comparison with the same run is replaced):
        ``{"schema", "kind": "comparison", "split", "a", "b", "b_from_a", "model_sha256", "images", "comparisons"}``,
        where ``b_from_a`` is b's path from a's folder (on another drive of Windows its whole path), the next two tell
        which models and images were compared, by which a report leaves out what is no longer so, and the last is a list
        of ``subset``, ``fill_a``, ``fill_b``, what ``Paired.to_dict`` holds, and ``p_holm``, which the verdict goes by:
        p corrected by Holm's method for all tests of the record. In the order of a's subsets.

    Raises:
        FileNotFoundError: if a run was not evaluated on the split.
        ValueError: if both are one run, they were evaluated on different images or labels, a subset was not evaluated
            in both, a record is from before it told of single images, or the file of an earlier comparison is damaged.
    """
    runs = [Path(a), Path(b)]
    if runs[0].resolve() == runs[1].resolve():
        raise ValueError(f"{a} and {b} are one run: two are compared")
    records = [read_record(run, split) for run in runs]
    known = [ChannelSet.from_dict(record["channels"]) for record in records]
    answers_a, answers_b = (_by_subset(*of) for of in zip(records, known, strict=True))
    _check_same_data(runs, records, split)
    comparisons: list[dict[str, Any]] = []
    specs = ["all"] if channels is None else [channels] if isinstance(channels, str) else channels
    for subset in _common(known[0], answers_a, answers_b, runs, specs):
        for first, second in _pairs(answers_a[subset], answers_b[subset]):
            names = {"subset": first["subset"], "fill_a": first["fill"], "fill_b": second["fill"]}
            comparisons.append(names | _pair(first, second, runs, split).to_dict())
    if not comparisons:
        raise ValueError(f"{a} and {b} have no channel set that both answered alike, by themselves or with one fill")
    record: dict[str, Any] = {"split": split, "a": str(a), "b": str(b)}
    record["b_from_a"] = path_from(runs[0], runs[1])
    record["model_sha256"] = {name: of.get("model_sha256", "") for name, of in zip("ab", records, strict=True)}
    record["images"] = records[0]["data"]["fingerprints"][split]
    record["comparisons"] = corrected(comparisons)
    return write_record(_place(runs[0], runs[1], split), "comparison", record)


def _place(a: Path, b: Path, split: str) -> Path:
    """The file of this comparison: the first of b's name that is free, or about this very run."""
    name = b.resolve().name
    for number in itertools.count(1):
        path = a / "comparisons" / f"{name}{f'-{number}' if number > 1 else ''}-{split}.json"
        if not path.is_file():
            break
        earlier = read_any_record(path, "comparison")
        # Older records say only where b lay from where the command was given.
        if earlier.get("b_from_a", path_from(a, Path(str(earlier.get("b"))))) == path_from(a, b):
            break
    return path


def _by_subset(record: Mapping[str, Any], known: ChannelSet) -> dict[frozenset[str], _ByFill]:
    # By the names, as two runs may order the same channels differently.
    found: dict[frozenset[str], _ByFill] = {}
    for row in record["results"]:
        found.setdefault(frozenset(known.subset(row["subset"]).names), {})[row["fill"]] = row
    return found


def _check_same_data(runs: Sequence[Path], records: Sequence[Mapping[str, Any]], split: str) -> None:
    # By content: built-in images of two seeds have the same paths.
    one, other = (record["data"] for record in records)
    if not same_images(one, other, split):
        raise ValueError(
            f"{runs[0]} and {runs[1]} were evaluated on different data ({one['name']} and {other['name']}), or such as "
            "were read otherwise: only answers to the same images can be paired; evaluate both on the same folder or "
            "archive with --data"
        )


def _common(
    known: ChannelSet,
    answers_a: Mapping[frozenset[str], _ByFill],
    answers_b: Mapping[frozenset[str], _ByFill],
    runs: Sequence[Path],
    specs: Sequence[str],
) -> list[frozenset[str]]:
    if "all" in specs:
        return [subset for subset in answers_a if subset in answers_b]
    chosen = {frozenset(known.subset(spec).names): spec for spec in specs}  # each once, in whatever order it is named
    for subset, spec in chosen.items():
        for run, answers in zip(runs, (answers_a, answers_b), strict=True):
            if subset not in answers:
                raise ValueError(f"{run} was not evaluated on {spec}: run `anychan evaluate {run} --channels {spec}`")
    return list(chosen)


def _pairs(first: _ByFill, second: _ByFill) -> list[tuple[_Row, _Row]]:
    alike = [(first[fill], second[fill]) for fill in first if fill in second]
    if "" in first and "" not in second:
        return [(first[""], other) for other in second.values()] + alike
    if "" in second and "" not in first:
        return [(other, second[""]) for other in first.values()] + alike
    return alike


def _pair(first: _Row, second: _Row, runs: Sequence[Path], split: str) -> Paired:
    rights = [right_of(run, split, row) for run, row in zip(runs, (first, second), strict=True)]
    if first["n"] != second["n"]:
        raise ValueError(
            f"{runs[0]} and {runs[1]} answered {first['subset']} for different images ({first['n']} and "
            f"{second['n']}): only answers to the same images can be paired"
        )
    return Paired.of(*rights)
