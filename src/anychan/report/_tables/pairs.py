"""The tables of a report of paired tests: of two runs, and of one network beside its specialists."""

from __future__ import annotations

from collections.abc import Sequence

from anychan.report._reading.records import Comparison, Specialists
from anychan.report._sentences import numbers as fmt
from anychan.report._sentences.trained_where import place, place_words
from anychan.report._tables.runs import fill_name, share_cell
from anychan.report._tables.table import Cell, Column, Group, Table


def table_of_comparisons(comparisons: Sequence[Comparison], note: str = "") -> Table:
    """Paired comparisons of runs on the same images, with their verdicts as they were recorded.

    Args:
        comparisons: in the order of the rows.
        note: a sentence for the end of the caption.
    """
    columns = (
        Column("channels", numeric=False),
        Column("a", numeric=False),
        Column("b", numeric=False),
        Column("accuracy a"),
        Column("accuracy b"),
        Column("a − b", "difference in percentage points, with its paired 95 % interval"),
        Column("p", "exact McNemar test, two-sided"),
        Column("p, Holm", "corrected for the number of tests by Holm's method; the verdict goes by it"),
        Column("verdict", numeric=False),
    )
    rows = tuple(
        (
            Cell(c.subset),
            Cell(c.a, f"filled: {fill_name(c.fill_a)}" if c.fill_a else ""),
            Cell(c.b, f"filled: {fill_name(c.fill_b)}" if c.fill_b else ""),
            share_cell(c.accuracy_a),
            share_cell(c.accuracy_b),
            difference_cell(c.difference, c.interval),
            _p_cell(c.p),
            _p_cell(c.p_holm),
            Cell(c.named_verdict),
        )
        for c in comparisons
    )
    counts = fmt.listing([fmt.count(n) for n in sorted({c.n for c in comparisons})])
    splits = fmt.listing(sorted({c.split for c in comparisons}))
    caption = f"Paired comparisons, in percent: the same {counts} images of the {splits} split for both runs. "
    caption += "Verdicts are corrected by Holm's method for all tests of the same two runs"
    caption += ", not for the number of pairs." if len({(c.a, c.b) for c in comparisons}) > 1 else "."
    caption += f" {note}" if note else ""
    return Table(caption, columns, (Group("", rows),))


def table_of_specialists(found: Specialists) -> Table:
    """One model beside a plain one trained for each subset, with their mean."""
    columns = (
        Column("channels", numeric=False),
        Column(found.run),
        Column("specialist", "a plain network trained for these channels alone"),
        Column("difference", "in percentage points, with its paired 95 % interval"),
        Column("p", "Student's t over seeds and images, two-sided" if found.seeds else "exact McNemar test, two-sided"),
        Column("p, Holm", "corrected for the number of tests by Holm's method; the verdict goes by it"),
        Column("verdict", numeric=False),
    )
    better = {"a is better": f"{found.run} is better", "b is better": "the specialist is better"}
    rows = tuple(
        (
            Cell(row.subset),
            share_cell(row.accuracy),
            share_cell(row.specialist),
            difference_cell(row.difference, row.interval),
            _p_cell(row.p),
            _p_cell(row.p_holm),
            Cell(better.get(row.verdict, row.verdict)),
        )
        for row in found.rows
    )
    blank = Cell("")
    mean = (
        Cell("mean"),
        share_cell(found.accuracy),
        share_cell(found.specialist),
        difference_cell(found.difference, found.interval),
        blank,
        blank,
        blank,
    )
    counts = fmt.listing([fmt.count(n) for n in sorted({row.n for row in found.rows})])
    seeds = f", {len(found.seeds)} seeds ({fmt.listing(list(map(str, found.seeds)))}) of each" if found.seeds else ""
    interval = (
        "95 % intervals and p are Student's t over seeds and images, the variance of seeds is that of all subsets, and "
        "the intervals are not corrected"
        if found.seeds
        else "the mean's interval is a bootstrap over images"
    )
    caption = (
        f"{found.run} and a plain network trained for each subset alone{seeds}, in percent: the same {counts} images "
        f"of the {found.split} split. Verdicts are corrected by Holm's method for the number of subsets; {interval}."
        f"{_alike(found)} {_where_trained(found)}{_saving(found)}"
    )
    return Table(caption, columns, (Group("", (*rows, mean)),))


def _p_cell(p: float) -> Cell:
    return Cell("< 0.001" if p < 0.001 else f"{p:.3f}", sort=p)


def _alike(found: Specialists) -> str:
    if not found.differs:
        all_ = "All of one seed" if found.seeds else "All"
        but_for = "channels, stem, objective and what is kept for a subset"
        return f" {all_} were trained with the same settings, but for {but_for}."
    return f" They were not trained alike: they differ in {fmt.listing(found.differs)}."


def _where_trained(found: Specialists) -> str:
    """In which number format on what they were trained, each place with those that were trained there."""
    places = dict.fromkeys((found.trained, *(row.trained for row in found.rows)))
    if not any(places):
        return "In which number format and on which processor each was trained is not recorded."
    named = {}
    for where in places:
        subsets = [row.subset for row in found.rows if row.trained == where]
        others = [f"the {fmt.plural(len(subsets), 'specialist')} for {fmt.listing(subsets)}"] if subsets else []
        named[where or place("", "")] = [found.run, *others] if where == found.trained else others
    return place_words(named)


def _saving(found: Specialists) -> str:
    """What one network costs beside its specialists, in a sentence; nothing where it was not counted."""
    (one, all_of_them), (passes, all_passes) = found.parameters, found.passes
    said = []
    if one and all_of_them:
        said.append(f"{fmt.count(one)} parameters against {fmt.count(all_of_them)}")
    if passes and all_passes:
        said.append(f"{passes} passes through the network in training for each image against {all_passes}")
    return f" One network has {' and '.join(said)}." if said else ""


def difference_cell(difference: float, interval: tuple[float, float]) -> Cell:
    return Cell(fmt.difference(difference), " to ".join(map(fmt.difference, interval)), difference)
