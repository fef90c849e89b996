"""Statistics of normalisations in whole runs: each subset has its own, or gets them afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from anychan.adaptation.batch_renorm import BatchRenorm2d
from anychan.channels import ChannelSet
from anychan.models import load_model
from anychan.training import train
from anychan.training.config import NormalisationConfig, ObjectiveConfig

from ._runs import described

RGB = ChannelSet.parse("RGB")


def test_statistics_kept_while_training_are_each_subsets_own(make: Any) -> None:
    model, info = load_model(train(make(strategy="sliced", epochs=16)))
    assert info.kept_subsets == ("RGB", "RG", "RB", "GB", "R", "G", "B")
    counts = {str(s): kept_count(model, str(s)) for s in RGB.subsets()}
    rare = described(make().out)["recalibrated"]
    assert "RGB" not in rare
    assert counts["RGB"] == 48  # each of the steps, and two other subsets in each
    assert set(rare) == counts.keys() - {"RGB"}  # some 16 batches leave a fifth of what an average began with
    assert {counts[subset] for subset in rare} == {1}  # of 48 images


def kept_count(model: Any, names: str) -> int:
    kept = model.subset_statistics.of(RGB.subset(names))
    (count,) = {int(norm.num_batches_tracked) for norm in kept.values()}
    return count


def test_statistics_are_recalibrated_for_the_subsets_asked_for(make: Any) -> None:
    normalisation = NormalisationConfig(subsets=["RGB", "B"], images=32)
    model, info = load_model(train(make(strategy="sliced", epochs=1, normalisation=normalisation)))
    assert info.kept_subsets == ("RGB", "B")
    assert kept_count(model, "B") == 1  # batch of 32
    x = torch.rand(2, 1, 16, 16)
    assert model(x, channels="B").shape == (2, 4)
    with pytest.raises(ValueError, match="no normalisation statistics for R, only for RGB, B"):
        model(x, channels="R")


def test_many_channels_need_their_subsets_named(make: Any) -> None:
    data = "synthetic:bands=8,train=32,val=8,test=8,size=16,classes=4"
    with pytest.raises(ValueError, match="8 channels have 255 subsets, too many"):
        train(make(data=data, strategy="sliced"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"normalisation": NormalisationConfig(subsets=["RX"])}, "unknown channel 'X'"),
        ({"model": "vit_tiny_patch16_224", "model_options": {"img_size": 16, "patch_size": 8, "depth": 1}}, "no batch"),
        ({"channels": "R", "normalisation": NormalisationConfig()}, "the only channel is R, which has no subsets"),
        ({"objective": ObjectiveConfig(penalty=1.0)}, "objective.penalty 1.0: strategy 'sliced' has no penalty"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_before_training(make: Any, settings: dict[str, Any], words: str) -> None:
    recalibrated = {"normalisation": NormalisationConfig(statistics="recalibrated")}
    with pytest.raises(ValueError, match=words):
        train(make(strategy="sliced", **{**recalibrated, **settings}))


def test_a_subset_that_hardly_came_up_is_recalibrated_afterwards(sliced_run: Path) -> None:
    model, _ = load_model(sliced_run)
    rare = described(sliced_run)["recalibrated"]
    assert rare == ["RGB", "RG", "RB", "GB", "R", "G", "B"]  # in 6 steps none came up ten times
    assert {kept_count(model, names) for names in rare} == {1}  # batch of the 48 images


def test_statistics_are_recalibrated_where_a_step_has_one_image(make: Any) -> None:
    data = "synthetic:bands=3,train=6,val=2,test=2,size=16"
    run = train(make(data=data, strategy="sliced", model="wide4", batch_size=1, epochs=1))
    assert described(run)["status"] == "finished"
    assert kept_count(load_model(run)[0], described(run)["recalibrated"][0]) == 1  # batch of the 6 images


def test_a_subset_left_out_of_training_gets_its_statistics_afterwards(make: Any) -> None:
    run = train(make(strategy="sliced", unseen_subsets=["R", "BG"], epochs=1))
    assert {"R", "GB"} <= set(described(run)["recalibrated"])
    model, info = load_model(run)
    assert {"R", "GB"} <= set(info.kept_subsets)
    assert model(torch.rand(1, 2, 16, 16), channels="BG").isfinite().all()


@pytest.mark.parametrize(
    "settings",
    [
        {"sampling_unit": "image"},
        {"channel_sampling": "diverse"},
        {"normalisation": NormalisationConfig("group")},
        {"normalisation": NormalisationConfig("renorm")},
        {"normalisation": NormalisationConfig(affine=True)},
        {"objective": ObjectiveConfig("labels"), "normalisation": NormalisationConfig(statistics="recalibrated")},
    ],
    ids=str,
)
def test_each_way_to_train_ends_with_a_model_for_every_subset(make: Any, settings: dict[str, Any]) -> None:
    model, info = load_model(train(make(strategy="completed", epochs=1, **settings)))
    kind = settings.get("normalisation", NormalisationConfig()).kind
    norms = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm, "renorm": BatchRenorm2d}
    assert any(isinstance(module, norms[kind]) for module in model.body.modules())
    assert info.kept_affine == settings.get("normalisation", NormalisationConfig()).affine
    for subset in RGB.subsets():
        assert model(torch.rand(2, len(subset), 16, 16), channels=subset).isfinite().all()
