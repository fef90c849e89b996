"""Records made into pages and tables; no model is run and no data set is needed."""

from anychan.report.markdown import (
    accuracy_figure,
    channel_figures,
    front_figures,
    markdown_ablations,
    markdown_networks,
    markdown_overview,
    markdown_reproductions,
    markdown_searches,
    markdown_specialists,
    markdown_tables,
    retention_figure,
)
from anychan.report.page import write_report

__all__ = [
    "accuracy_figure",
    "channel_figures",
    "front_figures",
    "markdown_ablations",
    "markdown_networks",
    "markdown_overview",
    "markdown_reproductions",
    "markdown_searches",
    "markdown_specialists",
    "markdown_tables",
    "retention_figure",
    "write_report",
]
