"""A first convolution whose outputs, but for each one's negative, are uncorrelated and of nearly equal size at first.

Neighbouring pixels, and channels, say nearly the same, so that random kernels mostly see brightness. The kernels here
are the eigenvectors of the covariance of the images' patches, each divided by the standard deviation along it: edges
and colours weigh as much as brightness. Each comes with its negative, so that a rectifier after it loses nothing.

Source: Jordan 2024 (airbench, arXiv 2404.00498), section 3.2, after Page 2019; there the layer stays fixed.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

_AT_ONCE = 64  # images; their patches, in double precision, take 16 to 64 times the memory


def whitening_kernel(
    batches: Iterable[Tensor], outputs: int, kernel_size: int, stride: int = 1, regularisation: float = 5e-4
) -> Tensor:
    """Kernels that whiten the patches of some images.

    Args:
        batches: of images (N, C, H, W), normalised as the network sees them.
        outputs: the number of kernels: at most 2 C kernel_size^2, of which one half is the other's negative. With
            fewer the directions of the largest variance are taken.
        kernel_size: side of a patch in pixels.
        stride: between patches; only saves time.
        regularisation: added to each variance, so that directions without any are not blown up.

    Returns:
        (outputs, C, kernel_size, kernel_size), float32.

    Raises:
        ValueError: for no images, an odd number of outputs, more than there are directions, or fewer patches than
            directions.

    Example:
        >>> batches = [torch.randn(8, 3, 16, 16).cumsum(dim=3)]
        >>> whitening_kernel(batches, 24, kernel_size=2).shape
        torch.Size([24, 3, 2, 2])
    """
    count, channels = 0, 0
    total, squares = torch.zeros((), device="cpu"), torch.zeros((), device="cpu")
    for images in batches:
        channels = images.shape[1]
        for some in images.cpu().split(_AT_ONCE):
            patches = F.unfold(some, kernel_size, stride=stride).transpose(1, 2).flatten(0, 1).double()
            count += len(patches)
            total, squares = total + patches.sum(dim=0), squares + patches.T @ patches
    directions = channels * kernel_size**2
    if not count or outputs % 2 or not 0 < outputs <= 2 * directions:
        raise ValueError(
            f"{outputs} whitening kernels: an even number, at most {2 * directions} for {channels} channels and "
            f"{kernel_size}x{kernel_size} pixels"
        )
    if count <= directions:
        raise ValueError(f"{count} patches do not tell the covariance of {directions} values")
    mean = total / count
    covariance = (squares - count * mean[:, None] * mean) / (count - 1)
    variances, vectors = torch.linalg.eigh(covariance)  # ascending; a column is a vector
    scaled = vectors / (variances.clamp(min=0) + regularisation).sqrt()
    kernel = scaled.flip(1)[:, : outputs // 2].T.unflatten(1, (channels, kernel_size, kernel_size))
    return torch.cat([kernel, -kernel]).float()
