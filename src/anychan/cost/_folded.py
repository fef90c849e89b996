"""A model as it is shipped: what only training needs is folded, before inference is costed."""

from __future__ import annotations

import copy

from torch import nn

from anychan.adaptation import AnyChannelModel
from anychan.adaptation.batch_renorm import BatchRenorm
from anychan.adaptation.replacement import fold_batch_renorm
from anychan.blocks import FoldableConv2d, fold_branches
from anychan.channels import ChannelsLike
from anychan.cost.parameters import count_parameters


def as_shipped(model: nn.Module, channels: ChannelsLike | None = None) -> nn.Module:
    """A copy in evaluation mode with one convolution in place of each block that equals one, as `specialize` leaves it.

    The stems of an any-channel model stay, so that it still takes any channels; where it keeps statistics for each
    subset, those of ``channels`` are folded in. A model without such blocks, and without a scale and shift for each
    subset, is given back as it is; so is one with an any-channel convolution in such a block.

    Raises:
        ValueError: for channels that the model does not take, or has no statistics for.
    """
    apart = isinstance(model, AnyChannelModel) and model.subset_statistics.affine
    if not (apart or _foldable(model) or any(isinstance(module, BatchRenorm) for module in model.modules())):
        return model
    shipped = fold_batch_renorm(copy.deepcopy(model).eval())
    if not isinstance(shipped, AnyChannelModel):
        return fold_branches(shipped)
    stems = tuple(shipped.stems)
    if any(f"body.{stem}".startswith(f"{block}.") for stem in stems for block in _foldable(shipped)):
        return model  # a block of any-channel convolutions is none until they are made
    for path, norm in shipped.subset_statistics.bound(shipped.body, shipped.resolve(channels)).items():
        shipped.body.set_submodule(path, norm)
    return AnyChannelModel(fold_branches(shipped.body), stems, shipped.channels, shipped.strategy)


def shipped_parameters(model: nn.Module, channels: ChannelsLike | None = None) -> int:
    """The numbers in a model as it is shipped, with the scales and shifts that it keeps for the other subsets."""
    shipped = as_shipped(model, channels)
    count = count_parameters(shipped)
    if shipped is model or not isinstance(model, AnyChannelModel) or not model.subset_statistics.affine:
        return count
    kept = model.subset_statistics
    own = kept.of(model.resolve(channels))
    return count + sum(count_parameters(others) for subset in kept.subsets if (others := kept.of(subset)) is not own)


def _foldable(model: nn.Module) -> list[str]:
    """Paths of the blocks that equal one convolution."""
    return [path for path, module in model.named_modules() if isinstance(module, FoldableConv2d) and module.foldable]
