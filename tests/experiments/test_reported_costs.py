"""What [000] calls GFLOPS, counted again: what its numbers are of, and what they leave out."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers import SelectAdaptivePool2d
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import nn

from anychan.cost import count_macs
from anychan.experiments import Recipe

BATCH, SIDE = 400, 128


@pytest.mark.parametrize(
    ("recipe", "run", "classes", "stride", "seen"),
    [
        ("000-A", "plain", 1000, 2, True),
        ("000-A", "sliced", 50, 1, False),
        ("000-B", "resnet34", 50, 2, True),
        ("000-B", "ghostnet_100-pretrained", 50, 2, True),
    ],
)
def test_the_reported_operations_are_those_that_thop_counts(recipe, run, classes, stride, seen):
    """Two for each multiply-accumulate of 400 images, cut off after two digits, where thop counts four of them for each
    number that a normalisation gives, and for each average as many as it takes and gives numbers. It sees no
    convolution of [000]'s own: the sliced stem has none in its number, and stride 1."""
    found = Recipe.read(recipe)
    with torch.device("meta"):
        model = timm.create_model(found.settings_of(run)["model"], num_classes=classes).eval()
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.stride = (stride, stride)
    operations = count_macs(model, image_size=SIDE).forward

    def add(module, args, out):
        nonlocal operations
        if isinstance(module, nn.BatchNorm2d):
            operations += 4 * out.numel()
        elif isinstance(module, nn.Conv2d):
            operations -= 0 if seen else out.numel() * first.weight[0].numel()
        else:
            operations += args[0].numel() + args[0].shape[1]

    for module in model.modules():
        if module is first or isinstance(module, nn.BatchNorm2d | SqueezeExcite | SelectAdaptivePool2d):
            module.register_forward_hook(add)
    model(torch.empty(1, 3, SIDE, SIDE, device="meta"))
    reported = found.reported(run)[f"gflops (batch of {BATCH})"]["RGB"]
    assert int(2 * operations * BATCH / 1e7) == round(100 * reported)
