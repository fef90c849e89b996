"""Moving pixels: a window cut out of a padded batch, and any homography with one resampling.

Coordinates of homographies are pixels, from the centre of the image, x to the right and y down; a homography
(N, 3, 3) takes a place of the output to the place of the input that is seen there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anychan.data.augment_config import AugmentationConfig
from anychan.data.augment_draws import Draws

_ASPECT_RATIO = (3 / 4, 4 / 3)


def cut(images: Tensor, mirrored: Tensor, left: Tensor, top: Tensor, padding: int) -> Tensor:
    """Mirror some images, then cut a window of the old size out of each padded with black.

    Args:
        images: (N, C, H, W) of any type.
        mirrored: (N,) bool.
        left, top: (N,) int64, the window's corner in the padded image, 0 to 2 * padding; padding is no shift.
        padding: pixels of black on each side.

    Returns:
        (N, C, H, W) in the memory layout of ``images``.
    """
    n, c, h, w = images.shape
    if not images.is_contiguous(memory_format=torch.channels_last):
        images = images.contiguous()
        planes = images.reshape(n * c, h, w, 1)
        mirrored, left, top = (parameter.repeat_interleave(c) for parameter in (mirrored, left, top))
    else:
        planes = images.permute(0, 2, 3, 1)

    # Both the images and their mirror images stand in one padded buffer. A row of a window is a run of w * values
    # numbers in it, so that an image's window is h such runs: copying whole runs is some ten times as fast as
    # gathering pixels.
    count, _, _, values = planes.shape
    padded = planes.new_zeros(2, count, h + 2 * padding, w + 2 * padding, values)
    inside = padded[:, :, padding : padding + h, padding : padding + w]
    inside[0] = planes
    inside[1] = planes.flip(2)
    runs = padded.as_strided((padded.numel() - w * values + 1, w * values), (1, 1))

    image = torch.arange(count, device=images.device) + mirrored * count
    row = (image * (h + 2 * padding) + top)[:, None] + torch.arange(h, device=images.device)
    start = (row * (w + 2 * padding) + left[:, None]) * values
    return runs.index_select(0, start.flatten()).as_strided(images.shape, images.stride())


def warp(images: Tensor, homography: Tensor) -> Tensor:
    """Resample bilinearly, black outside.

    Args:
        images: (N, C, H, W), uint8 or floating point.
        homography: (N, 3, 3) float32.

    Returns:
        (N, C, H, W), type and memory layout of ``images``; uint8 is rounded.
    """
    h, w = images.shape[2:]
    x = torch.arange(w, device=images.device) - (w - 1) / 2
    y = (torch.arange(h, device=images.device) - (h - 1) / 2)[:, None]
    # grid_sample's own units: -1 to 1 from edge to edge.
    to_grid = homography.new_tensor((2 / w, 2 / h, 1.0))[:, None] * homography
    seen_x, seen_y, seen_w = (row[:, 0] * x + (row[:, 1] * y + row[:, 2]) for row in to_grid[..., None, None].unbind(1))
    grid = torch.stack((seen_x, seen_y), dim=-1) / seen_w[..., None]

    exact = images if images.dtype in (torch.float32, torch.float64) else images.float()
    moved = F.grid_sample(exact, grid.to(exact.dtype), padding_mode="zeros", align_corners=False)
    if images.dtype == torch.uint8:
        moved = moved.round_()
    return torch.empty_like(images).copy_(moved)


def shift(x: Tensor, y: Tensor) -> Tensor:
    """Homographies that show what lies x, y pixels further on; x and y (N,)."""
    return _rows(torch.ones_like(x), 0, x, 0, torch.ones_like(y), y)


def scale(x: Tensor, y: Tensor) -> Tensor:
    """Homographies that show x, y times the width and height; x and y (N,), -1 mirrors."""
    return _rows(x, 0, 0, 0, y, 0)


def rotation(angle: Tensor) -> Tensor:
    """Homographies that turn the picture clockwise by an angle (N,) in radians."""
    cos, sin = angle.cos(), angle.sin()
    return _rows(cos, sin, 0, -sin, cos, 0)


def perspective(corners: Tensor, h: int, w: int) -> Tensor:
    """Homographies that move the picture's corners.

    The map from the unit square to a quadrilateral is Heckbert's (Fundamentals of Texture Mapping, 1989, 2.2.3);
    its inverse is wanted.

    Args:
        corners: (N, 4, 2) x and y of where top left, top right, bottom right and bottom left go; convex.
        h, w: the image's size in pixels.
    """
    p0, p1, p2, p3 = corners.unbind(1)
    (ax, ay), (bx, by), (sx, sy) = (d.unbind(1) for d in (p1 - p2, p3 - p2, p0 - p1 + p2 - p3))
    area = ax * by - bx * ay
    g, k = (sx * by - bx * sy) / area, (ax * sy - sx * ay) / area
    to_x = torch.stack((p1[:, 0] * (1 + g) - p0[:, 0], p3[:, 0] * (1 + k) - p0[:, 0], p0[:, 0]), dim=1)
    to_y = torch.stack((p1[:, 1] * (1 + g) - p0[:, 1], p3[:, 1] * (1 + k) - p0[:, 1], p0[:, 1]), dim=1)
    square_to_corners = torch.stack((to_x, to_y, torch.stack((g, k, torch.ones_like(g)), dim=1)), dim=1)
    square_to_image = corners.new_tensor(((w, 0, -w / 2), (0, h, -h / 2), (0, 0, 1)))
    return square_to_image @ torch.linalg.inv(square_to_corners)


def draw_homography(config: AugmentationConfig, draws: Draws, h: int, w: int) -> Tensor:
    """Mirror, padded crop, resized crop, rotation and perspective, in this order, as one homography each image."""
    mirrored, left, top = draw_cut(config, draws)
    mirror = 1.0 - 2.0 * mirrored
    composed = scale(mirror, torch.ones_like(mirror)) @ shift(left - config.crop_padding, top - config.crop_padding)
    if config.random_resized_crop is not None:
        composed = composed @ _draw_resized_crop(config.random_resized_crop, draws, h, w)
    if config.rotation:
        composed = composed @ rotation(torch.deg2rad(draws.uniform(-config.rotation, config.rotation)))
    if config.perspective:
        outwards = composed.new_tensor(((-1, -1), (1, -1), (1, 1), (-1, 1))) * composed.new_tensor((w / 2, h / 2))
        corners = outwards * (1.0 - draws.uniform(0.0, config.perspective, 4, 2))
        composed = composed @ perspective(corners, h, w)
    return composed


def draw_cut(config: AugmentationConfig, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """What ``cut`` needs: mirrored, left, top, each (N,)."""
    return draws.chance(config.flip), draws.integers(2 * config.crop_padding), draws.integers(2 * config.crop_padding)


def draw_box(area: Tensor, ratio: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Height and width in pixels of boxes of this area (part of the image) and aspect ratio (width / height).

    Where a box of that ratio would be longer than the image it is as long as the image, and keeps its area.
    """
    pixels = area * (h * w)
    box_h = (pixels / ratio).sqrt().clamp(max=h).maximum(pixels / w)
    return box_h, pixels / box_h


def _draw_resized_crop(area: tuple[float, float], draws: Draws, h: int, w: int) -> Tensor:
    box_h, box_w = draw_box(draws.uniform(*area), draws.log_uniform(*_ASPECT_RATIO), h, w)
    x = (w - box_w) * draws.uniform(-0.5, 0.5)
    y = (h - box_h) * draws.uniform(-0.5, 0.5)
    return shift(x, y) @ scale(box_w / w, box_h / h)


def _rows(*six: Tensor | int) -> Tensor:
    """Affine homographies (N, 3, 3) from the upper two rows' entries, each (N,) or the same for all images."""
    like = next(entry for entry in six if isinstance(entry, Tensor))
    entries = [torch.as_tensor(entry, device=like.device).float().expand(like.shape) for entry in (*six, 0, 0, 1)]
    return torch.stack(entries, dim=1).reshape(-1, 3, 3)
