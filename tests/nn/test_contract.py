"""The contract, checked over the registry: each strategy is held to what it promises."""

from __future__ import annotations

import copy
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from anychan.channels import Channel, ChannelSet
from anychan.nn import AnyChannelConv2d, Promises, get_strategy, list_strategies, register_strategy

CHANNELS = ChannelSet([Channel("R", 0.665), Channel("G", 0.56), Channel("B", 0.49), Channel("NIR", 0.842)])
SUBSETS = ["R,G,B,NIR", "NIR,G,R", "B,NIR", "G"]
GEOMETRIES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (5, 3), "stride": (2, 1), "padding": "valid", "bias": False},
    {"kernel_size": 3, "padding": "same", "dilation": 2, "padding_mode": "reflect"},
]
# Each strategy as it comes, and its options that change what it promises or how it convolves.
VARIANTS = [(name, {}) for name in list_strategies()] + [
    ("sliced", {"selection": "random"}),
    ("sliced", {"selection": "random", "mode": "eval"}),
    ("sliced", {"selection": "random", "at_test": "random", "mode": "eval"}),
    ("completed", {"learnable": True}),
    ("completed", {"mean": torch.tensor([0.3, 0.1, -0.2, 0.5])}),
    ("mixed", {"attentions": "omni"}),
    ("masked", {"templates": 0}),
    ("generated", {"hidden": 2}),
    ("template", {"templates": 2}),
    ("pooled", {"pooling": "sum"}),
    ("pooled", {"pooling": "attention"}),
    ("attentive", {"embedding": "wavelength"}),
]


def correlated(n: int, seed: int = 0) -> torch.Tensor:
    mixing = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return mixing @ mixing.T + 0.1 * torch.eye(n, dtype=torch.float64)


def make(name: str, options: dict, channels: ChannelSet = CHANNELS, **geometry) -> AnyChannelConv2d:
    """A convolution with 6 outputs as training might leave it: what begins at zero is not zero any more.

    It is in training mode, unless the options say ``mode="eval"``.
    """
    options, mode = {key: value for key, value in options.items() if key != "mode"}, options.get("mode", "train")
    strategy = get_strategy(name)
    if strategy.uses_statistics:
        options = {"covariance": correlated(len(channels)), **options}
    torch.manual_seed(0)
    conv = strategy(len(channels), 6, channels=channels, **{**GEOMETRIES[0], **geometry}, **options)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return conv.train(mode == "train")


def image(planes: int, n: int = 2, **like) -> torch.Tensor:
    return torch.randn(n, planes, 9, 11, generator=torch.Generator().manual_seed(planes)).to(**like)


def bands(n: int) -> ChannelSet:
    return ChannelSet(Channel(f"B{i}", 0.4 + 0.03 * i) for i in range(n))


def maps(conv: AnyChannelConv2d, y: torch.Tensor, planes: int) -> torch.Tensor:
    """(N, S, O, H', W'), where each channel keeps a map of its own."""
    return y.unflatten(2, (planes, -1)).transpose(1, 2)


