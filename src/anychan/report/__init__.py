"""Records made into pages and tables; no model is run and no data set is needed."""

from anychan.report.markdown import markdown_overview, markdown_tables, retention_figure
from anychan.report.page import write_report

__all__ = ["markdown_overview", "markdown_tables", "retention_figure", "write_report"]
