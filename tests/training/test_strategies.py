"""Every strategy goes the whole way: trained, saved, loaded, evaluated on all subsets, profiled, specialised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anychan.adaptation import specialize
from anychan.evaluation import evaluate_run
from anychan.models import load_model
from anychan.nn import list_strategies
from anychan.training import TrainConfig, train
from anychan.training.config import ObjectiveConfig
from anychan.training.loop import Trainer

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


@pytest.fixture(scope="module", params=list_strategies())
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    """A strategy's run, and the weights that its training began with."""
    first: dict[str, Tensor] = {}
    make = Trainer.__post_init__

    def watched(trainer: Trainer) -> None:
        make(trainer)
        first.update({name: parameter.detach().clone() for name, parameter in trainer.raw.named_parameters()})

    folder = tmp_path_factory.mktemp(request.param)
    network = TRANSFORMER if request.param == "tokens" else NETWORK
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "__post_init__", watched)
        run = train(TrainConfig(out=folder / "run", cache_dir=folder, strategy=request.param, **SETTINGS, **network))
    return run, first


def test_a_strategy_goes_the_whole_way(trained: tuple[Path, dict[str, Tensor]]) -> None:
    run, _ = trained
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


def test_a_step_moves_every_parameter_of_a_stem(trained: tuple[Path, dict[str, Tensor]]) -> None:
    run, first = trained
    model, _ = load_model(run)
    for path, stem in model.stems.items():
        now = dict(stem.named_parameters())
        assert now, "a stem without parameters"
        still = [name for name in now if torch.equal(now[name], first[f"body.{path}.{name}"])]
        assert not still, f"training leaves {still} as they were"
