"""What stands below a report: what it was made from, and what its intervals are over."""

from __future__ import annotations

from collections.abc import Sequence

from anychan.report._reading.records import AblationRecord, Run
from anychan.report._reading.reproductions import Reproduction
from anychan.report._reading.searches import Search

_OF_RUNS = "Intervals are of 95 %, over images: of accuracies Wilson's, of other figures as their captions say"
_NO_SEEDS = "they do not cover the chance of another seed."


def footer(
    rows: Sequence[Run],
    ablations: Sequence[AblationRecord],
    searches: Sequence[Search],
    sources: Sequence[Reproduction],
) -> str:
    """What a report was made from, and what its intervals are over.

    Args:
        rows: the runs, those with several seeds as one.
        ablations, searches, sources: those shown.
    """
    records = len(ablations) + len(searches) + len(sources)
    folders = sum(len(row.each_seed) for row in rows)
    made = [f"run folder{'' if folders == 1 else 's'}"] if folders else []
    made += [f"record{'' if records == 1 else 's'}"] if records else []
    said = _of_runs(rows, ablations) if rows or sources else _of_ablations(ablations) if ablations else ""
    return f"Made by anychan from the {' and '.join(made)} alone. {said}".strip()


def _of_runs(rows: Sequence[Run], ablations: Sequence[AblationRecord]) -> str:
    if any(row.pooled for row in rows):
        return (
            f"{_OF_RUNS}. Where several seeds were run, a row is their mean, and its interval is Student's t on the "
            "variances of seeds and of images."
        )
    of_ablations = any(len(ablation.seeds) > 1 for ablation in ablations)
    return f"{_OF_RUNS}; {'but for those of ablations with several seeds ' if of_ablations else ''}{_NO_SEEDS}"


def _of_ablations(ablations: Sequence[AblationRecord]) -> str:
    several = {len(ablation.seeds) > 1 for ablation in ablations}
    if several == {True}:
        return "Intervals are of 95 %, over images and seeds."
    if several == {False}:
        return f"Intervals are of 95 %, over images; {_NO_SEEDS}"
    return f"Intervals are of 95 %, over images, and over seeds where there are several; elsewhere {_NO_SEEDS}"
