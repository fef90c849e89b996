"""Self-attention over places, against its formula one place at a time."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from anychan.blocks.attention import SelfAttention2d, _attend
from anychan.cost import count_macs, depth


def layer(conv: nn.Conv2d, x: list[float]) -> list[float]:
    return [
        b + sum(w * a for w, a in zip(row, x, strict=True))
        for row, b in zip(conv.weight[:, :, 0, 0].tolist(), conv.bias.tolist(), strict=True)
    ]


def slow(attention: SelfAttention2d, x: Tensor) -> Tensor:
    """What each place of one image (C, H, W) gets, without the residual."""
    places = [x[:, i, j].tolist() for i in range(x.shape[1]) for j in range(x.shape[2])]
    keys = [layer(attention.key, place) for place in places]
    values = [layer(attention.value, place) for place in places]
    rows = []
    for place in places:
        query = layer(attention.query, place)
        powers = [math.exp(sum(q * k for q, k in zip(query, key, strict=True))) for key in keys]
        weights = [power / sum(powers) for power in powers]
        rows.append([sum(w * v[c] for w, v in zip(weights, values, strict=True)) for c in range(len(place))])
    return torch.tensor(rows, dtype=torch.float64).T.reshape(x.shape)


@pytest.mark.parametrize(("residual", "kept", "weight"), [("gated", 1, 0.7), ("plain", 1, 1), ("none", 0, 1)])
@torch.no_grad()
def test_each_place_gets_a_weighted_mean_of_all(residual, kept, weight):
    torch.manual_seed(0)
    attention = SelfAttention2d(6, reduction=2, residual=residual).double()
    if attention.gate is not None:
        attention.gate.fill_(weight)
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    expected = kept * x + weight * torch.stack([slow(attention, image) for image in x])
    torch.testing.assert_close(attention(x), expected, rtol=1e-10, atol=1e-10)


def test_the_gate_opens_by_training():
    torch.manual_seed(0)
    attention = SelfAttention2d(8)
    attention(torch.randn(2, 8, 4, 4)).square().sum().backward()
    assert attention.gate.grad != 0


def test_it_is_one_weighted_layer_and_costs_what_is_said():
    attention = SelfAttention2d(64, bias=False)
    places, weights = 12 * 12, 64 * (8 + 8 + 64)
    assert depth(nn.Sequential(nn.Conv2d(3, 64, 1), attention), image_size=12) == 2
    assert sum(p.numel() for p in attention.parameters()) == weights + 1
    macs = count_macs(nn.Sequential(nn.Conv2d(3, 64, 1), attention), image_size=12).forward
    assert macs == places * (3 * 64 + weights + places * (8 + 64))


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor has that an operation gives."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.numbers = max([self.numbers, *(t.numel() for t in tree_leaves(out) if isinstance(t, Tensor))])
        return out


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_no_table_of_all_pairs_of_places_is_made(layout):
    x = torch.randn(1, 16, 12, 12, requires_grad=True).to(memory_format=layout)
    with Largest() as largest:
        SelfAttention2d(16)(x).sum().backward()
    assert largest.numbers == 16 * 12 * 12 < (12 * 12) ** 2


@pytest.mark.parametrize(("side", "made"), [(12, True), (33, False)])
def test_in_bfloat16_a_table_is_made_of_up_to_1024_places(side, made):
    torch.manual_seed(0)
    attention = SelfAttention2d(16, residual="none")
    x = torch.randn(1, 16, side, side)
    with torch.no_grad():
        expected = attention(x)
    with Largest() as largest, torch.autocast("cpu", torch.bfloat16):
        y = attention(x)
        y.sum().backward()
    assert (largest.numbers == (side * side) ** 2) is made
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=0.02, atol=0.01)


def test_the_table_is_as_exact_as_the_fused_kernel():
    """Products of queries and keys are not divided, so that they grow, and the softmax takes them as exponents."""
    torch.manual_seed(0)
    q, k, v = (scale * torch.randn(2, 1, 144, width) for width, scale in ((8, 2.8), (8, 2.8), (16, 1.0)))
    gradient = torch.randn(2, 1, 144, 16)

    def outcome(attend, dtype):
        given = [t.bfloat16().to(dtype).requires_grad_() for t in (q, k, v)]
        y = attend(*given)
        return [y, *torch.autograd.grad(y, given, gradient.to(dtype))]

    fused = partial(F.scaled_dot_product_attention, scale=1.0)
    exact = outcome(fused, torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        found = outcome(_attend, torch.bfloat16)
    usual = outcome(lambda q, k, v: fused(F.pad(q, (0, 8)), F.pad(k, (0, 8)), v), torch.bfloat16)
    for values, others, expected in zip(found, usual, exact, strict=True):
        assert torch.linalg.vector_norm(values - expected) < 1.5 * torch.linalg.vector_norm(others - expected)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="reduction 9: must be from 1 to 8"):
        SelfAttention2d(8, reduction=9)
    with pytest.raises(ValueError, match="residual is 'open'; choose from 'gated', 'plain', 'none'"):
        SelfAttention2d(8, residual="open")
