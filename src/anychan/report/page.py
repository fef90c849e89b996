"""The report: one self-contained HTML page, or a Markdown document, made from run folders alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from anychan._files import replacing
from anychan.report import _differences as differences
from anychan.report import _figures as figures
from anychan.report import _format as fmt
from anychan.report import _networks as networks
from anychan.report import _tables as tables
from anychan.report import _words as words
from anychan.report._alike import trained_alike, training_words
from anychan.report._by_channels import channel_charts
from anychan.report._classes import recall_tables
from anychan.report._compared import told_apart
from anychan.report._cost_tables import cost_table
from anychan.report._data import datasets
from anychan.report._designs import Layers, designs
from anychan.report._limits import limits
from anychan.report._one_run import CROWDED, fills_of, row_of, run_of
from anychan.report._pair_tables import table_of_comparisons, table_of_specialists
from anychan.report._pooling import pooled
from anychan.report._protocol import protocol, settings_of_all
from anychan.report._question import pairings, questions
from anychan.report._reading import read_run
from anychan.report._reading_ablations import read_ablation
from anychan.report._records import AblationRecord, Run
from anychan.report._reproductions import (
    Reproduction,
    read_reproductions,
    records_of_reproductions,
    reproduction_tables,
)
from anychan.report._searches import SEARCH, Search, is_search, read_search, search_table
from anychan.report._specialists import specialists_of
from anychan.report._summary import summary
from anychan.report._terms import terms

ABLATION = "ablation.json"
SECTIONS = (
    *("question", "designs", "data", "protocol", "training", "subsets", "networks", "errors", "cost", "sources"),
    *("ablations", "searches", "disagreement", "pictures", "limits", "reproduce"),
)
_WHY = (
    "Untold is the share of a channel's variance that a linear prediction from the other channels, one for all images, "
    "leaves in the images of a class: much where its colour is rare, little where it is gray. A correlation with it is "
    "what the records tell of a cause, and no proof of one; where there are several, they are not corrected."
)
_WHY_UNKNOWN = (
    "Which classes lose is measured; why they do is not. These records hold no colours by class, so that all they "
    "tell of a cause is what such a class is taken for without the channel."
)
_NO_AGREEMENT = "fewer than two channel subsets were answered, or the answers to single images are not recorded."
_MARKS = {".html": "· anychan report</title>", ".md": "are left out of this form of the report"}  # what tells one


@dataclass(frozen=True)
class _Studied:
    """What a report shows besides runs."""

    ablations: Sequence[AblationRecord]
    searches: Sequence[Search]
    sources: Sequence[Reproduction]


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
            reproductions or folders that hold some.
        out: the file to write, ``.html`` or ``.md``; an earlier report of that name is replaced, folders above it are
            made.
        pictures: whether thumbnails of the images go in.
        layers: lists the layers of a network by what its ``model.json`` holds, so that they are drawn
            (`anychan.cost.recorded_layers`, which makes the network anew, which the report does not); None: none are.
        title: of the page; "": what the runs are.
        abstract: what the page begins with, in paragraphs with a blank line between; `code` and *words* are marked as
            in Markdown. What follows from the records stands below it, in smaller letters.

    Returns:
        ``out``.

    Raises:
        FileNotFoundError: for a folder that is not there or is none of these.
        FileExistsError: if ``out`` is a folder, or a file that is no report.
        ValueError: if ``out`` ends otherwise, no run is given, one is given twice, or a file in a run is broken or of
            another schema than 1.
    """
    folders, out = [Path(run) for run in runs], Path(out)
    _check_out(out)
    of_ablations = [folder for folder in folders if is_ablation(folder)]
    of_searches = [folder for folder in folders if is_search(folder)]
    others = [path for path in folders if path not in of_ablations + of_searches]
    of_sources = [path for path in others if records_of_reproductions(path)]
    studied = _Studied(
        ablations=[read_ablation(folder / ABLATION) for folder in of_ablations],
        searches=[read_search(folder / SEARCH) for folder in of_searches],
        sources=read_reproductions(of_sources),
    )
    of_runs = [path for path in others if path not in of_sources]
    page = _page(read_runs(of_runs, none=len(of_runs) < len(folders)), pictures, studied, layers)
    page |= {"title": title or page["title"], "abstract": _paragraphs(abstract)}
    if out.suffix == ".md":
        from anychan.report._document import write_document

        return write_document(page, out)
    text = templates(autoescape=True).get_template("page.html.j2").render(page) + "\n"
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


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


