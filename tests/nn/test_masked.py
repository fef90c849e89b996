"""The masked strategy against its formula, one channel, tap and pixel at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from anychan.channels import ChannelSet
from anychan.nn import CompletedConv2d, MaskedConv2d, SlicedConv2d, completion

CHANNELS = ChannelSet("ABCD")


def _trained(**options) -> MaskedConv2d:
    """A stem whose parameters are all away from their start."""
    torch.manual_seed(0)
    conv = MaskedConv2d(4, 5, (3, 2), channels=CHANNELS, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return conv


def _generated(conv: MaskedConv2d, mask: list[float]) -> np.ndarray:
    first, _, last = conv.generator
    w, b, v = (p.detach().numpy() for p in (first.weight, first.bias, last.weight))
    z = [sum(w[h, c] * mask[c] for c in range(4)) + b[h] for h in range(len(w))]
    a = [0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in z]
    return np.array([sum(v[i, h] * a[h] for h in range(len(a))) for i in range(len(v))]).reshape(4, -1)


def _slow(conv: MaskedConv2d, x: np.ndarray, present: list[int]) -> np.ndarray:
    bank, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
    extra = [t.reshape(5, 3, 2) for t in conv.templates.detach().numpy()]
    slices = [bank[:, c] for c in range(4)] + extra
    change = _generated(conv, [float(c in present) for c in range(4)]) - _generated(conv, [1.0] * 4)
    n, _, height, width = x.shape
    y = np.zeros((n, 5, height - 2, width - 1)) + bias[:, None, None]
    for plane, c in enumerate(present):
        kernel = bank[:, c] + sum(change[c, k] * slices[k] for k in range(len(slices)))
        for i, j, u, v in np.ndindex(height - 2, width - 1, 3, 2):
            y[:, :, i, j] += 4 / len(present) * x[:, plane, i + u, j + v][:, None] * kernel[:, u, v]
    return y


@pytest.mark.parametrize("templates", [0, 3])
def test_it_is_the_bank_and_what_the_mask_adds(templates):
    conv = _trained(templates=templates, hidden=7)
    for subset in [*CHANNELS.subsets(), CHANNELS.subset(["C", "A"])]:
        x = torch.randn(2, len(subset), 5, 4, dtype=torch.float64)
        slow = _slow(conv, x.numpy(), list(CHANNELS.indices(subset)))
        torch.testing.assert_close(conv(x, subset).detach(), torch.from_numpy(slow), rtol=1e-9, atol=1e-9)


def test_the_full_set_has_the_bank_also_after_training_and_a_new_kernel():
    conv = _trained()
    conv.float()
    # A difference of two results that only rounding tells apart, times this, would show.
    conv.templates.data.fill_(float("inf"))
    assert torch.equal(conv.kernel()[0], conv.weight)
    assert torch.equal(conv.kernel("CADB")[0], conv.weight[:, [2, 0, 3, 1]])
    ordinary = nn.Conv2d(4, 5, (3, 2))
    conv.load_kernel(ordinary.weight, ordinary.bias)
    assert torch.equal(conv.kernel()[0], ordinary.weight)


def test_a_kernel_depends_on_which_channels_are_missing():
    conv = _trained()
    kernel_of_a = {other: conv.kernel(["A", other])[0][:, 0] for other in "BCD"}
    assert not torch.allclose(kernel_of_a["B"], kernel_of_a["C"])
    assert not torch.allclose(kernel_of_a["B"], kernel_of_a["D"])


def test_untrained_it_is_sliced_and_a_subset_trains_all_of_it():
    conv = MaskedConv2d(4, 5, 3, channels=CHANNELS)
    sliced = SlicedConv2d(4, 5, 3, channels=CHANNELS)
    sliced.load_kernel(conv.weight, conv.bias)
    for subset in CHANNELS.subsets():
        torch.testing.assert_close(conv.kernel(subset)[0], sliced.kernel(subset)[0], rtol=0, atol=0)
    optimiser = torch.optim.SGD(conv.parameters(), lr=0.1)
    for _ in range(2):  # the first step moves the network's last layer off zero
        optimiser.zero_grad()
        conv.kernel(["A", "C"])[0].square().sum().backward()
        optimiser.step()
    assert all(parameter.grad.any() for name, parameter in conv.named_parameters() if name != "bias")


def test_it_can_be_what_completed_is_for_all_masks_at_once():
    channels, mixing = ChannelSet("ABC"), torch.randn(3, 3, dtype=torch.float64)
    covariance = mixing @ mixing.T + torch.eye(3, dtype=torch.float64)
    like = {"channels": channels, "dtype": torch.float64}
    conv = MaskedConv2d(3, 5, 3, templates=0, **like)
    completed = CompletedConv2d(3, 5, 3, covariance=covariance, ridge=0.0, **like)
    completed.load_kernel(conv.weight, conv.bias)
    subsets = channels.subsets()
    masks_7C = torch.zeros(7, 3, dtype=torch.float64)
    change_7CC = torch.zeros(7, 3, 3, dtype=torch.float64)
    for mask_C, change_CC, subset in zip(masks_7C, change_7CC, subsets, strict=True):
        present = list(channels.indices(subset))
        missing = [i for i in range(3) if i not in present]
        mask_C[present] = 1
        # |S| / |C| (W_S + A^T W_M) is W_S plus this mixture of the bank:
        change_CC[present, present] = len(present) / 3 - 1
        guess_MS = completion(covariance, present, missing, ridge=0.0)
        change_CC[torch.tensor(present)[:, None], torch.tensor(missing, dtype=torch.long)] = (
            len(present) / 3 * guess_MS.T
        )
    first, gelu, last = conv.generator
    hidden_7H = gelu(first(masks_7C)).detach()
    steps_7H = hidden_7H - hidden_7H[:1]  # the full mask comes first
    last.weight.data = torch.linalg.lstsq(steps_7H, change_7CC.flatten(1), driver="gelsd").solution.T
    for subset in subsets:
        torch.testing.assert_close(conv.kernel(subset)[0], completed.kernel(subset)[0], rtol=1e-6, atol=1e-6)


def test_the_network_is_as_wide_as_there_are_channels():
    widths = {c: MaskedConv2d(c, 5, 1, channels=[f"B{i}" for i in range(c)]).generator[0].out_features for c in (3, 64)}
    assert widths == {3: 32, 64: 64}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"templates": -1}, "templates is -1; it must be at least 0"),
        ({"hidden": 0}, "hidden is 0; it must be at least 1"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        MaskedConv2d(4, 5, 3, channels=CHANNELS, **options)
