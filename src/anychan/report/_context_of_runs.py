"""What a report's templates need of one configuration, one run, and one picture."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from anychan.report._charts import runs as figures
from anychan.report._charts.confusion import confused, matrix
from anychan.report._charts.svg import SERIES
from anychan.report._reading.records import Evaluation, Picture, Run
from anychan.report._sentences import headlines as words
from anychan.report._sentences.class_losses import why_words
from anychan.report._sentences.numbers import short_names
from anychan.report._tables import runs as tables
from anychan.report._tables.agreement import agreement, agreement_table, distinct_words
from anychan.report._tables.classes import loss_table, unlost_words
from anychan.report._tables.data import versions_table

CROWDED = 4  # so many runs and more are shown small or on request, but for the first
_MOST_ANSWERS = 15  # of more subsets a picture shows the first and the smallest ones, and lists all on request


def row_of(run: Run, index: int, split: str | None, pictures: bool) -> dict[str, Any]:
    """What the templates need of one configuration, with one seed or several."""
    evaluation = run.on(split)
    missing = [sentence for one in run.each_seed for sentence in words.missing(one, split, pictures)]
    short = short_names(evaluation.classes if evaluation else ())
    return {
        "name": run.name,
        "index": index % len(SERIES),
        "model": words.model_name(run),
        "headline": words.headline(run, split),
        "missing": list(dict.fromkeys(missing)),
        "subsets": tables.subset_table(run, evaluation) if evaluation else None,
        "losses": loss_table(evaluation, short) if evaluation else None,
        "unlost": unlost_words(evaluation) if evaluation else "",
        "why": why_words(evaluation) if evaluation else "",
    }


def run_of(run: Run, index: int, place: int, runs: Sequence[Run], split: str | None) -> dict[str, Any]:
    """What the templates need of one run; ``index`` is its own, ``place`` that of its configuration."""
    evaluation = run.on(split)
    compared = agreement(run, split)
    short = short_names(evaluation.classes if evaluation else ())
    return {
        "name": run.name,
        "index": place % len(SERIES),
        "agreement": {"words": distinct_words(compared), "table": agreement_table(run.name, compared)}
        if compared
        else None,
        "model": words.model_name(run),
        "training": words.training(run) if run.epochs else None,
        "curves": {
            quantity: chart
            for quantity in ("accuracy", "loss")
            if (chart := figures.curve_chart(run, index, quantity, figures.curve_limits(run, runs, quantity)))
        },
        "errors": _errors(run, index, evaluation) if evaluation else None,
        "in_full": _in_full(run, index, runs, split),
        "pictures": [_picture(picture, short) for picture in run.pictures if not picture.disputed],
        "disputed": [_picture(picture, short) for picture in run.pictures if picture.disputed],
        "pictures_fill": _pictures_fill(run),
        "kernels": [{"subset": kernels.subset, "source": _source(kernels.pixels)} for kernels in run.kernels],
        "pictures_of": run.pictures_of,
        "command": str(run.record.get("command") or ""),
        "config": run.config,
        "versions": versions_table(run),
    }


def _in_full(run: Run, index: int, runs: Sequence[Run], split: str | None) -> bool:
    """Whether a run's errors are shown in full: of few runs all, of many the first with the same classes that has some.

    Errors are those on all channels; where no run answered these, the first says so.
    """
    evaluation = run.on(split)
    classes, some = (evaluation.classes, evaluation.full is not None) if evaluation else ((), False)
    before = [found for other in runs[:index] if (found := other.on(split))]
    return len(runs) < CROWDED or classes not in [earlier.classes for earlier in before if earlier.full or not some]


def _errors(run: Run, index: int, evaluation: Evaluation) -> dict[str, Any] | None:
    """Where a run errs on all channels; None where it was not evaluated on all."""
    full = evaluation.full
    if full is None:
        return None
    short = short_names(evaluation.classes)
    return {
        "subset": full.subset,
        "n": full.n,
        "matrix": matrix(full, evaluation.classes),
        "known": bool(full.confusion),
        "pairs": tables.confusion_table(confused(full, [short[name] for name in evaluation.classes])),
        "classes": tables.class_table(full),
        "calibration": figures.calibration_chart(run, index, full),
        "calibration_error": full.calibration_error,
    }


def fills_of(runs: Sequence[Run], split: str | None) -> Mapping[str, str]:
    """The naive answers that the retention chart shows, each with its words."""
    evaluations = [evaluation for run in runs if (evaluation := run.on(split))]
    return {fill: tables.fill_name(fill) for e in evaluations for fill in tables.series(e) if fill}


def _pictures_fill(run: Run) -> str:
    """What the missing channels are filled with in the rows of a run's pictures, "" where nothing is filled."""
    fills = [fill for picture in run.pictures for key in picture.answers if (fill := key.partition(" ")[2])]
    return tables.fill_name(fills[-1]) if fills else ""


def _picture(picture: Picture, short: Mapping[str, str]) -> dict[str, Any]:
    """What the templates need of one picture: a row a subset, and below it every answer with its five likeliest.

    A subset that the network answers with the missing channels filled has one answer a fill; its row shows the
    last of them, with an asterisk.
    """
    rows: dict[str, dict[str, Any]] = {}
    for key, best in picture.answers.items():
        subset, _, fill = key.partition(" ")
        right = bool(best) and best[0][0] == picture.truth
        answer, confidence = (short.get(best[0][0], best[0][0]), best[0][1]) if best else ("", None)
        rows[subset] = {
            "subset": f"{subset}*" if fill else subset,
            "right": right,
            "answer": answer,
            "confidence": confidence,
        }
    shown = list(rows.values())
    return {
        "source": _source(picture.pixels) if picture.pixels else None,
        "activation": [(subset, _source(pixels)) for subset, pixels in picture.activation.items()],
        "path": picture.path,
        "truth": short.get(picture.truth, picture.truth),
        "rows": shown if len(shown) <= _MOST_ANSWERS else [shown[0], *shown[1 - _MOST_ANSWERS :]],
        "answers": picture.answers,
    }


def _source(pixels: bytes) -> str:
    """A picture as it stands in the page."""
    kind = "webp" if pixels[8:12] == b"WEBP" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(pixels).decode()}"
