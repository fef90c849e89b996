"""The generated strategy against its formula, one channel, tap and pixel at a time, and its closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from anychan.channels import ChannelSet
from anychan.nn import GeneratedConv2d

CHANNELS = ChannelSet("ABCD")


def _features(conv: GeneratedConv2d, channel: int) -> list[float]:
    e, u, b = (p.detach().numpy() for p in (conv.embeddings, conv.hidden.weight, conv.hidden.bias))
    z = [sum(u[h, i] * e[channel, i] for i in range(e.shape[1])) + b[h] for h in range(len(u))]
    return [0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in z]


def _slow(conv: GeneratedConv2d, x: np.ndarray, present: list[int]) -> np.ndarray:
    v, b, bias = (p.detach().numpy() for p in (conv.last.weight, conv.last.bias, conv.bias))
    n, _, height, width = x.shape
    y = np.zeros((n, 5, height - 2, width - 1)) + bias[:, None, None]
    for plane, c in enumerate(present):
        features = _features(conv, c)
        kernel = np.array([sum(v[i, h] * features[h] for h in range(len(features))) + b[i] for i in range(len(v))])
        kernel = kernel.reshape(5, 3, 2)
        for i, j, p, q in np.ndindex(height - 2, width - 1, 3, 2):
            y[:, :, i, j] += 4 / len(present) * x[:, plane, i + p, j + q][:, None] * kernel[:, p, q]
    return y


def test_it_makes_each_slice_from_the_channels_embedding():
    conv = GeneratedConv2d(4, 5, (3, 2), channels=CHANNELS, dtype=torch.float64, embedding=3, hidden=6)
    for subset in [*CHANNELS.subsets(), CHANNELS.subset(["C", "A"])]:
        x = torch.randn(2, len(subset), 5, 4, dtype=torch.float64)
        slow = _slow(conv, x.numpy(), list(CHANNELS.indices(subset)))
        torch.testing.assert_close(conv(x, subset).detach(), torch.from_numpy(slow), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("c", [1, 3, 16, 64])
def test_it_starts_as_an_ordinary_convolution_and_takes_over_another(c):
    names = [f"B{i}" for i in range(c)]
    torch.manual_seed(0)
    drawn = nn.Conv2d(c, 8, 5)
    torch.manual_seed(0)
    conv = GeneratedConv2d(c, 8, 5, channels=names)
    torch.testing.assert_close(conv.kernel()[0], drawn.weight, rtol=1e-5, atol=1e-6)
    assert torch.equal(conv.bias, drawn.bias)
    pretrained = nn.Conv2d(c, 8, 5)
    conv.load_kernel(pretrained.weight, pretrained.bias)
    torch.testing.assert_close(conv.kernel()[0], pretrained.weight, rtol=1e-5, atol=1e-6)
    assert torch.equal(conv.bias, pretrained.bias)


def test_a_narrow_network_comes_as_near_as_least_squares_and_promises_no_more():
    conv = GeneratedConv2d(4, 5, 3, channels=CHANNELS, dtype=torch.float64, hidden=2)
    assert not conv.promises.exact
    assert GeneratedConv2d(4, 5, 3, channels=CHANNELS, hidden=8).promises.exact
    ordinary = nn.Conv2d(4, 5, 3, dtype=torch.float64)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    slices = ordinary.weight.detach().transpose(0, 1).flatten(1).numpy()
    features = np.array([_features(conv, c) for c in range(4)])
    centred = slices - slices.mean(axis=0)
    residual = centred - features @ np.linalg.lstsq(features, centred, rcond=None)[0]
    off = conv.kernel()[0].detach().transpose(0, 1).flatten(1).numpy() - slices
    np.testing.assert_allclose(off, -residual, atol=1e-10)
    assert np.abs(residual).max() > 0.01


def test_channels_of_one_embedding_cannot_differ_and_nothing_changes():
    conv = GeneratedConv2d(4, 5, 3, channels=CHANNELS)
    conv.embeddings.data[2] = conv.embeddings.data[0]
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    ordinary = nn.Conv2d(4, 5, 3)
    with pytest.raises(ValueError, match="of some channels are too much alike"):
        conv.load_kernel(ordinary.weight, ordinary.bias)
    assert all(torch.equal(value, before[name]) for name, value in conv.state_dict().items())
    alike = ordinary.weight.detach().clone()
    alike[:, 2] = alike[:, 0]
    conv.load_kernel(alike, ordinary.bias)
    torch.testing.assert_close(conv.kernel()[0], alike, rtol=1e-5, atol=1e-6)


def test_all_of_it_learns_and_channels_learn_from_each_other():
    conv = GeneratedConv2d(4, 5, 3, channels=CHANNELS)
    before = conv.kernel(["B"])[0].detach()
    conv.kernel(["A"])[0].square().sum().backward()
    assert all(parameter.grad.any() for name, parameter in conv.named_parameters() if name != "bias")
    assert not conv.embeddings.grad[1:].any()
    torch.optim.SGD(conv.parameters(), lr=0.1).step()
    assert not torch.allclose(conv.kernel(["B"])[0], before)


def test_too_small_an_embedding_for_many_channels_is_refused_at_once():
    names = [f"B{i}" for i in range(64)]
    with pytest.raises(ValueError, match=r"the embeddings \(1 numbers\) of some channels"):
        GeneratedConv2d(64, 5, 3, channels=names, embedding=1)


@pytest.mark.parametrize("option", ["embedding", "hidden"])
def test_bad_options_are_refused(option):
    with pytest.raises(ValueError, match=f"{option} is 0; it must be at least 1"):
        GeneratedConv2d(4, 5, 3, channels=CHANNELS, **{option: 0})
