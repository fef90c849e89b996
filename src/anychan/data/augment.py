"""Augmentation of whole batches, on the device they are on, with parameters of its own for every image."""

from __future__ import annotations

import torch
from torch import Tensor

from anychan.data.augment_config import AugmentationConfig
from anychan.data.augment_draws import Draws
from anychan.data.augment_geometry import cut, draw_box, draw_cut, draw_homography, warp

__all__ = ["AugmentationConfig", "augment"]

_ERASED_AREA = (0.02, 0.33)
_ERASED_RATIO = (0.3, 3.3)


def augment(images: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Augment a batch of images of any number of channels; what is left empty is 0: black, of normalised ones the mean.

    Mirror, padded crop, resized crop, rotation and perspective are composed and pixels are resampled once (so what
    one of them cuts away another may bring back); mirror and padded crop alone move whole pixels and are exact.
    Then rectangles are erased, then channels dropped.

    Args:
        images: (N, C, H, W), uint8, or floating point, normalised or not; left as it is.
        config: what to do.
        generator: where the randomness comes from, on the images' device or on the CPU.

    Returns:
        (N, C, H, W) of the same type, device and memory layout; ``images`` itself if everything is off.

    Raises:
        ValueError: if ``images`` has another number of axes or another type.

    Example:
        >>> images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4)
        >>> mirrored = augment(images, AugmentationConfig(flip=1.0), torch.Generator().manual_seed(0))
        >>> mirrored[0, 0, 0]
        tensor([3, 2, 1, 0], dtype=torch.uint8)
    """
    if images.ndim != 4 or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise ValueError(
            f"images of shape {tuple(images.shape)} and {images.dtype} are not (N, C, H, W), uint8 or float"
        )
    n, c, h, w = images.shape
    # Below, clone() is what keeps the memory layout: masked_fill out of place takes the mask's.
    draws = Draws(generator, n, images.device)
    if config.random_resized_crop is not None or config.rotation or config.perspective:
        images = warp(images, draw_homography(config, draws, h, w))
    elif config.crop_padding or config.flip:
        images = cut(images, *draw_cut(config, draws), padding=config.crop_padding)
    if config.erasing:
        images = images.clone().masked_fill_(_draw_rectangles(config.erasing, draws, h, w), 0)
    if config.channel_drop:
        images = images.clone().masked_fill_(_draw_dropped(config.channel_drop, draws, c), 0)
    return images


def _draw_rectangles(probability: float, draws: Draws, h: int, w: int) -> Tensor:
    """Where to erase: (N, 1, H, W) bool, one rectangle of whole pixels in some of the images (Zhong et al. 2020)."""
    erased = draws.chance(probability)
    box_h, box_w = draw_box(draws.uniform(*_ERASED_AREA), draws.log_uniform(*_ERASED_RATIO), h, w)
    rows = _draw_interval(box_h.round(), draws, h)
    columns = _draw_interval(box_w.round(), draws, w) & erased[:, None]
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _draw_interval(length: Tensor, draws: Draws, size: int) -> Tensor:
    """(N, size) bool: ``length`` (N,) pixels in a row somewhere along a side of ``size``."""
    start = (draws.uniform(0.0, 1.0) * (size - length + 1)).floor()
    pixel = torch.arange(size, device=length.device)
    return (pixel >= start[:, None]) & (pixel < (start + length)[:, None])


def _draw_dropped(probability: float, draws: Draws, c: int) -> Tensor:
    """Channels to blacken: (N, C, 1, 1) bool, each with this probability, but never all of an image.

    The channel with the largest draw stays, so that one stays where all would go, each as likely as another.
    """
    draw = draws.uniform(0.0, 1.0, c)
    dropped = (draw < probability) & (draw < draw.amax(dim=1, keepdim=True))
    return dropped[:, :, None, None]
