"""Runs of one configuration with different seeds, as one row: means over seeds, intervals over seeds and images."""

from __future__ import annotations

import dataclasses
import json
import re
from array import array
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from anychan.report._reading.pooled_specialists import pooled_specialists
from anychan.report._reading.records import Bin, ClassScore, Evaluation, Result, Run
from anychan.report._reading.settings import OF_EACH_SEED, filled
from anychan.report._sentences import numbers as fmt


def pooled(runs: Sequence[Run]) -> list[Run]:
    """Each configuration as one run, in the order of their first.

    Runs belong together if they have the same settings, training images, evaluated images and questions, and other
    seeds. Accuracies become means over seeds with an interval over seeds and images (see ``paired_interval``); other
    metrics become means, confusions and calibration sums. Cost is that of the first. Specialists are pooled where each
    run has its own (see ``pooled_specialists``); comparisons of two runs are not. A run that shares its settings with
    none stands as it is, with the interval over images that it had.
    """
    groups: list[tuple[str | None, list[Run]]] = []
    for run in runs:
        key = _key(run)
        fits = (group for known, group in groups if known == key and run.seed not in [r.seed for r in group])
        group = next(fits, None) if key is not None else None
        if group is None:
            groups.append((key, [run]))
        else:
            group.append(run)
    names = [_name(group) for _, group in groups]
    return [
        group[0] if len(group) == 1 else _pool(group, name if names.count(name) == 1 else group[0].name)
        for (_, group), name in zip(groups, names, strict=True)
    ]


def with_seeds_named(runs: Sequence[Run], rows: Sequence[Run]) -> list[Run]:
    """The runs, with the seed in the name of each that has the name of a row of several seeds."""
    alike = {id(run) for row in rows for run in row.pooled if run.name == row.name}
    return [dataclasses.replace(run, name=f"{run.name}, seed {run.seed}") if id(run) in alike else run for run in runs]


def _key(run: Run) -> str | None:
    """What runs of one configuration have in common; None where it cannot be told, or images cannot be paired."""
    config, data = run.configuration, run.record.get("data") or {}
    trained_on = (data.get("fingerprints") or {}).get("train")
    if not config or run.seed is None or run.status != "finished" or trained_on is None:
        return None
    evaluations = {}
    for split, evaluation in run.evaluations.items():
        images = (evaluation.data.get("fingerprints") or {}).get(split)
        if images is None or not all(result.right for result in evaluation.results):
            return None
        evaluations[split] = [images, [[r.subset, r.fill, r.n] for r in evaluation.results], evaluation.classes]
    source = run.record.get("adapted_from") or {}
    told = {
        "config": {name: value for name, value in filled(config).items() if name not in OF_EACH_SEED},
        "adapted": {name: source.get(name) for name in ("strategy", "images")},
        "recalibrated": run.record.get("recalibrated"),
        "initial": _without_seed(config.get("initial"), run.seed),  # each seed may start from a run of its own,
        "teacher": _without_seed((config.get("objective") or {}).get("teacher"), run.seed),  # and learn from one
        "pretrained": (run.record.get("pretrained") or {}).get("source") or bool(config.get("pretrained")),
        "train": trained_on,
        "evaluations": evaluations,
    }
    return json.dumps(told, sort_keys=True)


def _without_seed(path: Any, seed: int | None) -> str | None:
    """The name of a run's folder, without the seed that it ends with; a bare number is one where it is the run's own.

    Example:
        >>> _without_seed("runs/wide6-1", 1), _without_seed("runs/wide6-seed0", 1), _without_seed("runs/wide6-32", 2)
        ('wide6', 'wide6', 'wide6-32')
    """
    return re.sub(rf"(^|[-_ ])((seed|s)[-_ ]?\d+|{seed})$", "", PurePath(path).name) if path else None


def _pool(runs: Sequence[Run], name: str) -> Run:
    first = runs[0]
    evaluations = {split: _evaluation([run.evaluations[split] for run in runs]) for split in first.evaluations}
    return dataclasses.replace(
        first,
        name=name,
        record={**first.record, "seed": None},
        evaluations=evaluations,
        pooled=tuple(runs),
        comparisons=(),
        specialists=pooled_specialists(runs, name),
    )


