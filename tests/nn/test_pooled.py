"""The pooled strategy against its formulas in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from anychan.nn import PooledConv2d

from . import _slow

POOLINGS = ["mean", "sum", "attention"]


def made(pooling: str, **options) -> PooledConv2d:
    torch.manual_seed(0)
    return PooledConv2d(3, 5, pooling=pooling, **{"kernel_size": 3, "padding": 1, **options})


def slow_weights(conv: PooledConv2d, responses: list[np.ndarray]) -> list[float]:
    if conv.pooling == "mean":
        return [1 / len(responses)] * len(responses)
    if conv.pooling == "sum":
        return [1.0] * len(responses)
    first, _, last = conv.score
    scores = []
    for response_Ohw in responses:
        strength = [np.log((r**2).mean() + 1e-6) for r in response_Ohw]
        hidden = [
            _slow.gelu(sum(w * s for w, s in zip(row, strength, strict=True)) + b)
            for row, b in zip(_slow.array(first.weight), _slow.array(first.bias), strict=True)
        ]
        scores.append(float(_slow.array(last.weight)[0] @ np.array(hidden) + _slow.array(last.bias)[0]))
    return _slow.softmax(scores)


@pytest.mark.parametrize("planes", [1, 2, 5])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_it_is_the_formula(pooling, planes):
    conv = made(pooling, dtype=torch.float64, stride=2)
    x = torch.randn(2, planes, 7, 6, dtype=torch.float64) * torch.rand(2, planes, 1, 1, dtype=torch.float64)
    y = conv(x)
    for image, result in zip(x, y, strict=True):
        bank = _slow.array(conv.weight)
        responses = [_slow.conv2d(_slow.array(plane[None]), bank, stride=2, padding=1) for plane in image]
        weights = slow_weights(conv, responses)
        expected = sum(w * r for w, r in zip(weights, responses, strict=True)) + _slow.array(conv.bias)[:, None, None]
        np.testing.assert_allclose(_slow.array(result), expected, rtol=1e-9, atol=1e-9)


def test_attention_prefers_planes_and_each_image_has_its_own():
    conv = made("attention")
    x = torch.randn(2, 3, 8, 8) * torch.tensor([[0.1, 1, 3], [3, 1, 0.1]])[..., None, None]
    mean = made("mean")
    mean.load_state_dict({name: t for name, t in conv.state_dict().items() if not name.startswith("score")})
    assert not torch.allclose(conv(x), mean(x), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(conv(x)[:1], conv(x[:1]), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(conv(x[:, :1].expand(-1, 3, -1, -1) * 2), conv(x), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_loaded_kernel_gives_what_it_gave_where_all_planes_are_equal(pooling):
    conv, ordinary = made(pooling), nn.Conv2d(3, 5, 3, padding=1)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    x = torch.randn(2, 1, 8, 8).expand(-1, 3, -1, -1)
    torch.testing.assert_close(conv(x), ordinary(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_no_other_bank_is_closer_to_the_loaded_kernel(pooling):
    """For planes of white noise the squared error is the sum of squares of what the kernels differ by."""
    conv, ordinary = made(pooling), nn.Conv2d(3, 5, 3, padding=1)
    conv.load_kernel(ordinary.weight, ordinary.bias)

    def error(bank: torch.Tensor) -> float:
        share = 1 / 3 if pooling == "mean" else 1
        return float((bank * share - ordinary.weight).detach().square().sum())

    assert all(error(conv.weight + 0.01 * torch.randn_like(conv.weight)) > error(conv.weight) for _ in range(10))


def test_what_each_pooling_promises():
    promises = {pooling: made(pooling).promises for pooling in POOLINGS}
    assert [promises[p].foldable for p in POOLINGS] == [True, True, False]
    assert [promises[p].tells_zeros for p in POOLINGS] == [True, False, True]
    assert all(p.unnamed and p.any_order and not p.exact and not p.unseen for p in promises.values())


def test_planes_of_zeros_have_finite_gradients():
    conv = made("attention")
    x = torch.zeros(1, 2, 8, 8, requires_grad=True)
    conv(x).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in conv.parameters())
    assert x.grad.isfinite().all()


def test_large_responses_of_half_precision_are_no_infinity():
    torch.manual_seed(0)
    planes = 290 + 20 * torch.randn(2, 3, 16, 16)  # kelvin
    conv = PooledConv2d(3, 64, 7, stride=2, pooling="attention", channels="RGB")
    expected = conv(planes)
    found = conv.half()(planes.half())
    assert found.isfinite().all()
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=1.0)


def test_scores_are_made_in_full_precision_under_autocast():
    conv, seen = made("attention"), []
    conv.score.register_forward_hook(lambda module, arguments, output: seen.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert conv(torch.randn(1, 2, 8, 8)).dtype == torch.bfloat16
    assert seen == [torch.float32]


def test_it_multiplies_as_often_for_a_hundred_planes_as_for_one():
    from torch.utils.flop_counter import FlopCounterMode

    def flops(planes: int) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            made("mean", device="meta")(torch.empty(1, planes, 8, 8, device="meta"))
        return counter.get_total_flops()

    assert flops(100) == flops(1) == 2 * 5 * 9 * 8 * 8


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="pooling is 'max'; choose from 'mean', 'sum', 'attention'"):
        made("max")
    with pytest.raises(ValueError, match="hidden is 0"):
        made("attention", hidden=0)
