"""What the report's templates are filled with: a part of the page by a function each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anychan.report._charts import differences
from anychan.report._charts import runs as figures
from anychan.report._charts.by_channels import channel_charts
from anychan.report._context_of_runs import CROWDED, fills_of, row_of, run_of
from anychan.report._reading.comparisons import told_apart
from anychan.report._reading.pooled_specialists import specialists_of
from anychan.report._reading.pooling import pooled, with_seeds_named
from anychan.report._reading.records import AblationRecord, Run
from anychan.report._reading.reproductions import Reproduction
from anychan.report._reading.runs import main_split
from anychan.report._reading.searches import Search
from anychan.report._sentences import headlines as words
from anychan.report._sentences import numbers as fmt
from anychan.report._sentences.designs import Layers, designs
from anychan.report._sentences.footer import footer
from anychan.report._sentences.glossary import glossary
from anychan.report._sentences.limits import limits
from anychan.report._sentences.protocol import protocol, settings_of_all
from anychan.report._sentences.questions import pairings, questions
from anychan.report._sentences.summary import summary
from anychan.report._sentences.terms import terms
from anychan.report._sentences.training_groups import trained_alike, training_words
from anychan.report._tables import networks
from anychan.report._tables import runs as tables
from anychan.report._tables.ablations import table_of_ablation
from anychan.report._tables.answers import answer_beside_resnet34, answer_beside_specialists
from anychan.report._tables.classes import recall_tables
from anychan.report._tables.costs import cost_table
from anychan.report._tables.data import datasets
from anychan.report._tables.pairs import table_of_comparisons, table_of_specialists
from anychan.report._tables.reproductions import reproduction_tables
from anychan.report._tables.searches import search_table

# The sections in their order, with their headings; the contents call them by what stands before a colon.
HEADINGS = {
    "answers": "Answers",
    "question": "Question",
    "words": "Words",
    "designs": "Designs",
    "data": "Data",
    "protocol": "Protocol",
    "training": "Training",
    "subsets": "Results A: accuracy by channel subset",
    "networks": "Results B: networks, what they reach and what that costs",
    "errors": "Errors: which classes, and how sure",
    "cost": "Cost",
    "sources": "Sources: what they reached, and what we reach",
    "ablations": "Ablations",
    "searches": "Searches",
    "disagreement": "Disagreement: where the answer changes with the channels",
    "pictures": "Pictures",
    "limits": "Limits",
    "reproduce": "Reproduce: how to make it again",
}
_WHY = (
    "Untold is the share of a channel's variance that a linear prediction from the other channels, one for all images, "
    "leaves in the images of a class: much where its colour is rare, little where it is gray. A correlation with it is "
    "what the records tell of a cause, and no proof of one; where there are several, they are not corrected."
)
_WHY_UNKNOWN = (
    "Which classes lose is measured; why they do is not. These records hold no colours by class, so that all they "
    "tell of a cause is what such a class is taken for without the channel."
)
_INSTALLED = (
    "Take a clone of anychan at the commit that is named, and install it there: `pip install .`. The versions named "
    "with it are those that it ran with. `DATA` stands for a folder or an archive."
)
_EVALUATED = (
    "After `anychan train`, `anychan evaluate` with the name of the folder answers every channel subset and measures "
    "costs."
)
_COMPLETE = "Reproductions and ablations evaluate what they train; searches measure on validation."
_PAGE = "`anychan report` with the names of all folders writes such a page."
_FEW = 3  # networks trained alike; fewer without a ResNet34 share a table with others that are few
_NO_AGREEMENT = "fewer than two channel subsets were answered, or the answers to single images are not recorded."


@dataclass(frozen=True)
class Studied:
    """What a report shows besides runs."""

    ablations: Sequence[AblationRecord]
    searches: Sequence[Search]
    sources: Sequence[Reproduction]


def context_of_page(
    runs: Sequence[Run], studied: Studied, layers: Layers | None = None, *, pictures: bool = True
) -> dict[str, Any]:
    """All that ``page.html.j2`` and ``document.md.j2`` need, but for a title and an abstract of the user's.

    Args:
        runs: in the order in which they are shown; those of one configuration with other seeds become one row.
        studied: shown besides them.
        layers: see ``write_report``.
        pictures: whether thumbnails go in.
    """
    rows, split = pooled(runs), main_split(runs)
    found = {
        "title": words.title(runs) if runs else _title_without_runs(studied),
        "headings": HEADINGS,
        "split": split,
        "several": len(runs) > 1,
        "crowded": len(runs) >= CROWDED,
        "with_pictures": pictures,
        "cautions": words.cautions(runs, split),
        "answers": _answers(rows, split),
        **_question(rows, split, studied, layers),
        **_protocol(runs, rows, split),
        **_results(runs, rows, split),
        **_of_each_run(runs, rows, split, pictures=pictures),
        **_beside_runs(studied),
        "limits": limits(rows, split, studied.ablations, studied.searches, studied.sources),
        "footer": footer(rows, studied.ablations, studied.searches, studied.sources),
    }
    return {**found, "how": _how(found), "contents": _contents(found)}


def _title_without_runs(studied: Studied) -> str:
    return fmt.listing(
        [ablation.title for ablation in studied.ablations]
        or [source.heading for source in studied.sources]
        or [search.name for search in studied.searches]
    )


def _answers(rows: Sequence[Run], split: str | None) -> dict[str, Any]:
    """What came of it in short: of several networks beside their specialists, of shallow ones beside a ResNet34."""
    found = [one for one in specialists_of(rows) if one.split == split]
    beside = answer_beside_specialists(found)
    return {
        "specialists": beside,
        "chart": differences.answer_chart(found) if beside else None,
        "networks": answer_beside_resnet34(rows, split) if split else None,
    }


def _question(rows: Sequence[Run], split: str | None, studied: Studied, layers: Layers | None) -> dict[str, Any]:
    return {
        "summary": summary(rows, split),
        "glossary": glossary(rows, split, studied.ablations),
        "questions": questions(rows, split, studied.ablations, studied.searches, studied.sources),
        "designs": designs(rows, split, layers),
    }


def _protocol(runs: Sequence[Run], rows: Sequence[Run], split: str | None) -> dict[str, Any]:
    shared, usual, differing = protocol(rows, split)
    return {
        "datasets": datasets(runs),
        "protocol": {
            "shared": shared,
            "usual": usual,
            "table": differing,
            "terms": terms(settings_of_all(rows, split)),
        },
        "pairings": pairings(rows, told_apart(runs), split),
    }


def _results(runs: Sequence[Run], rows: Sequence[Run], split: str | None) -> dict[str, Any]:
    """Of channel subsets, of networks beside each other, of pairs of runs, and what they cost."""
    beside = _networks(rows, split) if split else None
    alone = [run for run in rows if (evaluation := run.on(split)) and not evaluation.has_subsets]
    elsewhere = [run for run in alone if beside and id(run) in beside["shown"]]
    by_subset = [run for run in rows if run.on(split) and not any(run is one for one in elsewhere)]
    evaluations = [evaluation for row in rows if (evaluation := row.on(split))]
    comparisons = told_apart(runs)
    return {
        "some_pooled": any(row.pooled for row in rows),
        "some_full": any(evaluation.full for evaluation in evaluations),
        "overview": tables.overview_table(by_subset or rows, split) if split else None,
        "elsewhere": [run.name for run in elsewhere] if by_subset else [],
        "retention": figures.retention_panels(rows, split) if split else [],
        "fills": fills_of(rows, split),
        "comparisons": table_of_comparisons(comparisons) if comparisons else None,
        "verdicts": words.verdicts(comparisons),
        "specialists": [
            {"name": found.run, "table": table_of_specialists(found), "chart": differences.gap_chart(found, i)}
            for i, found in enumerate(specialists_of(rows))
        ],
        "networks": beside,
        "cost": cost_table(rows, split) if split else None,
        "recalls": recall_tables(with_seeds_named(runs, rows), split) if len(runs) >= CROWDED else [],
        "why": _WHY if any(evaluation.untold for evaluation in evaluations) else _WHY_UNKNOWN,
    }


def _of_each_run(runs: Sequence[Run], rows: Sequence[Run], split: str | None, *, pictures: bool) -> dict[str, Any]:
    """What stands by itself of each configuration and each run."""
    place = {id(run): i for i, row in enumerate(rows) for run in row.each_seed}
    named = with_seeds_named(runs, rows)
    told = [run_of(named[i], i, place[id(run)], named, split) for i, run in enumerate(runs)]
    apart = [run["name"] for run in told if not run["agreement"]]
    return {
        "rows": [row_of(row, i, split, pictures) for i, row in enumerate(rows)],
        "runs": told,
        "some_maps": pictures
        and any(one["activation"] for run in told for one in (*run["disputed"], *run["pictures"])),
        "no_agreement": f"Of {_others(apart, len(told))} {_NO_AGREEMENT}" if apart else "",
        "no_pictures": _others([run.name for run in runs if not run.pictures], len(runs)),
    }


def _others(names: Sequence[str], of: int) -> str:
    """Runs that lack what was shown of the rest: by their names where they are few."""
    return "the others" if CROWDED <= len(names) < of else fmt.listing(names)


def _beside_runs(studied: Studied) -> dict[str, Any]:
    """Experiments of source documents, ablations and searches, and how they are made again."""
    ablations, searches, sources = studied.ablations, studied.searches, studied.sources
    return {
        "sources": [
            {"heading": found.heading, "tables": reproduction_tables(found), "notes": found.notes} for found in sources
        ],
        "ablations": {
            "charts": differences.ablation_charts(ablations),
            "by_channels": [chart for i, one in enumerate(ablations) for chart in channel_charts(one, i).values()],
            "tables": [(ablation.title, table_of_ablation(ablation)) for ablation in ablations],
        },
        "searches": [search_table(found) for found in searches],
        "again": [found.again for every in (sources, ablations, searches) for found in every],
    }


def _how(page: Mapping[str, Any]) -> str:
    """What has to be done besides the commands that are shown."""
    evaluated, complete = [_EVALUATED] if page["runs"] else [], [_COMPLETE] if page["again"] else []
    return " ".join([_INSTALLED, *evaluated, *complete, _PAGE])


def _contents(page: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sections that are there, in their order, with their headings."""
    of_runs = ("designs", "data", "protocol", "training", "subsets", "errors", "cost", "disagreement")
    there = {
        **dict.fromkeys(of_runs, page["runs"]),
        **{name: page[name] for name in ("networks", "sources", "searches")},
        "answers": any(page["answers"].values()),
        "words": page["glossary"],
        "ablations": page["ablations"]["tables"],
        "pictures": page["runs"] and page["with_pictures"],
        "reproduce": page["runs"] or page["again"],
    }
    return [(id, heading) for id, heading in HEADINGS.items() if there.get(id, True)]


