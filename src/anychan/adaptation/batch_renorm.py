"""Batch renormalisation: batch normalisation that trains with the running averages it is tested with.

With a batch's mean mu_B and deviation sigma_B, and the running averages mu and sigma, a training step computes

    y = gamma * ((x - mu_B) / sigma_B * r + d) + beta
    r = clip(sigma_B / sigma, 1 / r_max, r_max),        d = clip((mu_B - mu) / sigma, -d_max, d_max)

Gradients stop through r and d. Where nothing is clipped this is (x - mu) / sigma, what is computed at test time;
where r_max is 1 and d_max is 0 it is batch normalisation. Training begins there and moves on to the widest limits.

Source: Ioffe, "Batch Renormalization", arXiv 1702.03275, algorithm 1. From there are the momentum of 0.01 and the
limits: 1 and 0 up to step 5,000, then wider, up to r_max = 3 at step 40,000 and d_max = 5 at step 25,000; here a
run counts as 160,000 steps. What differs: the running average is of the variance and not of the deviation, so that
at test time it is torch's batch normalisation; and up to 1 / momentum batches the averages are plain means over
them, so that they mean something from the first step on.

Cost: one more pass over the input in training; none at test time.
Fails where subsets differ by more than the limits, and does not tell subsets apart at test time: it trains the
weights to live with one set of statistics. Each process normalises by its own batch; it counts as a batch normalisation
to torch, so ``convert_sync_batchnorm`` would make an ordinary synchronised one of it.
"""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

R_MAX, D_MAX = 3.0, 5.0
# Fractions of the run: until when it is batch normalisation, and from when on the limits are at their widest.
_PLAIN_UNTIL, _R_WIDEST, _D_WIDEST = 5 / 160, 40 / 160, 25 / 160


class BatchRenorm(_BatchNorm, ABC):
    """Batch renormalisation, followed by a dropout and an activation if it is given them (abstract).

    Args:
        num_features, eps, affine, device, dtype: as in ``torch.nn.BatchNorm2d``.
        momentum: the share of a new batch in the running averages; None: plain means over all batches, and
            then it is ordinary batch normalisation, as when statistics are recomputed.
        drop, act: applied to the result, as in timm's ``BatchNormAct2d``; None: nothing is.
    """

    ordinary: ClassVar[type[_BatchNorm]]  # what it is at test time
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    r_max: Tensor
    d_max: Tensor

    def __init__(  # noqa: PLR0917 # nn.BatchNorm2d's own signature
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.01,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        drop: nn.Module | None = None,
        act: nn.Module | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, device=device, dtype=dtype)
        self.drop, self.act = drop, act
        # Buffers, so that a model file holds them, and a GPU need not be waited for.
        self.register_buffer("r_max", torch.ones((), device=device, dtype=dtype))
        self.register_buffer("d_max", torch.zeros((), device=device, dtype=dtype))

    def anneal(self, progress: float) -> None:
        """Set the limits that belong to the fraction of the run that is done."""
        self.r_max.fill_(1 + (R_MAX - 1) * _ramp(progress, _R_WIDEST))
        self.d_max.fill_(D_MAX * _ramp(progress, _D_WIDEST))

    def forward(self, x: Tensor) -> Tensor:
        # Without a moving average there is nothing yet to renormalise by.
        renormalises = self.training and self.momentum is not None
        y = self._renormalised(x) if renormalises else super().forward(x)
        y = y if self.drop is None else self.drop(y)
        return y if self.act is None else self.act(y)

    def _renormalised(self, x: Tensor) -> Tensor:
        self._check_input_dim(x)
        with torch.no_grad():
            r_C, d_C = self._correction(x)
        # gamma ((x - mu_B) / sigma_B r + d) + beta is batch normalisation with another scale and shift.
        scale_C = r_C if self.weight is None else self.weight * r_C
        shift_C = d_C if self.weight is None else self.weight * d_C
        shift_C = shift_C if self.bias is None else shift_C + self.bias
        return F.batch_norm(x, None, None, scale_C, shift_C, training=True, eps=self.eps)

    def _correction(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """r and d of a batch, which then moves the running averages."""
        dims = [0, *range(2, x.ndim)]
        values = x.numel() // x.shape[1]
        if values < 2:
            raise ValueError(f"training needs more than one value a channel, not an input of {tuple(x.shape)}")
        x = x.to(self.running_mean.dtype)  # autocast may have made it coarser
        var_C, mean_C = torch.var_mean(x, dims, correction=0)
        sigma_C = (self.running_var + self.eps).sqrt()
        r_C = ((var_C + self.eps).sqrt() / sigma_C).clamp(1 / self.r_max, self.r_max)
        d_C = ((mean_C - self.running_mean) / sigma_C).clamp(-self.d_max, self.d_max)
        self.num_batches_tracked.add_(1)
        share = (1 / self.num_batches_tracked).clamp(min=self.momentum).to(mean_C.dtype)
        self.running_mean.lerp_(mean_C, share)
        self.running_var.lerp_(var_C * (values / (values - 1)), share)  # unbiased, as torch's
        return r_C, d_C

    def fold(self) -> nn.Module:
        """The ordinary normalisation it is at test time: torch's, or timm's with the dropout and activation.

        It has the same parameters, buffers, dropout and activation, not copies of them.
        """
        settings: dict[str, Any] = {"eps": self.eps, "momentum": self.momentum, "affine": self.affine}
        if self.drop is None and self.act is None:
            ordinary = self.ordinary(self.num_features, **settings)
        else:
            from timm.layers import BatchNormAct2d

            ordinary = BatchNormAct2d(self.num_features, apply_act=False, **settings)
            ordinary.drop, ordinary.act = self.drop or nn.Identity(), self.act or nn.Identity()
        ordinary.weight, ordinary.bias = self.weight, self.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(ordinary, name, self.get_buffer(name))
        return ordinary.train(self.training)


class BatchRenorm1d(BatchRenorm, nn.BatchNorm1d):
    """Batch renormalisation of (N, C) or (N, C, L), such as pooled features or the nodes of a graph.

    Example:
        >>> BatchRenorm1d(8)(torch.randn(4, 8)).shape
        torch.Size([4, 8])
    """

    ordinary = nn.BatchNorm1d


class BatchRenorm2d(BatchRenorm, nn.BatchNorm2d):
    """Batch renormalisation of (N, C, H, W).

    Example:
        >>> norm = BatchRenorm2d(8)
        >>> norm.anneal(1.0)
        >>> norm(torch.randn(4, 8, 5, 5)).shape, norm.r_max.item(), norm.d_max.item()
        (torch.Size([4, 8, 5, 5]), 3.0, 5.0)
    """

    ordinary = nn.BatchNorm2d


def _ramp(progress: float, widest: float) -> float:
    return min(max((progress - _PLAIN_UNTIL) / (widest - _PLAIN_UNTIL), 0.0), 1.0)
