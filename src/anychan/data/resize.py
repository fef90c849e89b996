"""Squares of planes of any type: the shorter side resized (antialiased bicubic), the middle cut out.

Shape suffixes: H, W height and width; C planes; S the side that is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def fit(image: Image.Image, size: int | None, how: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    """The middle square of an image, ``size`` pixels wide (None: the image as it is)."""
    if size is None or image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # The box does in one step what resizing and cutting would: what lies outside is not computed.
    return image.resize((size, size), how, box=(left, top, left + side, top + side))


def resize_planes(pixels_HWC: NDArray[Any], image_size: int | None) -> NDArray[Any]:
    """Pixels (H, W, C) of 8 or 16 bits -> (S, S, C) of the same type, as photographs are resized.

    16-bit planes are resized in floating point and rounded, so none of their levels is lost.

    Example:
        >>> resize_planes(np.full((6, 9, 2), 65_535, np.uint16), 4)[3, 3]
        array([65535, 65535], dtype=uint16)
    """
    if image_size is None or pixels_HWC.shape[:2] == (image_size, image_size):
        return np.ascontiguousarray(pixels_HWC)
    planes = (np.ascontiguousarray(plane_HW) for plane_HW in pixels_HWC.transpose(2, 0, 1))
    if pixels_HWC.dtype == np.uint8:
        return np.stack([np.asarray(fit(Image.fromarray(plane_HW), image_size)) for plane_HW in planes], axis=-1)
    limits = np.iinfo(pixels_HWC.dtype)
    resized = (_fit_float(plane_HW.astype(np.float32), image_size) for plane_HW in planes)
    return np.stack([plane.round().clip(limits.min, limits.max) for plane in resized], axis=-1).astype(pixels_HWC.dtype)


def resize_values(values_CHW: Iterable[NDArray[np.float32]], image_size: int | None) -> NDArray[np.float32]:
    """Values (C, H, W), or C planes (H, W) one after another, NaN where there is none -> (S, S, C).

    A pixel is made of those values that are there: where some that it would be made of are missing it is the mean of
    the others, weighted by how near they are, and it is missing itself where they make up less than half.

    Example:
        >>> resize_values(np.array([[[1.0, np.nan]] * 2], np.float32), 1).tolist()
        [[[1.0]]]
    """
    return np.stack([_resize_plane(plane_HW, image_size) for plane_HW in values_CHW], axis=-1)


def _resize_plane(plane_HW: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    if size is None or plane_HW.shape == (size, size):
        return plane_HW
    missing_HW = np.isnan(plane_HW)
    if not missing_HW.any():
        return _fit_float(plane_HW, size)
    if missing_HW.all():
        return np.full((size, size), np.nan, dtype=np.float32)
    # Values are counted from their mean, so that what stands for a missing one is 0.
    centre = np.float32(plane_HW[~missing_HW].mean())
    filled_HW = np.where(missing_HW, np.float32(0), plane_HW - centre)
    there_HW = (~missing_HW).astype(np.float32)
    share_SS = _fit_float(there_HW, size, Image.Resampling.BILINEAR)  # no negative weights: a share from 0 to 1
    mean_SS = _fit_float(filled_HW, size, Image.Resampling.BILINEAR) / np.maximum(share_SS, 1e-6)
    whole_SS = np.abs(_fit_float(there_HW, size) - 1) < 1e-6
    found_SS = np.where(whole_SS & (share_SS > 1 - 1e-6), _fit_float(filled_HW, size), mean_SS) + centre
    return np.where(share_SS >= 0.5 - 1e-6, found_SS, np.float32(np.nan)).astype(np.float32)


def _fit_float(
    plane_HW: NDArray[np.float32], size: int, how: Image.Resampling = Image.Resampling.BICUBIC
) -> NDArray[np.float32]:
    return np.asarray(fit(Image.fromarray(np.ascontiguousarray(plane_HW)), size, how))
