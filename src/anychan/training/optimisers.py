"""The optimiser of a model: which weights decay, and the fused update.

A fused update reads every weight once. On two CPU cores it takes a ResNet18's AdamW from 33-85 ms a step to 11 ms,
where forward and backward of 64 images of 64x64 take some 215.
"""

from __future__ import annotations

import glob
from fnmatch import fnmatchcase

import torch
from torch import nn

from anychan.training.config import OptimizerConfig


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """A model's trainable parameters in two groups: those that decay, and those that do not.

    Parameters of at most one dimension (biases, the scales of normalisations) and those that a timm network names
    in ``no_weight_decay()`` (positions, class tokens), which may hold wildcards, do not decay.

    Example:
        >>> groups = parameter_groups(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), weight_decay=0.05)
        >>> [(group["weight_decay"], len(group["params"])) for group in groups]
        [(0.05, 1), (0.0, 3)]
    """
    exempt = {
        f"{glob.escape(prefix)}.{name}".lstrip(".")
        for prefix, module in model.named_modules()
        for name in getattr(module, "no_weight_decay", set)()
    }

    def is_exempt(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in exempt)

    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (kept if parameter.ndim <= 1 or is_exempt(name) else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimiser of a model's trainable parameters; its learning rate is set anew each step by the loop.

    Raises:
        ValueError: if the model has nothing to train.
    """
    groups = [group for group in parameter_groups(model, config.decay) if group["params"]]
    if not groups:
        raise ValueError("the model has no parameter to train")
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.rate, betas=config.betas, fused=True)
    return torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum, nesterov=config.nesterov, fused=True)
