"""The drawings of a report, as SVG in the page's colours."""
