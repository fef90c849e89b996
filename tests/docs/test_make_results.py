"""The committed tables and figures are those that the committed records give, byte for byte."""

from __future__ import annotations

import base64
import json
import re
import runpy
import shutil
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
WRITTEN_INTO = ("README.md", "docs/experiments.md", "docs/guide/strategies.md")
MADE = ("docs/report.html", "docs/results.md", "src/anychan/experiments/recipes/results.json")
DRAWN_BY_HAND = {"favicon.svg"}
PICTURES = sorted((PROJECT / "docs" / "records").glob("*/pictures"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for path in WRITTEN_INTO:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / path, folder / path)
    runpy.run_path(str(PROJECT / "docs" / "make_results.py"))["main"](folder)
    return folder


@pytest.mark.parametrize("name", [*WRITTEN_INTO, *MADE])
def test_what_is_committed_is_what_is_made(name: str, made: Path) -> None:
    assert (made / name).read_bytes() == (PROJECT / name).read_bytes(), "run `make docs`"


def test_seeds_are_those_of_all_runs_and_ablations(tmp_path: Path) -> None:
    said = runpy.run_path(str(PROJECT / "docs" / "make_results.py"))["_of_seeds"]
    runs = [PROJECT / "docs" / "records" / name for name in ("any", "plain")]
    (tmp_path / "ablation.json").write_text(
        json.dumps({"schema": 1, "kind": "ablation", "title": "", "split": "val", "seeds": [0, 7], "rows": []})
    )
    assert said(runs, []).startswith("All runs have seed 0:")
    assert said(runs, [tmp_path]).startswith("Seeds are 0, 7;")


def test_figures_are_those_that_are_made(made: Path) -> None:
    """All of them, those of accuracy against cost too where there are networks; and none is left from before."""
    found, committed = (
        {path.name: path.read_bytes() for path in (folder / "docs" / "figures").glob("*.svg")}
        for folder in (made, PROJECT)
    )
    assert "retention.svg" in found
    assert found == {name: drawn for name, drawn in committed.items() if name not in DRAWN_BY_HAND}, "run `make docs`"


def test_costs_are_those_of_the_code(tmp_path: Path) -> None:
    runpy.run_path(str(PROJECT / "docs" / "make_costs.py"))["main"](tmp_path)
    costs = Path("docs", "theory", "costs.json")
    assert (tmp_path / costs).read_bytes() == (PROJECT / costs).read_bytes(), "run `make docs`"


def test_the_report_is_small_and_shows_no_pictures_but_those_committed() -> None:
    text = (PROJECT / "docs" / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 3_000_000
    assert not re.search(r"<image|<link|@import|url\((?!#)", text)
    assert str(PROJECT) not in text
    shown = {base64.b64decode(data) for data in re.findall(r'src="data:image/\w+;base64,([^"]*)"', text)}
    assert text.count("data:image") == text.count('src="data:image') == text.count("<img")
    committed = {path.read_bytes() for folder in PICTURES for path in folder.iterdir()}
    assert shown
    assert shown <= committed


def test_no_photograph_is_committed_but_freely_licensed_ones() -> None:
    """Beside the records lie drawings of freely licensed photographs, and each of these is credited."""
    drawn = {path for folder in PICTURES for path in folder.iterdir()}
    others = {path.suffix for path in (PROJECT / "docs" / "records").rglob("*") if path.is_file() and path not in drawn}
    assert others <= {".json", ".jsonl", ".yaml", ".md"}
    photographs = PROJECT / "docs" / "photographs"
    paths = {line.split()[0] for line in (photographs / "test.txt").read_text(encoding="utf-8").splitlines()}
    for folder in PICTURES:
        record = json.loads((folder / "pictures.json").read_text(encoding="utf-8"))
        assert record["data"] == "photographs"
        assert {picture["path"] for picture in record["pictures"]} <= paths
    credits_ = (photographs / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{path}` |" in credits_ for path in paths)
    assert {str(path.relative_to(photographs)) for path in photographs.glob("images/*")} == paths
