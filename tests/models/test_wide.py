"""The wide networks: depth whatever the options, folding, whitening."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from anychan.blocks import fold_branches
from anychan.cost import depth
from anychan.models import create_model, load_model
from anychan.training import TrainConfig, train
from anychan.training.config import OptimizerConfig

EVERYTHING: dict[str, Any] = {
    "kernel_size": 5,
    "branches": [3, 1],
    "shortcut": True,
    "pooling": "blur",
    "response": True,
    "head": "both",
    "scales": 2,
    "activation": "silu",
    "dropout": 0.2,
}


def trained(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


@pytest.mark.parametrize("layers", [3, 4, 5, 6])
def test_no_option_adds_depth_and_all_fold(layers: int) -> None:
    plain = create_model(f"wide{layers}", num_classes=5, model_options={"width": 12})
    model = create_model(f"wide{layers}", num_classes=5, model_options={"width": 12, **EVERYTHING})
    assert depth(plain, image_size=64) == depth(model, image_size=64) == layers
    x = torch.randn(2, 3, 64, 48)
    folded = fold_branches(trained(model))
    assert_close(folded(x), model(x), atol=1e-4, rtol=1e-4)
    assert depth(folded, image_size=64) == layers
    convolutions = [m for m in folded.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == layers - 1


def test_two_layers() -> None:
    assert depth(create_model("wide2", num_classes=5, model_options={"width": 12}), image_size=64) == 2


def test_the_head_sees_as_many_scales_as_asked_for() -> None:
    model = create_model("wide6", num_classes=5, model_options={"width": 8, "scales": 3, "head": "both"})
    assert model.body.head.in_features == 2 * (32 + 64 + 64)


@pytest.mark.parametrize("strategy", ["plain", "sliced"])
@pytest.mark.parametrize("width", [64, 120])  # 4x4 patches of 3 channels have 48 directions
def test_whitening_gives_the_stem_its_kernels(strategy: str, width: int) -> None:
    images = F.avg_pool2d(torch.randn(64, 3, 34, 34), 3, stride=1)  # smooth, everywhere alike
    model = create_model("wide3", "RGB", 5, strategy, model_options={"width": width, "whitened": True})
    model.body.prepare(iter(images.split(16)))
    stem = model.body.features[0][0]
    responses = stem(images, "RGB") if strategy == "sliced" else stem(images)
    responses = responses[:, :, 1:-1, 1:-1].transpose(0, 1).flatten(1)  # borders are padded with zeros
    count = min(width, 96)
    assert_close(responses[: count // 2], -responses[count // 2 : count])
    # The kernels were made from patches at even places, and these are at odd ones: nearly white.
    assert_close(torch.cov(responses[:8]), torch.eye(8), atol=0.2, rtol=0)


def test_training_whitens_before_the_first_step(tmp_path: Path) -> None:
    run = train(
        TrainConfig(
            data="synthetic:bands=3,train=32,val=8,test=8,size=16,classes=4",
            out=tmp_path / "run",
            cache_dir=tmp_path,
            image_size=16,
            model="wide3",
            model_options={"width": 12, "whitened": True},
            epochs=1,
            optimizer=OptimizerConfig(learning_rate=1e-9),
        )
    )
    kernel = load_model(run)[0].body.features[0][0].weight
    assert_close(kernel[:6], -kernel[6:], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": "tanh"}, "activation is 'tanh', but must be one of gelu, relu, silu"),
        ({"pooling": "min"}, "pooling is 'min'"),
        ({"head": "sum"}, "head is 'sum'"),
        ({"scales": 6}, "scales is 6, but must be one of 1, 2, 3, 4, 5"),
        ({"stem": 3}, "stem is 3, but must be even"),
        ({"kernel_size": 4}, "even ones go with an even stride"),
        ({"depth": 7}, "'wide6' does not take these options"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        create_model("wide6", model_options=options)
