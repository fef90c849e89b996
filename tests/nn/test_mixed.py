"""The mixed strategy against its formula, one image, kernel, tap and pixel at a time; its start; its temperature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from anychan.adaptation.annealing import annealed_modules
from anychan.channels import ChannelSet
from anychan.nn import MixedConv2d

CHANNELS = ChannelSet("ABCD")
both = pytest.mark.parametrize("attentions", ["kernel", "omni"])


def _trained(attentions: str, **options) -> MixedConv2d:
    """A stem whose attentions have left their neutral start."""
    torch.manual_seed(0)
    conv = MixedConv2d(
        4, 5, (3, 2), channels=CHANNELS, dtype=torch.float64, attentions=attentions, kernels=3, hidden=6, **options
    )
    conv.excite.weight.data.normal_()
    conv.excite.bias.data.normal_()
    conv.anneal(1.0)
    return conv


def _slow_one(conv: MixedConv2d, x: np.ndarray, present: list[int]) -> np.ndarray:
    """One image (S, H, W)."""
    weight, bias = conv.weight.detach().numpy().reshape(3, 5, 4, 3, 2), conv.bias.detach().numpy().reshape(3, 5)
    seen = [0.0] * 8
    for plane, c in enumerate(present):
        seen[c], seen[4 + c] = float(x[plane].mean()), 1.0
    w, b = conv.squeeze.weight.detach().numpy(), conv.squeeze.bias.detach().numpy()
    hidden = [max(0.0, sum(w[h, i] * seen[i] for i in range(8)) + b[h]) for h in range(len(w))]
    w, b = conv.excite.weight.detach().numpy(), conv.excite.bias.detach().numpy()
    temperature = float(conv.temperature)
    z = [(sum(w[i, h] * hidden[h] for h in range(len(hidden))) + b[i]) / temperature for i in range(len(w))]
    mixture = [math.exp(value) / sum(math.exp(other) for other in z[:3]) for value in z[:3]]
    others = [2 / (1 + math.exp(-value)) for value in z[3:]] or [1.0] * (4 + 5 + 6)
    inputs, filters, taps = others[:4], others[4:9], np.array(others[9:]).reshape(3, 2)
    _, height, width = x.shape
    y = np.zeros((5, height - 2, width - 1))
    for o, i, j in np.ndindex(*y.shape):
        y[o, i, j] = sum(mixture[k] * bias[k, o] for k in range(3))
        for (plane, c), u, v, k in (
            (pair, u, v, k) for pair in enumerate(present) for u in range(3) for v in range(2) for k in range(3)
        ):
            kernel = mixture[k] * weight[k, o, c, u, v] * inputs[c] * filters[o] * taps[u, v]
            y[o, i, j] += 4 / len(present) * kernel * x[plane, i + u, j + v]
    return y


@both
@pytest.mark.parametrize("progress", [0.1, 1.0])
def test_each_image_has_its_own_mixture(attentions, progress):
    conv = _trained(attentions)
    conv.anneal(progress)
    for subset in (CHANNELS, CHANNELS.subset(["C", "A"]), CHANNELS.subset(["D"])):
        x = torch.randn(3, len(subset), 4, 4, dtype=torch.float64)
        x += torch.randn(3, len(subset), 1, 1, dtype=torch.float64)
        y = conv(x, subset).detach()
        for image, made in zip(x, y, strict=True):
            slow = _slow_one(conv, image.numpy(), list(CHANNELS.indices(subset)))
            torch.testing.assert_close(made, torch.from_numpy(slow), rtol=1e-9, atol=1e-9)


@both
def test_the_mixture_looks_at_the_image_and_at_which_channels_there_are(attentions):
    conv = _trained(attentions)
    dark, light = -torch.ones(1, 4, 4, 4, dtype=torch.float64), torch.ones(1, 4, 4, 4, dtype=torch.float64)
    every = torch.arange(4)
    for seen_dark, seen_light in zip(conv._attend(dark, every), conv._attend(light, every), strict=True):
        assert not torch.allclose(seen_dark, seen_light)
    nothing = torch.zeros(1, 2, 4, 4, dtype=torch.float64)  # as an absent plane is pooled, but it is there
    for ab, cd in zip(conv._attend(nothing, every[:2]), conv._attend(nothing, every[2:]), strict=True):
        assert not torch.allclose(ab, cd)


def _differences(conv: MixedConv2d) -> torch.Tensor:
    kernels = conv.weight.detach().unflatten(0, (-1, 5))
    return kernels[1:] - kernels[0]


@both
@pytest.mark.parametrize("trained", [False, True])
def test_a_loaded_kernel_is_the_mean_at_every_temperature_and_the_kernels_still_differ(attentions, trained):
    conv = _trained(attentions)
    if not trained:
        conv = MixedConv2d(4, 5, (3, 2), channels=CHANNELS, dtype=torch.float64, attentions=attentions)
    differences = _differences(conv)
    ordinary = nn.Conv2d(4, 5, (3, 2), dtype=torch.float64)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    x = torch.randn(3, 4, 6, 6, dtype=torch.float64)
    for progress in (0.0, 0.2, 1.0):
        conv.anneal(progress)
        torch.testing.assert_close(conv(x), ordinary(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(_differences(conv), differences)
    assert differences.any()


def test_a_new_kernel_is_as_large_as_an_ordinary_one():
    torch.manual_seed(0)
    conv = MixedConv2d(3, 64, 7, channels="RGB", kernels=4)
    mean = conv.weight.detach().unflatten(0, (4, 64)).mean(dim=0)
    assert float(mean.std()) == pytest.approx(float(nn.Conv2d(3, 64, 7).weight.detach().std()), rel=0.05)


@both
def test_from_the_neutral_start_all_of_it_learns(attentions):
    torch.manual_seed(0)
    conv = MixedConv2d(4, 5, 3, channels=CHANNELS, attentions=attentions, temperature=1.0)
    x = torch.randn(3, 3, 6, 6) + torch.randn(3, 3, 1, 1)
    optimiser = torch.optim.SGD(conv.parameters(), lr=0.1)
    for _ in range(2):  # the first step moves the attentions' last layer off zero
        optimiser.zero_grad()
        conv(x, ["A", "B", "D"]).square().mean().backward()
        learns = conv.excite.weight.grad.abs().sum(dim=1) > 0
        # All attentions but that on the channel C (after the 4 on kernels), which is not there.
        assert [i for i, one in enumerate(learns.tolist()) if not one] == ([4 + 2] if attentions == "omni" else [])
        optimiser.step()
    assert conv.squeeze.weight.grad.any()
    gradients = conv.weight.grad.unflatten(0, (4, 5))
    assert (gradients - gradients.mean(dim=0)).abs().max() > 1e-4 * gradients.abs().max(), "all kernels learn the same"


@both
def test_channels_last_gives_the_same(attentions):
    conv, x = _trained(attentions), torch.randn(2, 3, 6, 6, dtype=torch.float64)
    y = conv(x, ["A", "D", "B"])
    last = conv.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last), ["A", "D", "B"])
    torch.testing.assert_close(last, y, rtol=1e-9, atol=1e-9)
    last.sum().backward()
    ordinary = nn.Conv2d(4, 5, (3, 2), dtype=torch.float64)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    full = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(conv(full), ordinary(full), rtol=1e-9, atol=1e-9)


def test_the_temperature_falls_linearly_and_stays_at_one():
    conv = MixedConv2d(4, 5, 3, channels=CHANNELS, annealing=0.5)
    assert conv.temperature == 30.0
    assert annealed_modules(nn.Sequential(conv)) == [conv]
    for progress, temperature in ((0.0, 30.0), (0.125, 22.75), (0.25, 15.5), (0.5, 1.0), (0.75, 1.0), (1.0, 1.0)):
        conv.anneal(progress)
        assert conv.temperature == temperature
    conv.anneal(0.25)
    other = MixedConv2d(4, 5, 3, channels=CHANNELS, temperature=7.0)
    assert other.temperature == 7.0
    other.load_state_dict(conv.state_dict())
    assert other.temperature == 15.5, "a model file does not hold it"
    for progress in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=f"progress is {progress}"):
            conv.anneal(progress)


def test_a_high_temperature_mixes_evenly():
    conv = _trained("kernel")
    x = torch.randn(8, 4, 6, 6, dtype=torch.float64)
    largest = {}
    for progress in (0.0, 1.0):
        conv.anneal(progress)
        (mixture,) = conv._attend(x, torch.arange(4))
        largest[progress] = float(mixture.max().detach())
        torch.testing.assert_close(mixture.sum(dim=1), torch.ones(8, dtype=torch.float64))
    assert 1 / 3 < largest[0.0] < 0.4
    assert largest[1.0] > 0.5


@both
def test_what_is_done_for_each_image_can_be_counted(attentions):
    conv = MixedConv2d(4, 5, (3, 2), channels=CHANNELS, attentions=attentions, kernels=3, hidden=6)
    heads = 3 if attentions == "kernel" else 3 + 4 + 5 + 6
    for images in (1, 7):
        with FlopCounterMode(display=False) as counter:
            conv(torch.randn(images, 2, 6, 6), ["A", "C"])
        attention = 2 * 4 * 6 + 6 * heads
        mixing = 3 * 5 * 2 * 6 + 3 * 5
        convolution = 5 * 2 * 6 * 4 * 5
        assert counter.get_total_flops() == 2 * images * (attention + mixing + convolution)


def test_the_attention_is_wider_for_many_channels():
    widths = {c: MixedConv2d(c, 5, 1, channels=[f"B{i}" for i in range(c)]).squeeze.out_features for c in (3, 64, 80)}
    assert widths == {3: 16, 64: 16, 80: 20}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kernels": 0}, "kernels is 0; it must be at least 1"),
        ({"hidden": 0}, "hidden is 0; it must be at least 1"),
        ({"attentions": "all"}, "attentions is 'all'; choose from 'kernel', 'omni'"),
        ({"temperature": 0.5}, "temperature is 0.5"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"annealing": 0.0}, "annealing is 0.0"),
        ({"annealing": 1.5}, "annealing is 1.5"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        MixedConv2d(4, 5, 3, channels=CHANNELS, **options)
