"""The wide networks: depth whatever the options, folding, whitening."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from anychan.adaptation import specialize
from anychan.blocks import fold_branches
from anychan.cost import count_macs, depth
from anychan.models import create_model, list_models, load_model
from anychan.training import TrainConfig, train
from anychan.training.config import EarlyStoppingConfig, OptimizerConfig

from .._trained import as_if_trained

EVERYTHING: dict[str, Any] = {
    "kernel_size": 5,
    "branches": [3, [1, 3]],
    "attention": True,
    "pooling": "blur",
    "global_response": True,
    "head": "both",
    "scales": 2,
    "grid": 2,
    "activation": "silu",
    "dropout": 0.2,
}


def quick(folder: Path, **settings: Any) -> TrainConfig:
    """A run on few built-in images."""
    data = "synthetic:bands=3,train=32,val=8,test=8,size=16,classes=4"
    return TrainConfig(data=data, out=folder / "run", cache_dir=folder / "cache", image_size=16, epochs=1, **settings)


@pytest.mark.parametrize("name", [name for name in list_models() if name.startswith(("wide", "parallel"))])
def test_our_own_have_six_layers_at_most(name: str) -> None:
    assert depth(create_model(name, num_classes=5), image_size=64) == int(name[-1]) <= 6


def test_deepened_layers_that_would_never_become_one_are_refused() -> None:
    options = {"width": 12, "deepened": True}
    with pytest.raises(ValueError, match="a 'deepened' network takes no group normalisation"):
        create_model("wide4", model_options=options, normalisation="group")
    assert depth(create_model("wide4", model_options=options, normalisation="renorm"), image_size=64) == 6


@pytest.mark.parametrize("activation", ["silu", "geglu"])
@pytest.mark.parametrize("layers", [3, 4, 5, 6])
def test_no_option_adds_depth_and_all_fold(layers: int, activation: str) -> None:
    options = {"width": 12, **EVERYTHING, "activation": activation}
    if layers == 6 and activation == "silu":
        options["shortcut"] = True
    plain = create_model(f"wide{layers}", num_classes=5, model_options={"width": 12})
    model = create_model(f"wide{layers}", num_classes=5, model_options=options)
    assert depth(plain, image_size=64) == depth(model, image_size=64) == layers
    x = torch.randn(2, 3, 64, 48, dtype=torch.float64)
    folded = fold_branches(as_if_trained(model).double())
    assert_close(folded(x), model(x))
    assert depth(folded, image_size=64) == layers
    convolutions = [m for m in folded.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == layers - 1


def test_deep_training_ends_at_the_depth_in_the_name(tmp_path: Path) -> None:
    run = train(
        quick(
            tmp_path,
            batch_size=4,
            model="wide4",
            model_options={"width": 12, "deepened": True, "branches": [1], "attention": True},
        )
    )
    model = load_model(run)[0]
    assert depth(create_model("wide4", model_options={"width": 12, "deepened": True}), image_size=16) == 6
    assert depth(specialize(model.eval()), image_size=16) == 4
    x = torch.randn(2, 3, 16, 16)
    assert_close(specialize(model)(x), model(x), atol=1e-4, rtol=1e-4)


def test_costs_are_those_stated() -> None:
    """As docs/theory/wide.md has them; what trains beside a kernel costs nothing once it is folded."""
    stated = {"wide6": 267, "wide5": 230, "wide4": 344, "wide3": 236, "wide2": 151}
    for name, macs in stated.items():
        assert round(count_macs(create_model(name, num_classes=50), image_size=64).forward / 1e6) == macs
    branched = create_model("wide6", num_classes=50, model_options={"branches": [1]}).eval()
    assert round(count_macs(branched, image_size=64).forward / 1e6) == 297
    for model in (specialize(branched), fold_branches(branched)):
        assert round(count_macs(model, image_size=64).forward / 1e6) == 267


@pytest.mark.parametrize(("name", "pixels"), [("wide6", 78), ("wide3", 58)])
def test_what_the_last_convolution_sees(name: str, pixels: int) -> None:
    model = create_model(name, num_classes=5, model_options={"width": 4, "pooling": "mean"}).eval()
    x = torch.zeros(1, 3, 128, 128, requires_grad=True)
    y = model.body.features(x)
    middle = y.shape[-1] // 2
    y[0, :, middle, middle].sum().backward()
    seen = x.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (seen.max(dim=0).values - seen.min(dim=0).values + 1).tolist() == [pixels, pixels]


def test_deep_training_goes_without_early_stopping(tmp_path: Path) -> None:
    config = quick(
        tmp_path,
        model="wide4",
        model_options={"width": 12, "deepened": True},
        early_stopping=EarlyStoppingConfig(patience=2),
    )
    with pytest.raises(ValueError, match=r"early_stopping.patience 2 could keep an epoch"):
        train(config)
    assert not config.out.exists()


@pytest.mark.parametrize("pools", [[1, 4, 2, 1, 1], [1, 8, 1, 1, 1]])
def test_a_blur_takes_the_map_down_as_a_maximum_does(pools: list[int]) -> None:
    x, options = torch.randn(1, 3, 64, 64), {"width": 4, "pools": pools}
    blurred, taken = (
        create_model("wide6", model_options={**options, "pooling": pooling}).eval().body.features(x)
        for pooling in ("blur", "max")
    )
    assert blurred.shape == taken.shape


def test_two_layers() -> None:
    assert depth(create_model("wide2", num_classes=5, model_options={"width": 12}), image_size=64) == 2


def test_the_head_sees_as_many_scales_as_asked_for() -> None:
    model = create_model("wide6", num_classes=5, model_options={"width": 8, "scales": 3, "head": "both"})
    assert model.body.head.in_features == model.body.norm.num_features == 2 * (32 + 64 + 64)


@pytest.mark.parametrize(
    ("options", "normalised"),
    [
        ({}, False),
        ({"scales": 2}, True),
        ({"head": "both"}, True),
        ({"grid": 2}, True),
        ({"head_norm": True}, True),
        ({"scales": 2, "head_norm": False}, False),
    ],
)
def test_features_of_several_kinds_are_normalised_unless_told_otherwise(options: Any, normalised: bool) -> None:
    model = create_model("wide6", num_classes=5, model_options={"width": 8, **options}).train()
    seen: list[Tensor] = []
    model.body.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.randn(16, 3, 64, 64))
    deviation_P = seen[0].std(dim=0, unbiased=False)
    assert bool((deviation_P - 1).abs().max() < 1e-2) is normalised


def test_the_head_sees_the_parts_of_a_grid_too() -> None:
    options = {"width": 8, "head": "both", "grid": 3, "head_norm": False}
    model = create_model("wide4", num_classes=5, model_options=options).eval()
    seen: list[Tensor] = []
    model.body.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(2, 3, 64, 64)
    model(x)
    features = model.body.features(x)  # (2, 64, 8, 8)
    edges = [(0, 3), (3, 6), (6, 8)]
    parts = [features, *(features[:, :, top:end, left:right] for top, end in edges for left, right in edges)]
    assert_close(seen[0], torch.cat([f(part, (2, 3)) for part in parts for f in (torch.amax, torch.mean)], dim=1))
    with pytest.raises(ValueError, match="a map of 2x2 cannot be cut into 3x3 parts: give larger images"):
        model(x[:, :, :16, :16])


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
        quick(
            tmp_path,
            model="wide3",
            model_options={"width": 12, "whitened": True},
            optimizer=OptimizerConfig(learning_rate=1e-9),
        )
    )
    kernel = load_model(run)[0].body.features[0][0].weight
    assert_close(kernel[:6], -kernel[6:], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("wide6", {"activation": "tanh"}, "activation is 'tanh', but must be one of gelu, relu, silu, geglu"),
        ("wide6", {"pooling": "min"}, "pooling is 'min'"),
        ("wide6", {"head": "sum"}, "head is 'sum'"),
        ("wide6", {"scales": 6}, "scales is 6, but must be one of 1, 2, 3, 4, 5"),
        ("wide6", {"grid": 0}, "grid is 0, but must be 1 or more"),
        ("wide6", {"stem_kernel_size": 3}, "stem_kernel_size is 3, but must be even"),
        ("wide6", {"kernel_size": 4}, "even ones go with an even stride"),
        ("wide6", {"pools": [1, 6, 1, 1, 1], "pooling": "blur"}, "by two at a time, not by 6"),
        ("wide6", {"depth": 7}, "'wide6' does not take these options"),
        ("wide6", {"width": -1}, r"widths are \[-1, -2, -4, -8, -8\], but must be whole numbers from 1"),
        ("wide6", {"width": 2.5}, r"widths are \[2.5, "),
        ("wide6", {"pools": [1, 2, 0, 2, 1]}, r"pools are \[1, 2, 0, 2, 1\], but must be whole numbers from 1"),
        ("parallel6", {"width": 0}, "width is 0, but must be a whole number from 1"),
        ("resnet18", {"act_layer": "nope"}, "'resnet18' does not take these options: act_layer='nope': 'nope'"),
        ("resnet18", {"output_stride": 7}, "options: output_stride=7: AssertionError"),
        ("wide6", {"pools": [1, 2]}, r"pools \[1, 2\]: 5 of each"),
        ("wide3", {"pools": [4]}, r"pools \[4\]: 2 of each"),
        ("wide3", {"multiples": [1, 4, 4]}, r"multiples \[1, 4, 4\] .*: 2 of each"),
        ("wide5", {"shortcut": True}, "has as many planes out as in, as a shortcut needs"),
        ("wide2", {"deepened": True}, "a network of one convolution has no layer for"),
        ("wide6", {"deepened": True, "activation": "geglu"}, "cannot become linear"),
        ("wide2", {"attention": True}, "a network of one convolution has no layer for"),
        ("wide2", {"kernel_size": 5}, "a network of one convolution has no layer for"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        create_model(name, model_options=options)