def _name(runs: Sequence[Run]) -> str:
    """The names without their seeds; where that differs, the first's; that of a run alone as it is."""
    if len(runs) == 1:
        return runs[0].name
    names = set()
    for run in runs:
        *folders, last = run.name.split("/")
        known = [kept for folder in folders if (kept := _without_seed(folder, run.seed))]
        names.add("/".join([*known, re.sub(rf"[-_ ]?(seed|s)?[-_ ]?{run.seed}$", "", last)]))
    return names.pop() or runs[0].name if len(names) == 1 else runs[0].name


def _evaluation(evaluations: Sequence[Evaluation]) -> Evaluation:
    first = evaluations[0]
    results = [_result(same) for same in zip(*(e.results for e in evaluations), strict=True)]
    return dataclasses.replace(first, results=tuple(results))


def _retention(results: Sequence[Result]) -> float | None:
    """Mean accuracy over that on all channels, of the images that have the subset's, which each seed's own tells."""
    telling = [r for r in results if r.retention]  # nothing right on the subset says nothing of all channels
    on_all = sum(r.accuracy / r.retention for r in telling if r.retention) / len(telling) if telling else None
    if on_all is None:
        return _mean([r.retention for r in results])
    return sum(r.accuracy for r in results) / len(results) / on_all


def _result(results: Sequence[Result]) -> Result:
    """Of one question: the mean over seeds."""
    from anychan.evaluation.bootstrap import accuracy_interval
    from anychan.evaluation.predictions import unpack_right

    first = results[0]
    return dataclasses.replace(
        first,
        accuracy=sum(r.accuracy for r in results) / len(results),
        interval=accuracy_interval([unpack_right(r.right, r.n) for r in results]),
        top5=_mean([r.top5 for r in results]),
        precision=_mean([r.precision for r in results]),
        recall=_mean([r.recall for r in results]),
        f1=_mean([r.f1 for r in results]),
        calibration_error=_mean([r.calibration_error for r in results]),
        inference_ms=_mean([r.inference_ms for r in results]),
        retention=_retention(results),
        flips=_mean([r.flips for r in results]),
        flips_interval=None,  # these answers are not recorded image by image
        calibration=_bins([b for r in results for b in r.calibration]),
        per_class=tuple(_class(same) for same in zip(*(r.per_class for r in results), strict=True)),
        confusion=tuple(
            array("i", map(sum, zip(*rows, strict=True))) for rows in zip(*(r.confusion for r in results), strict=True)
        ),
        right="",  # of several models there is no one answer
        rights=tuple(r.right for r in results),
        confusions=tuple(r.confusion for r in results) if all(r.confusion for r in results) else (),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _bins(bins: Sequence[Bin]) -> tuple[Bin, ...]:
    """Bins of equal place put together; they are known by the fifteenth that their confidence lies in."""
    places: dict[int, list[Bin]] = {}
    for b in bins:
        places.setdefault(min(int(15 * b.confidence), 14), []).append(b)
    return tuple(
        Bin(
            sum(b.confidence * b.count for b in same) / (count := sum(b.count for b in same)),
            sum(b.accuracy * b.count for b in same) / count,
            count,
        )
        for _, same in sorted(places.items())
    )


def _class(scores: Sequence[ClassScore]) -> ClassScore:
    first = scores[0]
    precision, recall = _mean([s.precision for s in scores]), _mean([s.recall for s in scores])
    return ClassScore(first.name, first.support, precision, recall, _mean([s.f1 for s in scores]))


def interval_words(runs: Sequence[Run]) -> str:
    """What the intervals of these rows are, for a caption."""
    if not any(run.pooled for run in runs):
        return "95 % Wilson interval"
    return "95 % interval (Wilson; of several seeds over seeds and images)"


def seed_words(runs: Sequence[Run]) -> str:
    """How many runs and which seeds stand behind the numbers."""
    seeds = sorted({run.seed for row in runs for run in row.each_seed if run.seed is not None})
    counts = sorted({len(row.each_seed) for row in runs})
    names = fmt.listing([str(seed) for seed in seeds])
    which = f"seed {names}" if len(seeds) == 1 else f"seeds {names}" if seeds else "seed not recorded"
    if counts == [1]:
        return f"one run, {which}" if len(runs) == 1 else f"one run a row, {which}"
    each = "" if len(runs) == 1 else " a row"
    return f"{' or '.join(map(str, counts))} runs{each}, {which}"
