"""The ablations and searches that the documentation speaks of can be read, and a run takes each of their settings."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import pytest
import yaml

from anychan.cli import COMMANDS, main
from anychan.experiments import Ablation, SearchSpace
from anychan.experiments.settings import merged

DOCS = Path(__file__).parents[2] / "docs"
ABLATIONS, SPACES = (sorted((DOCS / kind).glob("*.yaml")) for kind in ("ablations", "sweeps"))


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_each_ablation_can_be_run(path: Path) -> None:
    ablation = Ablation.read(path, data="synthetic")
    assert ablation.title
    command = path.read_text(encoding="utf-8").splitlines()[0]
    data = "" if "data" in yaml.safe_load(path.read_text(encoding="utf-8"))["base"] else " --data DATA"
    assert command == f"# anychan ablate docs/ablations/{path.name} --out runs/{path.stem}{data}"


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_each_record_is_of_the_base_that_is_written_down(path: Path) -> None:
    record = DOCS / "records" / f"ablation-{path.stem}" / "ablation.json"
    of_record, written = json.loads(record.read_text(encoding="utf-8"))["base"], yaml.safe_load(path.read_text("utf-8"))
    assert of_record == merged({"data": of_record["data"]}, written["base"])


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_each_search_can_be_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SearchSpace.read(path).first(), "a search begins with the values in use"
    words = shlex.split(path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# "))
    assert words[:2] == ["anychan", "sweep"]
    for option, value in (("--space", f"docs/sweeps/{path.name}"), ("--out", f"runs/sweep-{path.stem}")):
        assert words[words.index(option) + 1] == value
    monkeypatch.setitem(COMMANDS, "sweep", dataclasses.replace(COMMANDS["sweep"], run=lambda options: 0))
    assert main(words[1:]) == 0
