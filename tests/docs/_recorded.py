"""What the committed records say, as numbers in the units that documents use: each with the words for what it is."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import combinations, permutations
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import yaml

from anychan.evaluation.holm import holm
from anychan.evaluation.paired import Paired
from anychan.report._reading.pooling import pooled
from anychan.report._reading.records import Specialists
from anychan.report._reading.runs import read_run
from anychan.report._sentences.class_losses import loss_with_untold

PROJECT = Path(__file__).parents[2]
RECORDS, BENCHMARKS = PROJECT / "docs" / "records", PROJECT / "benchmarks" / "results"
COSTS, RECIPES = PROJECT / "docs" / "theory" / "costs.json", PROJECT / "src" / "anychan" / "experiments" / "recipes"
NAMES = sorted(path.parent.name for path in RECORDS.glob("*/run.json"))
ABLATIONS = sorted(path.parent.name for path in RECORDS.glob("*/ablation.json"))
SEARCHES = sorted(path.parent.name for path in RECORDS.glob("*/sweep.json"))
BENCHMARK_NAMES = sorted(path.name for path in BENCHMARKS.glob("*.json"))
_SIZES = {"1": "one", "2": "two"}  # of subsets, as texts call them
_SUBSETS = {"RGB", "RG", "RB", "GB", "R", "G", "B", "mean", *_SIZES.values()}  # which texts name
# Rates that are quoted only where the sentence says what they are.
WORDS = {
    "top5": r"top 5", "precision_macro": "precision", "recall_macro": "recall", "f1_macro": r"\bF1\b",
    "expected_calibration_error": "ECE|calibration", "retention": "keep|kept|retention",
}  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """A number that follows from records; ``subset`` is "" where it is of none, "two", "one" or "mean" for a mean.

    The bound of an interval has the other one as its ``partner``.
    """

    value: float
    what: str
    subset: str = ""
    partner: float | None = None


@dataclass(frozen=True)
class Row:
    """A record's answers to one subset of one split, ``fill`` naming the naive answer to missing channels."""

    record: str
    subset: str
    fill: str
    values: Mapping[str, Any]

    @property
    def what(self) -> str:
        return f"{self.record} on {self.subset}" + (f" filled by {self.fill}" if self.fill else "")

    @property
    def right(self) -> Any:
        packed = np.frombuffer(base64.b64decode(self.values["right"]), dtype=np.uint8)
        return np.unpackbits(packed, count=self.values["n"]).astype(bool)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def _rows(record: str, split: str) -> tuple[Row, ...]:
    path = RECORDS / record / "evaluation" / f"{split}.json"
    found = _json(path)["results"] if path.is_file() else []
    return tuple(Row(record, row["subset"], row["fill"], row) for row in found)


@cache
def _means(record: str, split: str) -> tuple[Fact, ...]:
    """Mean accuracies over all subsets, over those of two channels and over those of one."""
    own = {row.subset: row.values["accuracy"] for row in _rows(record, split) if not row.fill}
    groups = {"mean": list(own), "two": [s for s in own if len(s) == 2], "one": [s for s in own if len(s) == 1]}
    return tuple(
        Fact(100 * mean(own[s] for s in subsets), f"mean of {record}, {name}", name)
        for name, subsets in groups.items()
        if len(subsets) > 1
    )


def rates(records: Iterable[str], split: str, sentence: str) -> Iterator[Fact]:
    """Accuracies in percent, and what else the sentence names."""
    others = [name for name, words in WORDS.items() if re.search(words, sentence, re.IGNORECASE)]
    for record in records:
        for row, what in _ablated(record):
            told = [*row.get("accuracy", {}).items(), ("mean", row.get("mean"))]
            told += [(_SIZES[size], share) for size, share in row.get("by_size", {}).items() if size in _SIZES]
            for subset, share in told:
                if share is not None:
                    yield Fact(100 * share, f"{what}, {subset}", subset if subset in _SUBSETS else "")
        for trial, what in _tried(record):
            if trial["val_accuracy"] is not None:
                yield Fact(100 * trial["val_accuracy"], what)
        for row in _rows(record, split):
            for name in ("accuracy", *others):
                if row.values.get(name) is not None:
                    yield Fact(100 * row.values[name], f"{name} of {row.what}", row.subset)
        yield from _means(record, split)
        for line in _epochs(record)[-1:] if "epoch" in sentence else []:
            for name in ("train_accuracy", "val_accuracy"):
                yield Fact(100 * line[name], f"{name} of {record}")
        for row in _of_specialists(record, split):
            yield Fact(100 * row["accuracy_b"], f"{row['specialist']} on {row['subset']}", row["subset"])


