"""torchvision's classifiers, the smallest of each family: adapted, the same function, and two channels of three."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from anychan.adaptation import adapt

from .._adapted import assert_adapts

# torchvision's module of a family: its smallest model, the side of the smallest image that goes through it, options
SMALLEST: dict[str, tuple[str, int, dict[str, Any]]] = {
    "alexnet": ("alexnet", 64, {}),
    "convnext": ("convnext_tiny", 32, {}),
    "densenet": ("densenet121", 32, {}),
    "efficientnet": ("efficientnet_b0", 32, {}),
    "googlenet": ("googlenet", 32, {}),
    "inception": ("inception_v3", 96, {}),
    "maxvit": ("maxvit_t", 224, {}),
    "mnasnet": ("mnasnet0_5", 32, {}),
    "mobilenetv2": ("mobilenet_v2", 32, {}),
    "mobilenetv3": ("mobilenet_v3_small", 32, {}),
    "regnet": ("regnet_x_400mf", 32, {}),
    "resnet": ("resnet18", 32, {}),
    "shufflenetv2": ("shufflenet_v2_x0_5", 32, {}),
    "squeezenet": ("squeezenet1_1", 32, {}),
    "swin_transformer": ("swin_t", 32, {}),
    "vgg": ("vgg11", 32, {}),
    "vision_transformer": ("vit_b_32", 64, {"image_size": 64}),
}


def library() -> ModuleType:
    return importlib.import_module("torchvision.models")  # seconds, so only when a test runs


def network(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of GoogLeNet and Inception, on how they draw weights
        return library().get_model(name, num_classes=7, **options).eval()


def test_every_family_is_covered() -> None:
    families = {
        library().get_model_builder(name).__module__.rsplit(".", 1)[1]
        for name in library().list_models(module=library())
    }
    assert families == set(SMALLEST)


@pytest.mark.parametrize("family", SMALLEST)
def test_adapted_it_is_the_same_and_takes_two_channels(family: str) -> None:
    name, size, options = SMALLEST[family]
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    assert_adapts(network(name, **options), x)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_planes_rescaled_by_position_are_refused_with_what_to_do(name: str) -> None:
    model = network(name, transform_input=True)
    with pytest.raises(ValueError, match=r"rescales its planes by position .* set transform_input = False"):
        adapt(model, strategy="sliced")
    model.transform_input = False
    adapt(model, strategy="sliced")
