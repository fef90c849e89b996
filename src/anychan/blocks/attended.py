"""Attention to planes that stands beside a convolution and not behind it, so that it makes no path longer.

    y = conv(x) * 2 sigmoid(W mean(x) + b)          W (outputs, inputs); W and b begin at 0, where the factors are 1

Squeeze-and-excitation (Hu et al. 2018, arXiv 1709.01507) weighs what a layer gives by two linear layers on that same
output: two layers of depth. ParNet's skip-squeeze-excitation (Goyal et al. 2021, arXiv 2110.07641, section 3.1) has
one layer and looks at the input. There the input itself is weighed, in a branch of its own; here the convolution is.
"""

from __future__ import annotations

from torch import Tensor, nn


class Attended(nn.Module):
    """A convolution whose planes are weighed by a linear layer on the mean of its input, at first all by 1.

    Args:
        convolution: takes ``inputs`` planes and gives ``outputs``.
        inputs, outputs: their numbers.

    Shape:
        (N, inputs, H, W) to what ``convolution`` makes of it, with ``outputs`` planes.

    Example:
        >>> import torch
        >>> convolution, x = nn.Conv2d(3, 8, 1), torch.rand(2, 3, 5, 5)
        >>> torch.equal(Attended(convolution, 3, 8)(x), convolution(x))
        True
    """

    def __init__(self, convolution: nn.Module, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = convolution
        self.weigh = nn.Linear(inputs, outputs)
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)

    def forward(self, x: Tensor) -> Tensor:
        weights = 2 * self.weigh(x.mean(dim=(2, 3))).sigmoid()  # (N, outputs)
        return self.convolution(x) * weights[:, :, None, None]
