"""A table as data: the page sets it in HTML, the documentation in Markdown."""

from __future__ import annotations

from dataclasses import dataclass


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
