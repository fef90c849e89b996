"""The confusion matrix: which classes are mistaken for which, as a drawing and as a list of pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from anychan.report._reading.records import Result

_LEVELS = 10  # shades a cell can have
_MOST_NAMED = 60  # more classes than that are numbered at the edge, not named
_MOST_COUNTED = 16  # up to so many classes the counts themselves stand in the cells
_DIGIT = 7.7  # the width of one in a cell, in CSS pixels; style.css sets them in 12 px
_LONGEST_NAME = 20


@dataclass(frozen=True)
class Mark:
    """A text at the edge of the matrix or in a cell, at a position in CSS pixels."""

    position: float
    text: str
    full: str


@dataclass(frozen=True)
class Matrix:
    """A drawing in CSS pixels; rows are the true classes, columns the answers.

    ``shades`` holds (css class, opacity, path): cells of one shade are one path, each a line as wide as it is long
    from (column, row), in cells, so that a thousand classes still make a small page. The opacity is the square root
    of a cell's share of its row, which keeps rare confusions in sight.
    """

    side: float
    margin: float
    cell: float
    shades: tuple[tuple[str, float, str], ...]
    marks: tuple[Mark, ...]
    counts: tuple[tuple[float, float, int], ...]
    label: str


def matrix(result: Result, classes: Sequence[str]) -> Matrix | None:
    """Lay out a result's confusion matrix; None where it was not recorded."""
    rows = result.confusion
    if not rows:
        return None
    counted = len(classes) <= _MOST_COUNTED
    cell = _cell(len(classes), len(str(max(map(max, rows)))) if counted else 0)
    marks = _marks(classes, cell)
    pairs = ", ".join(f"{true} called {said} {times} times" for true, said, times, _ in confused(result, classes, 3))
    return Matrix(
        side=len(classes) * cell,
        margin=12 + (6.8 if counted else 5.6) * max(len(mark.text) for mark in marks),
        cell=cell,
        shades=_shades(rows),
        marks=marks,
        counts=tuple(_counts(rows, cell)) if counted else (),
        label=f"Confusion matrix of {len(classes)} classes on {result.subset}. Most frequent: {pairs or 'none'}.",
    )


def _cell(classes: int, digits: int) -> float:
    """The side of a cell that holds a count of so many digits, beside the next one's."""
    side = max(640 / classes, 1) if classes > _MOST_NAMED else min(46.0, max(13.0, 400 / classes))
    return max(side, _DIGIT * digits + 1) if digits else side


def confused(result: Result, classes: Sequence[str], most: int = 12) -> list[tuple[str, str, int, int]]:
    """The most frequent mistakes: true class, answer, how often, images of the true class."""
    pairs = [
        (-count, i, j) for i, row in enumerate(result.confusion) for j, count in enumerate(row) if i != j and count
    ]
    return [(classes[i], classes[j], -count, sum(result.confusion[i])) for count, i, j in sorted(pairs)[:most]]


def _shades(rows: Sequence[Sequence[int]]) -> tuple[tuple[str, float, str], ...]:
    paths: dict[tuple[str, int], list[str]] = {}
    for i, row in enumerate(rows):
        for j, count in enumerate(row):
            if count:
                level = math.ceil(_LEVELS * math.sqrt(count / sum(row)))
                shade = ("right" if i == j else "wrong", level)
                paths.setdefault(shade, []).append(f"M{j} {i}h1")
    return tuple((kind, level / _LEVELS, "".join(path)) for (kind, level), path in sorted(paths.items()))


def _marks(classes: Sequence[str], cell: float) -> tuple[Mark, ...]:
    if len(classes) <= _MOST_NAMED:
        return tuple(Mark((i + 0.5) * cell, _short(name), name) for i, name in enumerate(classes))
    step = 10 ** math.floor(math.log10(len(classes) / 3))
    return tuple(Mark((i + 0.5) * cell, str(i), name) for i, name in enumerate(classes) if i % step == 0)


def _counts(rows: Sequence[Sequence[int]], cell: float) -> list[tuple[float, float, int]]:
    return [
        ((j + 0.5) * cell, (i + 0.5) * cell, count)
        for i, row in enumerate(rows)
        for j, count in enumerate(row)
        if count
    ]


def _short(name: str) -> str:
    """The first of a class's names, cut where it is long."""
    first = name.split(",", maxsplit=1)[0].strip()
    return first if len(first) <= _LONGEST_NAME else first[: _LONGEST_NAME - 1].rstrip() + "…"
