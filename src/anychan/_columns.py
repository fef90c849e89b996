"""Tables as text: columns that line up, and differences of shares, for people at a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def columns(rows: Sequence[Sequence[str]], left: Collection[int] | None = None, *, ruled: bool = False) -> list[str]:
    """Rows as lines whose columns stand two spaces apart.

    Args:
        rows: cells, as many in each row; headings are a row like the others.
        left: numbers of the columns that are flush left, as words are; the others are flush right. None: all.
        ruled: whether a line of dashes stands under the first row.

    Example:
        >>> columns([("run", "accuracy"), ("any", "47.7"), ("completed", "7.9")], left={0})
        ['run        accuracy', 'any            47.7', 'completed       7.9']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [rows[0], ["-" * width for width in widths], *rows[1:]] if ruled else rows
    return [
        "  ".join(
            cell.ljust(width) if left is None or number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in lines
    ]


def points(share: float, *, signed: bool = True) -> str:
    """A difference of shares of 1 in percentage points; what rounds to zero has no sign.

    Example:
        >>> points(0.0123), points(-0.02), points(-0.0002), points(0.0123, signed=False)
        ('+1.2', '-2.0', '0.0', '1.2')
    """
    rounded = round(100 * share, 1)
    return f"{rounded:{'+' if signed else ''}.1f}" if rounded else "0.0"
