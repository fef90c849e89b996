"""Run folders are read as they are; what is broken or foreign is refused by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from anychan.report._reading.pooling import pooled
from anychan.report._reading.records import Evaluation, Result
from anychan.report._reading.runs import read_run, read_runs

from ._runs import seeded_run, write_run


def test_reads_what_the_folder_tells(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "first", fills=("zeros",)))
    assert (run.name, run.status, run.seed, len(run.epochs), len(run.pictures)) == ("first", "finished", 0, 5, 4)
    evaluation = run.evaluations["test"]
    assert evaluation.full is not None
    assert evaluation.full.subset == "RGB"
    assert [r.subset for r in evaluation.results if not r.fill] == ["RGB", "RG", "RB", "GB", "R", "G", "B"]
    assert {r.cost is None for r in evaluation.results if r.fill} == {True}
    assert evaluation.full.cost is not None
    assert evaluation.full.cost.latency[32].q75 == 104.0
    assert run.config.startswith("model: resnet18")


def test_the_result_on_all_channels_is_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each subset is parsed for it, which for every subset again is long where there are hundreds."""
    evaluation = read_run(write_run(tmp_path / "first")).evaluations["test"]
    asked: list[Result] = []
    size = Evaluation.size
    monkeypatch.setattr(Evaluation, "size", lambda self, result: asked.append(result) or size(self, result))
    assert evaluation.has_subsets
    assert [result is evaluation.full for result in evaluation.results] == [True, *[False] * 6]
    assert len(asked) == 7


def test_confusions_of_many_classes_take_four_bytes_a_count(tmp_path: Path) -> None:
    """Every subset of every run has one: of 1,000 classes a million counts."""
    names = [f"class {i}" for i in range(300)]
    runs = read_runs([seeded_run(tmp_path / f"run-seed{seed}", seed, 0.5, classes=names) for seed in (0, 1)])
    for row in [runs[0], *pooled(runs)]:
        for result in row.evaluations["test"].results:
            assert sum(map(sum, result.confusion)) == 300 * 100 * len(row.each_seed)
            assert sum(map(sys.getsizeof, result.confusion)) < 5 * 300**2
    path = runs[0].folder / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"][0]["confusion"][0][0] = 2**31
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"test\.json: signed integer is greater than maximum"):
        read_run(runs[0].folder)


