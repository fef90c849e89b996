"""The report: one self-contained HTML page made from run folders alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anychan._files import replacing
from anychan.report import _figures as figures
from anychan.report import _tables as tables
from anychan.report import _words as words
from anychan.report._confusion import confused, matrix
from anychan.report._data import datasets, versions_table
from anychan.report._format import short_names
from anychan.report._reading import read_run
from anychan.report._records import Evaluation, Picture, Run
from anychan.report._svg import SERIES

_MOST_ANSWERS = 15  # of more subsets a picture shows the first and the smallest ones, and lists all on request


def write_report(runs: Sequence[Path | str], out: Path | str, pictures: bool = True) -> Path:
    """Write one HTML file about runs; it needs nothing beside itself, and nothing but the run folders is read.

    Args:
        runs: run folders, in the order in which they are shown.
        out: the file to write; an earlier one of the same name is replaced, folders above it are made.
        pictures: whether thumbnails of the images go in.

    Returns:
        ``out``.

    Raises:
        FileNotFoundError: for a folder that is not there or is no run's.
        ValueError: if no run is given, one is given twice, or a file in a run is broken or of another schema than 1.
    """
    records = read_runs(runs)
    page, out = _render(records, pictures), Path(out)
    with replacing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def read_runs(folders: Sequence[Path | str]) -> list[Run]:
    """Read run folders, refusing none at all and one twice.

    Raises:
        FileNotFoundError, ValueError: see ``write_report``.
    """
    paths = [Path(folder) for folder in folders]
    if not paths:
        raise ValueError("no run given; name at least one run folder")
    for i, path in enumerate(paths):
        if path.resolve() in [earlier.resolve() for earlier in paths[:i]]:
            raise ValueError(f"{path}: this run is given twice")
    return [read_run(path) for path in paths]


def main_split(runs: Sequence[Run]) -> str | None:
    """The split that is reported: test where any run has it, else val, else another; None: nothing was evaluated."""
    splits = {split for run in runs for split in run.evaluations}
    return next((split for split in ("test", "val") if split in splits), min(splits, default=None))


def _render(runs: Sequence[Run], pictures: bool) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("anychan.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("page.html.j2").render(_page(runs, pictures)) + "\n"


def _page(runs: Sequence[Run], pictures: bool) -> dict[str, Any]:
    split = main_split(runs)
    comparisons = [comparison for run in runs for comparison in run.comparisons]
    return {
        "title": words.title(runs),
        "split": split,
        "cautions": words.cautions(runs, split),
        "several": len(runs) > 1,
        "with_pictures": pictures,
        "overview": tables.overview_table(runs, split) if split else None,
        "comparisons": tables.comparison_table(comparisons) if comparisons else None,
        "verdicts": words.verdicts(comparisons),
        "specialists": [tables.specialists_table(found) for run in runs for found in run.specialists],
        "retention": figures.retention_chart(runs, split) if split else None,
        "fills": _fills(runs, split),
        "cost": tables.cost_table(runs, split) if split else None,
        "datasets": datasets(runs),
        "runs": [_run(run, i, runs, split, pictures) for i, run in enumerate(runs)],
    }


def _run(run: Run, index: int, runs: Sequence[Run], split: str | None, pictures: bool) -> dict[str, Any]:
    """What the templates need of one run."""
    evaluation = run.on(split)
    return {
        "name": run.name,
        "index": index % len(SERIES),
        "model": words.model_name(run),
        "headline": words.headline(run, split),
        "missing": words.missing(run, split, pictures),
        "subsets": tables.subset_table(run, evaluation) if evaluation else None,
        "training": words.training(run) if run.epochs else None,
        "curves": [
            chart
            for quantity in ("loss", "accuracy")
            if (chart := figures.curve_chart(run, index, quantity, figures.curve_limits(runs, quantity)))
        ],
        "errors": _errors(run, index, evaluation) if evaluation else None,
        "pictures": [_picture(p, short_names(evaluation.classes if evaluation else ())) for p in run.pictures],
        "pictures_fill": _pictures_fill(run),
        "pictures_split": run.pictures_split,
        "command": str(run.record.get("command") or ""),
        "config": run.config,
        "versions": versions_table(run),
    }


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
        "pairs": tables.confusion_table(confused(full, [short[name] for name in evaluation.classes])),
        "classes": tables.class_table(full),
        "calibration": figures.calibration_chart(run, index, full),
        "calibration_error": full.calibration_error,
    }


def _fills(runs: Sequence[Run], split: str | None) -> Mapping[str, str]:
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
        "source": f"data:image/png;base64,{base64.b64encode(picture.png).decode()}" if picture.png else None,
        "path": picture.path,
        "truth": short.get(picture.truth, picture.truth),
        "rows": shown if len(shown) <= _MOST_ANSWERS else [shown[0], *shown[1 - _MOST_ANSWERS :]],
        "answers": picture.answers,
    }
