"""Stems that are more than an ordinary convolution: each kind alone, at odd sizes, in both layouts."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers import Conv2dSame, ScaledStdConv2d, ScaledStdConv2dSame, SpaceToDepth, StdConv2d, StdConv2dSame
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from anychan.adaptation import adapt, specialize
from anychan.adaptation._stem_kinds import reads
from anychan.adaptation._stem_wrappers import StemWrapper
from anychan.channels import ChannelSet

from ._networks import Named

RGB = ChannelSet.parse("RGB")
CORRELATION = torch.tensor([[1.0, 0.865, 0.709], [0.865, 1.0, 0.859], [0.709, 0.859, 1.0]])


def gained(conv: nn.Module) -> nn.Module:
    nn.init.uniform_(conv.gain, 0.5, 1.5)
    return conv


CONVOLUTIONS = {
    "same": lambda: Conv2dSame(3, 4, (3, 5), stride=(2, 3)),
    "same, dilated": lambda: Conv2dSame(3, 4, 3, stride=2, dilation=2, bias=False),
    "standardised": lambda: StdConv2d(3, 4, 3, stride=2, bias=True),
    "standardised, same": lambda: StdConv2dSame(3, 4, 3, stride=2),
    "standardised, static": lambda: StdConv2dSame(3, 4, 3, stride=1),
    "scaled": lambda: gained(ScaledStdConv2d(3, 4, 3, stride=2, gamma=1.7)),
    "scaled, same": lambda: gained(ScaledStdConv2dSame(3, 4, 3, stride=2, gamma=1.7)),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("size", [(8, 9), (11, 7)])
@torch.no_grad()
def test_a_convolution_of_timm_and_back(kind: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(CONVOLUTIONS[kind]())
    nn.init.normal_(model[0].weight, mean=0.3)
    adapted = adapt(model, strategy="completed", statistics=CORRELATION)
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(adapted(x), model(x), rtol=1e-4, atol=1e-5)
    ordinary = specialize(adapted, "BR")
    assert type(ordinary[0]) is (Conv2dSame if "same" in kind else nn.Conv2d)
    torch.testing.assert_close(ordinary(x[:, [2, 0]]), adapted(x[:, [2, 0]], "BR"))


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_space_to_depth_before_a_strided_stem(bias: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(SpaceToDepth(), nn.Conv2d(48, 5, (3, 1), stride=(1, 2), padding=(1, 0), bias=bias))
    adapted = adapt(model, strategy="sliced", stem="1")
    x = torch.randn(2, 3, 16, 24)
    torch.testing.assert_close(adapted(x), model(x), rtol=1e-4, atol=1e-5)
    assert type(adapted.body[0]) is nn.Identity
    torch.testing.assert_close(specialize(adapted, "B")(x[:, 2:]), adapted(x[:, 2:], "B"))
    with pytest.raises(
        ValueError, match="the stem takes 48 planes from '0', which does not fit 5 channels in blocks of 4"
    ):
        adapt(model, list("ABCDE"), "sliced", stem="1")


@pytest.mark.parametrize("name", ["naflexvit_base_patch16_gap", "gemma4_vit_167m"])
@torch.no_grad()
def test_a_linear_stem_and_back_with_images_of_different_channels(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, depth=1, num_classes=5).eval()
    path = model.pretrained_cfg["first_conv"]
    nn.init.normal_(model.head.weight)
    adapted = adapt(model, strategy="completed", statistics=CORRELATION)
    x = torch.randn(3, 3, 32, 48)
    torch.testing.assert_close(adapted(x), model(x), rtol=1e-3, atol=1e-4)
    assert type(specialize(adapted).get_submodule(path)) is nn.Linear
    torch.testing.assert_close(specialize(adapted).get_submodule(path).weight, model.get_submodule(path).weight)
    present = torch.tensor([[1, 0, 1], [1, 1, 1], [0, 1, 0]], dtype=torch.bool)
    together = adapted(x, present=present)
    for i, there in enumerate(present):
        subset = ChannelSet(c for c, is_there in zip(RGB, there, strict=True) if is_there)
        torch.testing.assert_close(together[i : i + 1], adapted(x[i : i + 1, there], subset), rtol=1e-3, atol=1e-4)
        alone = specialize(adapted, subset)(x[i : i + 1, there])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("last", [True, False])
@torch.no_grad()
def test_both_layouts_of_a_flattened_patch(last: bool) -> None:
    model = timm.create_model("naflexvit_base_patch16_gap", depth=1, num_classes=5, patchify_channels_last=last).eval()
    x = torch.randn(1, 3, 32, 32)
    adapted = adapt(model, strategy="sliced")
    torch.testing.assert_close(adapted(x), model(x), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(specialize(adapted, "B")(x[:, 2:]), adapted(x[:, 2:], "B"), rtol=1e-3, atol=1e-4)


class Asks(nn.Module):
    """A linear layer in a module that does not say how it cuts patches."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(48, 4)


class Rectified(nn.Conv2d):
    """An ordinary convolution's forward, and another kernel."""

    def _conv_forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super()._conv_forward(x, weight.relu(), bias)


