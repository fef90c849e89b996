"""A table as Markdown, and text that cannot become markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from anychan.report._tables.table import Cell, Table

_BEGINS = re.compile(r"^(\d*)([.)]|[#+-]+)(?=\s|$)")


def markdown(table: Table) -> str:
    """One table in Markdown, its caption above it.

    Example:
        >>> from anychan.report._tables.table import Column, Group
        >>> columns = (Column("channels", numeric=False), Column("accuracy"))
        >>> print(markdown(Table("On test.", columns, (Group("", ((Cell("RG"), Cell("44.1", "42.2–46.1")),)),))))
        On test.
        <BLANKLINE>
        | channels | accuracy |
        |:---|---:|
        | RG | 44.1 (42.2–46.1) |
        <BLANKLINE>
    """
    lines = [escape(table.caption), ""]
    lines.append(_row([escape(column.label) for column in table.columns]))
    lines.append("|" + "|".join("---:" if column.numeric else ":---" for column in table.columns) + "|")
    for group in table.groups:
        if group.title:
            lines.append(_row([f"*{escape(group.title)}*", *("" for _ in table.columns[1:])]))
        lines += [_row([_cell(cell) for cell in row]) for row in group.rows]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    return escape(f"{cell.text} ({cell.small})" if cell.small else cell.text)


def escape(text: str) -> str:
    """Text that cannot leave its cell or become markup.

    Example:
        >>> print(escape("~5 &amp; <b>"), escape("# a & b"))
        \\~5 \\&amp; \\<b\\> \\# a & b
    """
    for sign in "\\`*_|<>[]~":
        text = text.replace(sign, f"\\{sign}")
    return begun(re.sub(r"&(?=#?\w+;)", r"\\&", " ".join(text.split())))


def begun(text: str) -> str:
    """Text that makes its line no heading, no item of a list, and no line across.

    Example:
        >>> print(begun("1. of 2"), begun("# a"), begun("-1.5"))
        1\\. of 2 \\# a -1.5
    """
    return _BEGINS.sub(r"\1\\\2", text)
