"""The contract, checked over the registry: each strategy is held to what it promises."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from anychan.channels import Channel, ChannelSet
from anychan.nn import get_strategy, list_strategies, register_strategy
from anychan.nn._contract import positions

from ._contract import (
    GEOMETRIES,
    SUBSETS,
    VARIANTS,
    equal,
    every,
    image,
    make,
    maps,
    parametrized,
    promising,
    repeatable,
)


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


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'sliced' is registered already"):
        register_strategy("sliced")(get_strategy("completed"))
    with pytest.raises(ValueError, match=f"unknown strategy 'slice'; there are {', '.join(list_strategies())}"):
        get_strategy("slice")


def test_every_strategy_is_registered():
    names = "attentive by_count completed generated masked mixed pooled sliced spectral template tokens"
    assert list_strategies() == names.split()


@pytest.mark.parametrize("indices", [[0], [2, 0, 1], [5, 3]])
def test_positions_counted_on_a_gpu_are_those_copied_elsewhere(
    indices: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = positions(indices, torch.device("cpu"))
    arange = torch.arange
    monkeypatch.setattr(torch, "arange", lambda end, device: arange(end))  # a GPU's way, without one
    counted = positions(indices, torch.device("cuda"))
    assert counted.dtype == copied.dtype == torch.int64
    assert counted.tolist() == copied.tolist() == indices