def differences(records: Iterable[str], split: str) -> Iterator[Fact]:
    """Points between any two of the records, on one subset and on average over all that both answer."""
    for a, b in permutations(records, 2):
        for one, other in _pairs(a, b, split):
            difference = 100 * (one.values["accuracy"] - other.values["accuracy"])
            yield Fact(difference, f"{one.what} less {other.what}", one.subset)
    for record in records:
        yield from _gaps(record, split, "difference")
        yield from _changed(record, "difference")


@cache
def _ablated(record: str) -> tuple[tuple[dict[str, Any], str], ...]:
    """The changes of an ablation, each with the words for it; none for another record."""
    found = _json(RECORDS / record / "ablation.json")["rows"] if record in ABLATIONS else []
    return tuple((row, f"{row['name']} in {record}") for row in found)


@cache
def _tried(record: str) -> tuple[tuple[dict[str, Any], str], ...]:
    """The trials of a search, each with the words for it; none for another record."""
    found = _json(RECORDS / record / "sweep.json")["trials"] if record in SEARCHES else []
    return tuple((trial, f"trial {trial['number']} of {record}") for trial in found)


def _changed(record: str, key: str) -> Iterator[Fact]:
    """What an ablation says of its changes against its base: differences, or the bounds of their intervals."""
    for row, what in _ablated(record):
        for of in ("full", "mean"):
            found = row.get(f"difference_{of}", {}).get(key)
            if key == "interval" and found:
                yield from _bounds(found, f"{key} of {what}, {of}")
            elif found is not None:
                yield Fact(100 * found, f"{key} of {what}, {of}")


def _gaps(record: str, split: str, key: str) -> Iterator[Fact]:
    """What a record says of its specialists: differences, or the bounds of their intervals."""
    path = RECORDS / record / "specialists" / f"{split}.json"
    if not path.is_file():
        return
    found = _json(path)
    for row in (*found["rows"], {**found["mean"], "subset": "mean", "specialist": "the specialists"}):
        for value in np.atleast_1d(row[key]):
            yield Fact(100 * float(value), f"{key} of {record} and {row['specialist']}, {row['subset']}", row["subset"])


def _of_specialists(record: str, split: str) -> list[dict[str, Any]]:
    path = RECORDS / record / "specialists" / f"{split}.json"
    return _json(path)["rows"] if path.is_file() else []


def _pairs(a: str, b: str, split: str) -> Iterator[tuple[Row, Row]]:
    for one in _rows(a, split):
        for other in _rows(b, split):
            if one.subset == other.subset and not (one.fill and other.fill):
                yield one, other


@cache
def _paired(a: str, b: str, split: str) -> tuple[tuple[str, str, Paired], ...]:
    """Every paired comparison of two records, with the words for it."""
    return tuple(
        (one.subset, f"{one.what} less {other.what}", Paired.of(one.right, other.right))
        for one, other in _pairs(a, b, split)
        if one.values.get("right") and other.values.get("right")
    )


def _comparisons(record: str, split: str) -> Iterator[tuple[dict[str, Any], float]]:
    """Paired tests as they were recorded, and p by Holm."""
    for path in sorted((RECORDS / record / "comparisons").glob(f"*-{split}.json")):
        found = _json(path)["comparisons"]
        for row, corrected in zip(found, holm([row["p"] for row in found]), strict=True):
            yield {**row, "what": f"{record} and {path.stem}, {row['fill_b']}"}, corrected


def shares(records: Iterable[str], split: str) -> Iterator[Fact]:
    """Accuracy and MACs on all channels in percent of another record's."""
    full = [row for record in records for row in _rows(record, split)[:1]]
    for one, other in permutations(full, 2):
        yield Fact(100 * one.values["accuracy"] / other.values["accuracy"], f"{one.what} over {other.what}")
        if one.values.get("cost") and other.values.get("cost"):
            macs = one.values["cost"]["macs"] / other.values["cost"]["macs"]
            yield Fact(100 * macs, f"MACs of {one.what} over those of {other.what}")


def _bounds(interval: Iterable[float], what: str, subset: str = "") -> Iterator[Fact]:
    """Both ends of an interval in percent."""
    low, high = (100 * float(bound) for bound in interval)
    yield Fact(low, what, subset, high)
    yield Fact(high, what, subset, low)


