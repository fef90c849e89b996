"""Two convolutions while training, one afterwards: VanillaNet's deep training.

    y = norm(W2 act_l(conv(x)))          act_l(z) = (1 - l) act(z) + l z

l rises from 0 to 1 while the network trains, so that it begins as a network of twice the depth and ends as one of two
linear layers behind each other, which are one: the kernel of the first, its planes mixed by the 1x1 of the second.

Source: VanillaNet, Chen et al. 2023, arXiv 2305.12972, section 3.1. There both are 1x1 and l grows by the epoch until
the last one; here the first is any kernel or several (`BranchedConv2d`), l grows by the step, and it reaches 1 before
the end, so that the network is trained as what it will be.
Cost: O^2 more parameters and MACs a place while training, none afterwards.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from anychan.blocks.activations import Activation, make_activation
from anychan.blocks.branches import BranchedConv2d
from anychan.blocks.folding import FoldableConv2d, fused


class DeepenedConv2d(FoldableConv2d):
    """A convolution, an activation that becomes linear, and a 1x1 convolution.

    Args:
        first: the convolution that is left, in the end, with other numbers.
        activation: what lies between the two at first; one that gives as many planes as it takes.
        annealing: after which fraction of the run it is linear, above 0 and at most 1.

    Shape:
        That of ``first``.

    Raises:
        ValueError: for "geglu", which gives half of its planes, or ``annealing`` outside its range.

    Example:
        >>> deepened = DeepenedConv2d(BranchedConv2d(8, 16, [3])).eval()
        >>> deepened.foldable
        False
        >>> deepened.anneal(1.0)
        >>> x = torch.randn(2, 8, 5, 5)
        >>> torch.allclose(deepened(x), deepened.fold()(x), atol=1e-5)
        True
    """

    linear: Tensor

    def __init__(self, first: BranchedConv2d, activation: Activation = "gelu", annealing: float = 0.75) -> None:
        super().__init__()
        between, planes = make_activation(activation)
        if planes != 1:
            raise ValueError(f"activation {activation!r} gives fewer planes than it takes, so it cannot become linear")
        if not 0 < annealing <= 1:
            raise ValueError(f"annealing is {annealing}; it must be above 0 and at most 1")
        outputs: int = first.branches[0][0].out_channels  # type: ignore[index] # a sequence
        self.annealing = annealing
        self.first: BranchedConv2d | nn.Conv2d = first
        self.activation = between
        self.second = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.register_buffer("linear", torch.zeros(()))

    @property
    def linear_now(self) -> bool:
        return bool(self.linear == 1)

    @property
    def norms(self) -> list[nn.Module]:
        of_first = self.first.norms if isinstance(self.first, FoldableConv2d) else []
        return [*of_first, self.norm]

    def anneal(self, progress: float) -> None:
        """Set how linear the activation is at a fraction of the run, from 0 (the first step) to 1 (after the last)."""
        if not 0 <= progress <= 1:
            raise ValueError(f"progress is {progress}; it goes from 0 to 1")
        self.linear.fill_(min(progress / self.annealing, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        return self.norm(self.second(torch.lerp(self.activation(z), z, self.linear.to(z))))

    def fold(self) -> nn.Conv2d:
        """One convolution that gives what the two give in evaluation mode.

        Raises:
            ValueError: before the activation is linear, or for a normalisation that is no batch normalisation.
        """
        if not self.linear_now:
            raise ValueError(f"the activation between is only {float(self.linear):.0%} linear: anneal it to the end")
        # The first may have been folded before, when the activation was not linear yet.
        folded = self.first.fold() if isinstance(self.first, FoldableConv2d) else copy.deepcopy(self.first)
        assert folded.bias is not None
        mixing, shift = fused(self.second.weight, None, self.norm)
        mixing_OO = mixing[:, :, 0, 0]
        device = folded.weight.device.type
        cast: Any = torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
        with torch.no_grad(), cast:  # in full precision whatever surrounds it
            folded.weight.copy_(torch.einsum("om,mikl->oikl", mixing_OO, folded.weight))
            folded.bias.copy_(mixing_OO @ folded.bias + shift)
        return folded
