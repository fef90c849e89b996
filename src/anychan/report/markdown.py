"""The tables of a report as Markdown, for documentation that is made from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from anychan.report._charts.by_channels import channel_charts
from anychan.report._charts.runs import accuracy_chart, retention_chart
from anychan.report._charts.svg import standalone
from anychan.report._reading.ablations import ABLATION, read_ablation
from anychan.report._reading.comparisons import told_apart
from anychan.report._reading.pooled_specialists import specialists_of
from anychan.report._reading.pooling import pooled
from anychan.report._reading.records import Run
from anychan.report._reading.reproductions import read_reproductions
from anychan.report._reading.runs import main_split, read_runs
from anychan.report._reading.searches import SEARCH, read_search
from anychan.report._sentences.training_groups import trained_alike
from anychan.report._tables.ablations import table_of_ablation
from anychan.report._tables.costs import cost_table
from anychan.report._tables.markdown import escape, markdown
from anychan.report._tables.networks import authors_notes, front_charts, network_table
from anychan.report._tables.pairs import table_of_comparisons, table_of_specialists
from anychan.report._tables.reproductions import reproduction_tables
from anychan.report._tables.runs import overview_table, subset_table
from anychan.report._tables.searches import search_table


def markdown_tables(runs: Sequence[Path | str]) -> str:
    """The subset tables, the comparisons and the cost table of runs in Markdown.

    Args:
        runs: run folders, in the order in which they are shown.

    Returns:
        Tables with their captions, separated by blank lines; a sentence where nothing was evaluated yet.

    Raises:
        FileNotFoundError, ValueError: see ``write_report``.
    """
    read = read_runs(runs)
    records, split = pooled(read), main_split(read)
    if split is None:
        return "None of these runs has been evaluated yet.\n"
    tables = [overview_table(records, split)] if len(records) > 1 else []
    tables += [table_of_specialists(found) for found in specialists_of(records)]
    tables += [subset_table(run, evaluation) for run in records if (evaluation := run.on(split))]
    comparisons = told_apart(read)
    tables += [table_of_comparisons(comparisons)] if comparisons else []
    cost = cost_table(records, split)
    return "\n".join(markdown(table) for table in [*tables, *([cost] if cost else [])])


def markdown_overview(runs: Sequence[Path | str]) -> str:
    """One table in Markdown: the accuracy of each run on each channel subset, with its interval.

    Args:
        runs: run folders, in the order in which they are shown.

    Raises:
        FileNotFoundError: see ``write_report``.
        ValueError: see ``write_report``; and if none has been evaluated.
    """
    records = pooled(read_runs(runs))
    return markdown(overview_table(records, _evaluated_split(records)))


def markdown_specialists(runs: Sequence[Path | str]) -> str:
    """A table in Markdown for each run that was compared with specialists: both on each subset, paired by image.

    Args:
        runs: run folders, in the order in which they are shown.

    Raises:
        FileNotFoundError, ValueError: see ``write_report``.
    """
    return "\n".join(markdown(table_of_specialists(found)) for found in specialists_of(pooled(read_runs(runs))))


def markdown_networks(
    runs: Sequence[Path | str],
    against: str | None = None,
    notes: Mapping[str, Mapping[str, str]] | None = None,
    *,
    minus: str | None = None,
) -> str:
    """One table in Markdown: what each run reaches on all channels, its depth and its cost.

    Args:
        runs: run folders, in the order in which they are shown.
        against: name of the run whose accuracy the others' are given in percent of; None: no such column.
        notes: further columns: by their label, what stands there for each run by its name; None: the layers as the
            authors of networks count them, and what sources report of theirs.
        minus: name of the run that the others' differences are from, paired by image with an interval, where both
            answered the same images; None: no such column.

    Raises:
        FileNotFoundError: see ``write_report``.
        ValueError: see ``write_report``; and if none, or not ``against`` or ``minus``, has been evaluated.
    """
    records = pooled(read_runs(runs))
    notes = authors_notes(records) if notes is None else notes
    return markdown(network_table(records, _evaluated_split(records), against, notes, minus=minus))


def front_figures(runs: Sequence[Path | str]) -> dict[str, str]:
    """Accuracy on all channels against depth, parameters, MACs and latency: texts of SVG files by what they show.

    Args:
        runs: run folders; of those that were not trained alike the most that were are drawn.

    Raises:
        FileNotFoundError: see ``write_report``.
        ValueError: see ``write_report``; and if none has been evaluated.
    """
    records = pooled(read_runs(runs))
    charts = front_charts(records, _evaluated_split(records), trained_alike(records)[0][1])
    return {name: standalone(chart) for name, chart in charts.items()}


def markdown_ablations(folders: Sequence[Path | str]) -> str:
    """A table in Markdown for each ablation: what each change came to, against the base.

    Args:
        folders: of ablations, in the order in which they are shown.

    Raises:
        FileNotFoundError: for a folder without ``ablation.json``.
        ValueError: for one that cannot be read.
    """
    return "\n".join(markdown(table_of_ablation(read_ablation(Path(folder) / ABLATION))) for folder in folders)


def markdown_searches(folders: Sequence[Path | str]) -> str:
    """A table in Markdown for each search: what each trial chose and came to, the best first.

    Args:
        folders: of searches, in the order in which they are shown.

    Raises:
        FileNotFoundError: for a folder without ``sweep.json``.
        ValueError: for one that cannot be read.
    """
    return "\n".join(markdown(search_table(read_search(Path(folder) / SEARCH))) for folder in folders)


def channel_figures(folder: Path | str) -> dict[str, str]:
    """Accuracy and MACs against the number of channels: texts of SVG files by what they show.

    Args:
        folder: of an ablation; there are none where its runs do not differ in the number of channels.

    Raises:
        FileNotFoundError, ValueError: see ``markdown_ablations``.
    """
    charts = channel_charts(read_ablation(Path(folder) / ABLATION))
    return {name: standalone(chart) for name, chart in charts.items()}


def markdown_reproductions(paths: Sequence[Path | str]) -> str:
    """For each reproduction its title, its tables in Markdown and its notes.

    They hold what was measured above what was reported and, where there are several, each two runs beside one another.

    Args:
        paths: records of reproductions and folders of them; they come by recipe and seed.

    Raises:
        ValueError: see ``write_report``.
    """
    return "\n".join(
        f"**{escape(found.heading)}**\n\n"
        + "".join(f"{markdown(table)}\n" for table in reproduction_tables(found))
        + "".join(f"- {escape(said)}\n" for said in found.notes)
        for found in read_reproductions([Path(path) for path in paths])
    )


def accuracy_figure(runs: Sequence[Path | str]) -> str:
    """The accuracy of runs on every subset, beside their specialists, as the text of an SVG file.

    It follows the reader's light or dark scheme.

    Args:
        runs: run folders, in the order in which they get their marks.

    Raises:
        FileNotFoundError: see ``write_report``.
        ValueError: see ``write_report``; and if none has answers to subsets.
    """
    records = read_runs(runs)
    split = main_split(records)
    chart = accuracy_chart(records, split) if split else None
    if chart is None:
        raise ValueError(f"no answers to subsets are recorded of {', '.join(run.name for run in records)}")
    return standalone(chart)


def retention_figure(runs: Sequence[Path | str]) -> str:
    """The retention chart of runs as the text of an SVG file, which follows the reader's light or dark scheme.

    Args:
        runs: run folders, in the order in which they are shown.

    Raises:
        FileNotFoundError: see ``write_report``.
        ValueError: see ``write_report``; and if no run was evaluated on all channels and on some.
    """
    records = pooled(read_runs(runs))
    split = main_split(records)
    chart = retention_chart(records, split) if split else None
    if chart is None:
        raise ValueError(f"none of {', '.join(map(str, runs))} has been evaluated on its channel subsets")
    return standalone(chart)


def _evaluated_split(records: Sequence[Run]) -> str:
    split = main_split(records)
    if split is None:
        raise ValueError(f"none of {', '.join(run.name for run in records)} has been evaluated")
    return split