def is_ablation(folder: Path) -> bool:
    """Whether a folder is that of an ablation and not of a run."""
    return (folder / ABLATION).is_file() and not (folder / "run.json").is_file()


def read_runs(folders: Sequence[Path | str], none: bool = False) -> list[Run]:
    """Read run folders, refusing one twice, and none at all if not ``none``.

    Raises:
        FileNotFoundError, ValueError: see ``write_report``.
    """
    paths = [Path(folder) for folder in folders]
    if not paths and not none:
        raise ValueError("no run given; name at least one run folder")
    for i, path in enumerate(paths):
        if path.resolve() in [earlier.resolve() for earlier in paths[:i]]:
            raise ValueError(f"{path}: this run is given twice")
    return [read_run(path) for path in paths]


def main_split(runs: Sequence[Run]) -> str | None:
    """The split that is reported: test where any run has it, else val, else another; None: nothing was evaluated."""
    splits = {split for run in runs for split in run.evaluations}
    return next((split for split in ("test", "val") if split in splits), min(splits, default=None))


def templates(autoescape: bool) -> Any:
    """The Jinja2 environment of the report's templates; with ``autoescape`` what is filled in cannot become markup."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("anychan.report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"marked": _marked, "formula": _formula}
    return environment


def _marked(text: str) -> Markup:
    """A text of the user's with `code` and *words* as Markdown has them."""
    parts = re.split(r"`([^`]+)`", text)  # every other one is code
    words = [re.sub(r"(?<![\w*])\*(\w[^*]*)\*(?![\w*])", r"<em>\1</em>", str(escape(part))) for part in parts[::2]]
    code = [f"<code>{escape(part)}</code>" for part in parts[1::2]]
    return Markup("".join(one + other for one, other in zip(words, [*code, ""], strict=True)))


def _formula(text: str) -> Markup:
    """A formula that breaks between its parts, which wide gaps set apart, before it breaks within one.

    Example:
        >>> print(_formula("a < b,     b = 2"))
        <span>a &lt; b,</span>     <span>b = 2</span>
    """
    parts = re.split(r"( {3,}|\n *)", text)  # every other one is a gap
    return Markup("").join(part if i % 2 else Markup("<span>{}</span>").format(part) for i, part in enumerate(parts))


