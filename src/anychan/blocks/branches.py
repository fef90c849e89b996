"""Convolutions in parallel while training, one convolution afterwards.

Sums of convolutions are a convolution, and a batch normalisation with fixed statistics is a scale and a shift: so
branches of several kernel sizes, each with a normalisation of its own, train like a wider and easier network and fold
into one, the smallest kernel that holds them all. Depth stays one layer. RepVGG (Ding et al. 2021, arXiv
2101.03697) has 3x3, 1x1 and a shortcut; ACNet (Ding et al. 2019, arXiv 1908.03930) 3x3, 1x3 and 3x1; RepLKNet (Ding et
al. 2022, arXiv 2203.06717) a large kernel beside a small one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from anychan.blocks.folding import FoldableConv2d, fused


class BranchedConv2d(FoldableConv2d):
    """The sum of convolutions of the same planes, each batch normalised.

    Args:
        in_channels, out_channels: planes in and out.
        kernel_sizes: of the branches, all odd or all even along an axis, so that their centres fall together.
        stride: of all branches.
        shortcut: add the batch normalised input itself; needs as many planes out as in, stride 1 and odd kernels.

    Shape:
        (N, in_channels, H, W) to (N, out_channels, H', W') with H' = ceil(H / stride) for odd kernels and
        floor(H / stride) for even ones.

    Raises:
        ValueError: for no branch, kernel sizes that have no common centre, even ones with an odd stride or a longer
            one, or a shortcut that does not fit.

    Example:
        >>> branched = BranchedConv2d(8, 8, [3, 1, (1, 3)], shortcut=True).eval()
        >>> x = torch.randn(2, 8, 5, 5)
        >>> torch.allclose(branched(x), branched.fold()(x), atol=1e-5)
        True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_sizes: Sequence[int | tuple[int, int]],
        stride: int = 1,
        *,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        sizes = [(size, size) if isinstance(size, int) else (size[0], size[1]) for size in kernel_sizes]
        if not sizes or any(size[axis] % 2 != sizes[0][axis] % 2 for size in sizes for axis in (0, 1)):
            raise ValueError(f"kernel sizes {list(kernel_sizes)}: one or more, all odd or all even along an axis")
        if any(extent % 2 == 0 and (stride % 2 or extent < stride) for size in sizes for extent in size):
            raise ValueError(
                f"kernel sizes {list(kernel_sizes)} with stride {stride}: even ones go with an even stride"
            )
        if shortcut and (in_channels != out_channels or stride != 1 or not (sizes[0][0] % 2 and sizes[0][1] % 2)):
            raise ValueError(
                f"a shortcut from {in_channels} to {out_channels} planes with stride {stride} and kernels "
                f"{list(kernel_sizes)}: needs equal planes, stride 1 and odd kernels"
            )
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(in_channels, out_channels, size, stride, _padding(size, stride), bias=False),
                nn.BatchNorm2d(out_channels),
            )
            for size in sizes
        )
        self.shortcut = nn.BatchNorm2d(out_channels) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.branches[0](x)
        for branch in list(self.branches)[1:]:
            y = y + branch(x)
        return y if self.shortcut is None else y + self.shortcut(x)

    @property
    def norms(self) -> list[nn.Module]:
        own: list[nn.Module] = [branch[1] for branch in self.branches]  # type: ignore[index] # sequences
        return own if self.shortcut is None else [*own, self.shortcut]

    def fold(self) -> nn.Conv2d:
        """One convolution that gives what the branches give in evaluation mode.

        Raises:
            ValueError: if something other than a batch normalisation was put in the place of one.
        """
        pairs: list[tuple[nn.Conv2d, nn.Module]] = [(branch[0], branch[1]) for branch in self.branches]  # type: ignore[index] # sequences
        first = pairs[0][0]
        rows, columns = (max(convolution.kernel_size[axis] for convolution, _ in pairs) for axis in (0, 1))
        size, stride = (rows, columns), first.stride[0]
        weight = first.weight.new_zeros(first.out_channels, first.in_channels, *size)
        bias = first.weight.new_zeros(first.out_channels)
        with torch.no_grad():
            for convolution, norm in pairs:
                _add(weight, bias, convolution.weight, norm)
            if self.shortcut is not None:
                identity = torch.eye(first.out_channels, dtype=weight.dtype, device=weight.device)
                _add(weight, bias, identity[:, :, None, None], self.shortcut)
        folded = nn.Conv2d(
            first.in_channels, first.out_channels, size, stride, _padding(size, stride),
            device=weight.device, dtype=weight.dtype,
        )  # fmt: skip
        folded.load_state_dict({"weight": weight, "bias": bias})
        return folded.train(self.training)


def _padding(size: Sequence[int], stride: int) -> tuple[int, int]:
    # The middle of an even kernel falls between pixels, where that of an even stride's window does.
    rows, columns = ((extent - 1) // 2 if extent % 2 else (extent - stride) // 2 for extent in size)
    return rows, columns


def _add(weight: Tensor, bias: Tensor, kernel: Tensor, norm: nn.Module) -> None:
    own, shift = fused(kernel, None, norm)
    rows, columns = ((all_ - some) // 2 for all_, some in zip(weight.shape[2:], kernel.shape[2:], strict=True))
    weight[:, :, rows : rows + kernel.shape[2], columns : columns + kernel.shape[3]] += own
    bias += shift
