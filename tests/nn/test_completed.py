"""The completed strategy against an ordinary convolution of an image filled in one pixel at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from anychan.channels import ChannelSet
from anychan.nn import CompletedConv2d, completion
from anychan.nn.completed import eliminated

CHANNELS = ChannelSet("ABCD")
MEAN = torch.tensor([0.5, -0.2, 0.1, 0.3])


def _covariance() -> torch.Tensor:
    mixing = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return mixing @ mixing.T


def _filled_in(x: np.ndarray, subset: ChannelSet, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """All planes: those given, and for the others the Gaussian conditional mean, pixel by pixel."""
    present = list(CHANNELS.indices(subset))
    missing = [i for i in range(4) if i not in present]
    full = np.zeros((x.shape[0], 4, *x.shape[2:]))
    inverse = np.linalg.inv(covariance[np.ix_(present, present)])
    for n, i, j in np.ndindex(x.shape[0], *x.shape[2:]):
        full[n, present, i, j] = x[n, :, i, j]
        guess = mean[missing] + covariance[np.ix_(missing, present)] @ inverse @ (x[n, :, i, j] - mean[present])
        full[n, missing, i, j] = guess
    return full


@pytest.mark.parametrize("mean", [torch.zeros(4), MEAN], ids=["centred", "with-mean"])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_it_convolves_the_best_linear_guess_borders_included(mean, padding, bias):
    covariance = _covariance()
    ordinary = nn.Conv2d(4, 5, 3, padding=padding, bias=bias, dtype=torch.float64)
    conv = CompletedConv2d(
        4, 5, 3, padding=padding, bias=bias, dtype=torch.float64, channels=CHANNELS, covariance=covariance, mean=mean,
        ridge=0.0,
    )  # fmt: skip
    conv.load_kernel(ordinary.weight, ordinary.bias)
    for subset in CHANNELS.subsets():
        x = torch.randn(2, len(subset), 6, 5, dtype=torch.float64)
        full = torch.from_numpy(_filled_in(x.numpy(), subset, mean.numpy(), covariance.numpy()))
        torch.testing.assert_close(conv(x, subset), ordinary(full), rtol=1e-6, atol=1e-7)


def test_only_a_constant_under_zero_padding_forbids_folding():
    def made(**options):
        return CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=_covariance(), **options).promises.foldable

    assert made(padding=1)
    assert made(mean=MEAN)
    assert made(mean=MEAN, padding=1, padding_mode="reflect")
    assert not made(mean=MEAN, padding=1)
    assert not made(mean=MEAN, padding="same")


def test_no_guess_is_better_than_least_squares():
    """A is what least squares finds on the pixels whose covariance it was given."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4))
    pixels -= pixels.mean(axis=0)
    fitted, *_ = np.linalg.lstsq(pixels[:, [0, 3]], pixels[:, [1, 2]], rcond=None)
    covariance = torch.from_numpy(np.cov(pixels.T, bias=True))
    np.testing.assert_allclose(completion(covariance, [0, 3], [1, 2], ridge=0.0).T, fitted, rtol=1e-8)


@pytest.mark.parametrize(
    "covariance",
    [torch.ones(4, 4), torch.zeros(4, 4), torch.diag(torch.tensor([1.0, 0.0, 1.0, 1.0]))],
    ids=["all equal", "all constant", "one constant"],
)
def test_singular_covariances_give_finite_sensible_kernels(covariance):
    conv = CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=covariance)
    for subset in CHANNELS.subsets():
        assert conv.kernel(subset)[0].isfinite().all()
    if covariance.all():  # four equal planes: one of them stands for all
        torch.testing.assert_close(conv.kernel("A")[0], conv.weight.sum(1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_learnable_starts_at_the_covariance_and_learns():
    fixed = CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=_covariance())
    learnable = CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=_covariance(), learnable=True)
    learnable.load_kernel(fixed.weight, fixed.bias)
    torch.testing.assert_close(learnable.kernel("AC")[0], fixed.kernel("AC")[0], rtol=1e-3, atol=1e-4)
    learnable.kernel("AC")[0].square().sum().backward()
    assert learnable.cholesky.grad.tril().any()
    assert "covariance" not in dict(learnable.named_parameters())
    assert not any("covariance" in name for name, _ in fixed.named_parameters())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"covariance": torch.eye(3)}, r"shape \(4, 4\), not \(3, 3\)"),
        ({"covariance": torch.ones(4, 4).triu()}, "not symmetric"),
        ({"covariance": -torch.eye(4)}, "smallest eigenvalue is -1"),
        ({"covariance": torch.eye(4), "mean": torch.zeros(3)}, r"shape \(4,\), not \(3,\)"),
        ({"covariance": torch.eye(4), "ridge": -1.0}, "ridge is -1.0"),
    ],
)
def test_bad_statistics_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        CompletedConv2d(4, 5, 3, channels=CHANNELS, **options)


@pytest.mark.parametrize(("size", "others"), [(1, 1), (2, 1), (7, 9), (15, 1)])
def test_elimination_solves_as_torch_does(size: int, others: int) -> None:
    generator = torch.Generator().manual_seed(size)
    factor = torch.randn(size, size + 2, generator=generator, dtype=torch.float64)
    matrix = (factor @ factor.T + 1e-6 * torch.eye(size, dtype=torch.float64)).requires_grad_()
    right = torch.randn(size, others, generator=generator, dtype=torch.float64, requires_grad=True)
    expected, found = torch.linalg.solve(matrix, right), eliminated(matrix, right)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
    gradients = [torch.autograd.grad(y.square().sum(), (matrix, right)) for y in (expected, found)]
    for wanted, got in zip(*gradients, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)