@pytest.mark.parametrize("stem", [None, "0"])
def test_a_convolution_that_is_more_is_refused_and_not_passed_over(stem: str | None) -> None:
    def refused(first: nn.Module, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            adapt(nn.Sequential(first, nn.Conv2d(3, 3, 1)), strategy="sliced", stem=stem)

    refused(Rectified(3, 3, 1), "'0' is a Rectified, not an ordinary")
    for parametrised in (weight_norm(nn.Conv2d(3, 3, 1)), spectral_norm(nn.Conv2d(3, 3, 1))):
        refused(parametrised, r"'0' has a parametrisation, which would be lost: .*\.remove_parametrizations first")
    for register, kind in (
        (nn.Module.register_forward_pre_hook, "forward"),
        (nn.Module.register_full_backward_hook, "backward"),
        (nn.Module.register_full_backward_pre_hook, "backward"),
    ):
        hooked = nn.Conv2d(3, 3, 1)
        register(hooked, lambda module, *given: None)
        refused(hooked, f"has {kind} hooks, which would be lost")
    for name in ("forward", "_conv_forward"):
        patched = nn.Conv2d(3, 3, 1)
        setattr(patched, name, getattr(nn.Conv2d(3, 3, 1), name))
        refused(patched, f"the stem '0' has a {name} of its own, put on the instance, which would be lost")


def test_what_cannot_be_read_says_why() -> None:
    with pytest.raises(ValueError, match="how that lays out the channels of a patch is not known"):
        adapt(Asks(), strategy="sliced", stem="proj")
    with pytest.raises(ValueError, match=r"'0' is a Conv1d, not an ordinary nn\.Conv2d or another of the kinds"):
        adapt(nn.Sequential(nn.Conv1d(3, 2, 1)), strategy="sliced", stem="0")
    hooked = nn.Sequential(nn.Conv2d(3, 2, 1))
    hooked[0].register_forward_hook(lambda module, given, output: None)
    with pytest.raises(ValueError, match="has forward hooks, which would be lost"):
        adapt(hooked, strategy="sliced")
    whole = nn.Conv2d(3, 2, 1)
    with pytest.raises(ValueError, match="is itself a convolution"):
        adapt(whole, strategy="sliced")
    four = timm.create_model("csatv2")
    with pytest.raises(ValueError, match="takes R, G and B apart into luma and chroma, not 4 channels"):
        adapt(four, ["R", "G", "B", "NIR"], "sliced")
    normalised = timm.create_model("naflexvit_base_patch16_gap", depth=1)
    normalised.embeds.norm_input = nn.LayerNorm(768)
    with pytest.raises(ValueError, match="a patch is normalised over all its channels together"):
        adapt(normalised, strategy="sliced")
    with pytest.raises(ValueError, match="needs planes normalised to mean 0"):
        adapt(
            nn.Sequential(Conv2dSame(3, 4, 3, stride=2)),
            strategy="completed",
            statistics=CORRELATION,
            mean=torch.ones(3),
        )
    with pytest.raises(ValueError, match=r"stems of torch\.nn\.modules\.conv\.Conv2d are read already"):
        reads("torch.nn.modules.conv.Conv2d")(lambda model, path, planes: None)


FEATURES = {
    "resnet18": ("FeatureListNet", {}),
    "convnext_atto": ("FeatureListNet", {}),  # stem.0 is stem_0 there
    "fastvit_t8": ("FeatureListNet", {}),  # two stems
    "xception41p": ("FeatureHookNet", {}),
    "mobilenetv3_small_050": ("FeatureHookNet", {"feature_cls": "hook"}),
    "vit_tiny_patch16_224": ("FeatureGetterNet", {"img_size": 64}),
    "tf_mobilenetv3_small_minimal_100": ("MobileNetV3Features", {}),
}


@pytest.mark.parametrize("name", FEATURES)
@torch.no_grad()
def test_backbones_for_segmentation_and_detection_give_their_feature_maps(name: str) -> None:
    wrapper, options = FEATURES[name]
    torch.manual_seed(0)
    model = timm.create_model(name, features_only=True, **options).eval()
    assert type(model).__name__ == wrapper
    x = torch.randn(1, 3, 64, 64)
    adapted = adapt(model, strategy="sliced")
    maps, expected = adapted(x), model(x)
    assert isinstance(maps, list)
    assert len(maps) == len(expected) > 2
    for one, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(one, other)
    two, ordinary = adapted(x[:, [2, 0]], "BR"), specialize(adapted, "BR")(x[:, [2, 0]])
    assert [one.shape for one in two] == [other.shape for other in expected]
    assert not torch.allclose(two[0], expected[0])
    for one, other in zip(two, ordinary, strict=True):
        torch.testing.assert_close(one, other)


def test_only_kinds_of_wrappers_can_be_made():
    with pytest.raises(TypeError, match="abstract"):
        StemWrapper(adapt(nn.Sequential(nn.Conv2d(3, 2, 1)), strategy="sliced").stems["0"])


@torch.no_grad()
def test_a_wrapped_stem_in_two_places_is_specialised_in_both() -> None:
    torch.manual_seed(0)
    plain, x = Named("shared").eval(), torch.randn(2, 3, 9, 8)
    plain.first = plain.second = Conv2dSame(3, 4, 3, stride=2)
    adapted = adapt(plain, strategy="sliced")
    ordinary = specialize(adapted, "RG")
    assert type(ordinary.first) is Conv2dSame
    assert ordinary.second is ordinary.first
    torch.testing.assert_close(ordinary(x[:, :2]), adapted(x[:, :2], "RG"))
