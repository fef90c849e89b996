"""A run evaluated end to end on the built-in data, with a small untrained model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anychan.cost import profile
from anychan.data import hold_out, load_split, open_dataset
from anychan.environment import environment
from anychan.evaluation import FILLS, evaluate_run, read_predictions, table
from anychan.evaluation import evaluate as evaluate_module
from anychan.evaluation.metrics import metrics
from anychan.experiments.records import validate_records

from ._runs import RUN, SPEC, write_run

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes a run folder as training leaves it: model files and run.json."""

    def make(strategy: str = "sliced", name: str = "run", spec: str = SPEC) -> Path:
        return write_run(tmp_path / name, tmp_path / "cache", strategy, spec)

    return make


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """``evaluate_run`` with this test's own cache and without measuring cost."""

    def call(run: Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        return evaluate_run(run, *arguments, **{"cache_dir": tmp_path / "cache", "cost": False, **options})

    return call


def keys(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["subset"], row["fill"]) for row in record["results"]]


def test_an_any_channel_run_on_all_subsets(make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]) -> None:
    run = make_run()
    record = evaluate(run, batch_size=10)
    channels = open_dataset(SPEC).channels
    assert json.loads((run / "evaluation/test.json").read_text()) == json.loads(json.dumps(record))
    assert keys(record) == [(str(subset), "") for subset in channels.subsets()]
    assert {name: record[name] for name in ("schema", "kind", "split")} == {
        "schema": 1, "kind": "evaluation", "split": "test",
    }  # fmt: skip
    assert record["data"] == open_dataset(SPEC).description
    assert {"created", "commit", "versions", "hardware", "classes", "channels"} <= record.keys()
    answers = read_predictions(run / "predictions/test.parquet")
    assert list(answers) == keys(record)
    test = load_split(open_dataset(SPEC), "test", 16, run.parent / "cache")
    for row in record["results"]:
        given = answers[row["subset"], row["fill"]]
        assert given.paths == test.paths
        assert given.labels.tolist() == test.labels.tolist()
        assert metrics(given, record["classes"]).items() <= row.items()
        assert row["n"] == 30
        assert row["inference_ms"] > 0
        assert row["retention"] == pytest.approx(row["accuracy"] / record["results"][0]["accuracy"])
        assert row["cost"] is None
    pictures = json.loads((run / "pictures/pictures.json").read_text())
    assert [picture["chosen"] for picture in pictures["pictures"]].count("by lot") == 12
    assert list(pictures["pictures"][0]["answers"]) == [str(subset) for subset in channels.subsets()]
    assert sorted(path.name for path in run.iterdir()) == [
        "evaluation", "model.json", "model.safetensors", "pictures", "predictions", "run.json",
    ]  # fmt: skip


def test_images_held_out_of_training_are_a_split(make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]) -> None:
    run = make_run()
    with pytest.raises(ValueError, match="was trained on all training images: none is held out"):
        evaluate(run, split="held-out")
    data = open_dataset(SPEC).description
    told = {**RUN, "config": {"data": SPEC, "held_out": 7}, "data": {**data, "fingerprints": {"train": "others"}}}
    (run / "run.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="the training images have changed since"):
        evaluate(run, split="held-out")
    (run / "run.json").write_text(json.dumps({**told, "data": data}))
    record = evaluate(run, ["R"], "held-out")
    assert (record["split"], record["results"][0]["n"]) == ("held-out", 7)
    paths = read_predictions(run / "predictions/held-out.parquet")["R", ""].paths
    train = load_split(open_dataset(SPEC), "train", 16, run.parent / "cache")
    assert paths == hold_out(train, 7)[1].paths
    assert len(evaluate(run, ["G"], "held-out")["results"]) == 2  # the same images: rows are kept


def test_answers_with_flips_stand_beside_the_others(make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]) -> None:
    run = make_run()
    ordinary = evaluate(run, ["R,G"])["results"][0]
    assert "flips" not in ordinary
    record = evaluate(run, ["R,G"], flips=True)
    row = record["results"][0]
    assert row["accuracy"] == ordinary["accuracy"]
    low, high = row["flips"]["accuracy_interval"]
    assert low <= row["flips"]["accuracy"] <= high
    assert table(record).splitlines()[2].endswith("with flips")
    assert f"{100 * row['flips']['accuracy']:.1f}" in table(record).splitlines()[-1].split()[-1]


def test_what_was_measured_stays_when_it_is_not_asked_for_again(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]
) -> None:
    run = make_run()
    (first,) = evaluate(run, ["R"], cost=True, flips=True)["results"]
    again = {row["subset"]: row for row in evaluate(run, ["R", "G"])["results"]}
    assert again["R"]["cost"] == json.loads(json.dumps(first["cost"])) is not None
    assert again["R"]["flips"] == first["flips"]
    assert (again["G"]["cost"], "flips" in again["G"]) == (None, False)
    same = {row["subset"]: row for row in evaluate(run, ["R"], replace=True)["results"]}  # the same model and images
    assert (same.keys(), same["R"]["cost"], same["R"]["flips"]) == ({"R", "G"}, again["R"]["cost"], first["flips"])


