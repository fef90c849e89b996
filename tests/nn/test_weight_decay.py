"""Which parameters of the strategies weight decay leaves alone, as the optimiser makes its groups."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from anychan.adaptation import adapt
from anychan.nn import get_strategy, list_strategies
from anychan.training.config import OptimizerConfig
from anychan.training.optimisers import make_optimizer

SPARED = {
    "attentive": {"query", "channel_embedding"},
    "by_count": {"sizes"},
    "generated": {"embeddings"},
    "tokens": {"channel_embedding"},
}


def spared(model: nn.Module) -> set[str]:
    """Parameters of two dimensions and more that do not decay."""
    optimizer = make_optimizer(model, OptimizerConfig(name="adamw", weight_decay=0.05))
    kept = {id(p) for group in optimizer.param_groups if group["weight_decay"] == 0 for p in group["params"]}
    return {name for name, parameter in model.named_parameters() if parameter.ndim > 1 and id(parameter) in kept}


@pytest.mark.parametrize("strategy", list_strategies())
def test_embeddings_and_queries_do_not_decay(strategy):
    make = get_strategy(strategy)
    options = {"covariance": torch.eye(3)} if make.uses_statistics else {}
    model = nn.Sequential(make(3, 8, 3, channels="RGB", **options))
    assert spared(model) == {f"0.{name}" for name in SPARED.get(strategy, ())}


def test_a_layer_from_wavelengths_to_embeddings_decays():
    stem = get_strategy("attentive")(3, 8, 3, channels="RGB", embedding="wavelength")
    assert spared(stem) == {"query"}


def test_positions_that_the_stem_took_over_do_not_decay():
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=5, depth=1)
    names = {name.removeprefix("body.") for name in spared(adapt(vit, strategy="tokens"))}
    assert names == {"cls_token", "patch_embed.proj.positions", "patch_embed.proj.channel_embedding"}
