"""How many parameters a model has."""

from __future__ import annotations

from torch import nn


def count_parameters(model: nn.Module) -> int:
    """Count the numbers in a model's parameters, frozen ones too; one that is shared counts once, buffers do not.

    Example:
        >>> count_parameters(nn.Linear(3, 2))
        8
    """
    return sum(parameter.numel() for parameter in model.parameters())