def _page(
    runs: Sequence[Run],
    pictures: bool,
    studied: _Studied,
    layers: Layers | None,
) -> dict[str, Any]:
    split, ablations, sources = main_split(runs), studied.ablations, studied.sources
    rows = pooled(runs)
    place = {id(run): i for i, row in enumerate(rows) for run in row.each_seed}
    comparisons = told_apart(runs)
    shared, differing = protocol(rows, split)
    beside = _networks(rows, split) if split else None
    alone = [run for run in rows if (evaluation := run.on(split)) and not evaluation.has_subsets]
    elsewhere = [run for run in alone if beside and id(run) in beside["shown"]]
    by_subset = [run for run in rows if run.on(split) and not any(run is one for one in elsewhere)]
    told = [run_of(run, i, place[id(run)], runs, split) for i, run in enumerate(runs)]
    apart = [run["name"] for run in told if not run["agreement"]]
    found = {
        "title": words.title(runs)
        if runs
        else fmt.listing(
            [ablation.title for ablation in ablations]
            or [found.heading for found in sources]
            or [found.name for found in studied.searches]
        ),
        "summary": summary(rows, split),
        "rows": [row_of(row, i, split, pictures) for i, row in enumerate(rows)],
        "some_pooled": any(row.pooled for row in rows),
        "questions": questions(rows, split, ablations, studied.searches, sources),
        "designs": designs(rows, split, layers),
        "protocol": {"shared": shared, "table": differing, "terms": terms(settings_of_all(rows, split))},
        "pairings": pairings(rows, comparisons, split),
        "why": _WHY if any(evaluation.untold for row in rows if (evaluation := row.on(split))) else _WHY_UNKNOWN,
        "no_agreement": f"Of {fmt.listing(apart)} {_NO_AGREEMENT}" if apart else "",
        "limits": limits(rows, split, ablations, studied.searches, sources),
        "networks": beside,
        "sources": [
            {"heading": found.heading, "tables": reproduction_tables(found), "notes": found.notes} for found in sources
        ],
        "ablations": {
            "charts": differences.ablation_charts(ablations),
            "by_channels": [chart for i, one in enumerate(ablations) for chart in channel_charts(one, i).values()],
            "tables": [(ablation.title, differences.table_of_ablation(ablation)) for ablation in ablations],
        },
        "searches": [search_table(found) for found in studied.searches],
        "split": split,
        "cautions": words.cautions(runs, split),
        "several": len(runs) > 1,
        "crowded": len(runs) >= CROWDED,
        "recalls": recall_tables(runs, split) if len(runs) >= CROWDED else [],
        "with_pictures": pictures,
        "no_pictures": fmt.listing([run.name for run in runs if not run.pictures]),
        "overview": tables.overview_table(by_subset or rows, split) if split else None,
        "elsewhere": [run.name for run in elsewhere] if by_subset else [],
        "comparisons": table_of_comparisons(comparisons) if comparisons else None,
        "verdicts": words.verdicts(comparisons),
        "specialists": [
            {"table": table_of_specialists(found), "chart": differences.gap_chart(found, i)}
            for i, found in enumerate(specialists_of(rows))
        ],
        "retention": figures.retention_panels(rows, split) if split else [],
        "some_full": any(evaluation.full for row in rows if (evaluation := row.on(split))),
        "fills": fills_of(rows, split),
        "cost": cost_table(rows, split) if split else None,
        "datasets": datasets(runs),
        "runs": told,
        "again": [
            *(found.again for found in sources),
            *(found.again for found in ablations),
            *(found.again for found in studied.searches),
        ],
    }
    return {**found, "contents": _contents(found)}


def _contents(page: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sections that are there, in their order, with what the contents call them."""
    there = {
        "designs": page["runs"], "data": page["runs"], "protocol": page["runs"], "training": page["runs"],
        "subsets": page["runs"], "networks": page["networks"], "errors": page["runs"], "cost": page["runs"],
        "sources": page["sources"], "ablations": page["ablations"]["tables"], "searches": page["searches"],
        "disagreement": page["runs"], "pictures": page["runs"] and page["with_pictures"],
        "reproduce": page["runs"] or page["again"],
    }  # fmt: skip
    return [(id, id.capitalize()) for id in SECTIONS if there.get(id, True)]


def _networks(rows: Sequence[Run], split: str) -> dict[str, Any] | None:
    """Networks beside each other, where several different ones were evaluated and profiled; a table for those alike."""
    if not networks.are_networks(rows, split):
        return None
    groups = [(heading, networks.one_of_each(alike, split)) for heading, alike in trained_alike(rows)]
    shown = sorted(((heading, found) for heading, found in groups if found), key=lambda group: -len(group[1]))
    tables_of = [
        {
            "heading": heading if len(shown) > 1 else "",
            "table": networks.network_table(
                found, split, networks.baseline(found, split), networks.authors_notes(found), gaps=True
            ),
            "note": training_words(found, split),
        }
        for heading, found in shown
    ]
    return {
        "tables": tables_of,
        "fronts": networks.front_charts(rows, split, shown[0][1]),
        "shown": {id(run) for _, found in shown for run in found},
    }
