"""Searches in a report: every trial with what it chose, the best first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anychan.cli import main
from anychan.report import markdown_searches, write_report
from anychan.report._reading.searches import SEARCH, read_search
from anychan.report._tables.searches import search_table

from ._runs import write_ablation, write_run, write_search


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_search(tmp_path / "sweep-wide6")


def test_the_best_trial_stands_first_and_one_that_failed_says_why(folder: Path) -> None:
    table = search_table(read_search(folder / SEARCH))
    labels = ["trial", "accuracy", "optimizer.learning_rate", "model_options.multiples", "outcome"]
    assert [column.label for column in table.columns] == labels
    assert [[cell.text for cell in row] for row in table.groups[0].rows] == [
        ["1", "31.2", "0.00357", "2, 2", ""],
        ["0", "30.1", "0.002", "1, 2", ""],
        ["2", "", "0.001", "9, 9", "out of memory"],
    ]
    assert table.caption == (
        "sweep-wide6: wide6, width 32, 3 epochs a trial, percent of 2,400 images held out of training, seed 0. "
        "Recorded on Some Processor."
    )


def test_what_a_record_lacks_is_left_out(tmp_path: Path) -> None:
    config = {"model": "resnet34", "epochs": 1, "seed": 7, "held_out": None}
    chosen = {"optimizer.weight_decay": 0.05}
    running = {"number": 1, "state": "running", "settings": {}, "val_accuracy": None, "error": None}
    done = {"number": 0, "state": "complete", "settings": chosen, "val_accuracy": 0.25, "error": None}
    table = search_table(
        read_search(write_search(tmp_path / "a", config=config, trials=[running, done], hardware=None) / SEARCH)
    )
    assert table.caption == "a: resnet34, 1 epoch a trial, percent of the validation split, seed 7."
    assert [[cell.text for cell in row] for row in table.groups[0].rows] == [
        ["0", "25.0", "0.05", ""],
        ["1", "", "", "running"],
    ]


def test_the_report_takes_folders_of_searches(folder: Path, tmp_path: Path) -> None:
    assert main(["report", str(folder), "--out", str(tmp_path / "alone.html")]) == 0
    text = (tmp_path / "alone.html").read_text()
    assert re.findall(r'<section id="(\w+)">', text) == ["question", "searches", "limits", "reproduce"]
    assert "Which settings suit wide6 best?" in text
    assert "the best is so by luck too" in text
    assert 'href="#searches"' in text
    runs = [write_run(tmp_path / "run"), folder, write_ablation(tmp_path / "ablation")]
    sections = re.findall(r'<section id="(\w+)">', write_report(runs, tmp_path / "all.html").read_text())
    assert sections[sections.index("ablations") :][:3] == ["ablations", "searches", "disagreement"]
    document = write_report(runs, tmp_path / "all.md").read_text()
    assert "\n## Searches\n\n" in document
    assert markdown_searches([folder]) in document
    assert "searches" not in re.findall(
        r'<section id="(\w+)">', write_report(runs[:1], tmp_path / "b.html").read_text()
    )


def test_a_studys_folder_stands_for_what_is_in_it(tmp_path: Path) -> None:
    study = tmp_path / "study"
    held = [write_run(study / "a-seed0"), write_run(study / "b"), write_search(study / "rates")]
    (study / "b.log").write_text("epoch 1")
    (study / "empty").mkdir()
    whole = write_report([study], tmp_path / "study.html").read_text()
    assert whole == write_report(held, tmp_path / "held.html").read_text()
    assert write_report([study, write_run(tmp_path / "other")], tmp_path / "more.html").stat().st_size > len(whole)
    with pytest.raises(ValueError, match="given twice"):
        write_report([study, held[1]], tmp_path / "twice.html")
    with pytest.raises(FileNotFoundError, match="empty: not a run folder"):
        write_report([study / "empty"], tmp_path / "none.html")


def test_a_broken_record_is_refused(folder: Path, tmp_path: Path) -> None:
    write_search(folder, kind="ablation")
    with pytest.raises(ValueError, match="a record of kind 'ablation', not 'sweep'"):
        write_report([folder], tmp_path / "a.html")
