"""Records of paired tests, read: of two runs, and of one network beside its specialists."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anychan.evaluation.holm import holm
from anychan.evaluation.paired import verdict
from anychan.report._reading.fields import Fields
from anychan.report._reading.records import Comparison, Evaluation, Specialist, Specialists
from anychan.report._sentences.trained_where import place


def read_comparisons(folder: Path, record: Fields) -> list[Comparison]:
    """Two runs beside each other, as ``anychan compare`` wrote them into the first one's folder.

    Both are named by where they lie now, which may be another place than where they were compared.
    """
    a, b, models = record.text("a"), record.text("b"), record.maybe_child("model_sha256").values
    if "b_from_a" in record.values:
        a, b = str(folder.resolve()), os.path.normpath(folder.resolve() / record.text("b_from_a"))
    return [
        _comparison(
            pair,
            split=record.text("split"),
            a=a,
            b=b,
            fill_a=pair.text("fill_a"),
            fill_b=pair.text("fill_b"),
            p_holm=p_holm,
            verdict=verdict,
            models=(models.get("a", ""), models.get("b", "")),
            images=str(record.values.get("images") or ""),
        )
        for pair, p_holm, verdict in _corrected(record.children("comparisons"))
    ]


def read_pairs(record: Fields) -> list[Comparison]:
    """Each two of a reproduction's runs beside one another, as ``anychan reproduce`` wrote them.

    Older records have none.
    """
    return [
        _comparison(
            pair,
            split="test",
            a=pair.text("a"),
            b=pair.text("b"),
            fill_a="",
            fill_b="",
            p_holm=pair.number("p_holm"),
            verdict=pair.text("verdict"),
        )
        for pair in (record.children("pairs") if "pairs" in record.values else ())
    ]


def _comparison(pair: Fields, **told: Any) -> Comparison:
    return Comparison(
        subset=pair.text("subset"),
        n=pair.integer("n"),
        accuracy_a=pair.number("accuracy_a"),
        accuracy_b=pair.number("accuracy_b"),
        difference=pair.number("difference"),
        interval=pair.interval("difference_interval"),
        p=pair.number("p"),
        **told,
    )


def _corrected(pairs: Sequence[Fields]) -> list[tuple[Fields, float, str]]:
    """Paired tests of one file with p by Holm and the verdict, which files from before it was recorded do not hold."""
    ps = holm([pair.number("p") for pair in pairs])
    return [
        (pair, p, verdict(pair.number("difference"), pair.interval("difference_interval"), p))
        for pair, p in zip(pairs, ps, strict=True)
    ]


def read_specialists(record: Fields, evaluations: Mapping[str, Evaluation]) -> Specialists:
    """One network beside its specialists, as ``anychan compare --specialists`` wrote them.

    ``evaluations`` are the network's, by split.
    """
    split = record.text("split")
    mean, cost = record.child("mean"), record.child("cost")
    one, others = cost.child("run"), cost.child("specialists")
    return Specialists(
        run=record.text("run"),
        split=split,
        rows=tuple(
            Specialist(
                subset=row.text("subset"),
                name=row.text("specialist"),
                n=row.integer("n"),
                accuracy=row.number("accuracy_a"),
                specialist=row.number("accuracy_b"),
                difference=row.number("difference"),
                interval=row.interval("difference_interval"),
                p=row.number("p"),
                p_holm=p_holm,
                verdict=found,
                right=row.text("specialist_right") if row.values.get("specialist_right") is not None else "",
                trained=trained_words(row.maybe_child("trained")),
                path=str(row.values.get("specialist_from_run") or f"../{row.text('specialist')}"),
                model=str(row.values.get("model_sha256") or ""),
            )
            for row, p_holm, found in _corrected(record.children("rows"))
        ),
        accuracy=mean.number("accuracy"),
        specialist=mean.number("specialists"),
        difference=mean.number("difference"),
        interval=mean.interval("difference_interval"),
        parameters=(one.maybe_integer("parameters"), others.maybe_integer("parameters")),
        differs=tuple(str(name) for name in record.array("differs")),
        passes=(one.maybe_integer("passes"), others.maybe_integer("passes")),
        trained=trained_words(record.maybe_child("trained")),
        model=str(record.values.get("model_sha256") or ""),
        images=str(record.values.get("images") or ""),
        known=evaluations[split].channels if split in evaluations else None,
    )


def trained_words(told: Fields) -> str:
    """In which number format on what; "" where older records do not say."""
    found = told.values
    return place(str(found.get("precision") or ""), str(found.get("processor") or "")) if found else ""
