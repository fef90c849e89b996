"""The attentive strategy against textbook multi-head cross-attention, place by place in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from anychan.channels import Channel, ChannelSet
from anychan.nn import AttentiveConv2d, attentive

from . import _slow

RGB = ChannelSet([Channel("R", 0.665), Channel("G", 0.56), Channel("B", 0.49)])


def made(outputs: int = 6, **options) -> AttentiveConv2d:
    torch.manual_seed(0)
    conv = AttentiveConv2d(3, outputs, **{"kernel_size": 3, "padding": 1, "channels": RGB, **options})
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return conv


def slow_forward(conv: AttentiveConv2d, x_SHW: np.ndarray, embedding_SO: np.ndarray) -> np.ndarray:
    """Each place by itself, with a query, key and value for each head as the textbook has them.

    Head h's key is the whole token, so its query is the learned vector; its value is its own rows of V times the token.
    """
    bank, query, value = _slow.array(conv.weight), _slow.array(conv.query), _slow.array(conv.value)
    maps = [_slow.conv2d(plane[None], bank, padding=1) for plane in x_SHW]
    y = np.zeros_like(maps[0])
    for i, j in np.ndindex(*y.shape[1:]):
        tokens = [m[:, i, j] + e for m, e in zip(maps, embedding_SO, strict=True)]
        heads = []
        for q, v in zip(query, value, strict=True):
            weights = _slow.softmax([float(q @ t) / np.sqrt(len(t)) for t in tokens])
            heads.append(sum(w * (v @ t) for w, t in zip(weights, tokens, strict=True)))
        y[:, i, j] = _slow.array(conv.project) @ np.concatenate(heads) + _slow.array(conv.bias)
    return y


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("subset", ["R,G,B", "B,R", "G"])
def test_it_is_cross_attention_at_each_place(heads, subset):
    conv = made(heads=heads, dtype=torch.float64)
    x = torch.randn(1, len(subset.split(",")), 4, 5, dtype=torch.float64)
    embedding = _slow.array(conv.channel_embedding)[list(RGB.indices(subset))]
    expected = slow_forward(conv, _slow.array(x[0]), embedding)
    np.testing.assert_allclose(_slow.array(conv(x, subset)[0]), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_it_is_torchs_multi_head_attention_with_one_query(heads):
    conv, width = made(heads=heads, dtype=torch.float64), 6 // heads
    attention = nn.MultiheadAttention(6, heads, bias=False, batch_first=True, dtype=torch.float64)
    asked = torch.randn(6, dtype=torch.float64)
    asking_OO, key_OO, value_OO = attention.in_proj_weight.detach().chunk(3)
    query_O = asking_OO @ asked
    with torch.no_grad():
        for h in range(heads):
            rows = slice(h * width, (h + 1) * width)
            # Key matrix and query as one vector; torch divides by the root of a head's width, we by that of all.
            conv.query[h] = heads**0.5 * key_OO[rows].T @ query_O[rows]
            conv.value[h] = value_OO[rows]
        conv.project.copy_(attention.out_proj.weight)
    for subset in ("R,G,B", "B,R", "G"):
        x = torch.randn(2, len(subset.split(",")), 4, 5, dtype=torch.float64)
        maps_NSOhw = nn.functional.conv2d(x.flatten(0, 1)[:, None], conv.weight, padding=1).unflatten(0, x.shape[:2])
        token_NSOhw = maps_NSOhw + conv.channel_embedding[list(RGB.indices(subset))][..., None, None]
        token_MSO = token_NSOhw.permute(0, 3, 4, 1, 2).flatten(0, 2)
        y_M1O, _ = attention(asked.expand(len(token_MSO), 1, 6), token_MSO, token_MSO)
        y_NOhw = y_M1O.unflatten(0, (2, 4, 5)).squeeze(3).permute(0, 3, 1, 2) + conv.bias[:, None, None]
        torch.testing.assert_close(conv(x, subset), y_NOhw, rtol=1e-9, atol=1e-9)


def test_the_embedding_of_a_wavelength_is_a_layer_on_its_hidden_units():
    conv = made(embedding="wavelength", dtype=torch.float64)
    channels = [Channel("SWIR", 1.61), Channel("G")]
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    hidden = _slow.array(conv.encoder([1.61, 0.56]))
    embedding = np.array([_slow.array(conv.channel_embedding) @ h for h in hidden])
    np.testing.assert_allclose(
        _slow.array(conv(x, channels)[0]), slow_forward(conv, _slow.array(x[0]), embedding), rtol=1e-9, atol=1e-9
    )


def test_many_places_are_taken_in_parts(monkeypatch):
    conv, x = made(), torch.randn(2, 2, 8, 8)
    whole = conv(x, "R,B")
    monkeypatch.setattr(attentive, "_MOST_PLACES", 30)
    torch.testing.assert_close(conv(x, "R,B"), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_a_loaded_kernel_gives_what_it_gave_where_all_planes_are_equal(bias):
    conv = AttentiveConv2d(3, 6, 3, padding=1, bias=bias, channels=RGB)
    ordinary = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    x = torch.randn(2, 1, 8, 8)
    expected = ordinary(x.expand(-1, 3, -1, -1))
    assert float((conv(x, "G") - expected).detach().abs().max()) < 0.1  # up to the channel embedding
    nn.init.zeros_(conv.channel_embedding)
    for planes, subset in ((3, "R,G,B"), (2, "B,G"), (1, "R")):
        torch.testing.assert_close(conv(x.expand(-1, planes, -1, -1), subset), expected, rtol=1e-5, atol=1e-5)


def test_the_attention_is_not_a_mean_from_the_start():
    torch.manual_seed(0)
    conv, x = AttentiveConv2d(3, 16, 3, channels=RGB), torch.randn(2, 3, 8, 8)
    y = conv(x)
    nn.init.zeros_(conv.query)
    assert float((conv(x) - y).detach().abs().mean()) > 0.01


def test_the_multiplications_are_those_of_the_formula():
    from torch.utils.flop_counter import FlopCounterMode

    def multiplications(planes: str) -> int:
        conv = made(outputs=8, heads=4, device="meta").requires_grad_(False)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            conv(torch.empty(1, len(planes.split(",")), 8, 8, device="meta"), planes)
        return counter.get_total_flops() // 2

    for planes, s in (("R,G,B", 3), ("B", 1)):
        assert multiplications(planes) == 64 * (s * (8 * 9 + 2 * 4 * 8) + 2 * 8 * 8)


def test_parameters_are_those_of_the_formula():
    conv = made(outputs=8, heads=4, bias=False)
    assert sum(p.numel() for p in conv.parameters()) == 8 * 9 + 3 * 8 + 4 * 8 + 2 * 8 * 8


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="embedding is 'none'; choose from 'name', 'wavelength'"):
        made(embedding="none")
    with pytest.raises(ValueError, match="heads is 4; it must divide out_channels, which is 6"):
        made(heads=4)
    with pytest.raises(ValueError, match="'VV' of R,VV,B has no wavelength"):
        made(embedding="wavelength", channels=ChannelSet([Channel("R", 0.6), Channel("VV"), Channel("B", 0.5)]))
