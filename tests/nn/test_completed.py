"""The completed strategy against an ordinary convolution of an image filled in one pixel at a time."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from anychan import adapt
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


@pytest.mark.parametrize("learnable", [False, True])
def test_the_units_of_channels_play_no_part(learnable):
    """Red and infrared as reflectances beside kelvins: a guess is what it is in units of one size."""
    units = torch.tensor([1e-2, 1e-2, 20.0, 1e4], dtype=torch.float64)
    correlation = 0.9 ** (torch.arange(4)[:, None] - torch.arange(4)[None]).abs().double()
    covariance = correlation * units[:, None] * units[None, :]
    expected = completion(correlation, [0, 2], [1, 3]) * units[[1, 3], None] / units[None, [0, 2]]
    torch.testing.assert_close(completion(covariance, [0, 2], [1, 3]), expected, rtol=1e-9, atol=0)
    one, other = (
        CompletedConv2d(4, 1, 1, channels=CHANNELS, covariance=sigma, dtype=torch.float64, learnable=learnable)
        for sigma in (correlation, covariance)
    )
    other.load_kernel(one.weight / units[:, None, None], one.bias)
    of_other = other.kernel("A")[0] * units[0]
    torch.testing.assert_close(of_other, one.kernel("A")[0], rtol=1e-6, atol=1e-9)


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


def test_rounding_leaves_no_subset_a_kernel_that_is_far_too_large():
    correlation = torch.eye(4, dtype=torch.float64)
    correlation[0, 1] = correlation[1, 0] = 1 + 1e-6  # of two equal channels; the ridge would all but cancel it
    correlation[2, :2] = correlation[:2, 2] = torch.tensor([0.5, 0.50001])
    conv = CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=correlation)
    for subset in CHANNELS.subsets():
        assert conv.kernel(subset)[0].abs().max() < 10 * conv.weight.abs().max()


@pytest.mark.parametrize("copied", [copy.copy, lambda conv: conv._replicate_for_data_parallel()])
def test_a_shallow_copy_with_other_weights_has_the_constant_of_its_own(copied):
    conv = CompletedConv2d(4, 5, 3, padding=1, channels=CHANNELS, covariance=_covariance().float(), mean=MEAN.float())
    other = copied(conv)
    other.__dict__["_parameters"] = dict.fromkeys(conv._parameters)
    other.weight, other.bias = nn.Parameter(torch.zeros_like(conv.weight)), nn.Parameter(torch.zeros(5))
    assert not other(torch.rand(1, 2, 6, 6), "AC").any()


def test_it_is_made_beside_a_default_device():
    covariance = _covariance()
    with torch.device("meta"):
        for learnable in (False, True):
            conv = CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=covariance, learnable=learnable)
            assert conv.weight.is_meta


def test_learnable_starts_at_the_covariance_and_learns():
    fixed = CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=_covariance())
    learnable = CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=_covariance(), learnable=True)
    learnable.load_kernel(fixed.weight, fixed.bias)
    torch.testing.assert_close(learnable.kernel("AC")[0], fixed.kernel("AC")[0], rtol=1e-3, atol=1e-4)
    learnable.kernel("AC")[0].square().sum().backward()
    assert learnable.cholesky.grad.tril().any()
    assert "covariance" not in dict(learnable.named_parameters())
    assert not any("covariance" in name for name, _ in fixed.named_parameters())


def test_learnable_takes_every_covariance_that_is_accepted():
    rounded = torch.full((4, 4), 1 + 1e-5)  # its diagonal was rounded down: eigenvalues of -1e-5
    rounded.fill_diagonal_(1.0)
    assert torch.linalg.eigvalsh(rounded.double())[0] < -5e-6
    fixed = CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=rounded, ridge=1e-3)
    learnable = CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=rounded, ridge=1e-3, learnable=True)
    learnable.load_kernel(fixed.weight, fixed.bias)
    torch.testing.assert_close(learnable.kernel("A")[0], fixed.kernel("A")[0], rtol=1e-2, atol=1e-2)
    CompletedConv2d(4, 5, 3, channels=CHANNELS, covariance=rounded, learnable=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"covariance": torch.eye(3)}, r"shape \(4, 4\), not \(3, 3\)"),
        ({"covariance": torch.ones(4, 4).triu()}, "not symmetric"),
        ({"covariance": -torch.eye(4)}, "smallest eigenvalue is -1"),
        ({"covariance": torch.full((4, 4), torch.nan)}, "covariance holds infinite numbers or NaN"),
        ({"covariance": torch.full((4, 4), torch.inf)}, "covariance holds infinite numbers or NaN"),
        ({"covariance": torch.eye(4), "mean": torch.zeros(3)}, r"shape \(4,\), not \(3,\)"),
        ({"covariance": torch.eye(4), "ridge": -1.0}, "ridge is -1.0"),
        ({"covariance": torch.ones(4, 4), "ridge": 0.0}, "ridge is 0, but the covariance is singular"),
        ({"covariance": torch.diag(torch.tensor([1.0, 0, 1, 1])), "ridge": 0}, "ridge is 0, .* eigenvalue is 0:"),
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


def _correlated(channels: int = 6, nearest: float = 0.995) -> torch.Tensor:
    """Of bands each of which tells nearly all of its neighbours; in half precision it has negative eigenvalues."""
    i = torch.arange(channels)
    return nearest ** (i[:, None] - i[None]).abs().double()


def _assert_close_kernels(coarse: CompletedConv2d, fine: CompletedConv2d, dtype: torch.dtype) -> None:
    for subset in fine.channels.subsets():
        expected, found = fine.kernel(subset)[0].detach(), coarse.kernel(subset)[0].detach()
        assert found.dtype == dtype
        assert (found.float() - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kernels_of_half_precision_are_those_of_single_precision(dtype, learnable):
    fine = CompletedConv2d(6, 4, 3, covariance=_correlated(), mean=torch.arange(6.0), learnable=learnable)
    fine.kernel("0,1")[0].sum().backward()
    cast = copy.deepcopy(fine).to(dtype)
    made = CompletedConv2d(6, 4, 3, covariance=_correlated(), mean=torch.arange(6.0), learnable=learnable, dtype=dtype)
    made.load_state_dict(cast.state_dict())
    for coarse in (cast, made, copy.deepcopy(cast).train()):
        _assert_close_kernels(coarse, fine, dtype)
        assert coarse(torch.ones(1, 1, 4, 4, dtype=dtype), "3").dtype == dtype
    cast.kernel("3,4")[0].sum().backward()  # where there is a gradient already
    assert cast.double().mean.dtype == cast.weight.dtype == torch.float64


def test_adapt_takes_a_model_of_half_precision():
    body = nn.Sequential(nn.Conv2d(6, 4, 3, padding=1), nn.Flatten())
    names = [str(i) for i in range(6)]
    fine = adapt(body, names, statistics=_correlated())
    coarse = adapt(copy.deepcopy(body).bfloat16(), names, statistics=_correlated())
    for model in (coarse, copy.deepcopy(fine).bfloat16()):
        _assert_close_kernels(model.stems["0"], fine.stems["0"], torch.bfloat16)
        assert model(torch.ones(2, 1, 5, 5, dtype=torch.bfloat16), ["4"]).dtype == torch.bfloat16


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(("before", "loaded"), [(torch.zeros(4), MEAN), (MEAN, torch.zeros(4))])
def test_a_mean_that_is_loaded_is_the_one_that_counts(before, loaded, padding):
    def made(mean):
        return CompletedConv2d(4, 5, 3, padding=padding, channels=CHANNELS, covariance=_covariance(), mean=mean)

    expected, conv = made(loaded), made(before)
    nn.Sequential(conv).load_state_dict(nn.Sequential(expected).state_dict())
    x = torch.randn(2, 2, 6, 5)
    torch.testing.assert_close(conv(x, "AC"), expected(x, "AC"))
    assert conv.promises == expected.promises
    assert not torch.equal(before, loaded)  # what it was made with is as it was
