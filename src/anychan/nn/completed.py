"""Completed: the missing channels are replaced by their best linear guess from those present, inside the kernel.

With mean mu and covariance Sigma of the stem's input, the best guess of the missing planes x_M of a pixel that
is linear in the present ones x_S is (the conditional mean of a Gaussian; e.g. Bishop, "Pattern Recognition and
Machine Learning", 2006, eq. 2.81)

    E[x_M | x_S] = mu_M + A (x_S - mu_S),        A = Sigma_MS Sigma_SS^-1.

A convolution is linear, so convolving the guess is convolving the present planes with another kernel:

    weight(S) = W_S + W_M A,        bias(S) = b + sum over taps of W_M (mu_M - A mu_S).

On the full set M is empty and the kernel is W. Where the stem sees channels normalised to mean 0 the constant
vanishes and this is exact with zero padding. Where it does not, a padded tap must not get the constant: the
planes are zero there, the missing ones too. Then an implied plane of ones, zero-padded like the image, carries
it, and the convolution does not fold.

Sigma_SS may be singular (two equal channels, a constant one): it is solved in float64 as a matrix of correlations with
``ridge`` on its diagonal, so that the units of the channels play no part. Where rounding has left Sigma an eigenvalue
below 0, its variances are raised by as much. It must not be rounded further than to
float32 either, or it is no covariance any more: mean and covariance keep that precision in a model of half of it, and
kernels come out in the weight's.

Source: conditional means are textbook; building them into the kernel of a stem is our own (it may be known elsewhere).

Assumes that a missing channel is nearly a linear function of the present ones, pixel by pixel, the same in all images.
Cost: parameters and MACs of an ordinary convolution of |S| planes, of |S| + 1 with the plane of ones, and
O |M| |S| kh kw MACs to make a kernel, once a call (docs/theory/completed.md has all terms); a folded one costs nothing.
Fails where a channel is not linear in the others (what only the missing channel sees is lost), and where the
image's own covariance is far from the data set's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from anychan.channels import ChannelsLike
from anychan.nn._contract import KernelConv2d, Promises, copy_kernel, float64, positions
from anychan.nn._registry import register_strategy


def completion(covariance: Tensor, present: list[int], missing: list[int], ridge: float = 1e-6) -> Tensor:
    """The matrix A of the best linear guess of missing channels from present ones.

    Args:
        covariance: (C, C), symmetric and positive semi-definite.
        present: indices of the |S| channels there are.
        missing: indices of the |M| channels to guess.
        ridge: added to the diagonal of Sigma_SS, of each channel in units of its variance; not negative.

    Returns:
        (|M|, |S|), float64, differentiable in ``covariance``; on the CPU if the covariance is on an Apple GPU.

    Example:
        >>> completion(torch.tensor([[1.0, 0.5], [0.5, 1.0]]), present=[0], missing=[1], ridge=0.0)
        tensor([[0.5000]], dtype=torch.float64)
    """
    sigma = float64(covariance)
    there, gone = (positions(indices, sigma.device) for indices in (present, missing))
    sigma_SC = sigma.index_select(0, there)
    sigma_SS, sigma_SM = sigma_SC.index_select(1, there), sigma_SC.index_select(1, gone)
    scale_S1 = _scale(sigma_SS)[:, None]
    eye = torch.eye(len(present), dtype=torch.float64, device=sigma.device)
    return (scale_S1 * solve(_correlation(sigma_SS) + ridge * eye, scale_S1 * sigma_SM)).T


def _scale(covariance: Tensor) -> Tensor:
    """What each channel is multiplied by so that its variance is 1; a constant one, which guesses nothing, by 1."""
    variance = covariance.diagonal()
    return torch.where(variance > 0, variance, 1.0).rsqrt()


def _correlation(covariance: Tensor) -> Tensor:
    scale_C1 = _scale(covariance)[:, None]
    return scale_C1 * covariance * scale_C1.T


def solve(matrix_SS: Tensor, right_SM: Tensor) -> Tensor:
    """What a symmetric positive definite matrix takes to the right side, (S, M); differentiable.

    On a GPU by Gauss-Jordan elimination, which needs no pivots here, since ``torch.linalg.solve`` waits for it to hear
    whether the matrix was singular.
    """
    if matrix_SS.device.type != "cuda":
        return torch.linalg.solve(matrix_SS, right_SM)
    return eliminated(matrix_SS, right_SM)


def eliminated(matrix_SS: Tensor, right_SM: Tensor) -> Tensor:
    """`solve` by elimination, on any device."""
    size = len(matrix_SS)
    both = torch.cat([matrix_SS, right_SM], dim=1)
    eye = torch.eye(size, dtype=both.dtype, device=both.device)
    for i in range(size):
        row = both[i] / both[i, i]
        both = both - (both[:, i] - eye[i])[:, None] * row  # row i itself becomes ``row``
    return both[:, size:]


@register_strategy("completed")
class CompletedConv2d(KernelConv2d):
    """A convolution whose kernel for a subset stands in for the missing channels by covariance.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``.
        covariance: (C, C), of the planes as this convolution sees them (after normalisation).
        mean: (C,), of the same, a tensor or a list; None: zero, as after normalisation.
        ridge: see `completion`; 0 only for a covariance that is not singular, or a learnable one, which starts lifted.
        learnable: the covariance's Cholesky factor becomes a parameter, so that training can move the guess
            away from the data set's (for all subsets at once: C^2 numbers, of which C (C + 1) / 2 count).

    Raises:
        ValueError: for a covariance or mean of the wrong shape, not symmetric or not positive semi-definite,
            a negative ridge, or none for a singular covariance.

    Example:
        >>> correlation = torch.tensor([[1.0, 0.9], [0.9, 1.0]])
        >>> conv = CompletedConv2d(2, 8, 3, padding=1, channels=["red", "infrared"], covariance=correlation)
        >>> conv(torch.rand(4, 1, 16, 16), channels=["infrared"]).shape
        torch.Size([4, 8, 16, 16])
    """

    covariance: Tensor
    mean: Tensor
    uses_statistics: ClassVar[bool] = True

    def __init__(
        self,
        *conv2d_args: Any,
        covariance: Tensor,
        mean: Tensor | Sequence[float] | None = None,
        ridge: float = 1e-6,
        learnable: bool = False,
        **conv2d_options: Any,
    ) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        if ridge < 0:
            raise ValueError(f"ridge is {ridge}; it must not be negative")
        covariance = _checked_covariance(covariance, self.in_channels)
        if ridge == 0 and not learnable:
            _check_not_singular(covariance)
        mean = torch.zeros(self.in_channels, device="cpu") if mean is None else torch.as_tensor(mean)
        if mean.shape != (self.in_channels,):
            raise ValueError(f"mean must have the shape ({self.in_channels},), not {tuple(mean.shape)}")
        self.ridge, self.learnable = ridge, learnable
        self.weight, self.bias = self.new_kernel()
        exact = torch.promote_types(self.weight.dtype, torch.float32)
        moments: dict[str, Any] = {"device": self.weight.device, "dtype": exact, "copy": True}
        if learnable:
            self.cholesky = nn.Parameter(_cholesky(covariance, ridge).to(**moments))
        else:
            self.register_buffer("covariance", _lifted(covariance.to(exact).double()).to(**moments))
        self.register_buffer("mean", mean.to(**moments))
        self._place_constant(is_zero=not bool(mean.any()))
        self.register_load_state_dict_post_hook(_place_constant_again)

    @property
    def promises(self) -> Promises:
        return Promises(foldable=self.ones_kernel is None)

    def kernel(self, channels: ChannelsLike | None = None) -> tuple[Tensor, Tensor | None]:
        present, missing = self._split(channels)
        weight = self._slices(present)
        if not missing:
            return weight, self.bias
        # tensordot multiplies matrices even where M is one channel, so that whoever counts MACs sees it.
        completion_MS = self._completion(present, missing).to(weight)
        guessed = torch.tensordot(completion_MS, self._slices(missing), dims=([0], [1]))
        weight = weight + guessed.transpose(0, 1)
        if self._centred or self.ones_kernel is not None:
            return weight, self.bias
        constant = self._constant_kernel(channels).sum(dim=(1, 2, 3))
        return weight, constant if self.bias is None else self.bias + constant

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        copy_kernel(self.weight, self.bias, weight, bias)

    def _place_constant(self, is_zero: bool) -> None:
        """Say where the constant of the guess goes: nowhere if the mean is zero, into the bias, or to padded ones."""
        self._centred = is_zero
        padded = self.padding_mode == "zeros" and self.padding not in ((0, 0), "valid")
        self._pads_ones = padded and not is_zero

    @property
    def ones_kernel(self) -> Callable[[ChannelsLike | None], Tensor] | None:  # type: ignore[override] # of this instance
        """That of the constant of the guess; a bound method that was kept would stay another's in a shallow copy."""
        return self._constant_kernel if self._pads_ones else None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move and cast, but the moments to no less than float32."""
        moments = [self.mean, self.cholesky, self.cholesky.grad] if self.learnable else [self.mean, self.covariance]

        def exact(tensor: Tensor) -> Tensor:
            there = fn(tensor)
            dtype = torch.promote_types(there.dtype, torch.float32)
            too_coarse = there.dtype != dtype and any(tensor is moment for moment in moments)
            return tensor.to(there.device, dtype) if too_coarse else there

        return super()._apply(exact, recurse)

    def _split(self, channels: ChannelsLike | None) -> tuple[list[int], list[int]]:
        present = list(self.channels.indices(channels))
        return present, [i for i in range(self.in_channels) if i not in present]

    def _slices(self, indices: list[int]) -> Tensor:
        return self.weight.index_select(1, positions(indices, self.weight.device))

    def _completion(self, present: list[int], missing: list[int]) -> Tensor:
        if self.learnable:
            lower = float64(self.cholesky).tril()
            covariance = lower @ lower.T
        else:
            covariance = self.covariance
        return completion(covariance, present, missing, self.ridge)

    def _constant_kernel(self, channels: ChannelsLike | None) -> Tensor:
        """Kernel (O, 1, kh, kw) of a plane of ones: W_M (mu_M - A mu_S)."""
        present, missing = self._split(channels)
        if not missing:
            return torch.zeros_like(self.weight[:, :1])
        mean_S, mean_M = (self.mean.index_select(0, positions(some, self.mean.device)) for some in (present, missing))
        guessed_M = self._completion(present, missing) @ float64(mean_S)
        constant_M = (float64(mean_M) - guessed_M).to(self.weight)
        return torch.einsum("omhw,m->ohw", self._slices(missing), constant_M)[:, None]


def _place_constant_again(conv: CompletedConv2d, _: object) -> None:
    """The mean that was loaded may be zero where the one before was not, and the other way round."""
    if not conv.mean.is_meta:
        conv._place_constant(is_zero=not bool(conv.mean.any()))


def _checked_covariance(covariance: Tensor, channels: int) -> Tensor:
    covariance = covariance.detach().cpu().double()
    if covariance.shape != (channels, channels):
        raise ValueError(f"covariance must have the shape ({channels}, {channels}), not {tuple(covariance.shape)}")
    if not bool(covariance.isfinite().all()):
        raise ValueError("covariance holds infinite numbers or NaN: a channel has no values, or too large ones")
    if not torch.allclose(covariance, covariance.T, rtol=1e-4, atol=1e-8):
        raise ValueError("covariance is not symmetric")
    smallest = _smallest_eigenvalue(covariance)
    if smallest < -1e-4:
        raise ValueError(
            f"covariance is not positive semi-definite: as a correlation its smallest eigenvalue is {smallest:.3g}"
        )
    return covariance


def _lifted(covariance: Tensor) -> Tensor:
    """One without eigenvalues below 0, which rounding leaves of small ones: no ridge is safe from them in a subset."""
    lift = -min(_smallest_eigenvalue(covariance), 0.0)
    return covariance + lift * covariance.diagonal().diag()


def _check_not_singular(covariance: Tensor) -> None:
    """Then that of no subset is: its eigenvalues lie between those of all channels."""
    smallest = _smallest_eigenvalue(covariance)
    if smallest <= len(covariance) * torch.finfo(torch.float32).eps:  # what rounding to float32 can take away
        raise ValueError(
            f"ridge is 0, but the covariance is singular, as a correlation its smallest eigenvalue is {smallest:.3g}: "
            "take a ridge above 0, such as 1e-6, or leave out a channel that is constant or that the others tell"
        )


def _smallest_eigenvalue(covariance: Tensor) -> float:
    """Of the covariance as a correlation."""
    return float(torch.linalg.eigvalsh(_correlation(covariance))[0])


def _cholesky(covariance: Tensor, ridge: float) -> Tensor:
    """A lower-triangular factor; a singular covariance is lifted first: by the ridge, and from below 0 to it."""
    lift = max(ridge, 1e-6) - min(_smallest_eigenvalue(covariance), 0.0)
    eye = torch.eye(len(covariance), dtype=torch.float64, device=covariance.device)
    return torch.linalg.cholesky(_correlation(covariance) + lift * eye) / _scale(covariance)[:, None]