def test_a_plain_run_answers_subsets_through_fills(make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]) -> None:
    run = make_run("plain")
    with pytest.raises(ValueError, match="name --fill"):
        evaluate(run, "all")
    assert not (run / "evaluation").exists()
    record = evaluate(run, "all", "test", tuple(FILLS))
    subsets = [str(subset) for subset in open_dataset(SPEC).channels.subsets()]
    assert keys(record) == [(subsets[0], "")] + [(subset, fill) for subset in subsets[1:] for fill in FILLS]


def test_cost_is_measured_where_the_model_answers_by_itself(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]
) -> None:
    by_itself, filled = evaluate(make_run(), ["R,G"], fills=["zeros"], cost=True)["results"]
    assert filled["cost"] is None
    assert (by_itself["cost"]["channels"], by_itself["cost"]["image_size"]) == ("RG", 16)
    assert by_itself["cost"]["macs"] > 0


def test_cost_is_that_of_a_model_as_it_is_loaded(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out = []

    def noted(model: Any, **asked: Any) -> Any:
        laid_out.append(all(parameter.is_contiguous() for parameter in model.parameters()))
        return profile(model, **asked)

    monkeypatch.setattr(evaluate_module, "profile", noted)
    evaluate(make_run(), ["RGB", "RG"], cost=True)
    assert laid_out == [True, True]  # and not as it answers


def test_evaluating_again_replaces_its_rows_and_keeps_the_others(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]
) -> None:
    run = make_run()
    first = evaluate(run, ["R"])
    assert first["results"][0]["retention"] is None
    second = evaluate(run, ["RGB", "G"], fills=["zeros"])
    assert keys(second) == [("RGB", ""), ("R", ""), ("G", ""), ("G", "zeros")]
    assert second["results"][1] == {**first["results"][0], "retention": second["results"][1]["retention"]}
    assert second["results"][1]["retention"] is not None
    third = evaluate(run, ["G"])
    assert keys(third) == keys(second) == list(read_predictions(run / "predictions/test.parquet"))
    assert third["results"][3] == second["results"][3]
    evaluate(run, ["R"], "val")
    assert keys(json.loads((run / "evaluation/test.json").read_text())) == keys(third)


def test_rows_that_another_process_writes_meanwhile_are_kept(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, predict = make_run(), evaluate_module.predict_subset

    def while_another_evaluates(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(evaluate_module, "predict_subset", predict)
        evaluate(run, ["RG", "B"], cost=True, flips=True)
        return predict(*arguments, **options)

    monkeypatch.setattr(evaluate_module, "predict_subset", while_another_evaluates)
    record = evaluate(run, ["RGB", "B"])
    assert ["flips" in row for row in record["results"]] == [False, True, True]
    assert keys(record) == [("RGB", ""), ("RG", ""), ("B", "")]
    assert [row["cost"] is None for row in record["results"]] == [True, False, False]
    assert list(read_predictions(run / "predictions/test.parquet")) == keys(record)
    assert json.loads((run / "evaluation/test.json").read_text()) == record


def test_each_row_says_where_it_was_timed(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are kept stay of their machine; those of a record from before rows said it are of that record's."""

    def machines(record: dict[str, Any]) -> list[tuple[str, int]]:
        return [(row["hardware"]["cpu"], row["batch_size"]) for row in record["results"]]

    run, where = make_run(), environment()
    for cpu, channels, size in (("one", "R", 128), ("another", "G", 8)):
        made = {**where, "hardware": {**where["hardware"], "cpu": cpu}}
        monkeypatch.setattr("anychan.evaluation.evaluate.environment", lambda device, made=made: made)
        record = evaluate(run, [channels], batch_size=size)
    assert machines(record) == [("one", 128), ("another", 8)]
    assert record["hardware"]["cpu"] == "another"
    for row in record["results"]:
        for key in ("device", "autocast", "batch_size", "hardware"):
            del row[key]
    (run / "evaluation/test.json").write_text(json.dumps(record), encoding="utf-8")
    monkeypatch.undo()
    again = evaluate(run, ["B"])
    assert machines(again) == [("another", 8), ("another", 8), (where["hardware"]["cpu"], 128)]


def test_a_row_that_is_kept_says_which_commit_answered_it_where_the_file_names_another(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, where = make_run(), environment()

    def commits(commit: str, channels: str) -> tuple[str, list[str | None]]:
        made = {**where, "commit": commit}
        monkeypatch.setattr("anychan.evaluation.evaluate.environment", lambda device: made)
        record = evaluate(run, [channels])
        assert validate_records([run / "evaluation"]) == (1, [])
        assert all(("versions" in row) == ("commit" in row) for row in record["results"])
        return record["commit"], [row.get("commit") for row in record["results"]]

    assert commits("a", "R") == ("a", [None])
    assert commits("a", "G") == ("a", [None, None])
    assert commits("b", "G") == ("b", ["a", None])
    assert commits("c", "B") == ("c", ["a", "b", None])
    assert commits("a", "B") == ("a", [None, "b", None])


def test_answers_are_the_same_again(make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]) -> None:
    run = make_run()
    evaluate(run)
    before = (run / "predictions/test.parquet").read_bytes()
    evaluate(run, replace=True)
    assert (run / "predictions/test.parquet").read_bytes() == before


@pytest.mark.parametrize("damaged", ["predictions/test.parquet", "evaluation/test.json"])
def test_what_cannot_be_read_is_replaced(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]], damaged: str
) -> None:
    run = make_run()
    before = evaluate(run, ["R"])["results"]
    (run / damaged).write_bytes(b"?")
    with pytest.raises((OSError, ValueError), match=Path(damaged).name):
        evaluate(run, ["R"])
    assert [row["right"] for row in evaluate(run, ["R"], replace=True)["results"]] == [row["right"] for row in before]


def test_rows_of_another_model_are_not_mixed_in(make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]) -> None:
    run = make_run()
    evaluate(run, ["R"])
    make_run("plain", name="other")
    for file in ("model.safetensors", "model.json"):
        (run.parent / "other" / file).replace(run / file)
    with pytest.raises(ValueError, match="is about another model: say --replace"):
        evaluate(run, ["all"], fills=["mean"])
    assert len(evaluate(run, ["all"], fills=["mean"], replace=True)["results"]) == 7


