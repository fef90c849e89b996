"""Blocks that train as something richer than the one convolution they become."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


class FoldableConv2d(nn.Module, ABC):
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
        """Whether `fold` gives one convolution now, which with a group normalisation it never does."""
        return self.linear_now and all(_is_linear(norm) for norm in self.norms)

    @abstractmethod
    def fold(self) -> nn.Conv2d:
        """One convolution that gives what the block gives in evaluation mode; ValueError where there is none."""


def fold_branches(model: nn.Module) -> nn.Module:
    """A copy of a model in evaluation mode, with one convolution in place of each block that equals one.

    What is not linear yet (`DeepenedConv2d` before it is annealed), or never will be (with a group normalisation),
    stays as it is; so does what has another kind of batch normalisation, such as batch renormalisation, which
    `anychan.specialize` makes an ordinary one first. A block that is used in two places stays one.

    Raises:
        ValueError: if the model keeps statistics for each subset of its channels, or if such a block has an any-channel
            convolution in it: `anychan.specialize` makes an ordinary model of it and folds that.

    Example:
        >>> from anychan.blocks import BranchedConv2d
        >>> fold_branches(nn.Sequential(BranchedConv2d(3, 8, [5, 3]), nn.ReLU()))[0].kernel_size
        (5, 5)
    """
    if getattr(model, "subset_statistics", ()):
        raise ValueError(
            "each channel subset has statistics of its own, so specialize the model for one before folding"
        )
    stems = [f"body.{stem}" for stem in getattr(model, "stems", ())]
    root = nn.Sequential(copy.deepcopy(model).eval())  # so that the model itself may be such a block
    folded: dict[nn.Module, nn.Conv2d] = {}
    paths: list[str] = []
    for path, module in list(root.named_modules(remove_duplicate=False)):
        inside = any(path.startswith(f"{outer}.") for outer in paths)
        if isinstance(module, FoldableConv2d) and module.foldable and not inside:
            if any(f"0.{stem}".startswith(f"{path}.") for stem in stems):
                raise ValueError(f"an any-channel convolution is in {path[2:]}, so specialize the model before folding")
            if module not in folded:
                folded[module] = module.fold().to(memory_format=kernel_layout(module))
            root.set_submodule(path, folded[module])
            paths.append(path)
    return root[0]


def kernel_layout(module: nn.Module) -> torch.memory_format:
    """How a module's kernels lie in memory, by the first of which it can be told: others lie both ways at once."""
    kernels = (own for own in module.parameters() if own.ndim == 4 and own.shape[1] > 1 and own[0, 0].numel() > 1)
    first = next(kernels, None)
    last = first is not None and first.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _is_linear(norm: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether it is a batch normalisation by running statistics and nothing else."""
    return type(norm) is nn.BatchNorm2d and norm.running_mean is not None and norm.running_var is not None


def fused(kernel: Tensor, bias: Tensor | None, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Kernel (O, I, kh, kw) and bias (O,) of a convolution with the batch normalisation behind it.

    Raises:
        ValueError: for another normalisation, or one without running statistics.
    """
    if not _is_linear(norm):
        raise ValueError(f"a branch with {type(norm).__name__} cannot be folded: only batch normalisation is linear")
    mean, var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    with torch.no_grad():
        weight, shift = fuse_conv_bn_weights(kernel, bias, mean, var, norm.eps, norm.weight, norm.bias)
    return weight.detach(), shift.detach()
