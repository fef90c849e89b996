"""Every strategy goes the whole way: trained, saved, loaded, evaluated on all subsets, profiled, specialised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anychan.adaptation import specialize
from anychan.evaluation import evaluate_run
from anychan.models import load_model
from anychan.nn import list_strategies
from anychan.training import TrainConfig, train
from anychan.training.config import ObjectiveConfig

SETTINGS: dict[str, Any] = {
    "data": "synthetic:bands=3,train=16,val=4,test=4,size=16,classes=4",
    "image_size": 16,
    "epochs": 1,
    "batch_size": 8,
    "device": "cpu",
}
NETWORK: dict[str, Any] = {"model": "wide4", "model_options": {"width": 3}}
# Channels that keep their own maps need a body that takes any number of tokens.
TRANSFORMER: dict[str, Any] = {
    "model": "vit_tiny_patch16_224",
    "model_options": {"img_size": 16, "patch_size": 8, "depth": 1, "embed_dim": 24, "num_heads": 2},
    "objective": ObjectiveConfig(penalty=0.1),
}


@pytest.mark.parametrize("strategy", list_strategies())
def test_a_strategy_goes_the_whole_way(strategy: str, tmp_path: Path) -> None:
    network = TRANSFORMER if strategy == "tokens" else NETWORK
    run = train(TrainConfig(out=tmp_path / "run", cache_dir=tmp_path, strategy=strategy, **SETTINGS, **network))
    rows = evaluate_run(run, "all", pictures=False)["results"]
    assert [row["subset"] for row in rows] == ["RGB", "RG", "RB", "GB", "R", "G", "B"]
    assert all(row["n"] == 4 and row["cost"]["macs"] > 0 for row in rows)
    model, _ = load_model(run)
    x = torch.rand(2, 2, 16, 16)
    if all(stem.promises.foldable for stem in model.stems.values()):
        ordinary = specialize(model, "RB")
        assert not any(type(module).__module__.startswith("anychan.nn") for module in ordinary.modules())
        torch.testing.assert_close(ordinary(x), model(x, channels="RB"), rtol=1e-4, atol=1e-5)
    else:
        with pytest.raises(ValueError, match="does not fold"):
            specialize(model, "RB")


@pytest.mark.parametrize("strategy", list_strategies())
def test_a_step_moves_every_parameter_of_a_stem(strategy: str, tmp_path: Path) -> None:
    network = TRANSFORMER if strategy == "tokens" else NETWORK
    config = TrainConfig(out=tmp_path / "run", cache_dir=tmp_path, strategy=strategy, **SETTINGS, **network)
    model, _ = load_model(train(config))
    fresh, _ = load_model(train(_without_steps(config, tmp_path / "fresh")))
    for path, stem in model.stems.items():
        before = dict(fresh.body.get_submodule(path).named_parameters())
        assert before, "a stem without parameters"
        still = [name for name, parameter in stem.named_parameters() if torch.equal(parameter, before[name])]
        assert not still, f"training leaves {still} as they were"


def _without_steps(config: TrainConfig, out: Path) -> TrainConfig:
    """The same run with a learning rate too small to move anything."""
    record = config.to_dict() | {"out": str(out)}
    record["optimizer"] = record["optimizer"] | {"learning_rate": 1e-30, "weight_decay": 0.0}
    return TrainConfig.from_dict(record)
