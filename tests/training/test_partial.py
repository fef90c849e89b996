"""Runs on images of different channels, where no image has all of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anychan.channels import ChannelSet
from anychan.data import ImageArray, load_split, open_dataset
from anychan.evaluation import evaluate_run
from anychan.experiments.records import validate_records
from anychan.models import load_model, save_model
from anychan.training import TrainConfig, adapt_run, train
from anychan.training.batches import Inputs, unaugmented
from anychan.training.config import NormalisationConfig, ObjectiveConfig
from anychan.training.machine import Machine

from ._runs import described

CHANNELS = ChannelSet(["R", "G", "B", "NIR"])
THERE = [{"R", "G", "B"}, {"R", "G", "NIR"}]
LABELS = {"objective": ObjectiveConfig("labels"), "normalisation": NormalisationConfig(statistics="shared")}


def write(path: Path, names: str, random: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    planes: dict[str, Any] = {name: random.integers(0, 255, (16, 16), dtype=np.uint8) for name in names.split(",")}
    np.savez(path, **planes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of the images R, G and B, the others R, G and NIR."""
    root, random = tmp_path_factory.mktemp("partial"), np.random.default_rng(0)
    for number in range(16):
        path = root / ("val" if number < 4 else "train") / "ab"[number // 2 % 2] / f"{number}.npz"
        write(path, "R,G,NIR" if number % 2 else "R,G,B", random)
    (root / "bands.yaml").write_text("bands: [R,G,B,NIR]\npartial: true\n")
    return root


@pytest.fixture
def config(data: Path, make: Any) -> Any:
    def config(**settings: Any) -> TrainConfig:
        small = {"data": str(data), "model": "wide2", "strategy": "sliced", "batch_size": 4, "epochs": 1}
        return make(**{**small, **settings})

    return config


def array_of(data: Path, tmp_path: Path) -> ImageArray:
    return load_split(open_dataset(data), "train", 16, tmp_path / "cache")


def test_a_run_ends_with_statistics_for_each_subset_that_images_have(config: Any, tmp_path: Path) -> None:
    run = train(config())
    model, info = load_model(run)
    expected = {frozenset(s.names) for s in CHANNELS.subsets() if any(set(s.names) <= there for there in THERE)}
    assert {frozenset(subset.names) for subset in model.subset_statistics.subsets} == expected
    assert len(info.kept_subsets) == 11
    assert described(run)["status"] == "finished"
    assert {"NIR", "R,NIR"} <= set(described(run)["recalibrated"])
    assert train(config(resume=True)) == run
    adapted, _ = load_model(adapt_run(run, tmp_path / "adapted", subsets=["NIR", "R,B"]))
    assert adapted(torch.rand(2, 2, 16, 16), channels="R,B").isfinite().all()
    with pytest.raises(ValueError, match="no training image has all of the channels B,NIR, which --subsets names"):
        adapt_run(run, tmp_path / "no", subsets=["B,NIR"])


def test_a_run_is_asked_about_every_subset_with_the_statistics_of_what_images_have(config: Any) -> None:
    run = train(config())
    rows = evaluate_run(run, "all", "val", pictures=False, device="cpu", cache_dir=config().cache_dir)["results"]
    assert [len(rows), rows[0]["subset"], rows[0]["n"], rows[0]["cost"]] == [15, "R,G,B,NIR", 4, None]
    counts = ("n", "left_out", "lacking")
    answered = {row["subset"]: ([row[name] for name in counts], row["cost"] is not None) for row in rows}
    assert answered["R,G,B,NIR"] == ([4, 0, 4], False)
    assert answered["RGB"] == ([4, 0, 2], True)
    assert answered["NIR"] == ([2, 2, 0], True)
    assert answered["B,NIR"] == ([4, 0, 4], False)
    assert validate_records([run])[1] == []


def test_images_to_recalibrate_with_are_those_that_have_the_channels(data: Path, tmp_path: Path) -> None:
    array = array_of(data, tmp_path)
    known = array.channels.with_statistics([0.5] * 4, [0.2] * 4)
    inputs = Inputs(array, known, torch.device("cpu"), Machine("cpu", "float32", True, 1))
    assert {frozenset(there.names) for there in array.channel_sets()} == set(map(frozenset, THERE))
    assert {frozenset(there.names) for there in array.channel_sets("B,NIR")} == {frozenset("B"), frozenset(["NIR"])}
    for subset, count in (("R,G", 12), ("NIR,R", 6), ("B", 6)):
        channels = known.subset(subset)
        found = torch.cat(list(unaugmented(inputs, 100, 0, channels)))
        assert found.shape == (count, len(channels), 16, 16)
        planes = [array.channels.names.index(name) for name in channels.names]
        every = (array.values(array.images[:, planes], planes) - 0.5) / 0.2
        near = ((found[:, None] - every[None]).abs() < 1e-4).flatten(2).all(dim=2)
        assert near.any(dim=1).all()
        assert array.present is not None
        assert near.any(dim=0).equal(array.present[:, planes].all(dim=1))
    with pytest.raises(ValueError, match="0 images have all of B,NIR: statistics of them need 2 at least"):
        next(unaugmented(inputs, 100, 0, known.subset("B,NIR")))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"normalisation": NormalisationConfig(subsets=["R,G", "B,NIR"])}, "no training image has all .* B,NIR, which"),
        ({"model_options": {"width": 4, "whitened": True}}, "0 images have all of R,G,B,NIR"),
    ],
    ids=["subset", "whitened"],
)
def test_what_needs_images_that_are_not_there_is_refused_before_training(
    config: Any, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        train(config(**settings))
    assert not config().out.exists()


def test_validation_images_of_other_channels_are_refused_where_statistics_are_kept(data: Path, config: Any) -> None:
    odd = data / "val" / "a" / "odd.npz"
    write(odd, "R,G,B,NIR", np.random.default_rng(1))
    try:
        with pytest.raises(ValueError, match="a validation image has the channels R,G,B,NIR, and no training image"):
            train(config())
        assert not config().out.exists()
        assert described(train(config(**LABELS)))["status"] == "finished"
    finally:
        odd.unlink()


def without_blue(root: Path, numbers: list[int]) -> str:
    """Four images to validate and eight to train on, of R, G and B but for some."""
    random = np.random.default_rng(2)
    for number in range(12):
        path = root / ("val" if number < 4 else "train") / "ab"[number // 2 % 2] / f"{number}.npz"
        write(path, "R,G" if number in numbers else "R,G,B", random)
    (root / "bands.yaml").write_text("bands: [R,G,B]\npartial: true\n")
    return str(root)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_plain_network_is_not_trained_where_images_lack_channels(config: Any, tmp_path: Path, split: str) -> None:
    data = without_blue(tmp_path / "data", {"val": [1], "train": [5, 9]}[split])
    what = {"train": "training", "val": "validation"}[split]
    with pytest.raises(ValueError, match=f"a {what} image has the channels RG only, and a plain network takes all of"):
        train(config(data=data, strategy="plain"))
    assert not config().out.exists()


def test_a_validation_image_with_none_of_the_fixed_subset_is_refused(config: Any, tmp_path: Path) -> None:
    data = without_blue(tmp_path / "data", [1])
    fixed = {"channel_sampling": "fixed", "fixed_subset": "B", **LABELS}
    with pytest.raises(ValueError, match=r"1\.npz has none of the channels B"):
        train(config(data=data, **fixed))
    assert not config().out.exists()


def test_a_teacher_is_told_the_channels_of_the_images(config: Any, tmp_path: Path) -> None:
    teacher = train(config(out=tmp_path / "teacher"))
    taught = {"objective": ObjectiveConfig("teacher", teacher=teacher)}
    assert described(train(config(**taught)))["status"] == "finished"
    plain = dataclasses.replace(load_model(teacher)[1], strategy="plain", kept_subsets=())
    taught = {"objective": ObjectiveConfig("teacher", teacher=tmp_path / "plain")}
    save_model(tmp_path / "plain", plain.create(), plain)
    with pytest.raises(ValueError, match=r"plain cannot answer to images of R,G,\w+: a plain model takes all of"):
        train(config(out=tmp_path / "refused", **taught))
    assert not (tmp_path / "refused").exists()