def equal(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def ids(variant: object) -> str:
    if not isinstance(variant, tuple):
        return str(variant)
    told = [f"{key}={value}" if isinstance(value, str) else key for key, value in variant[1].items()]
    return ",".join([str(variant[0]), *told])


def promised(variant: tuple[str, dict]) -> Promises:
    return make(*variant).promises


def parametrized(variants: list) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("variant", variants, ids=ids)


every = parametrized(VARIANTS)
promising = {
    field.name: parametrized([v for v in VARIANTS if getattr(promised(v), field.name)]) for field in fields(Promises)
}
# Without its names, what a plane does is not repeatable (sliced at random), and nothing more can be asked.
repeatable = promising["any_order"]


@every
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_shapes_are_those_of_an_ordinary_convolution(variant, geometry):
    conv = make(*variant, **geometry)
    for subset in SUBSETS if conv.promises.subsets else SUBSETS[:1]:
        planes = len(subset.split(","))
        expected = list(nn.Conv2d(planes, 6, **geometry)(image(planes)).shape)
        if not conv.promises.merges:
            expected[2] *= planes
        assert list(conv(image(planes), subset).shape) == expected


@parametrized([v for v in VARIANTS if hasattr(get_strategy(v[0]), "kernel")])
def test_the_kernel_has_the_shape_of_the_contract(variant):
    conv = make(*variant)
    for subset in SUBSETS:
        weight, bias = conv.kernel(subset)
        assert weight.shape == (6, len(subset.split(",")), 3, 3)
        assert bias.shape == (6,)


@promising["any_order"]
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_planes_and_names_in_another_order_give_the_same(variant, geometry):
    conv = make(*variant, **geometry)
    x = image(3)
    y, permuted = conv(x, "R,G,NIR"), conv(x[:, [2, 0, 1]], "NIR,R,G")
    if not conv.promises.merges:
        y, permuted = maps(conv, y, 3)[:, [2, 0, 1]], maps(conv, permuted, 3)
    equal(permuted, y)


@repeatable
def test_which_plane_is_which_matters_unless_names_do_not(variant):
    conv, x = make(*variant), image(3)
    same = torch.allclose(conv(x[:, [1, 0, 2]], "R,G,B"), conv(x, "R,G,B"), rtol=1e-4, atol=1e-4)
    assert same == conv.promises.unnamed


@promising["exact"]
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_on_all_channels_it_is_the_ordinary_convolution(variant, geometry):
    ordinary = nn.Conv2d(4, 6, **geometry)
    conv = make(*variant, **geometry)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    equal(conv(image(4)), ordinary(image(4)))
    equal(conv(image(4)[:, [3, 0, 2, 1]], "NIR,R,B,G"), ordinary(image(4)))


@promising["foldable"]
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_fold_equals_forward_up_to_the_border(variant, geometry):
    conv = make(*variant, **geometry)
    for subset in SUBSETS:
        x = image(len(subset.split(",")))
        folded = conv.fold(subset)
        assert type(folded) is nn.Conv2d
        equal(folded(x), conv(x, subset))
    equal(conv.fold()(image(4)), conv(image(4)))


@every
def test_a_fold_is_independent_and_what_does_not_fold_says_so(variant):
    conv = make(*variant)
    if not conv.promises.foldable:
        with pytest.raises(ValueError, match="does not fold"):
            conv.fold("R")
        return
    before, folded = conv(image(1), "R"), conv.fold("R")
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    assert torch.equal(conv(image(1), "R"), before), "the folded convolution shares memory with the stem"


@promising["unseen"]
def test_channels_never_seen_are_taken_by_their_wavelength(variant):
    conv, x = make(*variant), image(3)
    channels = [Channel("SWIR", 1.61), Channel("G"), Channel("edge", 0.705)]
    y = conv(x, channels)
    assert y.shape == (2, 6, 9, 11)
    equal(conv(x[:, [1, 2, 0]], [channels[1], channels[2], channels[0]]), y)
    # A wavelength it knows, under another name, is the channel it knows; another wavelength is another channel.
    equal(conv(x, [Channel("SWIR", 1.61), Channel("green", 0.56), Channel("edge", 0.705)]), y)
    assert not torch.allclose(conv(x, [Channel("SWIR", 2.2), Channel("G"), Channel("edge", 0.705)]), y)
    if conv.promises.foldable:
        equal(conv.fold(channels)(x), y)
    present = torch.tensor([[True, False, True]] * 2)
    equal(conv(x, channels, present=present), conv(x[:, [0, 2]], [channels[0], channels[2]]))
    with pytest.raises(ValueError, match="'radar' without a wavelength"):
        conv(x, ["R", "radar", "G"])


@promising["unseen"]
def test_known_channels_without_a_wavelength_are_named(variant):
    with pytest.raises(ValueError, match="'VV' of R,VV has no wavelength"):
        make(*variant, channels=ChannelSet([Channel("R", 0.665), Channel("VV")]))


@promising["unnamed"]
def test_any_number_of_planes_is_taken_whatever_they_are_called(variant):
    conv = make(*variant)
    for planes in (1, 3, 4, 17):
        x = image(planes)
        y = conv(x)
        assert y.shape == (2, 6, 9, 11)
        equal(conv(x, [f"stain{i}" for i in range(planes)]), y)
        equal(conv(x.flip(1)), y)
        if conv.promises.foldable:
            equal(conv.fold([str(i) for i in range(planes)])(x), y)
    present = torch.tensor([[True] * 5 + [False] * 2, [False, True] * 3 + [False]])
    batched = conv(image(7), present=present)
    for i in range(2):
        equal(batched[i : i + 1], conv(image(7)[i : i + 1, present[i]]))


@repeatable
def test_masked_equals_removed_with_anything_in_the_masked_plane(variant):
    conv, x = make(*variant), image(4)
    for filling in (0.0, 1e6, float("nan")):
        x[:, 2] = filling
        masked = conv(x, present=torch.tensor([[True, True, False, True]] * 2))
        assert torch.equal(masked, conv(x[:, [0, 1, 3]], "R,G,NIR"))


@repeatable
def test_present_equals_one_by_one(variant):
    conv = make(*variant)
    patterns = [[1, 0, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1]]
    if not conv.promises.merges:
        with pytest.raises(ValueError, match="different numbers of channels"):
            conv(image(4, n=4), present=torch.tensor(patterns, dtype=torch.bool))
        patterns = [[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1]]
    present = torch.tensor(patterns, dtype=torch.bool)
    x = image(4, n=4)
    x[~present] = float("nan")
    batched = conv(x, present=present)
    for i, there in enumerate(present):
        alone = conv(x[i : i + 1][:, there], [c for c, is_there in zip(CHANNELS, there, strict=True) if is_there])
        equal(batched[i : i + 1], alone)


@repeatable
def test_a_plane_of_zeros_is_an_absent_plane_only_where_this_is_said(variant):
    conv, x = make(*variant), image(4)
    x[:, 3] = 0
    with_zeros, without = conv(x), conv(x[:, :3], "R,G,B")
    told = with_zeros.shape != without.shape or not torch.allclose(with_zeros, without, rtol=1e-4, atol=1e-4)
    assert told == conv.promises.tells_zeros


@repeatable
def test_absent_planes_get_no_gradient(variant):
    conv = make(*variant)
    x = image(4).requires_grad_()
    conv(x, present=torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]], dtype=torch.bool)).square().sum().backward()
    assert not x.grad[0, 2].any()
    assert not x.grad[1, 0].any()
    assert all(x.grad[0, plane].any() for plane in (0, 1, 3))


