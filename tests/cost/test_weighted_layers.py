"""Depths in the names of networks, of small networks that can be counted by eye, and what cannot be followed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan import adapt
from anychan.channels import ChannelSet
from anychan.cost import depth
from anychan.models import create_model
from anychan.nn import list_strategies
from anychan.statistics import ChannelStatistics

from ._nets import Net, attention_by_hand, depth_of, on_meta


@pytest.mark.parametrize("need_weights", [False, True])
def test_multi_head_attention_has_two(need_weights: bool) -> None:
    def attend(net: Net, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return net.attention(tokens, tokens, tokens, need_weights=need_weights)[0]

    assert depth_of(attend, attention=nn.MultiheadAttention(3, 1, batch_first=True)) == 2


@pytest.mark.parametrize("attend", [F.scaled_dot_product_attention, attention_by_hand])
def test_attention_counts_products_with_learned_vectors_only(attend: Callable[..., Tensor]) -> None:
    def run(which: str, net: Net, x: Tensor) -> Tensor:
        tokens = net.conv(x).flatten(2).transpose(1, 2)
        learned = net.learned.expand(len(x), -1, -1, -1)
        return attend(*(learned[:, i] if letter == "L" else tokens for i, letter in enumerate(which)))

    def count(which: str) -> int:
        return depth_of(partial(run, which), conv=nn.Conv2d(3, 8, 1), learned=nn.Parameter(torch.ones(1, 3, 64, 8)))

    assert count("TTT") == 1
    assert count("LTT") == 2  # learned queries: a linear layer from tokens to scores
    assert count("TLL") == 3  # a learned memory: two linear layers with a softmax between
    assert count("LLT") == 2  # mixing tokens by learned shares


def test_squeeze_and_excitation_adds_its_two() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        x = net.conv(x)
        gate = net.expand(F.relu(net.squeeze(x.mean((2, 3))))).sigmoid()
        return x * gate[..., None, None]

    layers = {"conv": nn.Conv2d(3, 8, 3), "squeeze": nn.Linear(8, 2), "expand": nn.Linear(2, 8)}
    assert depth_of(run, **layers) == 3


def test_longest_of_several_paths() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        return net.shortcut(x) + net.second(net.first(x)) + x.mean()

    convs = {name: nn.Conv2d(3, 3, 1) for name in ("shortcut", "first", "second")}
    assert depth_of(run, **convs) == 2


def test_distances_to_learned_points_are_a_layer() -> None:
    points = nn.Parameter(torch.randn(50, 3 * 8 * 8))
    for several in (5, 50):  # many are computed otherwise
        assert depth_of(lambda net, x, n=several: torch.cdist(x.flatten(1), net.points[:n]), points=points) == 1


@pytest.mark.parametrize(
    "solve",
    [
        torch.linalg.solve,
        lambda matrix, x: torch.linalg.solve(matrix, x, left=False),
        lambda matrix, x: torch.linalg.solve_triangular(matrix, x, upper=True),
        lambda matrix, x: torch.cholesky_solve(x, matrix),
        lambda matrix, x: torch.linalg.inv(matrix) @ x,
    ],
)
def test_product_with_an_inverse_is_a_layer(solve: Callable[[Tensor, Tensor], Tensor]) -> None:
    matrix = nn.Parameter(torch.eye(8))
    assert depth_of(lambda net, x: solve(net.matrix.expand(2, 3, 8, 8), x), matrix=matrix) == 1


def test_normalisation_and_scales_are_no_layers() -> None:
    norms = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.GroupNorm(2, 6), nn.LayerNorm((6, 8, 8)), nn.PReLU()
    )
    assert depth_of(lambda net, x: net.norms(x) * net.scale, norms=norms, scale=nn.Parameter(torch.ones(6, 1, 1))) == 1


def test_depthwise_counts_if_it_is_learned() -> None:
    assert depth_of(lambda net, x: net.conv(x), conv=nn.Conv2d(3, 3, 3, groups=3)) == 1
    layers = {"conv": nn.Conv2d(3, 3, 3, groups=3)}
    assert depth_of(lambda net, x: F.conv2d(net.conv(x), torch.ones(3, 1, 3, 3), groups=3), **layers) == 1


def test_fixed_buffer_is_no_layer() -> None:
    net = Net(lambda net, x: net.conv(F.conv2d(x, net.blur, groups=3)), conv=nn.Conv2d(3, 4, 3))
    net.register_buffer("blur", torch.ones(3, 1, 3, 3) / 9)
    assert depth(net, image_size=8) == 1


def test_kernel_made_of_parameters_alone_has_no_depth() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        return F.conv2d(x, net.second(F.relu(net.first(net.code))).reshape(4, 3, 3, 3))

    layers = {"first": nn.Linear(5, 16), "second": nn.Linear(16, 4 * 27), "code": nn.Parameter(torch.ones(1, 5))}
    assert depth_of(run, **layers) == 1


def test_kernel_made_of_the_input_counts() -> None:
    """A mixture of two kernels (arXiv 1912.03458): a layer for the shares, one for the mixture, the convolution."""

    def mixed(mixture: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Net, Tensor], Tensor]:
        def run(net: Net, x: Tensor) -> Tensor:
            n, c, h, w = x.shape
            share = net.attention(x.mean((2, 3))).softmax(dim=1)  # (N, 2)
            return F.conv2d(x.reshape(1, n * c, h, w), mixture(share, net.bank).view(4 * n, c, 3, 3), groups=n)

        return run

    layers = {"attention": nn.Linear(3, 2), "bank": nn.Parameter(torch.ones(2, 4, 3, 3, 3))}
    assert depth_of(mixed(lambda share, bank: share @ bank.flatten(1)), **layers) == 3
    assert depth_of(mixed(lambda share, bank: (share[:, :, None] * bank.flatten(1)).sum(dim=1)), **layers) == 3


@pytest.mark.parametrize("written", ["at once", "in views", "made again"])
def test_kernel_made_of_the_input_counts_once(written: str) -> None:
    """A layer makes it, and the convolution is one however often it comes with this kernel."""

    def run(net: Net, x: Tensor) -> Tensor:
        y, kernel = x, net.made(x.mean((0, 2, 3)))
        for _ in range(3):
            if written == "made again":
                kernel = net.made(x.mean((0, 2, 3)))
            y = F.conv2d(y, kernel.view(3, 3, 1, 1))
        return y

    assert depth_of(run, made=nn.Linear(3, 9)) == 2


def test_kernels_made_of_different_maps_count_each() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        for _ in range(3):
            x = F.conv2d(x, net.made(x.mean((0, 2, 3))).view(3, 3, 1, 1))
        return x

    assert depth_of(run, made=nn.Linear(3, 9)) == 1 + 3, "what makes them is used again"
    halves = nn.Linear(3, 18)
    assert depth_of(lambda net, x: _by_two(x, net.halves(x.mean((0, 2, 3))).view(2, 3, 3, 1, 1)), halves=halves) == 3


def _by_two(x: Tensor, kernels: Tensor) -> Tensor:
    return F.conv2d(F.conv2d(x, kernels[0]), kernels[1])


_TOKENS: dict[str, tuple[int, nn.Module, Callable[[nn.Module, Tensor], Tensor]]] = {
    "linear": (1, nn.Linear(3, 5), lambda part, x: part(x)),
    "convolution": (1, nn.Conv1d(64, 5, 1), lambda part, x: part(x)),
    "transposed convolution": (1, nn.ConvTranspose1d(64, 5, 1), lambda part, x: part(x)),
    "recurrent": (2, nn.RNN(3, 5, batch_first=True), lambda part, x: part(x)[0]),
    "gru": (4, nn.GRU(3, 5, 2, batch_first=True), lambda part, x: part(x)[0]),
    "lstm": (2, nn.LSTM(3, 5, batch_first=True), lambda part, x: part(x)[0]),
    "attention": (2, nn.MultiheadAttention(3, 1, batch_first=True), lambda part, x: part(x, x, x)[0]),
    "encoder": (4, nn.TransformerEncoderLayer(3, 1, 5, batch_first=True), lambda part, x: part(x)),
    "bilinear": (1, nn.Bilinear(3, 3, 5), lambda part, x: part(x, x)),
    "matrix product": (1, nn.Linear(3, 5), lambda part, x: x @ part.weight.mT),
    "einsum": (1, nn.Linear(3, 5), lambda part, x: torch.einsum("nlc,oc->nol", x, part.weight)),
    "tensordot": (1, nn.Linear(3, 5), lambda part, x: torch.tensordot(x, part.weight, ([2], [1]))),
    "inner product": (1, nn.Linear(3, 5), lambda part, x: torch.inner(x, part.weight)),
    "chain": (1, nn.Linear(3, 5), lambda part, x: torch.linalg.multi_dot([x[0], part.weight.mT])),
    "distances": (1, nn.Linear(3, 5), lambda part, x: torch.cdist(x, part.weight)),
    "angles": (1, nn.Linear(3, 5), lambda part, x: F.cosine_similarity(x.unsqueeze(2), part.weight, dim=-1)),
    "product and sum": (1, nn.Linear(3, 1), lambda part, x: (x * part.weight).sum(-1)),
    "normalisation": (0, nn.LayerNorm(3), lambda part, x: part(x)),
    "normalisation of groups": (0, nn.GroupNorm(4, 64), lambda part, x: part(x).mean(2)),
}


@pytest.mark.parametrize("name", _TOKENS)
def test_inference_mode_hides_nothing(name: str) -> None:
    layers, part, of_tokens = _TOKENS[name]

    def run(inference: bool, net: Net, x: Tensor) -> Tensor:
        with torch.inference_mode(inference):
            return of_tokens(net.part, x.flatten(2).transpose(1, 2))

    assert depth_of(partial(run, True), part=part) == depth_of(partial(run, False), part=part) == layers


def test_features_taken_in_inference_mode() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        with torch.inference_mode():
            features = net.features(x)
        return net.head(features)

    assert depth_of(run, features=on_meta("resnet18"), head=nn.Linear(1000, 5)) == 19


def test_weights_are_the_same_in_inference_mode() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        with torch.inference_mode():
            y = net.same(x)
        return net.same(y)

    assert depth_of(run, same=nn.Linear(8, 8)) == 1


@pytest.mark.parametrize(("layers", "expected"), [(1, 2), (2, 4)])
def test_recurrent_weights_count_once(layers: int, expected: int) -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        return net.recurrent(x.flatten(2).transpose(1, 2))[0]

    assert depth_of(run, recurrent=nn.LSTM(3, 5, layers, batch_first=True)) == expected


def test_weights_used_again_count_once_and_equal_shapes_do_not_merge() -> None:
    same, other = nn.Linear(8, 8), nn.Linear(8, 8)
    assert depth_of(lambda net, x: net.same(net.same(x)), same=same) == 1
    assert depth_of(lambda net, x: net.other(net.same(x)), same=same, other=other) == 2
    halves = nn.Parameter(torch.ones(2, 8, 8))  # two layers' weights in one parameter
    assert depth_of(lambda net, x: x @ net.halves[0] @ net.halves[1], halves=halves) == 2


def test_weights_made_anew_the_same_way_count_once() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x @ (net.weight / net.weight.norm())
        return x

    assert depth_of(run, weight=nn.Parameter(torch.ones(8, 8))) == 1


def test_weights_made_the_same_way_of_different_parameters_do_not_merge() -> None:
    weights = {name: nn.Parameter(torch.ones(8, 8)) for name in ("first", "second")}
    assert depth_of(lambda net, x: x @ (net.first / 2) @ (net.second / 2), **weights) == 2
    assert depth_of(lambda net, x: x @ (net.first / 2) @ (net.first / 3), **weights) == 2


def test_writing_in_place_is_followed() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        both = torch.zeros(len(x), 6, 8, 8)
        both[:, :3] = net.first(x).relu_()
        both[:, 3:].copy_(x)
        return net.second(both)

    assert depth_of(run, first=nn.Conv2d(3, 3, 1), second=nn.Conv2d(6, 2, 1)) == 2


@pytest.mark.parametrize("channels", ["RGB", "RG", "B"])
def test_adapting_adds_no_depth(channels: str) -> None:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    assert depth(adapt(body, statistics=torch.eye(3) + 0.5), channels, 8) == 2


@pytest.mark.parametrize("strategy", sorted({*list_strategies(), "plain"} - {"tokens"}))
def test_what_makes_kernels_of_names_adds_no_depth(strategy: str) -> None:
    """*mixed* has two layers for its shares and one for the mixture, *attentive* a query, values and a projection."""
    statistics = ChannelStatistics(
        ChannelSet.parse("RGB"), torch.zeros(3).double(), torch.eye(3).double() + 0.5, count=10
    )
    model = create_model("wide3", "RGB", 5, strategy, statistics, model_options={"width": 8})
    assert depth(model, "RG" if strategy != "plain" else None, image_size=16) == {"mixed": 6, "attentive": 6}.get(
        strategy, 3
    )


def test_residual_dense_block_of_four() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        maps = [x]
        for conv in net.convs:
            maps.append(F.leaky_relu(conv(torch.cat(maps, dim=1)), 0.2))
        return x + 0.2 * maps[-1]

    assert depth_of(run, convs=nn.ModuleList(nn.Conv2d(3 * i, 3, 3, padding=1) for i in range(1, 5))) == 4


def test_series_activation_counts() -> None:
    """VanillaNet (arXiv 2305.12972): a sum of shifted activations is a learned depthwise convolution."""

    def run(net: Net, x: Tensor) -> Tensor:
        return F.conv2d(net.conv(x).relu(), net.series, padding=3, groups=8)

    assert depth_of(run, conv=nn.Conv2d(3, 8, 1), series=nn.Parameter(torch.ones(8, 1, 7, 7))) == 2


def test_whitening_of_frozen_parameters_counts() -> None:
    whiten = nn.Conv2d(3, 24, 2).requires_grad_(False)
    assert depth_of(lambda net, x: net.conv(net.whiten(x)), whiten=whiten, conv=nn.Conv2d(24, 4, 1)) == 2


def test_tied_weights_of_two_layers_count_once() -> None:
    one, two = nn.Linear(8, 8), nn.Linear(8, 8)
    two.weight = one.weight
    assert depth_of(lambda net, x: net.two(net.one(x)), one=one, two=two) == 1


def test_what_is_added_to_a_product_may_have_come_a_longer_way() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        return torch.addmm(net.convs(x)[0, 0], x[0, 0], net.weight)

    convs = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    assert depth_of(run, convs=convs, weight=nn.Parameter(torch.ones(8, 8))) == 3


def test_kernel_made_of_the_input_alone_is_no_weight() -> None:
    assert depth_of(lambda net, x: F.conv2d(net.norm(x), x * 2), norm=nn.BatchNorm2d(3)) == 0


def test_filter_kept_as_its_spectrum_counts() -> None:
    """GFNet (arXiv 2107.00645): a product of spectra is a convolution."""

    def run(net: Net, x: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(net.conv(x)) * torch.view_as_complex(net.filter), s=(8, 8))

    assert depth_of(run, conv=nn.Conv2d(3, 4, 1), filter=nn.Parameter(torch.ones(4, 8, 5, 2))) == 2


def test_deformable_convolution_counts_after_what_moves_it() -> None:
    from torchvision.ops import DeformConv2d

    layers = {"conv": DeformConv2d(3, 4, 3), "offset": nn.Conv2d(3, 18, 3)}
    assert depth_of(lambda net, x: net.conv(x, net.offset(x)), **layers) == 2


def test_attention_that_fails_does_not_stop_the_count() -> None:
    def run(net: Net, x: Tensor) -> Tensor:
        tokens = x.flatten(2)
        try:
            tokens = F.scaled_dot_product_attention(tokens, tokens[:, :, :5], tokens)
        except RuntimeError:
            tokens = attention_by_hand(tokens, tokens, tokens)
        return net.head(tokens)

    assert depth_of(run, head=nn.Linear(64, 5)) == 1


def test_layers_that_numbers_choose_are_told_apart() -> None:
    bank = nn.Parameter(torch.ones(3, 192, 192))
    places: list[Callable[[Tensor, int], Tensor]] = [
        lambda bank, i: bank.index_select(0, torch.tensor([i]))[0],
        lambda bank, i: bank[[i]][0],
        lambda bank, i: F.embedding(torch.tensor(i), bank.flatten(1)).view(192, 192),
    ]
    for take in places:

        def run(net: Net, x: Tensor, take: Callable[[Tensor, int], Tensor] = take) -> Tensor:
            x = x.flatten(1)
            for i in (0, 1, 2, 0):  # the first comes again, and counts once
                x = x @ take(net.bank, i)
            return x

        assert depth_of(run, bank=bank) == 3


def test_a_bilinear_layer_counts_from_either_side() -> None:
    learned, layer = nn.Parameter(torch.ones(1, 4)), nn.Bilinear(4, 192, 5)
    assert depth_of(lambda net, x: net.b(net.w.expand(len(x), 4), x.flatten(1)), b=layer, w=learned) == 1
    other = nn.Bilinear(192, 4, 5)
    assert depth_of(lambda net, x: net.b(x.flatten(1), net.w.expand(len(x), 4)), b=other, w=learned) == 1
    both, layers = nn.Bilinear(192, 192, 5), {"one": nn.Linear(192, 192), "two": nn.Linear(192, 192)}
    for order in (1, -1):
        run = lambda net, x, order=order: net.b(*(x.flatten(1), net.two(net.one(x.flatten(1))))[::order])  # noqa: E731
        assert depth_of(run, b=both, **layers) == 3
