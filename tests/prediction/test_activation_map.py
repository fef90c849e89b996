"""Class-activation maps against the weights they are made of, and their refusals."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from anychan.adaptation import AnyChannelModel, adapt
from anychan.channels import ChannelSet
from anychan.evaluation.activation import activation_map
from anychan.evaluation.predict import prepare
from anychan.models import ModelInfo
from anychan.prediction import Predictor
from anychan.prediction.reading import Planes

RGB = ChannelSet.parse("RGB").with_statistics([0.48, 0.45, 0.4], [0.27, 0.26, 0.28])
SMALL_SWIN = {"embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4}
INFO = ModelInfo("wide4", 4, "sliced", RGB, ("ant", "bee", "cat", "dog"), 16)
IMAGE = Planes(torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)), RGB)


def _predictor(*head: nn.Module) -> Predictor:
    torch.manual_seed(3)
    body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(inplace=True), *head)
    return Predictor(adapt(body, RGB, strategy="sliced").eval(), INFO, device="cpu")


def test_a_map_is_the_last_layers_weights_on_the_last_map():
    predictor = _predictor(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    body = predictor.model.bind("BR")
    x_NSHW = prepare(IMAGE.pixels[None, [2, 0]], RGB, RGB.subset("BR"))
    maps = []
    for label in range(4):
        with torch.no_grad():
            features_NFhw = body[:2](x_NSHW)
            speaks_hw = (body[-1].weight[label, :, None, None] * features_NFhw[0]).sum(0).relu()
        expected = F.interpolate(speaks_hw[None, None], (16, 16), mode="bilinear")[0, 0]
        maps.append(predictor.activation_map(IMAGE, "BR", label))
        torch.testing.assert_close(maps[-1], expected / expected.max().clamp_min(1e-12), atol=1e-5, rtol=1e-5)
    assert max(float(map_HW.max()) for map_HW in maps) == 1
    assert not any(module._forward_hooks for module in predictor.model.modules())


def test_a_channel_without_any_value_is_not_there_as_for_an_answer():
    predictor = _predictor(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    values = IMAGE.values.clone()
    values[1] = torch.nan
    gap = Planes(values, RGB)
    torch.testing.assert_close(predictor.activation_map(gap, "RGB", 0), predictor.activation_map(IMAGE, "RB", 0))
    assert predictor.answer([gap], "RGB") == predictor.answer([IMAGE], "RB")
    plain = Predictor(AnyChannelModel(predictor.model.body, (), RGB, "plain"), INFO, device="cpu")
    with pytest.raises(ValueError, match="a plain model takes all of RGB, not RB"):
        plain.activation_map(gap, "RGB", 0)
    with pytest.raises(ValueError, match="no channel given"):
        predictor.activation_map(gap, "G", 0)


def test_what_has_no_map_or_no_such_class_is_refused():
    with pytest.raises(ValueError, match="label 4 is not one of 0 to 3"):
        _predictor(nn.Flatten(), nn.Linear(384, 4)).activation_map(IMAGE, None, 4)
    predictor = Predictor(
        adapt(nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten()), RGB, strategy="sliced"), INFO, device="cpu"
    )
    with pytest.raises(ValueError, match="keeps no map of places"):
        predictor.activation_map(IMAGE, None, 0)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_a_transformer_keeps_no_map_of_places(name, fused):
    body = timm.create_model(name, num_classes=4, img_size=64, **({} if name == "test_vit" else SMALL_SWIN))
    for module in body.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = fused
    image = torch.randn(1, 3, 64, 64)
    for model in (adapt(body, RGB, strategy="sliced").eval(), AnyChannelModel(body, (), RGB, "plain").eval()):
        with pytest.raises(ValueError, match="keeps no map of places"):
            activation_map(model, image, RGB, 0)


def test_a_map_of_an_oblong_image_is_kept_within_rounding():
    torch.manual_seed(3)
    body = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 6, 3, stride=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
    )
    model = adapt(body, RGB, strategy="sliced").eval()
    maps = [activation_map(model, torch.randn(1, 3, 45, 22), RGB, label) for label in range(4)]
    assert {map_HW.shape for map_HW in maps} == {(45, 22)}
    assert max(float(map_HW.max()) for map_HW in maps) == 1
