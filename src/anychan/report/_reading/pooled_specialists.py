"""A run of several seeds beside specialists of as many: means over seeds, with intervals over seeds and images.

Shapes: S subsets, R seeds, N images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from anychan.channels import ChannelSet
from anychan.evaluation.holm import holm
from anychan.evaluation.paired import verdict
from anychan.report._reading.records import Run, Specialist, Specialists
from anychan.report._sentences import numbers as fmt

_Answers = tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def specialists_of(rows: Sequence[Run]) -> list[Specialists]:
    """All that rows were held against: of several seeds together, and each seed's own where that cannot be."""
    found: list[Specialists] = []
    for row in rows:
        splits = {together.split for together in row.specialists}
        found += row.specialists
        found += [own for run in row.pooled for own in run.specialists if own.split not in splits]
    return found


def pooled_specialists(runs: Sequence[Run], name: str) -> tuple[Specialists, ...]:
    """Runs of one configuration beside their specialists, a record a split, under the name of all runs.

    A split is left out where a run has no specialists on it or those of other subsets, where the answers to single
    images are not recorded, and where two runs share a specialist: the luck of one would pass for that of two.
    """
    found = [_pool(runs, name, first.split) for first in runs[0].specialists]
    return tuple(together for together in found if together is not None)


def _pool(runs: Sequence[Run], name: str, split: str) -> Specialists | None:
    from anychan.evaluation.bootstrap import paired_interval, seeds_variance

    found = [next((one for one in run.specialists if one.split == split), None) for run in runs]
    records = [record for record in found if record is not None]
    by_subset = [{row.subset: row for row in record.rows} for record in records]
    if len(records) < len(runs) or any(rows.keys() != by_subset[0].keys() for rows in by_subset):
        return None
    of_seeds = {subset: [rows[subset] for rows in by_subset] for subset in by_subset[0]}
    answers = [_answers(runs, split, rows, alone=len(of_seeds) == 1) for rows in of_seeds.values()]
    known = [one for one in answers if one is not None]
    if len(known) < len(answers) or len({own_RN.shape for own_RN, _ in known}) > 1:
        return None
    differences_SRN = np.stack([own_RN.astype(np.float64) - specialist_RN for own_RN, specialist_RN in known])
    spread = seeds_variance(list(differences_SRN))
    rows = [_row(*one, spread) for one in zip(of_seeds.values(), known, strict=True)]
    corrected = holm([row.p for row in rows])
    return replace(
        records[0],
        run=name,
        rows=tuple(
            replace(row, p_holm=p, verdict=verdict(row.difference, row.interval, p))
            for row, p in zip(rows, corrected, strict=True)
        ),
        accuracy=float(np.mean([row.accuracy for row in rows])),
        specialist=float(np.mean([row.specialist for row in rows])),
        difference=float(differences_SRN.mean()),
        interval=paired_interval(differences_SRN.mean(axis=0)),
        parameters=_pair(record.parameters for record in records),
        passes=_pair(record.passes for record in records),
        differs=tuple(sorted({setting for record in records for setting in record.differs})),
        seeds=tuple(run.seed for run in runs if run.seed is not None),
        by_seed=tuple(map(float, differences_SRN.mean(axis=(0, 2)))),
        trained=_each_place([record.trained for record in records]),
    )


def _answers(runs: Sequence[Run], split: str, specialists: Sequence[Specialist], alone: bool) -> _Answers | None:
    """Whether the runs, and the specialists for one subset, have each image right, bool (R, N); None where unknown.

    Two of several subsets may leave out other images (`alone`: there is no other), which a mean over them cannot have.
    """
    from anychan.evaluation.predictions import unpack_right

    own = []
    for run, specialist in zip(runs, specialists, strict=True):
        evaluation = run.evaluations.get(split)
        if evaluation is None:
            return None
        channels, known = _names(specialist.subset, evaluation.channels), evaluation.channels
        asked = (r for r in evaluation.results if not r.fill and _names(r.subset, known) == channels)
        result = next(asked, None)
        if result is None or not result.right or not specialist.right or result.n != specialist.n:
            return None
        if result.left_out and not alone:
            return None
        own.append(result)
    n = own[0].n
    if any(result.n != n for result in own) or len({specialist.right for specialist in specialists}) < len(runs):
        return None
    return (
        np.stack([unpack_right(result.right, n) for result in own]),
        np.stack([unpack_right(specialist.right, n) for specialist in specialists]),
    )


def _names(subset: str, known: ChannelSet) -> frozenset[str]:
    return frozenset(ChannelSet.parse(subset, within=known).names)


def _row(specialists: Sequence[Specialist], answers: _Answers, spread: tuple[float, int]) -> Specialist:
    """One subset: means over seeds, and how sure their difference is by itself, seeds varying as they do over all."""
    from anychan.evaluation.bootstrap import paired_chance, paired_interval

    own_RN, specialist_RN = answers
    differences_RN = own_RN.astype(np.float64) - specialist_RN
    return replace(
        specialists[0],
        name=fmt.listing([specialist.name for specialist in specialists]),
        accuracy=float(own_RN.mean()),
        specialist=float(specialist_RN.mean()),
        difference=float(differences_RN.mean()),
        interval=paired_interval(differences_RN, of_seeds=spread),
        p=paired_chance(differences_RN, of_seeds=spread),
        right="",  # of several models there is no one answer
        trained=_each_place([specialist.trained for specialist in specialists]),
    )


def _each_place(places: Sequence[str]) -> str:
    """Where those of several seeds were trained, each place once; "" if that of one is not recorded."""
    return fmt.listing(list(dict.fromkeys(places))) if all(places) else ""


def _pair(pairs: Iterable[tuple[int | None, int | None]]) -> tuple[int | None, int | None]:
    """What all seeds have in common of what the one and all of the others cost."""
    one, others = (set(of_each) for of_each in zip(*pairs, strict=True))
    return one.pop() if len(one) == 1 else None, others.pop() if len(others) == 1 else None
