"""Blocks that train as something richer than the one convolution they become."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


class FoldedConv2d(nn.Module, ABC):
    """A block that equals one convolution in evaluation mode."""

    @property
    def linear_now(self) -> bool:
        """Whether nothing in it bends: some become linear only in the course of training."""
        return True

    @property
    @abstractmethod
    def norms(self) -> list[nn.Module]:
        """The normalisations in it, of which only those of batches are linear in evaluation mode."""

    @property
    def foldable(self) -> bool:
        """Whether it equals one convolution now, which with a group normalisation it never does."""
        return self.linear_now and all(isinstance(norm, nn.BatchNorm2d) for norm in self.norms)

    @abstractmethod
    def fold(self) -> nn.Conv2d:
        """One convolution that gives what the block gives in evaluation mode; ValueError where there is none."""


def fold_branches(model: nn.Module) -> nn.Module:
    """A copy of a model in evaluation mode, with one convolution in place of each block that equals one.

    What is not linear yet (`DeepenedConv2d` before it is annealed), or never will be (with a group normalisation),
    stays as it is.

    Raises:
        ValueError: if a branch has a batch normalisation that does more than that, or the model keeps statistics for
            each subset of its channels: `anychan.specialize` folds one of these.

    Example:
        >>> from anychan.blocks import BranchedConv2d
        >>> fold_branches(nn.Sequential(BranchedConv2d(3, 8, [5, 3]), nn.ReLU()))[0].kernel_size
        (5, 5)
    """
    if getattr(model, "subset_statistics", ()):
        raise ValueError(
            "each channel subset has statistics of its own, so specialize the model for one before folding"
        )
    root = nn.Sequential(copy.deepcopy(model).eval())  # so that the model itself may be such a block
    folded: list[str] = []
    for path, module in list(root.named_modules()):
        inside = any(path.startswith(f"{outer}.") for outer in folded)
        if isinstance(module, FoldedConv2d) and module.foldable and not inside:
            parent, _, name = path.rpartition(".")
            setattr(root.get_submodule(parent), name, module.fold())
            folded.append(path)
    return root[0]


def fused(kernel: Tensor, bias: Tensor | None, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Kernel (O, I, kh, kw) and bias (O,) of a convolution with the batch normalisation behind it.

    Raises:
        ValueError: for another normalisation, or one without running statistics.
    """
    if type(norm) is not nn.BatchNorm2d or norm.running_mean is None or norm.running_var is None:
        raise ValueError(f"a branch with {type(norm).__name__} cannot be folded: only batch normalisation is linear")
    with torch.no_grad():
        weight, shift = fuse_conv_bn_weights(
            kernel, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
    return weight.detach(), shift.detach()
