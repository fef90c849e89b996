"""An ablation that finds runs in its folder: what it takes, completes, runs again or refuses; runs that fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from PIL import Image

from anychan.data import open_dataset
from anychan.evaluation import evaluate_run
from anychan.experiments import Ablation, ablate, ablation, ablation_table, completing, executors, validate_records
from anychan.experiments.settings import configuration, merged
from anychan.training import TrainConfig, train
from anychan.training.initial import read_weights

from ._ablations import BASE, DATA, WIDE


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    ablate(Ablation({**BASE, "cache_dir": str(folder / "cache")}, WIDE), folder / "out")
    return folder / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """The folder of a finished ablation, a test's own."""
    return shutil.copytree(finished, tmp_path / "out")


def test_an_earlier_record_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ablation.json").write_text('{"schema": 2, "kind": "ablation"}')
    with pytest.raises(
        ValueError, match=r"ablation\.json: a record of schema 2; this version of anychan reads schema 1"
    ):
        ablate(Ablation(BASE, WIDE), tmp_path)


def test_what_is_there_is_not_run_again(base: dict[str, Any], out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []

    def noted(config: TrainConfig) -> Path:
        given.append(f"{config.out.name} {config.resume}")
        return train(config)

    monkeypatch.setattr(completing, "train", noted)
    ablate(Ablation(base, {**WIDE, "narrow": {"model_options.width": 3}}), out)
    interrupted = out / "narrow-seed0" / "run.json"
    interrupted.write_text(interrupted.read_text().replace('"status": "finished"', '"status": "running"'))
    ablate(Ablation(base, {**WIDE, "narrow": {"model_options.width": 3}}), out)
    assert given == ["narrow-seed0 False", "narrow-seed0 True"]


def test_a_run_that_fails_is_noted_and_the_rest_is_finished(base: dict[str, Any], tmp_path: Path) -> None:
    changes = {"odd": {"objective.penalty": 0.5}, **WIDE}
    record = ablate(Ablation(base, changes), tmp_path / "out")
    _, odd, wide = record["rows"]
    assert odd["errors"] == {"0": "objective.penalty 0.5: strategy 'sliced' has no penalty"}
    assert wide["difference_full"]["verdict"] in ("better", "worse", "not distinguishable")
    assert "objective.penalty 0.5" in ablation_table(record)
    assert [row["seeds"] for row in record["rows"]] == [[0], [], [0]]


def test_a_finished_run_without_its_weights_is_noted_and_the_rest_is_finished(
    base: dict[str, Any], out: Path, tmp_path: Path
) -> None:
    (out / "wide-seed0" / "model.safetensors").unlink()
    (out / "wide-seed0" / "evaluation" / "val.json").unlink()
    record = ablate(Ablation(base, {**WIDE, "narrow": {"model_options.width": 3}}), out)
    _, wide, narrow = record["rows"]
    gone = out / "wide-seed0" / "model.safetensors"
    assert wide["errors"] == {"0": f"{gone} is not there: the run cannot be evaluated on val"}
    assert narrow["seeds"] == [0]
    (out / "wide-seed0" / "model.json").unlink()
    record = ablate(Ablation(base, {**WIDE, "narrow": {"model_options.width": 3}}), out)
    assert record["rows"][1]["errors"]["0"].endswith("model.json is not there: the run cannot be evaluated")


def test_a_run_of_another_version_is_said(base: dict[str, Any], out: Path) -> None:
    path = out / "wide-seed0" / "run.json"
    record = json.loads(path.read_text())
    record["config"]["optimizer"]["fused"] = True
    path.write_text(json.dumps(record))
    with pytest.raises(
        ValueError, match=r"wide-seed0 was trained with settings that this version does not have: .*fused"
    ):
        ablate(Ablation(base, WIDE), out)


def test_pretrained_weights_that_are_not_there(
    base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completing, "complete", lambda config, *_, **__: read_weights(config) and None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    config = TrainConfig(data=DATA, out=tmp_path / "run", model="mobilenetv3_small_050", pretrained=True)
    said = completing.attempt(config, "val")  # is a sentence, so that other runs go on
    assert said is not None
    assert said.startswith("the weights timm/mobilenetv3_small_050.lamb_in1k cannot be downloaded")
    with pytest.raises(FileNotFoundError, match=r"typo.pth, where pretrained weights are to be read, is no file"):
        ablate(Ablation(base, {"start": {"pretrained": "typo.pth"}}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_broken_image_of_the_split_is_said_before_the_first_run(base: dict[str, Any], tmp_path: Path) -> None:
    for split, count in {"train": 4, "test": 2}.items():
        for number in range(count):
            path = tmp_path / "data" / split / f"class{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (30 * number, 0, 200)).save(path)
    for broken in ("train", "test"):
        (tmp_path / "data" / broken / "class0" / "broken.png").write_bytes(b"no image")
    skipping = {**base, "data": str(tmp_path / "data"), "skip_broken": True}
    with pytest.raises(ValueError, match=r"base: data: 1 of 3 images of the split test are broken: test/.*/broken.png"):
        ablate(Ablation(skipping, WIDE, split="test"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    held_out = configuration(merged(skipping, {"held_out": 2, "out": str(tmp_path / "out")}))
    completing.check_split(held_out, "held-out")  # of training images broken ones are left out


def test_runs_of_other_settings_or_data_are_not_taken_for_these(base: dict[str, Any], out: Path) -> None:
    before = (out / "ablation.json").read_bytes()
    with pytest.raises(ValueError, match=r"holds 'base' with other settings \(epochs: 1 -> 2\)"):
        ablate(Ablation({**base, "epochs": 2}, WIDE), out)
    with pytest.raises(ValueError, match=r"holds 'Wide!' with other settings \(model_options.width: 12 -> 9\)"):
        ablate(Ablation(base, {"Wide!": {"model_options.width": 9}}), out)
    with pytest.raises(ValueError, match="data: other train images"):
        ablate(Ablation({**base, "data": DATA.replace("train=32", "train=40")}, WIDE, seeds=(0, 1)), out)
    with pytest.raises(ValueError, match="holds seed 0, which would be lost"):
        ablate(Ablation(base, WIDE, seeds=(1,)), out)
    with pytest.raises(ValueError, match="holds change 'Wide!', which would be lost"):
        ablate(Ablation(base, {"narrow": {"model_options.width": 3}}), out)
    with pytest.raises(ValueError, match="holds answers on 'val', which would be lost for 'test'"):
        ablate(Ablation(base, WIDE, split="test"), out)
    precision = json.loads((out / "base-seed0" / "run.json").read_text())["machine"]["precision"]
    (other,) = {"float32", "bfloat16"} - {precision}
    with pytest.raises(ValueError, match=rf"precision: {precision} -> {other}"):
        ablate(Ablation({**base, "precision": other}, WIDE, seeds=(0, 1)), out)
    assert (out / "ablation.json").read_bytes() == before
    assert not (out / "base-seed1").exists()  # with which the record would have been written, without the others


def test_answers_to_other_images_are_not_taken_for_these(base: dict[str, Any], out: Path) -> None:
    (out / "ablation.json").unlink()  # which is of another split
    ablate(Ablation(base, WIDE, split="test"), out)
    with pytest.raises(ValueError, match=r"test\.json is about other test images than .*test=12"):
        ablate(Ablation({**base, "data": DATA.replace("test=8", "test=12")}, WIDE, seeds=(0, 1), split="test"), out)
    assert not (out / "base-seed1").exists()


def test_answers_of_another_model_are_not_taken_for_the_runs(base: dict[str, Any], out: Path) -> None:
    config = configuration(merged(base, {"out": str(out / "base-seed0"), "seed": 0}))
    weights, others = config.out / "model.safetensors", out / "wide-seed0" / "model.safetensors"
    shutil.copy(others, weights)
    answers = config.out / "evaluation" / "val.json"
    assert (completing.attempt(config, "val") or "").startswith(f"{answers} is about another model than {weights}: ")
    shutil.copy(answers, answers.with_name("held-out.json"))
    with pytest.raises(ValueError, match=r"held-out\.json is about another model than"):
        completing.check_answers(config, "held-out")
    weights.unlink()  # as where it lies elsewhere
    assert completing.attempt(config, "val") is None


def test_an_evaluation_of_some_subsets_is_completed(base: dict[str, Any], out: Path, tmp_path: Path) -> None:
    run = out / "wide-seed0"
    evaluate_run(run, ["B01"], "val", replace=True, cost=False, cache_dir=tmp_path / "cache")
    (run / "evaluation" / "val.json").unlink()
    evaluate_run(run, ["B01"], "val", replace=True, cost=False, cache_dir=tmp_path / "cache")
    row = ablate(Ablation(base, WIDE), out)["rows"][1]
    assert len(row["accuracy"]) == 3
    assert row["full"] == row["accuracy"][str(open_dataset(DATA).channels)]


def test_a_cost_that_cannot_be_measured_fails_no_run(
    base: dict[str, Any], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [ValueError("device 'cuda': there is none here"), RuntimeError("CUDA out of memory.\nTried 2 GiB")]
    measured = []

    def refused(runs: list[Path], *_: Any, **__: Any) -> None:
        measured.append(runs[0].name)
        raise errors[len(measured) % 2]

    def failing(config: TrainConfig, split: str) -> str | None:
        return "died" if config.out.name == "wide-seed0" else completing.attempt(config, split)

    monkeypatch.setattr(ablation, "record_costs", refused)
    monkeypatch.setattr(executors, "attempt", failing)
    record = ablate(Ablation(base, WIDE, seeds=(0, 1), cost=True), out)
    assert validate_records([out / "ablation.json"]) == (1, [])
    assert [(row["errors"], row["cost_error"]) for row in record["rows"]] == [
        ({}, "CUDA out of memory. Tried 2 GiB"),
        ({"0": "died"}, "device 'cuda': there is none here"),
    ]
    assert measured == ["base-seed0", "wide-seed1"]  # the first of each that did not fail
    assert "cost not measured: device 'cuda'" in ablation_table(record)


def test_a_change_that_is_the_base_is_not_missed(base: dict[str, Any], out: Path) -> None:
    """A grid of an earlier version had it, and trained it besides."""
    path = out / "ablation.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "changes": {**told["changes"], "epochs=1": {"epochs": 1}}}))
    assert list(ablate(Ablation(base, WIDE), out)["changes"]) == list(WIDE)
