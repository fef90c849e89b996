"""The by-count strategy against its formula, one channel, tap and pixel at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from anychan.channels import ChannelSet
from anychan.nn import ByCountConv2d, SlicedConv2d

CHANNELS = ChannelSet("ABCD")


def _trained(**options) -> ByCountConv2d:
    """A stem whose parameters are all away from their start."""
    torch.manual_seed(0)
    conv = ByCountConv2d(4, 5, (3, 2), channels=CHANNELS, dtype=torch.float64, **options)
    with torch.no_grad():
        conv.sizes.copy_(torch.randn_like(conv.sizes))
    return conv


def _slow(conv: ByCountConv2d, x: np.ndarray, present: list[int]) -> np.ndarray:
    bank, bias, bases, sizes = (p.detach().numpy() for p in (conv.weight, conv.bias, conv.bases, conv.sizes))
    of_size = bank.copy()
    for d, basis in enumerate(bases.reshape(-1, 5, 4, 3, 2)):
        of_size += (0.0 if len(present) == 4 else sizes[len(present) - 1, d]) * basis
    n, _, height, width = x.shape
    all_planes = np.zeros((n, 4, height, width))  # the channel mask, applied to the image
    all_planes[:, present] = x
    y = np.zeros((n, 5, height - 2, width - 1)) + bias[:, None, None]
    for c, i, j, u, v in np.ndindex(4, height - 2, width - 1, 3, 2):
        y[:, :, i, j] += 4 / len(present) * all_planes[:, c, i + u, j + v][:, None] * of_size[:, c, u, v]
    return y


@pytest.mark.parametrize("embedding", [1, 3])
def test_it_is_the_masked_kernel_of_the_size(embedding):
    conv = _trained(embedding=embedding)
    for subset in [*CHANNELS.subsets(), CHANNELS.subset(["C", "A"])]:
        x = torch.randn(2, len(subset), 5, 4, dtype=torch.float64)
        slow = _slow(conv, x.numpy(), list(CHANNELS.indices(subset)))
        torch.testing.assert_close(conv(x, subset).detach(), torch.from_numpy(slow), rtol=1e-9, atol=1e-9)


def test_only_the_number_of_channels_changes_a_slice():
    conv = _trained()
    torch.testing.assert_close(conv.kernel(["A", "B"])[0][:, 0], conv.kernel(["D", "A"])[0][:, 1])
    assert not torch.allclose(4 / 2 * conv.kernel()[0][:, 0], conv.kernel(["A", "B"])[0][:, 0])
    assert not torch.allclose(2 / 1 * conv.kernel(["A", "B"])[0][:, 0], conv.kernel(["A"])[0][:, 0])


def test_the_full_set_has_the_bank_also_after_training_and_a_new_kernel():
    conv = _trained()
    assert torch.equal(conv.kernel()[0], conv.weight)
    ordinary = nn.Conv2d(4, 5, (3, 2), dtype=torch.float64)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    assert torch.equal(conv.kernel()[0], ordinary.weight)


def test_untrained_it_is_sliced_and_a_subset_trains_all_of_it():
    conv = ByCountConv2d(4, 5, 3, channels=CHANNELS)
    sliced = SlicedConv2d(4, 5, 3, channels=CHANNELS)
    sliced.load_kernel(conv.weight, conv.bias)
    for subset in CHANNELS.subsets():
        assert torch.equal(conv.kernel(subset)[0], sliced.kernel(subset)[0])
    optimiser = torch.optim.SGD(conv.parameters(), lr=0.1)
    for _ in range(2):  # the first step moves the embeddings off zero
        optimiser.zero_grad()
        conv.kernel(["A", "C"])[0].square().sum().backward()
        optimiser.step()
    assert all(parameter.grad.any() for name, parameter in conv.named_parameters() if name != "bias")
    assert conv.sizes.grad[1].all()
    assert not conv.sizes.grad[[0, 2]].any(), "a size that was not seen does not stay sliced"


def test_channels_last_gives_the_same():
    conv = _trained()
    weight = conv.kernel(["A", "D"])[0]
    last = conv.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last.kernel(["A", "D"])[0], weight, rtol=1e-12, atol=1e-12)
    last(torch.randn(2, 2, 6, 6, dtype=torch.float64), ["A", "D"]).sum().backward()


def test_the_embedding_frees_all_sizes_of_few_channels_and_is_small_for_many():
    widths = {
        c: ByCountConv2d(c, 5, 1, channels=[f"B{i}" for i in range(c)]).sizes.shape[1] for c in (1, 2, 3, 5, 6, 64)
    }
    assert widths == {1: 1, 2: 1, 3: 2, 5: 4, 6: 4, 64: 4}


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="embedding is 0; it must be at least 1"):
        ByCountConv2d(4, 5, 3, channels=CHANNELS, embedding=0)
