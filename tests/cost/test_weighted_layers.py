"""Depths that are in the names of networks, and small networks whose depth can be counted by eye."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan import adapt
from anychan.cost import depth


class Net(nn.Module):
    """A network from modules and a function of them and the input."""

    def __init__(self, run: Callable[[Net, Tensor], Tensor], **modules: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.run = run
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def _depth(run: Callable[..., Tensor], **modules: nn.Module | nn.Parameter) -> int:
    return depth(Net(run, **modules), "RGB", image_size=8)


def _on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name)


@pytest.mark.parametrize(("name", "layers"), [("resnet18", 18), ("resnet34", 34), ("vgg16", 16), ("densenet121", 121)])
def test_depths_in_names(name: str, layers: int) -> None:
    assert depth(_on_meta(name)) == layers


def test_alexnet() -> None:
    from torchvision.models import alexnet

    with torch.device("meta"):
        model = alexnet()
    assert depth(model) == 8


def test_transformer_block_has_four() -> None:
    # patches and head, and in each of 12 blocks: query-key-value, projection, two layers of the MLP
    assert depth(_on_meta("vit_tiny_patch16_224")) == 1 + 12 * 4 + 1


@pytest.mark.parametrize("need_weights", [False, True])
def test_multi_head_attention_has_two(need_weights: bool) -> None:
    def attend(net: Net, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return net.attention(tokens, tokens, tokens, need_weights=need_weights)[0]

    assert _depth(attend, attention=nn.MultiheadAttention(3, 1, batch_first=True)) == 2


def test_attention_from_learned_queries_is_no_layer() -> None:
    def pool(net: Net, x: Tensor) -> Tensor:
        tokens = net.conv(x).flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(net.query.expand(len(x), -1, -1), tokens, tokens)

    assert _depth(pool, conv=nn.Conv2d(3, 8, 1), query=nn.Parameter(torch.ones(1, 1, 8))) == 1


def test_squeeze_and_excitation_adds_its_two() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        x = net.conv(x)
        gate = net.expand(F.relu(net.squeeze(x.mean((2, 3))))).sigmoid()
        return x * gate[..., None, None]

    layers = {"conv": nn.Conv2d(3, 8, 3), "squeeze": nn.Linear(8, 2), "expand": nn.Linear(2, 8)}
    assert _depth(run, **layers) == 3


def test_longest_of_several_paths() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        return net.shortcut(x) + net.second(net.first(x)) + x.mean()

    convs = {name: nn.Conv2d(3, 3, 1) for name in ("shortcut", "first", "second")}
    assert _depth(run, **convs) == 2


def test_normalisation_and_scales_are_no_layers() -> None:
    norms = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.GroupNorm(2, 6), nn.LayerNorm((6, 8, 8)), nn.PReLU()
    )
    assert _depth(lambda net, x: net.norms(x) * net.scale, norms=norms, scale=nn.Parameter(torch.ones(6, 1, 1))) == 1


def test_depthwise_counts_if_it_is_learned() -> None:
    assert _depth(lambda net, x: net.conv(x), conv=nn.Conv2d(3, 3, 3, groups=3)) == 1
    layers = {"conv": nn.Conv2d(3, 3, 3, groups=3)}
    assert _depth(lambda net, x: F.conv2d(net.conv(x), torch.ones(3, 1, 3, 3), groups=3), **layers) == 1


def test_fixed_buffer_is_no_layer() -> None:
    net = Net(lambda net, x: net.conv(F.conv2d(x, net.blur, groups=3)), conv=nn.Conv2d(3, 4, 3))
    net.register_buffer("blur", torch.ones(3, 1, 3, 3) / 9)
    assert depth(net, image_size=8) == 1


def test_kernel_made_of_parameters_alone_has_no_depth() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        return F.conv2d(x, net.second(F.relu(net.first(net.code))).reshape(4, 3, 3, 3))

    layers = {"first": nn.Linear(5, 16), "second": nn.Linear(16, 4 * 27), "code": nn.Parameter(torch.ones(1, 5))}
    assert _depth(run, **layers) == 1


def test_kernel_made_of_the_input_counts() -> None:
    """A mixture of two kernels (arXiv 1912.03458): one layer for the mixture's weights, then the convolution."""

    def run(net: Net, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        share = net.attention(x.mean((2, 3))).softmax(dim=1)  # (N, 2)
        kernel = (share[:, :, None, None, None, None] * net.bank).sum(dim=1)  # (N, 4, 3, 3, 3)
        return F.conv2d(x.reshape(1, n * c, h, w), kernel.flatten(0, 1), groups=n)

    bank = nn.Parameter(torch.ones(2, 4, 3, 3, 3))
    assert _depth(run, attention=nn.Linear(3, 2), bank=bank) == 2


@pytest.mark.parametrize(("layers", "expected"), [(1, 2), (2, 4)])
def test_recurrent_weights_count_once(layers: int, expected: int) -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        return net.recurrent(x.flatten(2).transpose(1, 2))[0]

    assert _depth(run, recurrent=nn.LSTM(3, 5, layers, batch_first=True)) == expected


def test_weights_used_again_count_once_and_equal_shapes_do_not_merge() -> None:
    same, other = nn.Linear(8, 8), nn.Linear(8, 8)
    assert _depth(lambda net, x: net.same(net.same(x)), same=same) == 1
    assert _depth(lambda net, x: net.other(net.same(x)), same=same, other=other) == 2
    halves = nn.Parameter(torch.ones(2, 8, 8))  # two layers' weights in one parameter
    assert _depth(lambda net, x: x @ net.halves[0] @ net.halves[1], halves=halves) == 2


def test_weights_made_anew_the_same_way_count_once() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x @ (net.weight / net.weight.norm())
        return x

    assert _depth(run, weight=nn.Parameter(torch.ones(8, 8))) == 1


def test_weights_made_the_same_way_of_different_parameters_do_not_merge() -> None:
    weights = {name: nn.Parameter(torch.ones(8, 8)) for name in ("first", "second")}
    assert _depth(lambda net, x: x @ (net.first / 2) @ (net.second / 2), **weights) == 2
    assert _depth(lambda net, x: x @ (net.first / 2) @ (net.first / 3), **weights) == 2


def test_writing_in_place_is_followed() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        both = torch.zeros(len(x), 6, 8, 8)
        both[:, :3] = net.first(x).relu_()
        both[:, 3:].copy_(x)
        return net.second(both)

    assert _depth(run, first=nn.Conv2d(3, 3, 1), second=nn.Conv2d(6, 2, 1)) == 2


@pytest.mark.parametrize("channels", ["RGB", "RG", "B"])
def test_adapting_adds_no_depth(channels: str) -> None:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    assert depth(adapt(body, statistics=torch.eye(3) + 0.5), channels, 8) == 2


def test_what_cannot_be_followed_says_why() -> None:
    with pytest.raises(ValueError, match="Net cannot be traced by shapes alone"):
        _depth(lambda net, x: x if x.sum() > 0 else -x)
    with pytest.raises(ValueError, match="output of Net does not come from its input"):
        _depth(lambda net, x: torch.ones(3))
