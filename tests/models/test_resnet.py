"""ResNets with small stems: timm's networks but for the stem."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from anychan.cost import count_macs, depth
from anychan.models import create_model


@pytest.mark.parametrize(
    ("name", "layers", "stride", "macs"),
    [
        ("resnet18_pooled", 18, 2, 560_751_616),
        ("resnet34_pooled", 34, 2, 1_164_731_392),
        ("resnet18_half", 18, 2, 555_443_200),
        ("resnet18_small", 18, 1, 2_221_696_000),
        ("resnet34_half", 34, 2, 1_159_422_976),
        ("resnet34_small", 34, 1, 4_637_615_104),
    ],
)
def test_timm_s_but_for_the_stem(name, layers, stride, macs):
    with torch.device("meta"):
        model = create_model(name, num_classes=50).body
        standard = timm.create_model(name.split("_", maxsplit=1)[0], num_classes=50)
    assert depth(model, image_size=64) == layers
    assert count_macs(model, image_size=64).forward == macs
    shapes, expected = ({k: v.shape for k, v in m.state_dict().items()} for m in (model, standard))
    assert expected == {**shapes, "conv1.weight": (64, 3, 7, 7)}
    assert shapes["conv1.weight"] == (64, 3, 3, 3)
    first = {}
    model.layer1.register_forward_pre_hook(lambda module, args: first.update(shape=args[0].shape))
    for height, width in ((32, 32), (45, 70)):
        assert model(torch.empty(2, 3, height, width, device="meta")).shape == (2, 50)
        assert first["shape"] == (2, 64, -(-height // stride), -(-width // stride))


@pytest.mark.parametrize(
    ("name", "batch", "reported"), [("resnet18_pooled", 64, 135.887), ("resnet34_pooled", 16, 70.1987)]
)
def test_the_pooled_ones_are_those_of_004(name, batch, reported):
    """By the parameters and GFLOPs that it reports at 84x84: calflops counts two operations a multiply-accumulate, two
    for each number that a normalisation gives, one for one of an activation, and one for each that a pool takes."""
    model = create_model(name, num_classes=50).body
    operations = 2 * count_macs(model, image_size=84).forward

    def add(module, args, out):
        nonlocal operations
        pooled = isinstance(module, nn.MaxPool2d | timm.layers.SelectAdaptivePool2d)
        operations += args[0].numel() if pooled else out.numel() * (2 if isinstance(module, nn.BatchNorm2d) else 1)

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.ReLU | nn.MaxPool2d | timm.layers.SelectAdaptivePool2d):
            module.register_forward_hook(add)
    model.to("meta").eval()(torch.empty(1, 3, 84, 84, device="meta"))
    assert round(operations * batch / 1e9, 3) == round(reported, 3)
    assert sum(p.numel() for p in model.parameters()) == {64: 11_194_482, 16: 21_302_642}[batch]


def test_the_new_stem_begins_as_timm_s_do():
    torch.manual_seed(0)
    model = create_model("resnet18_small", num_classes=2).body
    assert model.conv1.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


def test_drop_path_goes_through_and_nothing_else():
    model = create_model("resnet18_half", num_classes=2, model_options={"drop_path_rate": 0.2}).body
    rates = [module.drop_prob for module in model.modules() if type(module).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.2)
    with pytest.raises(ValueError, match=r"drop_path_rate 1\.0: must be"):
        create_model("resnet18_half", model_options={"drop_path_rate": 1.0})
    with pytest.raises(ValueError, match=r"does not take these options.*drop_rate"):
        create_model("resnet18_half", model_options={"drop_rate": 0.1})
