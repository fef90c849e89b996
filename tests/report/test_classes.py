"""Classes of one name, and of several seeds: what stands beside a class is its own, and of one seed's images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anychan.report._reading.pooling import pooled
from anychan.report._reading.records import Evaluation
from anychan.report._reading.runs import read_run
from anychan.report._sentences.class_losses import loss_with_untold
from anychan.report._tables.classes import loss_table, recall_tables

from ._runs import seeded_run, write_run

CRANES = ("crane", "red fox", "crane", "king penguin")  # a bird and a machine, as ImageNet calls them in short


def _changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    path = folder / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    return folder


def _evaluated(folder: Path) -> Evaluation:
    return read_run(folder).evaluations["test"]


def test_classes_of_one_name_keep_their_own_recall(tmp_path: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        for score, recall in zip(record["results"][0]["per_class"], (0.2, 0.5, 0.8, 0.9), strict=True):
            score["recall"] = recall

    runs = [read_run(_changed(write_run(tmp_path / name, classes=CRANES), change)) for name in "ab"]
    [table] = recall_tables(runs, "test")
    assert [[cell.text for cell in row] for row in table.groups[0].rows] == [
        ["crane", "20", "20"],
        ["red fox", "50", "50"],
        ["crane", "80", "80"],
        ["king penguin", "90", "90"],
    ]


def test_classes_of_one_name_keep_what_they_lose_and_are_taken_for(tmp_path: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["untold"] = {channel: [0.1, 0.2, 0.3, 0.4] for channel in "RGB"}
        full, *others = record["results"]
        full["confusion"] = [[90 * (i == j) + 10 * (j == (i + 1) % 4) for j in range(4)] for i in range(4)]
        for row in others:
            row["confusion"] = [[60, 10, 10, 20], [0, 90, 10, 0], [5, 45, 50, 0], [10, 0, 0, 90]]
        for row in record["results"]:
            for i, score in enumerate(row["per_class"]):
                score["recall"] = row["confusion"][i][i] / 100

    evaluation = _evaluated(_changed(write_run(tmp_path / "run", classes=CRANES), change))
    table = loss_table(evaluation, {})
    assert table is not None
    for group in table.groups:
        rows = [[cell.text for cell in row[3:]] + [row[-1].small] for row in group.rows]
        assert rows == [["50.0", "40.0", "30.0", "red fox", "+45"], ["60.0", "30.0", "10.0", "king penguin", "+20"]]


def test_the_losses_of_classes_of_one_name_are_each_beside_their_own_untold_share(tmp_path: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["untold"] = {channel: [0.01 * i for i in range(12)] for channel in "RGB"}
        for row in record["results"]:
            for i, score in enumerate(row["per_class"]):
                score["recall"] = 0.9 if row["subset"] == "RGB" else 0.9 - 0.05 * i

    names = ["crane", *(f"class {i}" for i in range(10)), "crane"]
    found = loss_with_untold(_evaluated(_changed(write_run(tmp_path / "run", classes=names), change)))
    assert found is not None
    assert found.value == pytest.approx(1.0)


def test_what_a_class_is_taken_for_is_counted_in_the_images_of_one_seed(tmp_path: Path) -> None:
    runs = []
    for seed, more in enumerate((30, 25)):

        def change(record: dict[str, Any], more: int = more) -> None:
            for row in record["results"]:
                lost = 0 if row["subset"] == "RGB" else more
                row["confusion"] = [[80 - lost, 20 + lost, 0, 0], *([0] * i + [100] + [0] * (3 - i) for i in (1, 2, 3))]
                row["per_class"][0]["recall"] = row["confusion"][0][0] / 100

        runs.append(_changed(seeded_run(tmp_path / f"run-seed{seed}", seed, 0.5), change))
    (row,) = pooled([read_run(run) for run in runs])
    assert len(row.pooled) == 2
    table = loss_table(row.evaluations["test"], {})
    assert table is not None
    goldfish = table.groups[0].rows[0]
    assert [cell.text for cell in goldfish] == ["goldfish", "100", "80.0", "52.5", "27.5", "tabby cat"]
    assert goldfish[-1].small == "+27.5"


def test_scores_of_other_classes_are_refused(tmp_path: Path) -> None:
    run = _changed(write_run(tmp_path / "run"), lambda record: record["results"][0]["per_class"].pop())
    with pytest.raises(ValueError, match=r"test\.json: 'per_class' of RGB has 3 of the 4 classes"):
        read_run(run)