def intervals(records: Iterable[str], split: str) -> Iterator[Fact]:
    """Bounds of 95 % intervals: of accuracies, and of differences between two of the records."""
    for record in records:
        for row in _rows(record, split):
            yield from _bounds(row.values["accuracy_interval"], f"interval of {row.what}", row.subset)
        yield from _gaps(record, split, "difference_interval")
        yield from _changed(record, "interval")
        for row, _ in _comparisons(record, split):
            yield from _bounds(row["difference_interval"], f"interval of {row['what']}", row["subset"])
    for a, b in permutations(records, 2):
        for subset, what, paired in _paired(a, b, split):
            yield from _bounds(paired.interval, f"interval of {what}", subset)


def chances(records: Iterable[str], split: str) -> Iterator[Fact]:
    """p of every pair of records, by itself and corrected by Holm for all tests of the two."""
    for record in records:
        rows = _of_specialists(record, split)
        for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
            for p, how in ((row["p"], "p"), (corrected, "p by Holm")):
                yield Fact(p, f"{how} of {record} and {row['specialist']}", row["subset"])
        for row, corrected in _comparisons(record, split):
            yield Fact(row["p"], f"p of {row['what']}", row["subset"])
            yield Fact(corrected, f"p by Holm of {row['what']}", row["subset"])
    for a, b in combinations(records, 2):
        found = _paired(a, b, split)
        for (subset, what, paired), corrected in zip(found, holm([each[2].p for each in found]), strict=True):
            yield Fact(paired.p, f"p of {what}", subset)
            yield Fact(corrected, f"p by Holm of {what}", subset)


def of_seeds(records: Iterable[str], split: str) -> Iterator[Fact]:
    """What each record and its other seeds come to beside their specialists, as a report has it: points, bounds, p."""
    for record in records:
        found = _pooled(record, split)
        rows = [(row.subset, row.difference, row.interval) for row in found.rows] if found else []
        for subset, difference, interval in [*rows, ("mean", found.difference, found.interval)] if found else []:
            what = f"the seeds of {record} less specialists on {subset}"
            yield Fact(100 * difference, what, subset)
            yield from _bounds(interval, f"interval of {what}", subset)
        for row in found.rows if found else ():
            yield Fact(row.p, f"p of the seeds of {record} on {row.subset}", row.subset)
            yield Fact(row.p_holm, f"p by Holm of the seeds of {record} on {row.subset}", row.subset)


@cache
def _pooled(record: str, split: str) -> Specialists | None:
    others = sorted(RECORDS.glob(f"{record}-seed[0-9]*"))
    rows = pooled([read_run(folder) for folder in (RECORDS / record, *others)]) if others else []
    return next((one for row in rows for one in row.specialists if one.split == split and one.seeds), None)


@cache
def _epochs(record: str) -> tuple[dict[str, Any], ...]:
    path = RECORDS / record / "records.jsonl"
    return tuple(map(json.loads, path.read_text().splitlines())) if path.is_file() else ()


def speeds(records: Iterable[str], key: str) -> Iterator[Fact]:
    """``images_per_second`` or ``seconds``: a run's median epoch, its last one, and of seconds the run's own."""
    for record in records:
        if lines := _epochs(record):
            yield Fact(median(line[key] for line in lines), f"{key} of {record}, median of its epochs")
            yield Fact(lines[-1][key], f"{key} of {record}, its last epoch")
        if key == "seconds" and record in NAMES:
            yield Fact(_json(RECORDS / record / "run.json")["seconds"], f"seconds of {record}")


def costs(records: Iterable[str]) -> Iterator[tuple[str, Fact]]:
    """Parameters, MACs, memory (bytes) and times (ms) of records, each with its kind."""
    for record in records:
        told = [(row.values["cost"] or {}, row.what, row.subset) for row in _rows(record, "test")]
        told += [(row.get("cost", {}), what, "") for row, what in _ablated(record)]
        for cost, what, subset in told:
            for kind in ("parameters", "macs", "kernel_macs"):
                if kind in cost:
                    yield kind.removeprefix("kernel_"), Fact(cost[kind], f"{kind} of {what}", subset)
            for name, size in cost.get("memory", {}).items():
                if size is not None:
                    yield "bytes", Fact(size, f"{name} of {what}", subset)
            for batch, spread in cost.get("latency_ms", {}).items():
                for name, value in spread.items():
                    yield "ms", Fact(value, f"{name} latency of {what}, batch of {batch}", subset)


