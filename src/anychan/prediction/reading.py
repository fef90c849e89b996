"""Bytes of an image file -> the planes that a model is asked about.

This is the one place where prediction decodes. Photographs of 8 bits go through the decoder of training and evaluation
(`anychan.data.decode`), so a model sees in a photograph what it saw in its data set:

- a grayscale photograph has R = G = B; alpha is laid over white; EXIF orientation is obeyed;
- 16 bits (grayscale in any format, colour in PNG and TIFF) and floating-point numbers from 0 to 1 keep all their levels
  where the decoder of a data set rounds them to 8 bits: what is answered may differ by that rounding, half a
  level of 255. In other formats Pillow gives colour in 8 bits, and so do we.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from anychan.channels import ChannelSet
from anychan.data.decode import FORMATS, decode_photograph, resize_planes
from anychan.data.findings import BrokenFileError

_ORIENTATION_TAG, _PHOTOMETRIC, _BITS = 274, 262, 258
_RGB = 2  # of the photometric tag
# How Pillow takes apart the samples of a 16-bit PNG, and how it is told to take the other byte of each.
_PNG_OF_16_BITS = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}
Levels = NDArray[np.float32]  # (H, W, S) on a scale of 0 to 255


@dataclass(frozen=True, eq=False, slots=True)
class Planes:
    """A decoded image.

    Args:
        pixels: uint8 or float32 (C, H, W), on a scale of 0 to 255.
        channels: the C channels.
    """

    pixels: Tensor
    channels: ChannelSet


def read_planes(data: bytes, image_size: int | None = None) -> Planes:
    """Decode the whole of an image file.

    Args:
        data: the content of the file.
        image_size: side in pixels of the square that is wanted: the shorter side is resized to it and the middle cut
            out; None leaves the image as large as it is.

    Raises:
        BrokenFileError: if it is no image, damaged, cut off or too large.

    Example:
        >>> file = io.BytesIO()
        >>> Image.fromarray(np.full((30, 40), 1000, np.uint16)).save(file, "PNG")
        >>> planes = read_planes(file.getvalue(), image_size=16)
        >>> str(planes.channels), tuple(planes.pixels.shape), round(float(planes.pixels[0, 0, 0] / 255 * 65535))
        ('RGB', (3, 16, 16), 1000)
    """
    picture = decode_photograph(data, image_size)  # says of broken files what is wrong
    pixels: NDArray = picture.pixels
    if (levels := _all_levels(data)) is not None:
        # Bicubic resizing overshoots at edges; in 8 bits that is cut off as well.
        pixels = np.clip(resize_planes(levels, image_size), 0, 255)  # type: ignore[arg-type] # of any number type
    return Planes(torch.from_numpy(pixels.copy()).permute(2, 0, 1), ChannelSet.parse("RGB"))


def pixel_count(data: bytes) -> int:
    """Width times height, as the head of an image file says, without decoding any pixel.

    Raises:
        BrokenFileError: if it is no image of a known format.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            return image.width * image.height
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
        raise BrokenFileError("unreadable", f"is no image of a known format ({', '.join(FORMATS)})") from error


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _all_levels(data: bytes) -> Levels | None:
    """The three planes of more than 8 bits, upright; None where 8 bits are all there is, or all that Pillow gives."""
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        kind = image.tile[0].args if image.format == "PNG" and "transparency" not in image.info else None
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)  # after the tile, which is gone where this loads
        if image.mode == "F" or image.mode.startswith("I"):
            values = np.asarray(image)[:, :, None]  # loads it: Pillow has turned a TIFF by then, and its tag is gone
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
            levels = values.astype(np.float32) * np.float32(255 if image.mode == "F" else 255 / 65535)
        elif kind in _PNG_OF_16_BITS:
            levels = _png_levels(image, data, kind)
        elif image.format == "TIFF" and _is_deep_colour(image.tag_v2):  # type: ignore[attr-defined]
            levels = _tiff_levels(data)
        else:
            return None
    return _upright(_rgb_over_white(levels), orientation)


def _is_deep_colour(tags: Mapping[int, Any]) -> bool:
    return tags.get(_PHOTOMETRIC) == _RGB and 16 in tags.get(_BITS, ())


def _png_levels(image: Image.Image, data: bytes, kind: str) -> Levels:
    """All samples of a 16-bit PNG: Pillow keeps the upper byte of each; told another order of bytes, the lower one."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as again:
        again.tile = [tile._replace(args=_PNG_OF_16_BITS[kind]) for tile in again.tile]
        if kind == "LA;16B":  # two samples are four bytes, as in a picture with four channels
            again._mode = "RGBA"
            parts = np.asarray(again).astype(np.float32)
            upper, lower = parts[:, :, ::2], parts[:, :, 1::2]
        else:
            upper, lower = np.asarray(image).astype(np.float32), np.asarray(again).astype(np.float32)
    return (upper * 256 + lower) * np.float32(255 / 65535)


def _tiff_levels(data: bytes) -> Levels:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        values = page.asarray().astype(np.float32) * np.float32(255 / 65535)
        return values.transpose(1, 2, 0) if page.axes.startswith("S") else values


def _rgb_over_white(levels_HWS: Levels) -> Levels:
    """One plane, or three, and perhaps an alpha after them -> R, G and B."""
    colours = levels_HWS[:, :, :3] if levels_HWS.shape[2] >= 3 else np.repeat(levels_HWS[:, :, :1], 3, axis=2)
    if levels_HWS.shape[2] not in (2, 4):
        return colours
    alpha = levels_HWS[:, :, -1:] / 255
    return np.asarray(colours * alpha + 255 * (1 - alpha), np.float32)


def _upright(levels_HWC: Levels, orientation: int) -> Levels:
    """Turned as an EXIF orientation tag says: 2 to 4 keep the sides, 5 to 8 exchange them."""
    if orientation in (5, 6, 7, 8):
        levels_HWC = levels_HWC.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        levels_HWC = levels_HWC[::-1]
    if orientation in (2, 3, 6, 7):
        levels_HWC = levels_HWC[:, ::-1]
    return levels_HWC
