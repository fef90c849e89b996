"""Activations by name: each after a normalisation, none with a weight that mixes planes."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["gelu", "relu", "silu", "geglu"]


class GEGLU(nn.Module):
    """One half of the planes times the GELU of the other: (N, 2 w, H, W) to (N, w, H, W).

    A layer before it computes twice as many planes, and becomes a product of two. Source: Shazeer 2020, arXiv
    2002.05202.
    """

    def forward(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, dim=1)
        return value * F.gelu(gate)


def make_activation(name: Activation) -> tuple[nn.Module, int]:
    """The activation, and how many planes it takes for each that it gives.

    Raises:
        ValueError: for a name that is none of "gelu", "relu", "silu" and "geglu".

    Example:
        >>> make_activation("geglu")
        (GEGLU(), 2)
    """
    made = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU, "geglu": GEGLU}
    if name not in made:
        raise ValueError(f"activation is {name!r}, but must be one of {', '.join(get_args(Activation))}")
    return made[name](), 2 if name == "geglu" else 1
