"""Where channels disagree: how often the answers to two subsets of the channels are the same.

The answers themselves lie in a run's table of predictions. Where that is not there (records alone), it is known for
each image only whether an answer is right, and what is counted is how often two answers are both right or both wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anychan._errors import first_line
from anychan.report._reading.records import Evaluation, Run
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.table import Cell, Column, Group, Table

MOST = 15  # subsets in a table; of more, the first and the smallest


@dataclass(frozen=True)
class Agreement:
    """Shares of images on which the answers to two subsets agree.

    Args:
        subsets: K of them, in recorded order; those with an asterisk were answered with missing channels filled in.
        shares: (K, K), 0 to 1.
        distinct: (K,), how many images have 1, 2, ... different answers over all subsets.
        n: images.
        right: how many images are answered rightly to every subset, and to none; None where it is not recorded.
        of_answers: whether the answers themselves were compared, not only whether they are right.
        left_out: how many subsets were asked of fewer images, and are not among the K.
    """

    subsets: tuple[str, ...]
    shares: npt.NDArray[np.float64]
    distinct: tuple[int, ...]
    n: int
    right: tuple[int, int] | None
    of_answers: bool
    left_out: int


def agreement(run: Run, split: str | None) -> Agreement | None:
    """How often a run's answers to its subsets agree; None where fewer than two were recorded image by image, and for
    all images.

    Raises:
        ValueError: for a table of predictions that cannot be read.
    """
    evaluation = run.on(split)
    if evaluation is None:
        return None
    answers, rights = _answers(run, evaluation), _rights(evaluation)
    found = rights if answers is None else answers
    if len(found) < 2:
        return None
    most = max(map(len, found.values()))
    # Subsets that were not asked of images without any of their channels; of as many, they may be others.
    partly = {_starred(result.subset, result.fill) for result in evaluation.results if result.left_out}
    left_out = [subset for subset, given in found.items() if len(given) < most or subset in partly]
    found = {subset: given for subset, given in found.items() if subset not in left_out}
    if len(found) < 2:
        return None
    values = np.stack(list(found.values()))
    shares = np.stack([(values == one).mean(axis=1) for one in values])
    in_order = np.sort(values, axis=0)
    counts = 1 + (in_order[1:] != in_order[:-1]).sum(axis=0)
    distinct = np.bincount(counts, minlength=len(values) + 1)[1:]
    each_right = np.stack([rights[subset] for subset in found]) if set(found) <= set(rights) else None
    return Agreement(
        tuple(found),
        shares,
        tuple(map(int, distinct)),
        most,
        None if each_right is None else (int(each_right.all(axis=0).sum()), int((~each_right).all(axis=0).sum())),
        answers is not None,
        len(left_out),
    )


def agreement_table(name: str, found: Agreement) -> Table:
    """A row and a column a subset: on how many images in a hundred their answers agree."""
    shown = [*range(len(found.subsets))]
    shown = shown if len(shown) <= MOST else [0, *shown[1 - MOST :]]
    rows = tuple(
        (Cell(found.subsets[i]), *(_share_cell(float(found.shares[i, j])) if i != j else Cell("") for j in shown))
        for i in shown
    )
    what = "the same" if found.of_answers else "both right or both wrong"
    hidden = len(found.subsets) - len(shown) + found.left_out
    left = f" {hidden} other subset{' is' if hidden == 1 else 's are'} left out." if hidden else ""
    stars = " At an asterisk, missing channels are filled." if any("*" in found.subsets[i] for i in shown) else ""
    caption = (
        f"{name}: percent of {fmt.count(found.n)} images on which the answers to two subsets are {what}.{stars}{left}"
        f"{'' if found.of_answers else ' The answers themselves are not in the records.'}"
    )
    return Table(
        caption, (Column("channels", numeric=False), *(Column(found.subsets[i]) for i in shown)), (Group("", rows),)
    )


def distinct_words(found: Agreement) -> str:
    """On how many images all subsets are answered rightly, and none, and how many different answers there are."""
    sentences = []
    if found.right is not None:
        every, none, some = (fmt.percent(count / found.n) for count in (*found.right, found.n - sum(found.right)))
        sentences.append(
            f"All {len(found.subsets)} subsets are answered rightly on {every} % of the images, none on {none} %; on "
            f"{some} % it depends on the channels."
        )
    if found.of_answers:
        several = [
            f"{count} on {fmt.percent(images / found.n)} %" for count, images in enumerate(found.distinct, 1) if images
        ]
        sentences.append(f"Different answers that they give to one image: {fmt.listing(several)}.")
    return " ".join(sentences)


def _answers(run: Run, evaluation: Evaluation) -> Mapping[str, npt.NDArray[Any]] | None:
    """The answer to every image by subset, from the table of predictions; None where it is not there."""
    path = run.folder / "predictions" / f"{evaluation.split}.parquet"
    if run.pooled or not path.is_file():
        return None
    from anychan.evaluation.predictions import read_predictions

    try:
        table = read_predictions(path)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: not a table of predictions ({first_line(error)})") from error
    found: dict[tuple[str, str], npt.NDArray[Any]] = {}
    for key, given in table.items():
        order = np.argsort(np.array(given.paths), kind="stable")
        found[key] = given.predicted[order]
    return _one_a_subset(evaluation, found)


def _rights(evaluation: Evaluation) -> Mapping[str, npt.NDArray[Any]]:
    """Whether each image is answered rightly, by subset, where it was recorded."""
    from anychan.evaluation.predictions import unpack_right

    found = {(r.subset, r.fill): unpack_right(r.right, r.n) for r in evaluation.results if r.right}
    return _one_a_subset(evaluation, found)


def _one_a_subset(
    evaluation: Evaluation, found: Mapping[tuple[str, str], npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """The model's own answer to each subset; where there is none, that with the last of the fills, with an asterisk."""
    chosen: dict[str, str] = {}
    for result in evaluation.results:
        if (result.subset, result.fill) in found and chosen.get(result.subset) != "":
            chosen[result.subset] = result.fill
    return {_starred(subset, fill): found[subset, fill] for subset, fill in chosen.items()}


def _starred(subset: str, fill: str) -> str:
    return f"{subset}*" if fill else subset


def _share_cell(share: float) -> Cell:
    return Cell(fmt.percent(share, 0), sort=share, shade=share)
