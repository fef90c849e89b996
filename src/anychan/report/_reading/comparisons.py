"""Several runs and their comparisons, each run named as briefly as tells it from the others."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from anychan.report._reading.records import Comparison, Run, Specialists


def told_apart(runs: Sequence[Run]) -> list[Comparison]:
    """All comparisons recorded in runs, with the runs' names in place of their paths.

    Runs of one name in different folders get as many folders before the name as it takes. Left out is what was compared
    before one of these runs was evaluated as it is now (see `outdated`).
    """
    comparisons = [comparison for run in runs for comparison in run.comparisons if _is_current(comparison, runs)]
    folders = [str(run.folder.resolve()) for run in runs if run.name != run.record.get("name")]  # see `named_apart`
    names = short_paths([*(path for c in comparisons for path in (c.a, c.b)), *folders])
    return [dataclasses.replace(c, a=names[c.a], b=names[c.b]) for c in comparisons]


def named_apart(runs: Sequence[Run]) -> list[Run]:
    """Runs of different folders under different names: those that share theirs have their folder's, see `short_paths`.

    What stands beside a run in a table is found by its name.
    """
    recorded = [run.name for run in runs]
    paths = [str(run.folder.resolve()) for run in runs]
    short = short_paths(paths)
    folders = [short[path] for path in paths]
    shared = {name for name, count in Counter(recorded).items() if count > 1}
    names = [folder if name in shared else name for name, folder in zip(recorded, folders, strict=True)]
    if len({*names}) < len(names):  # one is called like the folder of another
        names = folders
    return [_renamed(run, name) for run, name in zip(runs, names, strict=True)]


def _renamed(run: Run, name: str) -> Run:
    specialists = tuple(dataclasses.replace(found, run=name) for found in run.specialists)
    return run if run.name == name else dataclasses.replace(run, name=name, specialists=specialists)


def outdated(runs: Sequence[Run]) -> list[str]:
    """Of which runs records of comparisons are left out, in a sentence: other weights or images were compared."""
    pairs = {(c.a, c.b) for run in runs for c in run.comparisons if not _is_current(c, runs)}
    told = [f"{PurePath(a).name} and {PurePath(b).name}" for a, b in sorted(pairs)]
    told += [f"{run.name} and its specialists" for run in runs if run.outdated]
    return (
        [f"Compared before they were evaluated anew, and so left out: {'; '.join(told)}. Compare again."]
        if told
        else []
    )


def without_outdated_specialists(run: Run, runs: Sequence[Run]) -> Run:
    """A run without what it was held against before one of these specialists was evaluated as it is now."""
    current = [found for found in run.specialists if _specialists_are_current(run, found, runs)]
    outdated = {found.split for found in run.specialists if found not in current}
    return dataclasses.replace(run, specialists=tuple(current), outdated=tuple(sorted({*run.outdated, *outdated})))


def _specialists_are_current(run: Run, found: Specialists, runs: Sequence[Run]) -> bool:
    folder = run.folder.resolve()
    models = {os.path.normpath(folder / row.path): row.model for row in found.rows}
    return all(
        evaluation.answered(models[path], found.images)
        for other in runs
        if (path := str(other.folder.resolve())) in models and (evaluation := other.on(found.split))
    )


def _is_current(comparison: Comparison, runs: Sequence[Run]) -> bool:
    sides = dict(zip((comparison.a, comparison.b), comparison.models, strict=True))
    return all(
        evaluation.answered(sides[path], comparison.images)
        for run in runs
        if (path := str(run.folder.resolve())) in sides and (evaluation := run.on(comparison.split))
    )


def short_paths(paths: Iterable[str]) -> Mapping[str, str]:
    """Each path's last parts, as few as tell it from those that are not about the same folder.

    A path that another ends in is taken for the same folder, seen from nearer.

    Example:
        >>> short_paths(["runs/any", "/tmp/runs/plain", "/home/runs/plain", "runs/any"])
        {'runs/any': 'any', '/tmp/runs/plain': 'tmp/runs/plain', '/home/runs/plain': 'home/runs/plain'}
    """
    parts = {path: [part for part in PurePath(path).parts if part != PurePath(path).anchor] for path in paths}
    return {path: "/".join(own[-_needed(own, list(parts.values())) :]) or path for path, own in parts.items()}


def _needed(own: Sequence[str], others: Sequence[Sequence[str]]) -> int:
    """How many last parts tell a path from the others."""
    shared = [_shared(own, other) for other in others]
    return 1 + max((n for n, other in zip(shared, others, strict=True) if n < min(len(own), len(other))), default=0)


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many last parts two paths have in common."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
