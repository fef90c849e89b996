"""The answers of a report in two small tables: one network beside its specialists, shallow networks beside ResNet34."""

from __future__ import annotations

from collections.abc import Sequence

from anychan.evaluation.paired import NOT_DISTINGUISHABLE
from anychan.report._reading.records import Run, Specialists
from anychan.report._sentences import numbers as fmt
from anychan.report._sentences.headlines import number
from anychan.report._tables.networks import against_resnet34
from anychan.report._tables.pairs import difference_cell
from anychan.report._tables.runs import accuracy_cell, share_cell
from anychan.report._tables.table import Cell, Column, Group, Table


def answer_beside_specialists(found: Sequence[Specialists]) -> Table | None:
    """Of each network what it has over its specialists: mean, all channels, worst subset; None of one network.

    Args:
        found: on one split, in the order of the rows.
    """
    if len(found) < 2:
        return None
    subsets = {len(one.rows) for one in found}
    several_seeds = any(one.seeds for one in found)
    passes = [_passes(one) for one in found]
    test = "an exact test, or of several seeds Student's t" if several_seeds else "an exact test"
    columns = (
        Column("network", numeric=False),
        Column(f"mean of {fmt.counted(subsets.pop(), 'subset')}" if len(subsets) == 1 else "mean of its subsets"),
        Column("all channels"),
        Column("worst subset"),
        Column("p < 0.05", f"subsets by {test}, corrected for those of the network", numeric=False),
        *([Column("passes", "in training, for each image")] if any(passes) else []),
    )
    rows = []
    for one, cell in zip(found, passes, strict=True):
        full, least = one.full, min(one.rows, key=lambda row: row.difference)
        rows.append(
            (
                Cell(one.run, small=_by_seed(one)),
                difference_cell(one.difference, one.interval),
                difference_cell(full.difference, full.interval) if full else Cell(""),
                Cell(
                    f"{least.subset} {fmt.difference(least.difference)}",
                    " to ".join(map(fmt.difference, least.interval)),
                    least.difference,
                ),
                Cell(_decided(one)),
                *([cell or Cell("")] if any(passes) else []),
            )
        )
    caption = (
        "A. Accuracy of one network minus that of plain networks that were each trained for one subset, in percentage "
        f"points of the {found[0].split} split, with 95 % intervals over images"
        f"{' and, where there are several, seeds' if several_seeds else ''}. Above zero the one network is ahead. p is "
        "corrected for the subsets of a network and not for the number of networks, and the means are not tested: of "
        f"{number(len(found))} networks one may lead by luck."
    )
    if any(passes):
        caption += (
            " Passes through the network in training are for each image; against them stand those of all its "
            "specialists together."
        )
    return Table(caption, columns, (Group("", tuple(rows)),))


def _by_seed(one: Specialists) -> str:
    """The seeds, and what each has on average."""
    if not one.seeds:
        return ""
    means = f": {fmt.listing(list(map(fmt.difference, one.by_seed)))} on average" if one.by_seed else ""
    return f"seeds {fmt.listing(list(map(str, one.seeds)))}{means}"


def _decided(one: Specialists) -> str:
    """On which subsets a test has the network ahead of its specialists, and on which behind."""
    told = []
    for where, sign in (("ahead on", 1), ("behind on", -1)):
        subsets = [row.subset for row in one.rows if row.verdict != NOT_DISTINGUISHABLE and sign * row.difference > 0]
        told += [f"{where} {fmt.listing(subsets)}"] if subsets else []
    return ", ".join(told) or "none"


def _passes(one: Specialists) -> Cell | None:
    own, others = one.passes
    return Cell(str(own), f"against {others}", own) if own and others else None


def answer_beside_resnet34(rows: Sequence[Run], split: str) -> Table | None:
    """The best network of each depth of at most six layers, and every ResNet34; None where there is no such pair."""
    found = against_resnet34(rows, split)
    if found is None:
        return None
    columns = (
        Column("layers", "weighted layers on the longest path from input to logits"),
        Column("network", numeric=False),
        Column("accuracy", "percent of images named right, with its 95 % interval"),
        Column(f"minus {found.against}", "percentage points, paired by image, 95 % interval"),
        Column(f"MACs, % of {found.against}", "multiply-accumulates of one image"),
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
