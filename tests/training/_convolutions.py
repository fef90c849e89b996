"""What tests of faster convolutions compare: results and all gradients, the usual ones, those found, and exact ones."""

import copy

import torch
from torch import Tensor, nn

from anychan.training.faster_on_cpu import FasterOnCpu


def outcome(convolution: nn.Module, x: Tensor) -> list[Tensor]:
    """Result and all gradients, for a gradient that differs from place to place, of numbers that bfloat16 holds."""
    x = x.clone().requires_grad_()
    y = convolution(x)
    weights = torch.linspace(-1, 1, y.numel()).bfloat16().view_as(y)
    return [y, *torch.autograd.grad((y * weights).sum(), [x, *convolution.parameters()])]


def outcomes_in_bfloat16(
    convolution: nn.Module, x: Tensor, *, autocast: bool
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """The usual outcome, the one of the faster way, and that in float64; under autocast, or all of it in bfloat16.

    Images and weights are rounded to numbers that bfloat16 holds, so that all that differs is how they are summed up.
    """
    with torch.no_grad():
        for parameter in convolution.parameters():
            parameter.copy_(parameter.bfloat16())
    x = x.bfloat16()
    exact = outcome(copy.deepcopy(convolution).double(), x.double())
    if not autocast:
        convolution.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        usual = outcome(convolution, x)
        with FasterOnCpu():
            found = outcome(convolution, x)
    return usual, found, exact
