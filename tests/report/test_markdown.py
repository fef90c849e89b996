"""Tables in Markdown, for documentation."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from anychan.report import markdown_overview, markdown_tables, retention_figure

from ._runs import write_run


def test_two_runs_give_overview_metrics_and_cost(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "first"), write_run(tmp_path / "plain", strategy="plain", fills=("zeros",))]
    text = markdown_tables(runs)
    assert "| first | 60.0 (58.0–61.9) | 51.0 (49.0–52.9) |" in text
    assert "| plain | 60.0 (58.0–61.9) |  |  |  |  |  |  |" in text
    assert "| *plain, missing channels filled* |" in text
    assert "| RGB | 60.0 | 58.0–61.9 | 90.0 |" in text
    assert "9.81 (9.70–10.2)" in text
    assert text.count("|:---|---:|") == 4
    for block in text.strip().split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1, "every row of a table has as many cells"


def test_one_run_has_no_overview(tmp_path: Path) -> None:
    assert markdown_tables([write_run(tmp_path / "first")]).count("|:---|---:|") == 2


def test_names_cannot_break_the_table(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "a", name="x|y <b>\nz"), write_run(tmp_path / "b")]
    assert "| x\\|y \\<b\\> z | 60.0" in markdown_tables(runs)


def test_says_that_nothing_was_evaluated(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1, "kind": "run", "name": "x", "status": "running"}')
    assert markdown_tables([tmp_path]) == "None of these runs has been evaluated yet.\n"


def test_no_run_is_refused() -> None:
    with pytest.raises(ValueError, match="no run given"):
        markdown_tables([])


def test_the_retention_figure_is_an_svg_file_of_its_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first")
    text = retention_figure([run])
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert used <= set(re.findall(r"(--[\w-]+):", text))
    assert "prefers-color-scheme: dark" in text
    assert retention_figure([run]) == text
    (run / "evaluation" / "test.json").unlink()
    with pytest.raises(ValueError, match="has been evaluated"):
        retention_figure([run])


def test_the_overview_is_one_of_the_tables(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "first"), write_run(tmp_path / "plain", strategy="plain", fills=("zeros",))]
    overview = markdown_overview(runs)
    assert overview.count("|:---|---:|") == 1
    assert "| first | 60.0 (58.0–61.9) |" in overview
    assert overview in markdown_tables(runs)
    for run in runs:
        (run / "evaluation" / "test.json").unlink()
    with pytest.raises(ValueError, match="has been evaluated"):
        markdown_overview(runs)
