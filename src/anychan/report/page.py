"""The report: one self-contained HTML page, or a Markdown document, made from run folders alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from anychan._files import replacing
from anychan._records import RUN
from anychan.report._context_of_page import Studied, context_of_page
from anychan.report._reading.ablations import ABLATION, is_ablation, read_ablation
from anychan.report._reading.reproductions import (
    folders_of_its_runs,
    read_reproductions,
    records_of_reproductions,
)
from anychan.report._reading.runs import read_runs
from anychan.report._reading.searches import SEARCH, is_search, read_search
from anychan.report._sentences.designs import Layers
from anychan.report._templates import templates

_MARKS = {".html": "· anychan report</title>", ".md": "are left out of this form of the report"}  # what tells one


def write_report(
    runs: Sequence[Path | str],
    out: Path | str,
    pictures: bool = True,
    layers: Layers | None = None,
    *,
    title: str = "",
    abstract: str = "",
) -> Path:
    """Write one file about runs; nothing but the run folders is read.

    An HTML page needs nothing beside itself. Where ``out`` ends in ``.md`` it is Markdown with the same sections and
    tables, its charts as SVG files in a folder beside it, named like it with "-figures"; photographs and confusion
    matrices are left out, and it says so. Of an earlier report's folder only its charts are removed.

    Args:
        runs: run folders, in the order in which they are shown, folders of ablations and of searches, and records of
            reproductions. Another folder, such as a study's, stands for the runs, ablations, searches and records of
            reproductions in it, by name; the reproductions' own runs are in their records.
        out: the file to write, ``.html`` or ``.md``; an earlier report of that name is replaced, folders above it are
            made.
        pictures: whether thumbnails of the images go in.
        layers: lists the layers of a network by what its ``model.json`` holds, so that they are drawn
            (`anychan.cost.recorded_layers`, which makes the network anew, which the report does not); None: none are.
        title: of the page; "": what the runs are.
        abstract: what the page begins with, in paragraphs with a blank line between; `code` and *words* are marked as
            in Markdown. Without one the page begins with what follows from the records.

    Returns:
        ``out``.

    Raises:
        FileNotFoundError: for a folder that is not there or is none of these.
        FileExistsError: if ``out`` is a folder, or a file that is no report, or a file that is no chart of a report's
            stands where one is to be written.
        ValueError: if ``out`` ends otherwise, no run is given, one is given twice, or a file in a run is broken or of
            another schema than 1.
    """
    folders, out = [one for run in runs for one in _meant(Path(run))], Path(out)
    _check_out(out)
    _check_once(folders)
    of_ablations = [folder for folder in folders if is_ablation(folder)]
    of_searches = [folder for folder in folders if is_search(folder)]
    others = [path for path in folders if path not in of_ablations + of_searches]
    of_sources = [path for path in others if records_of_reproductions(path)]
    studied = Studied(
        ablations=[read_ablation(folder / ABLATION) for folder in of_ablations],
        searches=[read_search(folder / SEARCH) for folder in of_searches],
        sources=read_reproductions(of_sources),
    )
    of_runs = [path for path in others if path not in of_sources]
    page = context_of_page(read_runs(of_runs, none=len(of_runs) < len(folders)), studied, layers, pictures=pictures)
    page |= {"title": title or page["title"], "abstract": _paragraphs(abstract)}
    if out.suffix == ".md":
        from anychan.report._document import write_document

        return write_document(page, out)
    text = templates(autoescape=True).get_template("page.html.j2").render(page) + "\n"
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


def _meant(path: Path) -> list[Path]:
    """What is reported of a path: itself, or of a folder that is nothing to report what it holds, by name."""
    if not path.is_dir() or _is_reported(path):
        return [path]
    records = records_of_reproductions(path)
    theirs = {name for record in records for name in folders_of_its_runs(record)}
    others = sorted(one for one in path.iterdir() if _is_reported(one) and one.name not in theirs)
    return [*records, *others] or [path]


def _check_once(paths: Sequence[Path]) -> None:
    places = [path.resolve() for path in paths]
    if twice := next((path for i, path in enumerate(paths) if places[i] in places[:i]), None):
        raise ValueError(f"{twice} is given twice")


def _is_reported(folder: Path) -> bool:
    return (folder / RUN).is_file() or is_ablation(folder) or is_search(folder)


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]


def _check_out(out: Path) -> None:
    """Refuse to write where something else than a report would be lost."""
    if out.is_dir():
        raise FileExistsError(f"{out} is a folder; name the file to write, such as {out / 'report.html'}")
    if out.suffix not in _MARKS:
        raise ValueError(f"{out}: a report's name ends in {' or '.join(_MARKS)}")
    if out.is_file() and _MARKS[out.suffix] not in out.read_text(encoding="utf-8", errors="replace"):
        raise FileExistsError(f"{out} is there and is no report of anychan's; choose another name")
