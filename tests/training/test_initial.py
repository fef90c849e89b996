"""What a run starts from: another run's weights, taken over or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anychan.data import hold_out, load_split, open_dataset, split_statistics
from anychan.models import ModelInfo, load_model
from anychan.training import TrainConfig, train
from anychan.training import run as run_module
from anychan.training.config import NormalisationConfig, ObjectiveConfig
from anychan.training.held_out import refuse_seen
from anychan.training.images import Images
from anychan.training.initial import make_model

from ._runs import described

DATA = "synthetic:bands=3,train=32,val=8,test=8,size=16,classes=4"
SETTINGS: dict[str, Any] = {"data": DATA, "image_size": 16, "model": "wide4", "model_options": {"width": 3}}
SHARED = {"objective": ObjectiveConfig("labels"), "normalisation": NormalisationConfig(statistics="shared")}
ANY = {"strategy": "completed", **SHARED}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, more in (("plain", {}), ("any", ANY), ("kept", {"strategy": "sliced"})):
        train(TrainConfig(out=folder / name, cache_dir=folder, epochs=1, batch_size=16, **SETTINGS, **more))
    return folder


def start(runs: Path, **settings: Any) -> tuple[Any, ModelInfo]:
    config = TrainConfig(out=runs / "unused", cache_dir=runs, **{**SETTINGS, **settings})
    images = load_split(open_dataset(DATA), "train", 16, runs)
    return make_model(config, split_statistics(images), images.classes)[:2]


@pytest.mark.parametrize("strategy", ["completed", "sliced"])
def test_a_plain_run_is_taken_over_whole(runs: Path, strategy: str) -> None:
    model, info = start(runs, **{**ANY, "strategy": strategy}, initial=runs / "plain", seed=5)
    before, _ = load_model(runs / "plain")
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(model.eval()(x), before(x))
    assert info.strategy == strategy
    assert model(x[:, :2], "RG").shape == (2, 4)


@pytest.mark.parametrize(("name", "settings"), [("plain", {}), ("any", ANY)])
def test_weights_of_the_same_strategy_go_on(runs: Path, name: str, settings: dict[str, Any]) -> None:
    model, _ = start(runs, **settings, initial=runs / name, seed=5)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), load_model(runs / name)[0].parameters(), strict=True)
    )


def test_statistics_are_kept_from_those_of_the_run(runs: Path) -> None:
    model, info = start(runs, strategy="completed", initial=runs / "plain")
    assert info.kept_subsets == ("RGB", "RG", "RB", "GB", "R", "G", "B")
    trained = load_model(runs / "plain")[0].body.features[0][1].running_mean
    of_g = next(iter(model.subset_statistics.of(info.channels.subset("G")).values()))
    assert torch.equal(of_g.running_mean, trained)


def test_batches_of_the_run_before_do_not_count_for_subsets_that_are_hardly_drawn(tmp_path: Path) -> None:
    settings = {**SETTINGS, "cache_dir": tmp_path, "epochs": 1}
    before = train(TrainConfig(out=tmp_path / "before", batch_size=2, **settings))
    assert load_model(before)[0].body.features[0][1].num_batches_tracked == 16
    tuned = TrainConfig(
        out=tmp_path / "tuned",
        batch_size=16,
        strategy="sliced",
        initial=before,
        unseen_subsets=["RG"],
        **settings,
    )
    assert "RG" in described(train(tuned))["recalibrated"]


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("any", {}, "has strategy 'completed' with options {}; weights are taken from a plain run or .* 'plain'"),
        ("plain", {**ANY, "strategy": "attentive"}, "'attentive' cannot take over a trained stem"),
        ("kept", {**ANY, "strategy": "sliced"}, "keeps statistics for RGB, .*; start from a run without"),
        ("plain", {"model_options": {"width": 6}}, "holds model_options {'width': 3}, but the run has {'width': 6}"),
        ("plain", {"channels": "RG"}, r"other channels \(3 and 2\): B is in one of them only"),
        ("plain", {"channels": "BGR"}, "other channels .*: their order differs"),
    ],
)
def test_what_does_not_fit_is_refused(runs: Path, name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        start(runs, **settings, initial=runs / name)
    with pytest.raises(FileNotFoundError, match="none is not there: give a run folder"):
        start(runs, initial=runs / "none")


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_models_file_stands_for_its_run(runs: Path, tmp_path: Path, name: str) -> None:
    config = TrainConfig(out=tmp_path, initial=runs / "plain" / name, **SETTINGS)
    taught = ObjectiveConfig("teacher", teacher=runs / "plain" / name)
    assert (config.initial, taught.teacher) == (runs / "plain", runs / "plain")


def test_weights_that_are_not_there_are_said_before_images_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "load_images", lambda *_: pytest.fail("images are decoded"))
    config = TrainConfig(out=tmp_path / "run", initial=tmp_path / "none", **{**SETTINGS, "epochs": 1})
    with pytest.raises(FileNotFoundError, match=r"initial: .*none.model\.safetensors, whose weights .* is not there"):
        train(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("setting", ["initial", "objective.teacher"])
def test_who_has_seen_the_images_held_out_neither_begins_nor_teaches(runs: Path, tmp_path: Path, setting: str) -> None:
    def refuse(**told: Any) -> None:
        """By a run with ``told`` in its record."""
        (other := tmp_path / "other").mkdir(exist_ok=True)
        (other / "run.json").write_text(json.dumps({**described(runs / "plain"), **told}))
        given = {"initial": other} if setting == "initial" else {"objective": ObjectiveConfig("teacher", teacher=other)}
        dataset = open_dataset(DATA)
        images = Images(dataset, *hold_out(load_split(dataset, "train", 16, runs), 8))
        refuse_seen(TrainConfig(out=tmp_path, held_out=8, **SETTINGS, **given), images)

    said = f"{setting} .* sets aside for validation: take a run with held_out 8 or more, not"
    for before in (None, 4):
        with pytest.raises(ValueError, match=f"{said} {before}"):
            refuse(config={"held_out": before})
    for before in (8, 12):  # more held out is less seen
        refuse(config={"held_out": before}, training_images=32 - before)
    refuse(config={"held_out": 8}, training_images=None, data={})  # as far as an older record tells
    with pytest.raises(ValueError, match=r"held out of other images .*23 trained on, not 24"):
        refuse(config={"held_out": 8}, training_images=23)
    with pytest.raises(ValueError, match=r"other images than synthetic:.* \(training split 0ae9, not \w{8}\)"):
        refuse(config={"held_out": 8}, training_images=24, data={"fingerprints": {"train": "0ae9"}})


def test_a_teacher_that_has_seen_the_images_held_out_is_refused_before_training(runs: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "out": tmp_path / "run", "cache_dir": runs, "held_out": 8}
    with pytest.raises(
        ValueError, match=r"objective\.teacher .*plain was trained on images that held_out 8 sets aside"
    ):
        train(TrainConfig(**settings, objective=ObjectiveConfig("teacher", teacher=runs / "plain")))
    assert not (tmp_path / "run").exists()


def test_a_run_is_resumed_from_the_same_weights_only(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SETTINGS, "out": tmp_path / "run", "cache_dir": runs, "epochs": 2, "batch_size": 16}
    train(TrainConfig(**settings, initial=runs / "plain"))
    with pytest.raises(ValueError, match="initial: another model"):
        train(TrainConfig(**settings, initial=None, resume=True))