def test_other_data_must_have_the_same_classes(make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]) -> None:
    run = make_run()
    other = SPEC.replace("test=30", "test=12").replace("seed=0", "seed=1")
    assert evaluate(run, ["R"], data=other)["results"][0]["n"] == 12
    with pytest.raises(ValueError, match="is about other images, or such as were read otherwise: say --replace"):
        evaluate(run, ["R"])
    with pytest.raises(ValueError, match=r"has no channel 'R', so nothing .* there are B01,B02"):
        evaluate(run, ["R"], data=SPEC.replace("bands=3", "bands=2"))
    with pytest.raises(ValueError, match="has 4 classes and the run 6"):
        evaluate(run, ["R"], data=SPEC.replace("classes=6", "classes=4"))


def test_a_broken_image_is_neither_skipped_nor_replaced(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    photographs = tmp_path / "photographs"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (photographs / split / name).mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (20, 16), (40 * i, 200, 90)).save(photographs / split / name / f"{i}.png")
    run = make_run(spec=str(photographs))
    assert evaluate(run, ["R"])["results"][0]["n"] == 6
    before = (run / "evaluation/test.json").read_text()
    broken = photographs / "test/dog/1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"test/dog/1\.png"):
        evaluate(run, ["G"])
    assert (run / "evaluation/test.json").read_text() == before


def test_a_failure_leaves_what_was_there(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    evaluate(run, ["R"])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def fail(*arguments: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("anychan.evaluation.evaluate.write_predictions", fail)
    with pytest.raises(OSError, match="disk is full"):
        evaluate(run, ["G"])
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_written_to_is_told_before_the_first_question(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = make_run(), []
    (run / "evaluation").write_text("in the way")  # root, who may run this, may write to any folder
    monkeypatch.setattr(evaluate_module, "predict_subset", lambda *_, **__: asked.append(1))
    with pytest.raises(OSError, match="evaluation"):
        evaluate(run, ["R"])
    assert asked == []


def test_pictures_that_a_killed_process_left_half_drawn_are_removed(
    make_run: MakeRun, evaluate: Callable[..., dict[str, Any]]
) -> None:
    run = make_run()
    (run / ".pictures.ab12cd.partial" / "new").mkdir(parents=True)
    evaluate(run, "all")
    assert (run / "pictures").is_dir()
    assert not list(run.glob(".*"))


def test_what_is_not_there_is_named(make_run: MakeRun, evaluate: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        evaluate(tmp_path / "nowhere")
    run = make_run()
    (run / "run.json").write_text(json.dumps({**RUN, "config": {"data": "moved/away.zip"}}))
    with pytest.raises(FileNotFoundError, match=r"trained on moved/away\.zip: say with --data"):
        evaluate(run)
    (run / "run.json").unlink()
    with pytest.raises(FileNotFoundError, match="name --data"):
        evaluate(run)
    assert evaluate(run, data=SPEC, pictures=False)["results"]
    assert not (run / "pictures").exists()
