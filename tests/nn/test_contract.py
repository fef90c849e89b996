"""The contract, checked over the registry: each strategy is held to what it promises."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from anychan.channels import ChannelSet
from anychan.nn import AnyChannelConv2d, get_strategy, list_strategies, register_strategy

CHANNELS = ChannelSet(["R", "G", "B", "NIR"])
GEOMETRIES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (5, 3), "stride": (2, 1), "padding": "valid", "bias": False},
    {"kernel_size": 3, "padding": "same", "dilation": 2, "padding_mode": "reflect"},
]
# Each strategy as it comes, and its options that change what it promises.
VARIANTS = [(name, {}) for name in list_strategies()] + [
    ("sliced", {"selection": "random"}),
    ("completed", {"learnable": True}),
    ("completed", {"mean": torch.tensor([0.3, 0.1, -0.2, 0.5])}),
]


def correlated(n: int, seed: int = 0) -> torch.Tensor:
    mixing = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return mixing @ mixing.T + 0.1 * torch.eye(n, dtype=torch.float64)


def make(name: str, options: dict, channels: ChannelSet = CHANNELS, **geometry) -> AnyChannelConv2d:
    strategy = get_strategy(name)
    if strategy.uses_statistics:
        options = {"covariance": correlated(len(channels)), **options}
    torch.manual_seed(0)
    return strategy(len(channels), 6, channels=channels, **{**GEOMETRIES[0], **geometry}, **options)


def image(planes: int, n: int = 2, **like) -> torch.Tensor:
    return torch.randn(n, planes, 9, 11, generator=torch.Generator().manual_seed(planes)).to(**like)


def ids(variant: object) -> str:
    return ",".join([str(variant[0]), *variant[1]]) if isinstance(variant, tuple) else str(variant)


every = pytest.mark.parametrize("variant", VARIANTS, ids=ids)
promising = {
    promise: pytest.mark.parametrize("variant", [v for v in VARIANTS if getattr(make(*v).promises, promise)], ids=ids)
    for promise in ("subsets", "any_order", "exact", "foldable")
}


@every
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_shapes_are_those_of_an_ordinary_convolution(variant, geometry):
    conv = make(*variant, **geometry)
    for subset in CHANNELS.subsets():
        x = image(len(subset))
        assert conv(x, subset).shape == nn.Conv2d(len(subset), 6, **geometry)(x).shape


@promising["subsets"]
def test_the_kernel_has_the_shape_of_the_contract(variant):
    conv = make(*variant)
    for subset in CHANNELS.subsets():
        weight, bias = conv.kernel(subset)
        assert weight.shape == (6, len(subset), 3, 3)
        assert bias.shape == (6,)


@promising["any_order"]
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_planes_and_names_in_another_order_give_the_same(variant, geometry):
    conv = make(*variant, **geometry)
    x = image(3)
    torch.testing.assert_close(conv(x[:, [2, 0, 1]], "NIR,R,G"), conv(x, "R,G,NIR"), rtol=1e-5, atol=1e-5)


@promising["exact"]
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_on_all_channels_it_is_the_ordinary_convolution(variant, geometry):
    ordinary = nn.Conv2d(4, 6, **geometry)
    conv = make(*variant, **geometry)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    x = image(4)
    torch.testing.assert_close(conv(x), ordinary(x), rtol=1e-5, atol=1e-5)


@promising["foldable"]
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_fold_equals_forward_up_to_the_border(variant, geometry):
    conv = make(*variant, **geometry)
    for subset in CHANNELS.subsets():
        folded = conv.fold(subset)
        assert type(folded) is nn.Conv2d
        torch.testing.assert_close(folded(image(len(subset))), conv(image(len(subset)), subset), rtol=1e-5, atol=1e-5)


@every
def test_what_does_not_fold_says_so(variant):
    conv = make(*variant)
    if conv.promises.foldable:
        folded = conv.fold("R")
        folded.weight.data.zero_()
        assert conv.kernel("R")[0].any(), "the folded convolution shares memory with the stem"
    else:
        with pytest.raises(ValueError, match="does not fold"):
            conv.fold("R")


@promising["any_order"]
def test_present_equals_one_by_one_and_reads_nothing_else(variant):
    conv = make(*variant)
    present = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    x = image(4, n=4)
    x[~present] = float("nan")
    batched = conv(x, present=present)
    for i, there in enumerate(present):
        alone = conv(x[i : i + 1][:, there], [c for c, is_there in zip(CHANNELS, there, strict=True) if is_there])
        torch.testing.assert_close(batched[i : i + 1], alone, rtol=1e-5, atol=1e-5)


@promising["any_order"]
def test_a_plane_of_zeros_is_not_an_absent_plane(variant):
    conv = make(*variant)
    x = image(4)
    x[:, 3] = 0
    assert not torch.allclose(conv(x), conv(x[:, :3], "RGB"))


@promising["any_order"]
def test_absent_planes_get_no_gradient(variant):
    conv = make(*variant)
    x = image(4).requires_grad_()
    conv(x, present=torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]], dtype=torch.bool)).sum().backward()
    assert not x.grad[0, 2].any()
    assert not x.grad[1, 0].any()
    assert x.grad[0, 0].any()


@promising["any_order"]
def test_gradients_are_right_in_float64(variant):
    conv = make(*variant, dtype=torch.float64, kernel_size=2, padding=1)
    weights = [p for p in conv.parameters() if p.requires_grad]
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: conv(x, "G,NIR"), (x, *weights))


@every
def test_unknown_duplicate_and_no_channels_raise(variant):
    conv = make(*variant)
    for bad, said in (("X", "unknown channel 'X'"), ("R,R", "twice"), ([], "no channel")):
        with pytest.raises(ValueError, match=said):
            conv(image(1), bad)
    with pytest.raises(ValueError, match=r"\(N, 2, H, W\) for R,G"):
        conv(image(3), "R,G")
    with pytest.raises(ValueError, match="bool of shape"):
        conv(image(4), present=torch.ones(2, 4))
    with pytest.raises(ValueError, match="image 1 of the batch has no channel"):
        conv(image(4), present=torch.tensor([[True] * 4, [False] * 4]))


@every
def test_construction_is_checked(variant):
    with pytest.raises(ValueError, match="groups is 2"):
        make(*variant, groups=2)
    with pytest.raises(ValueError, match="in_channels is 5"):
        get_strategy(variant[0])(
            5, 6, 3, channels=CHANNELS, **({"covariance": correlated(5)} if "comp" in variant[0] else {})
        )
    with pytest.raises(ValueError, match="cannot load a kernel of shape"):
        make(*variant).load_kernel(torch.zeros(6, 3, 3, 3), torch.zeros(6))


@promising["any_order"]
def test_state_dict_round_trip(variant):
    conv, other = make(*variant), make(*variant)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.add_(0.1)
    other.load_state_dict(conv.state_dict())
    assert torch.equal(other(image(2), "R,NIR"), conv(image(2), "R,NIR"))


@every
def test_bfloat16(variant):
    conv = make(*variant).bfloat16()
    assert conv(image(2, dtype=torch.bfloat16), "R,NIR").dtype == torch.bfloat16


@promising["foldable"]
def test_under_autocast_kernels_are_made_in_full_precision(variant):
    conv, x = make(*variant), image(2)
    weight, bias = conv.kernel("R,NIR")
    ordinary = nn.Conv2d(2, 6, 3, padding=1)
    ordinary.weight.data, ordinary.bias.data = weight.detach(), bias.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(conv(x, "R,NIR"), ordinary(x))


@every
def test_shapes_can_be_had_on_the_meta_device(variant):
    assert make(*variant).to("meta")(image(2, device="meta"), "R,NIR").shape == (2, 6, 9, 11)


@settings(max_examples=20, deadline=None)
@given(c=st.integers(1, 64), height=st.integers(3, 20), width=st.integers(3, 20), data=st.data())
@promising["any_order"]
def test_any_number_of_channels_and_any_size(variant, c, height, width, data):
    channels = ChannelSet(f"B{i}" for i in range(c))
    options = {k: v for k, v in variant[1].items() if k != "mean"}
    conv = make(variant[0], options, channels)
    subset = data.draw(st.lists(st.sampled_from(channels.names), min_size=1, unique=True))
    assert conv(torch.randn(1, len(subset), height, width), subset).shape == (1, 6, height, width)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'sliced' is registered already"):
        register_strategy("sliced")(get_strategy("completed"))
    with pytest.raises(ValueError, match="unknown strategy 'slice'; there are completed, sliced"):
        get_strategy("slice")
