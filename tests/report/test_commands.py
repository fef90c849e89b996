"""How ablations, searches and reproductions of a report are made again: by commands that anychan reads."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml

from anychan.cli import COMMANDS
from anychan.cli._common import parsed
from anychan.cli._train import parsed_train
from anychan.experiments import Ablation
from anychan.report import write_report
from anychan.report._reading.ablations import read_ablation
from anychan.report._reading.commands import Again
from anychan.report._reading.reproductions import read_reproduction
from anychan.report._reading.searches import SEARCH, read_search

from ._runs import write_ablation, write_reproduction, write_run, write_search

RECORDS = Path(__file__).parents[2] / "docs" / "records"


def read(command: str) -> Any:
    """What anychan takes a command for."""
    _, name, *words = shlex.split(command)
    return (parsed_train if name == "sweep" else parsed)(name, COMMANDS[name], words)


def changed(path: Path, **fields: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def test_an_ablation_is_its_command_and_its_file(tmp_path: Path) -> None:
    path = write_ablation(tmp_path / "width") / "ablation.json"
    base = {"data": "/home/someone/animals.zip", "model": "wide6", "model_options": {"width": 32}, "cache_dir": "/c"}
    first, teacher = "/home/someone/runs/first", "runs/teacher"
    taught = {"objective.name": "teacher", "objective.teacher": teacher}
    changes = {"no": {"initial": first}, "taught": taught, "narrow": {"model_options.width": 16}}
    record = json.loads(path.read_text())
    record["rows"][0]["cost"] = {"macs": 1, "device": "cpu"}
    changed(path, base=base, changes=changes, rows=record["rows"], commit="abc", dirty=True)
    found = read_ablation(path).again
    assert (found.command, found.file) == (
        "anychan ablate width.yaml --data animals.zip --out runs/width",
        "width.yaml",
    )
    assert read(found.command).ablation == Path("width.yaml")
    assert found.commit == "abc, with changes that no commit holds"
    (tmp_path / "width.yaml").write_text(found.text)
    again = Ablation.read(tmp_path / "width.yaml", data="animals.zip")
    assert again.base == {"model": "wide6", "model_options": {"width": 32}, "data": "animals.zip"}
    assert again.changes == changes | {"no": {"initial": "first"}}
    assert found.needs == ("first", "runs/teacher")
    assert (again.title, again.seeds, again.split, again.cost) == ("Does width help?", [0, 1], "val", True)
    assert read_ablation(changed(path, base={}, changes={})).again.command == ""


def test_folders_have_their_names_from_within_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(write_ablation(tmp_path / "width", title="") / "ablation.json", changes={"wide": {"epochs": 4}})
    monkeypatch.chdir(tmp_path / "width")
    found = read_ablation(Path("ablation.json"))
    assert (found.title, found.again.file) == ("width", "width.yaml")
    assert found.again.command == "anychan ablate width.yaml --data DATA --out runs/width"
    monkeypatch.chdir(write_search(tmp_path / "sweep"))
    search = read_search(Path(SEARCH))
    assert (search.name, search.again.file) == ("sweep", "sweep-space.yaml")


def test_a_search_is_its_command_and_its_space() -> None:
    found = read_search(RECORDS / "sweep-wide6" / SEARCH).again
    assert found.command == (
        "anychan sweep --data ../shared/data/tiny-imagenet-animals-50.zip --out runs/sweep-wide6 --model wide6 "
        "--held-out 2400 --epochs 3 --model-options '{\"width\": 32}' --space sweep-wide6-space.yaml --trials 12"
    )
    assert (read(found.command).held_out, read(found.command).trials) == (2400, 12)
    assert yaml.safe_load(found.text) == yaml.safe_load(
        (RECORDS.parent / "sweeps" / "wide6.yaml").read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("seed", [0, 7])
def test_a_searchs_command_proposes_the_same(seed: int, tmp_path: Path) -> None:
    config = json.loads((RECORDS / "sweep-wide6" / SEARCH).read_text())["config"]
    command = read_search(write_search(tmp_path / "one", config=config, proposals_seed=seed) / SEARCH).again.command
    assert read(command).proposals_seed == seed


def test_a_search_of_settings_that_are_none_today_has_no_command(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "old", config={"model": "wide6", "epochs": 1, "seed": 0, "gone": 1})
    assert read_search(folder / SEARCH).again == Again("old", "", "not recorded")


def test_it_says_what_trained_which_runs_where_that_was_another_commit(tmp_path: Path) -> None:
    others = {"trained_by": [{"commit": "a", "dirty": True}, {"commit": "b", "dirty": False}]}
    said = "c; {0} trained by a, with changes that no commit holds; {0} trained by b"
    path = write_ablation(tmp_path / "width") / "ablation.json"
    rows = json.loads(path.read_text())["rows"]
    changed(path, rows=[rows[0] | others, *rows[1:]], commit="c")
    assert read_ablation(path).again.commit == said.format("base")
    path = write_search(tmp_path / "sweep") / SEARCH
    trials = json.loads(path.read_text())["trials"]
    changed(path, trials=[trials[0], trials[1] | others, trials[2]], commit="c")
    assert read_search(path).again.commit == said.format("trial 1")
    path = write_reproduction(tmp_path / "000-A-reproduction.json")
    runs = json.loads(path.read_text())["runs"]
    changed(path, runs=runs | {"plain": runs["plain"] | others}, commit="c")
    assert read_reproduction(path).again.commit == said.format("plain")


@pytest.mark.parametrize(
    ("fair", "changes", "rows", "command"),
    [
        (False, {"data": "/a/b.zip", "seed": 0, "cache_dir": "/c"}, ["plain", "sliced"], "--runs plain sliced"),
        (True, {"data": "b.zip", "seed": 3}, ["plain", "sliced"], "--fair --seed 3"),
        (True, {"data": "b.zip", "image_size": 32, "skip_broken": True}, ["plain", "sliced"],
         "--fair --image-size 32 --skip-broken"),
    ],
)  # fmt: skip
def test_a_reproduction_is_its_command(
    fair: bool, changes: dict[str, Any], rows: list[str], command: str, tmp_path: Path
) -> None:
    path = write_reproduction(tmp_path / "000-A-reproduction.json")
    row = json.loads(path.read_text())["rows"][0]
    changed(path, fair=fair, changes=changes, rows=[row | {"run": name} for name in rows], errors={})
    again = read_reproduction(path).again
    assert again.command == f"anychan reproduce 000-A --data b.zip --out runs {command}"
    assert read(again.command).fair == fair
    assert again.name.endswith(", fair twins") == fair


def test_a_reproductions_command_names_the_files_of_weights(tmp_path: Path) -> None:
    path = write_reproduction(tmp_path / "000-A-reproduction.json")
    record = json.loads(path.read_text())
    rows = [record["rows"][0] | {"run": name} for name in ("sliced", "sliced-pretrained")]
    runs = {"sliced": {}, "sliced-pretrained": {"weights": "small 100.safetensors"}}
    command = read_reproduction(changed(path, rows=rows, runs=runs, errors={})).again.command
    assert read(command).pretrained == ["sliced-pretrained=small 100.safetensors"]


def test_the_report_shows_all_of_them_with_runs_and_without(tmp_path: Path) -> None:
    studied = [
        write_ablation(tmp_path / "width"), write_search(tmp_path / "sweep"),
        write_reproduction(tmp_path / "000-A-reproduction.json"),
    ]  # fmt: skip
    changed(studied[0] / "ablation.json", changes={"wide": {"model_options.width": 64}})
    for with_runs in ([], [write_run(tmp_path / "run")]):
        page = write_report([*with_runs, *studied], tmp_path / "a.html").read_text("utf-8")
        assert 'href="#reproduce"' in page
        text = re.sub("<[^>]*>", "", unescape(page[page.index('<section id="reproduce">') :]))
        document = write_report([*with_runs, *studied], tmp_path / "a.md").read_text("utf-8")
        for shown in (text, document.split("## Reproduce: how to make it again")[1]):
            assert "anychan ablate width.yaml --data DATA --out runs/width" in shown
            assert "wide: {model_options.width: 64}" in shown
            assert "anychan sweep --data DATA --out runs/sweep --model wide6 " in shown
            assert "anychan reproduce 000-A --data a/folder/animals.zip --out runs --runs plain" in shown
            assert ("anychan train" in shown) == bool(with_runs)
            how = shown.replace("`", "")
            assert "install it there: pip install ." in how
            assert ("anychan evaluate with the name of the folder" in how) == bool(with_runs)
