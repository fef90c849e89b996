"""The answers of a report in two small tables: one network beside its specialists, shallow networks beside ResNet34."""

from __future__ import annotations

from collections.abc import Sequence

from anychan.evaluation.paired import NOT_DISTINGUISHABLE
from anychan.report._reading.records import Run, Specialists
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.networks import against_resnet34
from anychan.report._tables.pairs import difference_cell
from anychan.report._tables.runs import accuracy_cell, share_cell
from anychan.report._tables.table import Cell, Column, Group, Table


def answer_beside_specialists(found: Sequence[Specialists]) -> Table | None:
    """Of each network what it has over its specialists: on average, on all channels, where it is least; None of one.

    Args:
        found: on one split, in the order of the rows.
    """
    if len(found) < 2:
        return None
    columns = (
        Column("network", numeric=False),
        Column("on average", "over the subsets"),
        Column("on all channels"),
        Column("where it is least"),
        Column("decided", "subsets on which the difference holds, corrected for their number", numeric=False),
    )
    rows = []
    for one in found:
        full, least = one.rows[0], min(one.rows, key=lambda row: row.difference)
        decided = [row.subset for row in one.rows if row.verdict != NOT_DISTINGUISHABLE]
        low, high = one.interval
        rows.append(
            (
                Cell(one.run),
                difference_cell(one.difference, one.interval),
                difference_cell(full.difference, full.interval),
                Cell(
                    f"{least.subset} {fmt.difference(least.difference)}",
                    " to ".join(map(fmt.difference, least.interval)),
                    least.difference,
                ),
                Cell(fmt.listing([*([] if low <= 0 <= high else ["average"]), *decided]) or "nothing"),
            )
        )
    over = " and seeds" if any(one.seeds for one in found) else ""
    caption = (
        "A. One network less the plain networks that were trained for a subset alone each, in percentage points of "
        f"accuracy on the {found[0].split} split, with 95 % intervals over images{over}. Above zero the one network is "
        "ahead. Decided is what chance does not explain: subsets corrected for their number, the average by its "
        "interval, which is not corrected for the number of networks."
    )
    return Table(caption, columns, (Group("", tuple(rows)),))


def answer_beside_resnet34(rows: Sequence[Run], split: str) -> Table | None:
    """The best network of each depth of at most six layers, and every ResNet34; None where there is no such pair."""
    found = against_resnet34(rows, split)
    if found is None:
        return None
    columns = (
        Column("layers", "weighted layers on the longest path from input to logits"),
        Column("network", numeric=False),
        Column("accuracy", "percent of images named right, with its 95 % interval"),
        Column(f"less {found.against}", "percentage points, paired by image, 95 % interval"),
        Column("MACs", f"multiply-accumulates of one image, in percent of those of {found.against}"),
        Column("parameters"),
    )
    table = tuple(
        (
            Cell(str(cost.depth), sort=cost.depth),
            Cell(run.name),
            accuracy_cell(result),
            Cell("") if gap is None else difference_cell(*gap),
            share_cell(cost.macs / found.macs if cost.macs is not None else None),
            Cell(fmt.scaled(cost.parameters), sort=cost.parameters),
        )
        for run, result, cost, gap in found.rows
    )
    caption = (
        f"B. The most accurate network of each depth of at most six layers, and each ResNet34, trained {found.how} on "
        f"the same images: percent of the {split} split. {found.against} is the best ResNet34; differences from it are "
        "in percentage points, paired by image."
    )
    return Table(caption, columns, (Group("", table),))
