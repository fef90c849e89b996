"""Bytes of an image file -> the planes that a model is asked about.

Photographs of 8 bits go through the decoder of training and evaluation (`anychan.data.decode`), so a model sees in a
photograph what it saw in its data set; images of any bands through that of `anychan.data.read_image`. In photographs

- a grayscale photograph has R = G = B; alpha is laid over white; EXIF orientation is obeyed;
- 16 bits (grayscale in any format, colour in PNG and TIFF) and floating-point numbers from 0 to 1 keep all their levels
  where the decoder of a data set of 8 bits cuts them off: pixels may differ by a level of 255. In other formats Pillow
  gives colour in 8 bits, and so do we.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from anychan.channels import SHARE, ChannelSet
from anychan.data import tiff
from anychan.data.bands import Bands
from anychan.data.decode import FORMATS, MAX_PIXELS, decode_photograph
from anychan.data.findings import BrokenFileError
from anychan.data.images import decode_image
from anychan.data.numpy_files import is_numpy
from anychan.data.png16 import is_png_16, read_png_16
from anychan.data.raw import planes_first
from anychan.data.resize import resize_values
from anychan.data.stacks import is_stack

_ORIENTATION_TAG = 274
Shares = NDArray[np.float32]  # (H, W, S), of the full scale: 0 to 1


@dataclass(frozen=True, eq=False, slots=True)
class Planes:
    """A decoded image.

    Args:
        pixels: (C, H, W), uint8, or float32 in the channels' units, where NaN is no value.
        channels: the C channels.
    """

    pixels: Tensor
    channels: ChannelSet

    @property
    def values(self) -> Tensor:
        """In the channels' units, float32."""
        return self.pixels.float() / 255 if self.pixels.dtype == torch.uint8 else self.pixels

    @property
    def levels(self) -> Tensor:
        """To be looked at: uint8, of what is a share of the full scale; black where there is no value."""
        if self.pixels.dtype == torch.uint8:
            return self.pixels
        return (self.pixels.nan_to_num(0) * 255).round().clamp(0, 255).byte()


def read_planes(
    data: bytes, image_size: int | None = None, bands: Bands | None = None, known: ChannelSet | None = None
) -> Planes:
    """Decode the whole of an image file.

    Args:
        data: the content of the file.
        image_size: side in pixels of the square that is wanted: the shorter side is resized to it and the middle cut
            out; None leaves the image as large as it is.
        bands: what the file's planes are; None: what the file says, of a photograph R, G and B.
        known: the model's channels; where they are other than shares of R, G and B, gray of 16 bits and TIFFs are read
            by their bands, as in its data set.

    Raises:
        BrokenFileError: if it is no image, damaged, cut off or too large, or its bands are not known.

    Example:
        >>> file = io.BytesIO()
        >>> Image.fromarray(np.full((30, 40), 1000, np.uint16)).save(file, "PNG")
        >>> planes = read_planes(file.getvalue(), image_size=16)
        >>> str(planes.channels), tuple(planes.pixels.shape), round(float(planes.pixels[0, 0, 0] * 65535))
        ('RGB', (3, 16, 16), 1000)
    """
    if bands is not None or not is_photograph(data) or _is_of_bands(data, known):
        try:
            image = decode_image(data, bands)
        except BrokenFileError:
            raise
        except ValueError as error:  # such as two bands of one name
            raise BrokenFileError("unreadable", f"cannot be read: {error}") from error
        values = resize_values(image.values, image_size)
        return Planes(torch.from_numpy(values).permute(2, 0, 1), image.channels)
    pixels = decode_photograph(data, image_size).pixels  # says of broken files what is wrong
    kept = torch.from_numpy(pixels.copy())
    if (shares := _all_levels(data)) is not None:
        # Bicubic resizing overshoots at edges; in 8 bits that is cut off as well.
        kept = torch.from_numpy(resize_values(shares.transpose(2, 0, 1), image_size)).clamp(0, 1)
    return Planes(kept.permute(2, 0, 1), ChannelSet.parse("RGB"))


def _is_of_bands(data: bytes, known: ChannelSet | None) -> bool:
    if known is None or all(channel.name in ("R", "G", "B") and channel.units == SHARE for channel in known):
        return False
    return is_png_16(data) or (tiff.is_tiff(data) and not tiff.is_coloured(data))


def pixel_count(data: bytes) -> int:
    """Width times height, as the head of an image file says, without decoding any pixel.

    Raises:
        BrokenFileError: if it is no image of a known format, or has more pixels than any decoder takes.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            return image.width * image.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenFileError("too-large", f"has more pixels than the {MAX_PIXELS:,} that are decoded") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
        raise BrokenFileError("unreadable", f"is no image of a known format ({', '.join(FORMATS)})") from error


def is_photograph(data: bytes) -> bool:
    """Whether the file's head says that it holds a picture for people, and nothing of bands."""
    if is_stack(data) or is_numpy(data):
        return False
    return not tiff.is_tiff(data) or tiff.is_photograph(data, any_bits=True)


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _all_levels(data: bytes) -> Shares | None:
    """As `_levels`; raises ``BrokenFileError``."""
    try:
        return _levels(data)
    except BrokenFileError:
        raise
    except Exception as error:  # Pillow may have read what tifffile stumbles over
        raise BrokenFileError("unreadable", f"cannot be decoded: {error or type(error).__name__}") from error


def _levels(data: bytes) -> Shares | None:
    """The three planes of more than 8 bits, upright; None where 8 bits are all there is, or all that Pillow gives."""
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        if is_png_16(data) and "transparency" not in image.info:
            shares = read_png_16(data).transpose(1, 2, 0).astype(np.float32) / np.float32(65535)
        elif image.mode == "F" or image.mode.startswith("I"):
            values = np.asarray(image)[:, :, None]  # loads it: Pillow has turned a TIFF by then, and its tag is gone
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
            shares = values.astype(np.float32) / np.float32(1 if image.mode == "F" else 65535)
        elif image.format == "TIFF" and tiff.has_16_bits(data) and not tiff.is_coloured(data):
            shares = _of_tiff(data)
        else:
            return None
    return _upright(_rgb_over_white(shares), orientation)


def _of_tiff(data: bytes) -> Shares:
    """By rasterio where tifffile has no decoder."""
    planes_SHW = planes_first(tiff.read_tiff(data), None)
    return planes_SHW.transpose(1, 2, 0).astype(np.float32) / np.float32(65535)


def _rgb_over_white(shares_HWS: Shares) -> Shares:
    """One plane, or three, and perhaps an alpha after them -> R, G and B."""
    colours = shares_HWS[:, :, :3] if shares_HWS.shape[2] >= 3 else np.repeat(shares_HWS[:, :, :1], 3, axis=2)
    if shares_HWS.shape[2] not in (2, 4):
        return colours
    alpha = shares_HWS[:, :, -1:]
    return np.asarray(colours * alpha + 1 - alpha, np.float32)


def _upright(shares_HWC: Shares, orientation: int) -> Shares:
    """Turned as an EXIF orientation tag says: 2 to 4 keep the sides, 5 to 8 exchange them."""
    if orientation in (5, 6, 7, 8):
        shares_HWC = shares_HWC.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        shares_HWC = shares_HWC[::-1]
    if orientation in (2, 3, 6, 7):
        shares_HWC = shares_HWC[:, ::-1]
    return shares_HWC
