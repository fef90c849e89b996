"""Whitening kernels: uncorrelated responses of equal variance, checked on other code's patches."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from anychan.blocks import whitening_kernel


def images() -> torch.Tensor:
    """Smooth images with channels that resemble each other."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(64, 3, 16, 16, generator=generator).cumsum(2).cumsum(3)
    noise = noise / noise.std()
    return noise + noise.mean(dim=1, keepdim=True)


def test_responses_are_white() -> None:
    x = images()
    kernel = whitening_kernel(x.split(40), 24, 2, regularisation=0)
    assert kernel.shape == (24, 3, 2, 2)
    responses = F.conv2d(x, kernel).double().transpose(0, 1).flatten(1)
    assert_close(torch.cov(responses[:12]), torch.eye(12, dtype=torch.float64), atol=1e-2, rtol=0)
    assert_close(responses[12:], -responses[:12])


def test_fewer_kernels_keep_the_largest_variances() -> None:
    x = images()
    unscaled = whitening_kernel([x], 24, 2, regularisation=1e6)[:12].flatten(1) * 1e3  # the vectors themselves
    responses = F.conv2d(x, unscaled.view(12, 3, 2, 2)).transpose(0, 1).flatten(1)
    variances = responses.var(dim=1)
    assert torch.equal(variances, variances.sort(descending=True).values)
    assert torch.equal(whitening_kernel([x], 8, 2)[:4], whitening_kernel([x], 24, 2)[:4])


def test_regularisation_bounds_the_kernels() -> None:
    flat = images()[:, :1].expand(-1, 3, -1, -1)  # two directions of colour have no variance
    assert whitening_kernel([flat], 24, 2, regularisation=1e-2).abs().max() < 1 / 0.1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((7, 2), "7 whitening kernels: an even number, at most 24"),
        ((26, 2), "26 whitening kernels"),
        ((0, 2), "0 whitening kernels"),
        ((2, 16), "64 patches do not tell the covariance of 768 values"),
    ],
)
def test_what_cannot_be_whitened_is_refused(arguments: tuple[int, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        whitening_kernel([images()], *arguments)
