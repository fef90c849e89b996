"""The committed tables and figures are those that the committed records give, byte for byte."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MADE = (
    "README.md",
    "docs/results.md",
    "docs/figures/retention.svg",
    "docs/guide/strategies.md",
    "src/anychan/experiments/recipes/results.json",
)
WRITTEN_INTO = ("README.md", "docs/guide/strategies.md")


@pytest.mark.parametrize("name", MADE)
def test_what_is_committed_is_what_is_made(name: str, tmp_path: Path) -> None:
    for path in WRITTEN_INTO:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / path, tmp_path / path)
    runpy.run_path(str(PROJECT / "docs" / "make_results.py"))["main"](tmp_path)
    assert (tmp_path / name).read_bytes() == (PROJECT / name).read_bytes(), "run `make docs`"


def test_no_photograph_is_committed() -> None:
    records = PROJECT / "docs" / "records"
    assert {path.suffix for path in records.rglob("*") if path.is_file()} <= {".json", ".jsonl", ".yaml", ".md"}