def test_nothing_but_run_json_is_needed(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1, "kind": "run", "name": "x", "status": "running"}')
    run = read_run(tmp_path)
    assert (run.epochs, dict(run.evaluations), run.pictures, run.config, run.seed) == ((), {}, (), "", None)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such run folder"):
        read_run(tmp_path / "nowhere")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no run\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("run.json", {"schema": 2}, r"run\.json: a record of schema 2; this version of anychan reads schema 1"),
        ("run.json", {"kind": "model"}, r"run\.json: a record of kind 'model', not 'run'"),
        ("run.json", {"status": None}, r"run\.json: 'status' is None; it should be a text"),
        ("run.json", {"config": ["resnet18"]}, r"run\.json: 'config' is \['resnet18'\]; it should be an object"),
        ("run.json", {"config": {"optimizer": "adamw"}}, r"config: 'optimizer' is 'adamw'; it should be an object"),
        ("run.json", {"config": {"held_out": "many"}}, r"config: 'held_out' is 'many'; it should be an integer"),
        ("run.json", {"machine": "cpu"}, r"run\.json: 'machine' is 'cpu'; it should be an object"),
        ("run.json", {"adapted_from": "any"}, r"run\.json: 'adapted_from' is 'any'; it should be an object"),
        ("run.json", {"pretrained": True}, r"run\.json: 'pretrained' is True; it should be an object"),
        ("run.json", {"data": {"fingerprints": ["a"]}}, r"run\.json: data: 'fingerprints' is \['a'\]; it should be an"),
        ("run.json", {"data": {"channels": 3}}, r"run\.json: data: 'channels' is 3; it should be a list"),
        (
            "run.json",
            {"resumed_from": [{"epochs": 1, "step": 0, "hardware": "cpu"}]},
            r"resumed_from\[0\]: 'hardware' is 'cpu'; it should be an object",
        ),
        ("run.json", {"seed": "0"}, r"run\.json: 'seed' is '0'; it should be an integer"),
        ("run.json", {"skipped": [["a.jpg"]]}, r"run\.json: 'skipped' should be a list of paths with their reasons"),
        ("evaluation/test.json", {"schema": None}, r"test\.json: a record of schema None"),
        ("evaluation/test.json", {"results": "none"}, r"test\.json: 'results' is 'none'; it should be a list"),
        ("evaluation/test.json", {"channels": {}}, r"test\.json"),
        ("evaluation/test.json", {"results": [7]}, r"test\.json: results\[0\] should be an object, not 7"),
        ("model.json", {"channels": ["R"]}, r"model\.json: channels\[0\] should be an object, not 'R'"),
        ("model.json", {"strategy_options": [2]}, r"model\.json: 'strategy_options' is \[2\]; it should be an object"),
        ("model.json", {"schema": 3}, r"model\.json: a record of schema 3"),
        ("pictures/pictures.json", {"pictures": [{"file": "a.png", "answers": {"R": [3]}}]}, r"pictures\.json: "),
        ("pictures/pictures.json", {"pictures": [{"file": "../../x.png"}]}, r"'\.\./\.\./x\.png' does not lie in"),
    ],
)
def test_refuses_foreign_and_broken_records(tmp_path: Path, file: str, change: dict[str, Any], message: str) -> None:
    run = write_run(tmp_path / "first")
    path = run / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        read_run(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accuracy": float("nan")}, r"results\[0\]: 'accuracy' is nan; it should be a finite number"),
        ({"n": True}, r"results\[0\]: 'n' is True; it should be an integer"),
        ({"accuracy_interval": [0.5]}, r"'accuracy_interval' is \[0\.5\]; it should be two numbers"),
        ({"accuracy_interval": [0.6, 0.5]}, r"the lower one first"),
        ({"confusion": [[1, 0], [0, 1]]}, r"test\.json: the confusion matrix of RGB is not 4 by 4"),
        ({"confusion": [[float("inf")]]}, r"test\.json"),
        ({"confusion": [[-1] * 4] * 4}, r"test\.json: the confusion matrix of RGB holds a negative count"),
        ({"confusion": [[0] * 4] * 4}, r"test\.json: the confusion matrix of RGB holds no image"),
        ({"right": "?"}, r"test\.json: 'right' of RGB is not readable \(Only base64 data is allowed\)"),
        (
            {"right": "AA=="},
            r"test\.json: 'right' of RGB is not readable \(answers to 400 images take 50 bytes, not 1\)",
        ),
        ({"per_class": []}, r"test\.json: 'per_class' of RGB has 0 of the 4 classes"),
        ({"subset": "RX"}, r"test\.json: unknown channel"),
    ],
)
def test_refuses_broken_results(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    run = write_run(tmp_path / "first")
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"][0] |= change
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message):
        read_run(run)


def test_refuses_what_is_not_json(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first")
    (run / "run.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"run\.json: not a text file"):
        read_run(run)
    (run / "run.json").write_text('{"schema": 1')
    with pytest.raises(ValueError, match=r"run\.json: not JSON"):
        read_run(run)
    (run / "run.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match=r"run\.json: nested too deep to be read"):
        read_run(run)


def test_a_line_cut_off_by_a_kill_is_left_out_but_no_other(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first", epochs=3)
    records = run / "records.jsonl"
    whole = records.read_text()
    records.write_text(whole + '{"schema": 1, "kind": "ep')
    assert len(read_run(run).epochs) == 3
    records.write_text('{"schema": 1, "kind": "ep\n' + whole)
    with pytest.raises(ValueError, match=r"records\.jsonl: line 1: not JSON"):
        read_run(run)


def test_a_number_that_is_not_finite_is_no_number(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first", epochs=1)
    records = run / "records.jsonl"
    records.write_text(json.dumps(json.loads(records.read_text()) | {"train_loss": float("inf")}) + "\n")
    assert read_run(run).epochs[0].train_loss is None
