"""The tables of a report, as data, and Markdown of them."""