@repeatable
def test_gradients_are_right_in_float64(variant):
    conv = make(*variant, dtype=torch.float64, kernel_size=2, padding=1)
    names, weights = zip(*conv.named_parameters(), strict=True)
    assert all(weight.dtype == torch.float64 for weight in weights)
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)

    def output(x, *weights):
        return functional_call(conv, dict(zip(names, weights, strict=True)), (x, "G,NIR"))

    assert torch.autograd.gradcheck(output, (x, *weights), fast_mode=True)


@every
def test_unknown_duplicate_and_no_channels_raise(variant):
    conv = make(*variant)
    promises = conv.promises
    bad = [("R,R", "twice"), ([], "at least one channel|no channel")]
    if not promises.unnamed:
        bad.append((["X"], "unknown channel 'X'"))
    for channels, said in bad:
        with pytest.raises(ValueError, match=said):
            conv(image(1), channels)
    with pytest.raises(ValueError, match=r"\(N, 2, H, W\) for R,G"):
        conv(image(3), "R,G")
    if not promises.unnamed:
        with pytest.raises(ValueError, match=r"\(N, 4, H, W\) for R,G,B,NIR"):
            conv(image(3))
    for shapeless in (image(4)[0], image(4)[:, :0]):
        with pytest.raises(ValueError, match="x must have the shape"):
            conv(shapeless)
    with pytest.raises(ValueError, match="bool of shape"):
        conv(image(4), present=torch.ones(2, 4))
    with pytest.raises(ValueError, match="bool of shape"):
        conv(image(4), present=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="image 1 of the batch has no channel"):
        conv(image(4), present=torch.tensor([[True] * 4, [False] * 4]))


@every
def test_construction_is_checked(variant):
    with pytest.raises(ValueError, match="groups is 2"):
        make(*variant, groups=2)
    statistics = {"covariance": correlated(5)} if get_strategy(variant[0]).uses_statistics else {}
    with pytest.raises(ValueError, match="in_channels is 5"):
        get_strategy(variant[0])(5, 6, 3, channels=CHANNELS, **statistics)
    conv = make(*variant)
    for weight, bias in (
        (torch.zeros(6, 3, 3, 3), torch.zeros(6)),
        (torch.zeros(6, 4, 3, 3), None),
        (torch.zeros(5, 4, 3, 3), torch.zeros(5)),
        (torch.zeros(6, 4, 3, 2), torch.zeros(6)),
    ):
        with pytest.raises(ValueError, match="cannot load a kernel of shape"):
            conv.load_kernel(weight, bias)