def _networks(rows: Sequence[Run], split: str) -> dict[str, Any] | None:
    """Networks beside each other, where several different ones were evaluated and profiled; a table for those alike."""
    if not networks.are_networks(rows, split):
        return None
    groups = [(heading, networks.without_other_stems(alike, split)) for heading, alike in trained_alike(rows)]
    shown = sorted(((heading, found) for heading, found in groups if found), key=lambda group: -len(group[1]))
    small = [group for group in shown[1:] if len(group[1]) < _FEW and not networks.strongest(group[1], split)]
    apart = shown if len(small) < 2 else [group for group in shown if group not in small]
    tables_of = [
        {
            "heading": f"Trained {heading}" if len(shown) > 1 else "",
            "table": networks.network_table(
                found, split, notes=networks.authors_notes(found), minus=networks.strongest(found, split)
            ),
            "note": training_words(found, split),
        }
        for heading, found in apart
    ]
    if len(small) > 1:
        found = [run for _, alike in small for run in alike]
        trained = {run.name: heading for heading, alike in small for run in alike}
        notes = {"trained": trained, **networks.authors_notes(found)}
        tables_of.append(
            {
                "heading": "Trained in other ways",
                "table": networks.network_table(found, split, notes=notes),
                "note": training_words(found, split, [alike for _, alike in small]),
            }
        )
    return {
        "tables": tables_of,
        "fronts": networks.front_charts(rows, split, shown[0][1]),
        "shown": {id(run) for _, found in shown for run in found},
    }
