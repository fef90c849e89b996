"""Pictures of more than 8 bits a sample, with all their levels, where Pillow alone gives 8 bits of colours.

PNG of 16 bits (``anychan.data.png16``); gray JPEG 2000, PGM and PFM, of which Pillow gives all levels; PPM, whose
samples are read here. Colours of JPEG 2000 in more than 8 bits are refused: nothing that is always there reads them.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from anychan.data.decode import decode_photograph, known_formats, orientation
from anychan.data.findings import BrokenFileError
from anychan.data.png16 import is_png_16, read_png_16

_MOST = 65535
_JPEG = b"\xff\xd8"
_CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000: its start, and the head that says the sizes
_BITS = 42  # behind them, those of the first plane, less one; the upper one says whether there is a sign


def is_deep(data: bytes) -> bool:
    """Whether a file, which is no TIFF, holds a picture of more than 8 bits a sample; False if its head is damaged."""
    if is_png_16(data):
        return True
    if data.startswith(_JPEG):  # is told sooner than by opening it
        return False
    try:
        with Image.open(io.BytesIO(data), formats=known_formats()) as image:
            return image.mode == "F" or image.mode.startswith("I") or _deep_colours(image, data)
    except MemoryError:
        raise
    except Exception:  # what is wrong with it is said by who reads it
        return False


def read_deep(data: bytes) -> NDArray[Any]:
    """The samples of such a picture, upright, (C, H, W): uint16, of which 65535 is the full scale, or float32.

    Where it has a transparent colour, that is white; an opacity is the last of 2 or 4 planes (``over_white``).

    Raises:
        BrokenFileError: if it is damaged, too large, or in colours of JPEG 2000.
    """
    decode_photograph(data, 1)  # says what is wrong with it
    with Image.open(io.BytesIO(data), formats=known_formats()) as image:
        planes, colour = _samples(image, data), image.info.get("transparency")
        if colour is not None:
            transparent_HW = (planes == np.reshape(colour, (-1, 1, 1))).all(axis=0)
            planes = np.where(transparent_HW, planes.dtype.type(_MOST), planes)
        return upright(planes, orientation(image))


def upright(planes_CHW: NDArray[Any], turned: int) -> NDArray[Any]:
    """Turned back as an EXIF orientation says: 2 to 4 keep the sides, 5 to 8 exchange them."""
    if turned in (5, 6, 7, 8):
        planes_CHW = planes_CHW.transpose(0, 2, 1)
    if turned in (3, 4, 7, 8):
        planes_CHW = planes_CHW[:, ::-1]
    if turned in (2, 3, 6, 7):
        planes_CHW = planes_CHW[:, :, ::-1]
    return np.ascontiguousarray(planes_CHW)


def has_full_scale(planes_CHW: NDArray[Any]) -> bool:
    """Whether it is known which number is white: of 8 and 16 bits, and of floating point within 0 and 1.

    Example:
        >>> [has_full_scale(np.array([0, 200], dtype)) for dtype in (np.uint8, np.uint16, np.int16, np.float32)]
        [True, True, False, False]
    """
    if planes_CHW.dtype.kind == "f":
        return not bool(((planes_CHW < 0) | (planes_CHW > 1)).any())
    return planes_CHW.dtype.kind == "u"


def over_white(planes_CHW: NDArray[Any], premultiplied: bool = False) -> NDArray[Any]:
    """The planes but the last, which is their opacity, laid over white.

    Args:
        planes_CHW: with a full scale (``has_full_scale``).
        premultiplied: whether the others have been multiplied by the opacity already.

    Example:
        >>> over_white(np.array([[[1000, 1000]], [[0, 65535]]], np.uint16))
        array([[[65535,  1000]]], dtype=uint16)
    """
    dtype = planes_CHW.dtype
    full = 1 if dtype.kind == "f" else np.iinfo(dtype).max
    opacity_HW = planes_CHW[-1] / full
    shares_CHW = planes_CHW[:-1].astype(np.float64) if premultiplied else planes_CHW[:-1] * opacity_HW
    mixed_CHW = (shares_CHW + full * (1 - opacity_HW)).clip(max=full)
    return (mixed_CHW if dtype.kind == "f" else mixed_CHW.round()).astype(dtype)


def _samples(image: ImageFile.ImageFile, data: bytes) -> NDArray[Any]:
    if is_png_16(data):
        return read_png_16(data)
    if image.mode == "F":
        return np.asarray(image)[None]
    if image.mode.startswith("I"):  # Pillow has scaled fewer bits than 16 up to them
        return np.asarray(image).astype(np.uint16)[None]
    if image.format == "JPEG2000":
        bits = _jpeg_2000_bits(data)
        reason = f"has colours of {bits} bits in JPEG 2000, of which 8 can be read: write it as PNG or TIFF"
        raise BrokenFileError("unreadable", reason)
    return _ppm(image, data)


def _deep_colours(image: ImageFile.ImageFile, data: bytes) -> bool:
    if image.format == "JPEG2000":
        return _jpeg_2000_bits(data) > 8
    return image.format == "PPM" and image.mode == "RGB" and _largest(image) > 255


def _jpeg_2000_bits(data: bytes) -> int:
    return (data[data.index(_CODESTREAM) + _BITS] & 0x7F) + 1


def _largest(image: ImageFile.ImageFile) -> int:
    """The full scale of a PPM."""
    arguments = image.tile[0].args
    return int(arguments[1]) if isinstance(arguments, tuple) else 255


def _ppm(image: ImageFile.ImageFile, data: bytes) -> NDArray[np.uint16]:
    """R, G and B of a PPM of 16 bits, in binary or as text."""
    decoder, _, start, _ = image.tile[0]
    shape = (image.height, image.width, 3)
    if decoder == "ppm_plain":
        samples = np.array(re.sub(rb"#[^\r\n]*", b"", data[start:]).split()[: np.prod(shape)], dtype=np.int64)
    else:
        samples = np.frombuffer(data, ">u2", int(np.prod(shape)), start).astype(np.int64)
    shares = samples.reshape(shape).transpose(2, 0, 1).clip(max=_largest(image)) / _largest(image)
    return (shares * _MOST).round().astype(np.uint16)