@every
def test_a_loaded_kernel_is_copied_and_the_output_follows_it(variant):
    conv, ordinary = make(*variant), nn.Conv2d(4, 6, 3, padding=1)
    torch.manual_seed(1)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    torch.manual_seed(1)
    y = conv(image(4))
    with torch.no_grad():
        ordinary.weight.mul_(2)
        ordinary.bias.mul_(2)
    torch.manual_seed(1)
    assert torch.equal(conv(image(4)), y), "the stem shares memory with the kernel it was given"
    conv.load_kernel(ordinary.weight, ordinary.bias)
    torch.manual_seed(1)
    assert not torch.allclose(conv(image(4)), y)


@every
def test_without_a_bias_there_is_none(variant):
    conv = make(*variant, bias=False)
    conv.load_kernel(torch.randn(6, 4, 3, 3), None)
    with pytest.raises(ValueError, match="cannot load a kernel of shape"):
        conv.load_kernel(torch.randn(6, 4, 3, 3), torch.zeros(6))
    if conv.promises.foldable:
        assert conv.fold("R,B").bias is None


@repeatable
def test_state_dict_round_trip(variant):
    conv, other = make(*variant), make(*variant)
    with torch.no_grad():
        for tensor in conv.state_dict().values():
            tensor.add_(0.05)
    assert not torch.equal(other(image(2), "R,NIR"), conv(image(2), "R,NIR"))
    other.load_state_dict(conv.state_dict())
    assert torch.equal(other(image(2), "R,NIR"), conv(image(2), "R,NIR"))


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_types_are_kept_by_a_state_dict_and_a_loaded_kernel(variant, dtype):
    conv, other = make(*variant, dtype=dtype), make(*variant, dtype=dtype)
    conv.load_kernel(torch.randn(6, 4, 3, 3), torch.randn(6))  # float32, as most pretrained kernels are
    other.load_state_dict(conv.state_dict())
    assert all(tensor.dtype == dtype for tensor in other.state_dict().values())
    x = image(2, dtype=dtype)
    outputs = []
    for one in (conv, other):
        torch.manual_seed(0)
        outputs.append(one(x, "R,NIR"))
    assert outputs[0].dtype == dtype
    assert torch.equal(*outputs)


@promising["exact"]
def test_a_loaded_kernel_of_another_type_is_met_as_its_type_allows(variant):
    kernel, bias = torch.randn(6, 4, 3, 3), torch.randn(6)
    for dtype, off in ((torch.float64, 1e-5), (torch.bfloat16, 0.03)):
        conv = make(*variant, dtype=dtype)
        conv.load_kernel(kernel, bias)
        x = image(4, dtype=dtype)
        expected = F.conv2d(x, kernel.to(dtype), bias.to(dtype), padding=1)
        error = (conv(x) - expected).detach().float().abs().max() / expected.float().abs().max()
        assert float(error) < off


@every
def test_a_deep_copy_is_the_same_and_independent(variant):
    conv, outputs = make(*variant), []
    other = copy.deepcopy(conv)
    assert other.promises == conv.promises
    for one in (conv, other):
        torch.manual_seed(0)
        outputs.append(one(image(2), "R,NIR"))
    assert torch.equal(*outputs)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            tensor.zero_()
    torch.manual_seed(0)
    assert torch.equal(conv(image(2), "R,NIR"), outputs[0])


@every
def test_a_batch_without_images_gives_one_without_outputs(variant):
    conv, x = make(*variant), image(4)[:0].requires_grad_()
    for channels, planes in ((None, 4), ("NIR,R", 2)):
        for present in (None, torch.ones(0, planes, dtype=torch.bool)):
            y = conv(x[:, :planes], channels, present)
            assert y.shape == (0, 6, 9 if conv.promises.merges else 9 * planes, 11)
            y.sum().backward()
    with pytest.raises(ValueError, match="bool of shape"):
        conv(x, present=torch.ones(0, 3, dtype=torch.bool))


@repeatable
def test_bfloat16(variant):
    conv = make(*variant)
    y = conv(image(2), "R,NIR")
    half = conv.bfloat16()(image(2, dtype=torch.bfloat16), "R,NIR")
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), y, rtol=0.05, atol=0.05 * float(y.detach().std()))


