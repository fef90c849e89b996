"""A table as data: the page sets it in HTML, the documentation in Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Column:
    """A column's heading, what its cells hold in words, and whether they are numbers."""

    label: str
    meaning: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """A cell: its text, something smaller beside it (an interval, a spread), what it is sorted by, a shade (0 to 1)."""

    text: str
    small: str = ""
    sort: float | None = None
    shade: float | None = None


@dataclass(frozen=True)
class Group:
    """Rows that belong together, under a heading that may be empty; ``kind`` "naive" sets them back."""

    title: str
    rows: tuple[tuple[Cell, ...], ...]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first cell of a row is its heading."""

    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]

    @cached_property
    def sorts_as_shown(self) -> tuple[bool, ...]:
        """For each column, whether what its cells show sorts them: all are plain numbers, words or empty."""
        rows = [row for group in self.groups for row in group.rows]
        return tuple(all(_sorts_as_shown(row[place]) for row in rows) for place in range(len(self.columns)))


def _sorts_as_shown(cell: Cell) -> bool:
    return cell.sort is None or (not cell.small and re.fullmatch(r"-?\d+(\.\d+)?", cell.text) is not None)
