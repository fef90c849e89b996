"""The template strategy against its formula, one channel, tap and pixel at a time, and its decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from anychan.channels import ChannelSet
from anychan.nn import TemplateConv2d

CHANNELS = ChannelSet("ABCD")


def _slow(conv: TemplateConv2d, x: np.ndarray, present: list[int]) -> np.ndarray:
    mixture, templates, bias = (p.detach().numpy() for p in (conv.coefficients, conv.templates, conv.bias))
    n, _, height, width = x.shape
    y = np.zeros((n, 5, height - 2, width - 1)) + bias[:, None, None]
    for t, template in enumerate(templates):  # the planes are mixed for each template, then convolved with it
        mixed = sum(mixture[c, t] * x[:, plane] for plane, c in enumerate(present))
        for i, j, u, v in np.ndindex(height - 2, width - 1, 3, 2):
            y[:, :, i, j] += 4 / len(present) * mixed[:, i + u, j + v][:, None] * template.reshape(5, 3, 2)[:, u, v]
    return y


@pytest.mark.parametrize("templates", [2, 4, 6])
def test_each_slice_is_a_mixture_of_the_templates(templates):
    torch.manual_seed(0)
    conv = TemplateConv2d(4, 5, (3, 2), channels=CHANNELS, dtype=torch.float64, templates=templates)
    conv.coefficients.data.normal_()
    for subset in [*CHANNELS.subsets(), CHANNELS.subset(["C", "A"])]:
        x = torch.randn(2, len(subset), 5, 4, dtype=torch.float64)
        slow = _slow(conv, x.numpy(), list(CHANNELS.indices(subset)))
        torch.testing.assert_close(conv(x, subset).detach(), torch.from_numpy(slow), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("c", [1, 3, 64])
def test_it_starts_as_an_ordinary_convolution_and_takes_over_another(c):
    names = [f"B{i}" for i in range(c)]
    torch.manual_seed(0)
    drawn = nn.Conv2d(c, 8, 5)
    torch.manual_seed(0)
    conv = TemplateConv2d(c, 8, 5, channels=names)
    torch.testing.assert_close(conv.kernel()[0], drawn.weight, rtol=1e-5, atol=1e-6)
    assert torch.equal(conv.bias, drawn.bias)
    pretrained = nn.Conv2d(c, 8, 5)
    conv.load_kernel(pretrained.weight, pretrained.bias)
    torch.testing.assert_close(conv.kernel()[0], pretrained.weight, rtol=1e-5, atol=1e-6)
    assert torch.equal(conv.bias, pretrained.bias)


def test_fewer_templates_give_the_nearest_kernel_of_their_rank():
    ordinary = nn.Conv2d(4, 5, 3, dtype=torch.float64)
    slices = ordinary.weight.detach().transpose(0, 1).flatten(1).numpy()
    values, vectors = np.linalg.eigh(slices @ slices.T)  # another way to the singular vectors
    for rank in (1, 2, 3):
        conv = TemplateConv2d(4, 5, 3, channels=CHANNELS, dtype=torch.float64, templates=rank)
        conv.load_kernel(ordinary.weight, ordinary.bias)
        kept = vectors[:, -rank:]
        made = conv.kernel()[0].detach().transpose(0, 1).flatten(1).numpy()
        np.testing.assert_allclose(made, kept @ kept.T @ slices, atol=1e-10)
        np.testing.assert_allclose(((made - slices) ** 2).sum(), values[:-rank].sum(), rtol=1e-8)


def test_exact_is_promised_where_the_templates_are_enough():
    def promised(c: int, templates: int | None, out_channels: int = 5) -> bool:
        names = [f"B{i}" for i in range(c)]
        return TemplateConv2d(c, out_channels, 1, channels=names, templates=templates).promises.exact

    assert promised(4, None)
    assert promised(4, 7)
    assert not promised(4, 3)
    assert promised(4, 3, out_channels=3)  # four slices of three numbers have rank 3
    wide = TemplateConv2d(4, 3, 1, channels=CHANNELS, templates=3)
    ordinary = nn.Conv2d(4, 3, 1)
    wide.load_kernel(ordinary.weight, ordinary.bias)
    torch.testing.assert_close(wide.kernel()[0], ordinary.weight, rtol=1e-5, atol=1e-6)


def test_templates_it_has_no_use_for_wait_with_coefficient_zero():
    conv = TemplateConv2d(2, 5, 3, channels=["A", "B"], templates=5)
    conv.coefficients.data.normal_()
    spare = conv.templates[2:].detach().clone()
    ordinary = nn.Conv2d(2, 5, 3)
    conv.load_kernel(ordinary.weight, ordinary.bias)
    torch.testing.assert_close(conv.kernel()[0], ordinary.weight, rtol=1e-5, atol=1e-6)
    assert torch.equal(conv.templates[2:], spare)
    assert not conv.coefficients[:, 2:].any()
    conv.kernel()[0].square().sum().backward()
    assert conv.coefficients.grad[:, 2:].all(), "they can never come into play"
    assert conv.templates.grad[:2].any()


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="templates is 0; it must be at least 1"):
        TemplateConv2d(4, 5, 3, channels=CHANNELS, templates=0)
