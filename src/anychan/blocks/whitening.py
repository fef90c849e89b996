"""A first convolution whose outputs are uncorrelated and of equal size from the first step on.

Neighbouring pixels, and channels, say nearly the same, so that random kernels mostly see brightness. The kernels here
are the eigenvectors of the covariance of the images' patches, each divided by the standard deviation along it: edges
and colours weigh as much as brightness. Each comes with its negative, so that a rectifier after it loses nothing.

Source: Jordan 2024 (airbench, arXiv 2404.00498), section 3.2, after Page 2019; there the layer stays fixed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def whitening_kernel(
    images: Tensor, outputs: int, kernel_size: int, stride: int = 1, regularisation: float = 5e-4
) -> Tensor:
    """Kernels that whiten the patches of some images.

    Args:
        images: (N, C, H, W), normalised as the network sees them.
        outputs: the number of kernels: at most 2 C kernel_size^2, of which one half is the other's negative. With
            fewer the directions of the largest variance are taken.
        kernel_size: side of a patch in pixels.
        stride: between patches; only saves time.
        regularisation: added to each variance, so that directions without any are not blown up.

    Returns:
        (outputs, C, kernel_size, kernel_size), in the dtype of ``images``.

    Raises:
        ValueError: for an odd number of outputs, more than there are directions, or fewer patches than directions.

    Example:
        >>> images = torch.randn(8, 3, 16, 16).cumsum(dim=3)
        >>> responses = F.conv2d(images - images.mean(), whitening_kernel(images, 24, 2))[:, :12]
        >>> responses.shape
        torch.Size([8, 12, 15, 15])
    """
    channels = images.shape[1]
    directions = channels * kernel_size**2
    if outputs % 2 or not 0 < outputs <= 2 * directions:
        raise ValueError(
            f"{outputs} whitening kernels: an even number, at most {2 * directions} for {channels} channels and "
            f"{kernel_size}x{kernel_size} pixels"
        )
    patches = F.unfold(images.double(), kernel_size, stride=stride).transpose(1, 2).flatten(0, 1)
    if len(patches) <= directions:
        raise ValueError(f"{len(patches)} patches do not tell the covariance of {directions} values")
    variances, vectors = torch.linalg.eigh(torch.cov(patches.T))  # ascending; a column is a vector
    chosen = (vectors / (variances + regularisation).sqrt()).flip(1)[:, : outputs // 2].T
    kernel = chosen.unflatten(1, (channels, kernel_size, kernel_size))
    return torch.cat([kernel, -kernel]).to(images.dtype)
