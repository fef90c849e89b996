"""The comparisons of several runs, each run named as briefly as tells it from the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from anychan.report._records import Comparison, Run


def told_apart(runs: Sequence[Run]) -> list[Comparison]:
    """All comparisons recorded in runs, with the runs' names in place of their paths.

    Runs of one name in different folders get as many folders before the name as it takes.
    """
    comparisons = [comparison for run in runs for comparison in run.comparisons]
    names = short_paths(path for c in comparisons for path in (c.a, c.b))
    return [dataclasses.replace(c, a=names[c.a], b=names[c.b]) for c in comparisons]


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