@repeatable
def test_under_autocast_kernels_are_made_in_full_precision(variant):
    conv, x = make(*variant), image(2)
    y = conv(x, "R,NIR")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = conv(x, "R,NIR")
        folded = conv.fold("R,NIR")(x) if hasattr(conv, "kernel") and conv.promises.foldable else None
    assert cast.dtype == torch.bfloat16
    torch.testing.assert_close(cast.float(), y, rtol=0.05, atol=0.05 * float(y.detach().std()))
    if folded is not None:
        ordinary = conv.fold("R,NIR")  # made without autocast
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(cast, ordinary(x))


@every
def test_shapes_can_be_had_on_the_meta_device(variant):
    x = image(2, device="meta")
    rows = 9 if make(*variant).promises.merges else 18
    assert make(*variant).to("meta")(x, "R,NIR").shape == (2, 6, rows, 11)


def padding_is_all_that_differs(variant: tuple[str, dict], mode: str) -> bool:
    """Whether a strategy does with a padded image what it does with the image and padding."""
    if variant[0] == "mixed":  # its attention sees the image's mean, which zero padding leaves at zero
        return mode == "zeros"
    # A constant must not reach the zero padding; tests/nn/test_completed.py has the reference for it.
    return not (mode == "zeros" and "mean" in variant[1])


PADDED = [
    pytest.param(variant, mode, id=f"{ids(variant)}-{mode}")
    for variant in VARIANTS
    for mode in ("zeros", "reflect", "replicate", "circular")
    if promised(variant).any_order and padding_is_all_that_differs(variant, mode)
]


@pytest.mark.parametrize(("variant", "mode"), PADDED)
def test_at_the_border_it_convolves_the_padded_image(variant, mode):
    padded, valid = make(*variant, padding_mode=mode, padding=(1, 2)), make(*variant, padding=0)
    valid.load_state_dict(padded.state_dict())
    x = image(3)
    x = x - x.mean(dim=(2, 3), keepdim=True)
    wide = F.pad(x, (2, 2, 1, 1), mode="constant" if mode == "zeros" else mode)
    equal(padded(x, "R,B,NIR"), valid(wide, "R,B,NIR"))


@repeatable
def test_compiled_equals_eager_without_a_graph_break(variant):
    conv = make(*variant)
    torch.compiler.reset()
    compiled = torch.compile(conv, backend="aot_eager", fullgraph=True)
    for chosen in (CHANNELS.subset("NIR,G"), CHANNELS):
        gradients = []
        for one in (compiled, conv):
            x = image(len(chosen)).requires_grad_()
            y = one(x, chosen)
            wanted = [x, *conv.parameters()]  # those without a part, as masked's network on all channels, get zeros
            gradients.append([y, *torch.autograd.grad(y.square().mean(), wanted, materialize_grads=True)])
        for ours, expected in zip(*gradients, strict=True):
            equal(ours, expected)


@settings(max_examples=8, deadline=None)
@given(c=st.integers(1, 64), height=st.integers(3, 20), width=st.integers(3, 20), data=st.data())
@repeatable
def test_any_number_of_channels_and_any_size(variant, c, height, width, data):
    channels = bands(c)
    options = {k: v for k, v in variant[1].items() if k != "mean"}
    conv = make(variant[0], options, channels)
    subset = data.draw(st.lists(st.sampled_from(channels.names), min_size=1, unique=True))
    x = torch.randn(1, len(subset), height, width)
    y = conv(x, subset)
    assert y.shape == (1, 6, height if conv.promises.merges else height * len(subset), width)
    assert y.isfinite().all()
    size = float(y.detach().abs().max())

    def same(a: torch.Tensor, b: torch.Tensor) -> None:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * max(size, 1.0))

    order = data.draw(st.permutations(range(len(subset))))
    permuted = conv(x[:, order], [subset[i] for i in order])
    if conv.promises.merges:
        same(permuted, y)
    else:
        same(maps(conv, permuted, len(subset)), maps(conv, y, len(subset))[:, order])
    if conv.promises.foldable:
        same(conv.fold(subset)(x), y)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'sliced' is registered already"):
        register_strategy("sliced")(get_strategy("completed"))
    with pytest.raises(ValueError, match=f"unknown strategy 'slice'; there are {', '.join(list_strategies())}"):
        get_strategy("slice")


def test_every_strategy_is_registered():
    names = "attentive by_count completed generated masked mixed pooled sliced spectral template tokens"
    assert list_strategies() == names.split()