def network_costs(text: str) -> Iterator[tuple[str, Fact]]:
    """Parameters and MACs of the networks and stems of docs/theory/costs.json that a text names."""
    found = _json(COSTS)
    words = set(re.findall(r"\w+", text.lower()))
    for network in found["networks"]:
        if network["name"] in words:
            what = " ".join((network["name"], *(f"{key} {value}" for key, value in network["options"].items())))
            yield "parameters", Fact(network["parameters"], f"parameters of {what}")
            for size, macs in network["macs"].items():
                yield "macs", Fact(macs, f"MACs of {what} at {size}x{size}")
                for other in (other for other in found["networks"] if other["name"] in words):
                    yield "ratio", Fact(macs / other["macs"][size], f"MACs of {what} over those of {other['name']}")
    (bank,) = [stem["parameters"] for stem in found["stems"] if stem["name"] == "sliced"]
    for stem in found["stems"]:
        if stem["name"] in words:
            for count, parameters in stem["parameters"].items():
                what = f"a stem, {stem['name']}, {count} channels"
                yield "parameters", Fact(parameters, f"parameters of {what}")
                yield "parameters", Fact(parameters - bank[count], f"parameters of {what}, beside the bank's")


def benchmark_ratios(names: Iterable[str]) -> Iterator[Fact]:
    for name in names:
        for what, ratio in _json(BENCHMARKS / name).get("ratios", {}).items():
            for key, value in ratio.items():
                yield Fact(value, f"{key} ratio of {what} in {name}", next(iter(re.findall(r"\bRGB?\b", what)), ""))


def correlations(records: Iterable[str]) -> Iterator[Fact]:
    """Of what classes lose on subsets with what of the channels is untold, as the report says it, and its p value."""
    for record in (name for name in records if name in NAMES):
        evaluation = read_run(RECORDS / record).evaluations.get("test")
        found = evaluation and loss_with_untold(evaluation)
        if found:
            yield Fact(found.value, f"rank correlation of {record}")
            yield Fact(found.p, f"p value of the rank correlation of {record}")


def benchmark_steps(names: Iterable[str]) -> Iterator[tuple[str, Fact]]:
    """Seconds, images a second and bytes of a benchmark's steps, each with its kind; of programs their median speed."""
    for name in names:
        record = _json(BENCHMARKS / name)
        for program, speeds in record.get("images_per_second", {}).items():
            yield "images_per_second", Fact(median(speeds), f"images a second of {program} in {name}")
        for step, found in record.get("steps", {}).items():
            for key, value in found.items():
                kind, scale = ("bytes", 2**20) if key == "peak_mebibytes" else (key, 1)
                yield kind, Fact(value * scale, f"{key} of {step} in {name}")


def settings(records: Iterable[str], sentence: str) -> Iterator[Fact]:
    """Decimal numbers of the configurations of runs and of trials whose key the sentence speaks of."""
    for record in records:
        found = [(trial["settings"], what) for trial, what in _tried(record)]
        if record in NAMES:
            found.append((_json(RECORDS / record / "run.json")["config"], record))
        for config, what in found:
            for name, value in _leaves(config, ""):
                words = name.rpartition(".")[2].split("_")
                if isinstance(value, float) and any(word in sentence for word in words):
                    yield Fact(value, f"{name} in the configuration of {what}")


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}".lstrip("."))
    else:
        yield name, value


def reported(documents: Iterable[str]) -> Iterator[Fact]:
    """What the recipes hold of source documents such as "004": figures reported, and numbers of settings and texts."""
    for document in documents:
        for path in sorted(RECIPES.glob(f"{document}-*.yaml")):
            recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
            for run in (*recipe["runs"].items(), *(("one", of_one) for of_one in recipe.get("of_one", ()))):
                for figure, values in run[1].pop("reported", {}).items():
                    for subset, value in values.items():
                        yield Fact(float(value), f"{figure} of {run[0]} as {path.name} has it reported", subset)
            for number in re.findall(r"\d[\d,]*(?:\.\d+)?", yaml.safe_dump(recipe)):
                yield Fact(float(number.replace(",", "").rstrip(".")), f"{number} in {path.name}")


def records_named(pattern: str) -> list[str]:
    """The records that a text in code names: a folder, ``{a,b}-c`` for two, ``a-*`` for all of a kind, a command's."""
    if " " in pattern:
        return [name for word in pattern.split() if word.startswith("runs/") for name in records_named(word)]
    text = pattern.removeprefix("docs/records/").removeprefix("runs/").rstrip("/")
    if braces := re.search(r"\{([^}]*)\}", text):
        parts = braces[1].split(",")
        return [n for part in parts for n in records_named(text[: braces.start()] + part + text[braces.end() :])]
    return [name for name in (*NAMES, *ABLATIONS, *SEARCHES) if fnmatchcase(name, text)]
