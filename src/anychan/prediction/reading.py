"""Bytes of an image file -> the planes that a model is asked about.

Photographs of 8 bits go through the decoder of training and evaluation (`anychan.data.decode`), so a model sees in a
photograph what it saw in its data set; images of any bands through that of `anychan.data.read_image`. In photographs

- a grayscale photograph has R = G = B; alpha is laid over white; EXIF orientation is obeyed;
- more than 8 bits, and floating-point numbers from 0 to 1, keep all their levels, read as in a data set of such
  pictures (`anychan.data.deep`). Colours of JPEG 2000 beyond 8 bits are refused.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from anychan.channels import MEASURED, SHARE, Channel, ChannelSet
from anychan.data import tiff
from anychan.data.bands import Bands, Numbers
from anychan.data.decode import FORMATS, MAX_PIXELS, decode_photograph, known_formats
from anychan.data.deep import is_deep
from anychan.data.findings import BrokenFileError
from anychan.data.images import decode_image
from anychan.data.multiband import is_kept_as_stored
from anychan.data.numpy_files import is_numpy
from anychan.data.resize import resize_planes, resize_values
from anychan.data.stacks import is_stack
from anychan.sensors import match


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


def planes_of_image(
    data: bytes,
    image_size: int | None = None,
    bands: Bands | None = None,
    known: ChannelSet | None = None,
    otherwise: tuple[tuple[str, Numbers], ...] = (),
) -> Planes:
    """Decode the whole of an image file.

    Args:
        data: the content of the file.
        image_size: side in pixels of the square that is wanted: the shorter side is resized to it and the middle cut
            out; None leaves the image as large as it is.
        bands: what the file's planes are; None: what the file says, of a photograph R, G and B. Where they are said to
            be ``partial``, the model's channels that the file lacks are planes without a value.
        known: the model's channels; where they are other than shares of R, G and B, pictures of more than 8 bits and
            TIFFs are read by their bands, as in its data set.
        otherwise: scale, offset and nodata by band, where neither ``bands`` nor the file says them.

    Raises:
        BrokenFileError: if it is no image, damaged, cut off or too large, or its bands are not known.

    Example:
        >>> file = io.BytesIO()
        >>> Image.fromarray(np.full((30, 40), 1000, np.uint16)).save(file, "PNG")
        >>> planes = planes_of_image(file.getvalue(), image_size=16)
        >>> str(planes.channels), tuple(planes.pixels.shape), round(float(planes.pixels[0, 0, 0] * 65535))
        ('RGB', (3, 16, 16), 1000)
    """
    try:
        return _decoded(data, image_size, bands, known, otherwise)
    except (BrokenFileError, MemoryError):
        raise
    except Exception as error:  # readers raise whatever a damaged file makes them stumble over
        raise BrokenFileError("unreadable", f"cannot be decoded: {str(error) or type(error).__name__}") from error


def _decoded(
    data: bytes,
    image_size: int | None,
    bands: Bands | None,
    known: ChannelSet | None,
    otherwise: tuple[tuple[str, Numbers], ...],
) -> Planes:
    if bands is not None or not looks_like_photograph(data) or _is_of_bands(data, known):
        try:
            image = decode_image(data, replace(bands or Bands(), otherwise=otherwise))
            partial = bands is not None and bands.partial
            missing = _missing(image.channels, known) if partial and known is not None else []
        except BrokenFileError:
            raise
        except ValueError as error:  # such as two bands of one name
            raise BrokenFileError("unreadable", f"cannot be read: {error}") from error
        if is_kept_as_stored(image, bands or Bands()):  # resized in their own whole numbers, as in a data set
            pixels = resize_planes(image.pixels.transpose(1, 2, 0), image_size)
            values = replace(image, pixels=pixels.transpose(2, 0, 1)).values
        else:
            values = resize_values(image.values, image_size).transpose(2, 0, 1)
        absent = np.full((len(missing), *values.shape[1:]), np.nan, dtype=np.float32)
        return Planes(torch.from_numpy(np.concatenate([values, absent])), ChannelSet([*image.channels, *missing]))
    pixels = decode_photograph(data, image_size).pixels  # says of broken files what is wrong
    kept = torch.from_numpy(pixels.copy())
    if (shares_SHW := _all_levels(data)) is not None:
        # Bicubic resizing overshoots at edges; in 8 bits that is cut off as well.
        kept = torch.from_numpy(resize_values(shares_SHW, image_size)).clamp(0, 1)
    return Planes(kept.permute(2, 0, 1), ChannelSet.parse("RGB"))


def _missing(there: ChannelSet, known: ChannelSet) -> list[Channel]:
    """The model's channels that an image lacks; of one that has none of them none, so that this is said of it."""
    found = match(known, there)
    return [channel for channel in known if channel.name not in found] if found else []


def _is_of_bands(data: bytes, known: ChannelSet | None) -> bool:
    if known is None or all(channel.name in ("R", "G", "B") and channel.units == SHARE for channel in known):
        return False
    return is_deep(data) or (tiff.is_tiff(data) and not tiff.is_coloured(data))


def pixel_count(data: bytes) -> int:
    """Width times height, as the head of an image file says, without decoding any pixel.

    Raises:
        BrokenFileError: if it is no image of a known format, or has more pixels than any decoder takes.
    """
    try:
        with Image.open(io.BytesIO(data), formats=known_formats()) as image:
            return image.width * image.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenFileError("too-large", f"has more pixels than the {MAX_PIXELS:,} that are decoded") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
        raise BrokenFileError("unreadable", f"is no image of a known format ({', '.join(FORMATS)})") from error


def looks_like_photograph(data: bytes) -> bool:
    """Whether the file's head says that it holds a picture for people, and nothing of bands.

    Raises:
        BrokenFileError: if it is a TIFF whose pages have no end.
    """
    if is_stack(data) or is_numpy(data):
        return False
    return not tiff.is_tiff(data) or tiff.is_picture(data, any_bits=True)


def _all_levels(data: bytes) -> NDArray[np.float32] | None:
    """A photograph's R, G and B of more than 8 bits, shares (3, H, W), upright and over white; None: 8 bits are all."""
    if tiff.is_tiff(data):
        if tiff.is_coloured(data) or not tiff.has_more_than_8_bits(data):
            return None
    elif not is_deep(data):
        return None
    image = decode_image(data)
    shares_SHW = image.values
    if image.channels[0].units == MEASURED:  # numbers of 32 bits, which `decode_photograph` has found in range
        with Image.open(io.BytesIO(data), formats=known_formats()) as opened:
            shares_SHW = shares_SHW / np.float32(65535 if opened.mode == "I" else 1)
    return np.repeat(shares_SHW, 3, axis=0) if len(shares_SHW) == 1 else shares_SHW
