"""Replace a network's batch normalisations by others that subsets of channels do not disturb as much."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from anychan.adaptation.batch_renorm import BatchRenorm, BatchRenorm1d, BatchRenorm2d

KINDS = ("group", "renorm")
_GROUPS = 32  # of the paper


def replace_batch_norm(model: nn.Module, kind: str) -> nn.Module:
    """Replace all batch normalisations of a network, in place, before it is trained.

    Scale and shift are taken over, with the activation and dropout that timm puts into the same module. What the
    network computes changes, so its weights must be trained with the new ones.

    Args:
        model: any module; those that are not batch normalisations are not touched.
        kind: "group": group normalisation, of each image by itself, with the largest number of groups up to 32
            that divides the channels into equal groups of two or more; "renorm": batch renormalisation of maps and
            of vectors, see `BatchRenorm2d` and `BatchRenorm1d`, which the training loop anneals;
            ``torch.nn.SyncBatchNorm.convert_sync_batchnorm`` would undo that: it takes them for ordinary ones.

    Returns:
        ``model``.

    Raises:
        ValueError: for another kind, a model without batch normalisation, one of a kind that is not known here, or,
            for "renorm", one that is synchronised between processes, which batch renormalisation is not.

    Source: Wu and He, "Group Normalization", arXiv 1803.08494; Ioffe, "Batch Renormalization", arXiv 1702.03275.

    Example:
        >>> replace_batch_norm(nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64)), "group")[1].num_groups
        32
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of normalisation {kind!r}; there are {', '.join(KINDS)}")
    replacements: dict[nn.Module, nn.Module] = {}  # one that is used in two places stays one
    for path, norm in model.named_modules():
        if isinstance(norm, _BatchNorm):
            replacements[norm] = _group_norm(norm, path) if kind == "group" else _batch_renorm(norm, path)
    if not replacements:
        raise ValueError(f"{type(model).__name__} has no batch normalisation to replace")
    _replace(model, replacements)
    return model


def fold_batch_renorm(model: nn.Module) -> nn.Module:
    """Replace batch renormalisations by the ordinary batch normalisations they are at test time, in place.

    Returns:
        ``model``, which need not have any.
    """
    _replace(model, {module: module.fold() for module in model.modules() if isinstance(module, BatchRenorm)})
    return model


def group_count(channels: int) -> int:
    """The largest number of groups up to 32 that divides channels into equal groups of two or more.

    A group of one channel would take all there is from a map of one pixel, as squeezed attention has them.

    Example:
        >>> [group_count(channels) for channels in (1, 6, 13, 40, 64, 2048)]
        [1, 3, 1, 20, 32, 32]
    """
    return next((n for n in range(min(_GROUPS, channels // 2), 1, -1) if channels % n == 0), 1)


def _replace(model: nn.Module, replacements: dict[nn.Module, nn.Module]) -> None:
    for path, module in list(model.named_modules(remove_duplicate=False)):
        if module in replacements:
            model.set_submodule(path, replacements[module])


def _group_norm(norm: _BatchNorm, path: str) -> nn.Module:
    from timm.layers import GroupNormAct

    groups = group_count(norm.num_features)
    drop, act = _dropout_and_activation(norm, path)
    new: nn.GroupNorm
    if drop is None and act is None:
        new = nn.GroupNorm(groups, norm.num_features, norm.eps, norm.affine)
    else:
        new = GroupNormAct(norm.num_features, groups, norm.eps, norm.affine, apply_act=False)
        new.drop, new.act = drop or nn.Identity(), act or nn.Identity()
    new.weight, new.bias = norm.weight, norm.bias
    return new.train(norm.training)


def _batch_renorm(norm: _BatchNorm, path: str) -> nn.Module:
    if isinstance(norm, nn.SyncBatchNorm):
        raise ValueError(
            f"{path!r} is a {type(norm).__name__}, and batch renormalisation is not synchronised between processes: "
            "put nn.BatchNorm2d in its place first, if each process may use its own batch"
        )
    drop, act = _dropout_and_activation(norm, path)
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) or norm.running_mean is None:
        raise ValueError(
            f"{path!r} is {norm}; batch renormalisation is for nn.BatchNorm1d and nn.BatchNorm2d with running "
            "statistics"
        )
    make = BatchRenorm1d if isinstance(norm, nn.BatchNorm1d) else BatchRenorm2d
    kept: dict[str, Any] = {"device": norm.running_mean.device, "dtype": norm.running_mean.dtype}
    new = make(norm.num_features, norm.eps, affine=norm.affine, drop=drop, act=act, **kept)
    new.weight, new.bias = norm.weight, norm.bias
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        setattr(new, name, norm.get_buffer(name))
    return new.train(norm.training)


def _dropout_and_activation(norm: _BatchNorm, path: str) -> tuple[nn.Module | None, nn.Module | None]:
    """What a normalisation does after it; ValueError for a class that may do other things we do not know."""
    from timm.layers import BatchNormAct2d, SyncBatchNormAct

    ordinary = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    if type(norm) in ordinary:
        return None, None
    if type(norm) in (BatchNormAct2d, SyncBatchNormAct, BatchRenorm1d, BatchRenorm2d):
        return norm.drop, norm.act  # type: ignore[return-value] # modules, or None
    known = ", ".join(kind.__name__ for kind in (*ordinary, BatchNormAct2d, SyncBatchNormAct))
    raise ValueError(f"{path!r} is a {type(norm).__name__}, not one of {known}, and may do what a replacement does not")
