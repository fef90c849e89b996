"""The tokens strategy in plain loops, and in timm's vision transformers, whose positions it takes over."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import timm
import torch
from torch import nn

from anychan.adaptation import AnyChannelModel, adapt, specialize
from anychan.channels import ChannelSet
from anychan.nn import TokensConv2d, take_over_positions

from . import _slow

RGB = ChannelSet.parse("RGB")
STEM = "patch_embed.proj"


def vit(name: str = "vit_tiny_patch16_224", **options) -> nn.Module:
    """A transformer of two blocks on images of 32 by 48 with patches of 16, its tokens and positions not small."""
    torch.manual_seed(0)
    body = timm.create_model(name, **{"img_size": (32, 48), "num_classes": 5, "depth": 2, **options})
    for token in ("pos_embed", "cls_token", "reg_token"):
        if getattr(body, token, None) is not None:
            nn.init.normal_(getattr(body, token), std=0.5)
    return body.eval()


def adapted(body: nn.Module, embedded: bool = True, **options) -> AnyChannelModel:
    torch.manual_seed(0)
    model = adapt(body, strategy="tokens", **options)
    if not embedded:
        nn.init.zeros_(model.stems[STEM].channel_embedding)
    return model


def picture(planes: int, n: int = 2) -> torch.Tensor:
    return torch.randn(n, planes, 32, 48, generator=torch.Generator().manual_seed(planes))


def test_it_is_the_formula():
    torch.manual_seed(0)
    conv = TokensConv2d(3, 5, 3, stride=2, padding=1, channels="RGB", dtype=torch.float64)
    conv.positions = nn.Parameter(torch.randn(5, 3, 2, dtype=torch.float64))
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64)
    y = conv(x, "B,R")
    assert y.shape == (2, 5, 6, 2)
    for image, result in zip(x, y, strict=True):
        for plane, channel, rows in ((0, 2, slice(0, 3)), (1, 0, slice(3, 6))):
            expected = _slow.conv2d(
                _slow.array(image[plane : plane + 1]), _slow.array(conv.weight), stride=2, padding=1
            )
            expected += (_slow.array(conv.bias) + _slow.array(conv.channel_embedding)[channel])[:, None, None]
            expected += _slow.array(conv.positions)
            np.testing.assert_allclose(_slow.array(result)[:, rows], expected, rtol=1e-9, atol=1e-9)


def test_the_penalty_is_the_mean_squared_cosine():
    conv = TokensConv2d(3, 5, 3, channels="RGB", dtype=torch.float64)
    nn.init.normal_(conv.channel_embedding)
    e = _slow.array(conv.channel_embedding)
    cosines = [e[i] @ e[j] / np.linalg.norm(e[i]) / np.linalg.norm(e[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert float(conv.penalty().detach()) == pytest.approx(np.mean(np.square(cosines)), rel=1e-9)
    before = float(conv.penalty().detach())
    conv.penalty().backward()
    with torch.no_grad():
        conv.channel_embedding -= 0.1 * conv.channel_embedding.grad
    assert float(conv.penalty().detach()) < before
    assert float(TokensConv2d(1, 5, 3).penalty().detach()) == 0


def test_embeddings_begin_small_and_orthogonal():
    conv = TokensConv2d(13, 192, 16)
    assert float(conv.penalty().detach()) < 1e-9
    assert float(conv.channel_embedding.detach().square().mean().sqrt()) == pytest.approx(0.02, rel=1e-4)
    assert TokensConv2d(64, 6, 3).channel_embedding.isfinite().all()  # more than can be orthogonal


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"no_embed_class": True},
        {"reg_tokens": 4},
        {"reg_tokens": 2, "no_embed_class": True},
        {"class_token": False, "global_pool": "avg"},
        {"pos_embed": "none"},
    ],
    ids=lambda options: ",".join(options) or "as it comes",
)
@torch.no_grad()
def test_one_channel_of_a_grey_image_is_what_the_transformer_made_of_all(options):
    """This sees the shared projection, the positions and those of the prefix tokens, each in its place."""
    body, x = vit(**options), picture(1)
    model = adapted(body, embedded=False)
    grey = body(x.expand(-1, 3, -1, -1))
    for channel in "RGB":
        torch.testing.assert_close(model(x, channel), grey, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_channels_that_look_alike_add_nothing_where_there_is_no_class_token():
    """Attention over tokens that stand there three times, and their mean, are those over one of each."""
    body, x = vit(class_token=False, global_pool="avg"), picture(1)
    model = adapted(body, embedded=False)
    torch.testing.assert_close(model(x.expand(-1, 3, -1, -1)), body(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_subsets_orders_and_images_with_channels_of_their_own():
    model, x = adapted(vit()), picture(3, n=4)
    model.stems[STEM].channel_embedding.mul_(50)
    both = model(x[:, :2], "RG")
    torch.testing.assert_close(model(x[:, [1, 0]], "GR"), both, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(x[:, [1, 0]], "RG"), both, rtol=1e-3, atol=1e-3)
    present = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 1], [1, 1, 0]], dtype=torch.bool)
    x[~present] = float("nan")
    y = model(x, present=present)
    for i, subset in enumerate(("RG", "RGB", "B", "RG")):
        torch.testing.assert_close(y[i : i + 1], model(x[i : i + 1, present[i]], subset), rtol=1e-4, atol=1e-5)


def test_the_transformer_is_not_changed_and_each_number_has_one_place():
    body = vit(reg_tokens=2)
    before = {name: tensor.clone() for name, tensor in body.state_dict().items()}
    model = adapted(body)
    assert all(torch.equal(tensor, before[name]) for name, tensor in body.state_dict().items())
    stem = model.stems[STEM]
    assert stem.positions.shape == (192, 2, 3)
    assert stem.positions.requires_grad
    assert "body.pos_embed" not in model.state_dict()
    assert not model.body.pos_embed.any()
    model.train()(picture(2), "RG").sum().backward()
    assert stem.positions.grad.any()
    assert stem.channel_embedding.grad[:2].any()
    assert not stem.channel_embedding.grad[2].any()


@pytest.mark.parametrize("frozen", ["pos_embed", STEM])
def test_positions_are_trained_where_the_bodys_were(frozen: str) -> None:
    body = vit()
    for name, parameter in body.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
    stem = adapted(body).stems[STEM]
    assert stem.positions.requires_grad is (frozen == STEM)
    assert stem.weight.requires_grad is (frozen != STEM)


@torch.no_grad()
def test_state_dict_round_trip():
    model = adapted(vit())
    for parameter in model.parameters():
        parameter.add_(0.01 * torch.randn_like(parameter))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = adapted(vit())
    assert not torch.equal(other(picture(2), "RB"), model(picture(2), "RB"))
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(picture(2), "RB"), model(picture(2), "RB"))
    assert torch.equal(copy.deepcopy(model)(picture(2), "RB"), model(picture(2), "RB"))


def test_many_channels_cost_the_body_what_the_page_says():
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        blocks = timm.create_model("vit_tiny_patch16_224", depth=1).blocks

    def macs(channels: int) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            blocks(torch.empty(1, channels * 196, 192, device="meta"))
        return counter.get_total_flops() // 2

    assert macs(1) == 12 * 196 * 192**2 + 2 * 196**2 * 192
    assert round(macs(3) / macs(1), 1) == 3.9
    assert round(macs(13) / macs(1)) == 36


def test_images_of_another_size_are_refused_as_before():
    model = adapted(vit())
    with pytest.raises(AssertionError, match="Input height"):  # timm's own check
        model(torch.randn(1, 2, 48, 48), "RG")
    with pytest.raises(ValueError, match=r"\(4, 4\) places, but there are positions for \(2, 3\)"):
        model.stems[STEM](torch.randn(1, 2, 64, 64), "RG")


def test_it_does_not_fold():
    with pytest.raises(ValueError, match="does not fold"):
        specialize(adapted(vit()), "RG")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (lambda: timm.create_model("resnet18"), "into ResNet at 'conv1'.*lacks pos_embed"),
        (lambda: vit(dynamic_img_size=True), "dynamic_img_size=True resizes"),
        (lambda: vit(pre_norm=True, embed_norm_layer=nn.LayerNorm), "normalised before positions"),
        (lambda: vit("deit_tiny_distilled_patch16_224"), "its dist_token is made for one token"),
        (lambda: vit("eva02_tiny_patch14_224", img_size=28), "into Eva"),
        (lambda: timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1), num_heads=(3, 6)), "into SwinTransf"),
        (lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, features_only=True), "lacks pos_embed"),
    ],
    ids=["resnet", "dynamic", "norm", "distilled", "eva", "swin", "features only"],
)
def test_bodies_that_cannot_take_more_tokens_are_refused(body, said):
    with pytest.raises(ValueError, match=f"tokens cannot go {'into ' if 'into' not in said else ''}.*{said}"):
        adapted(body())


def test_positions_that_do_not_fit_the_patches_are_refused():
    body = vit()
    body.pos_embed = nn.Parameter(torch.zeros(1, 9, 192))
    with pytest.raises(ValueError, match="9 position embeddings, not 1 for its prefix tokens and 2 x 3"):
        take_over_positions(body, STEM)
