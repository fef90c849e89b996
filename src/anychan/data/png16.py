"""PNG of 16 bits a sample, whole: Pillow keeps the upper 8 bits of colours, so it is asked for the lower ones too."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS, _COLOUR, _HEADER_CRC = 24, 25, 29  # places in the file
_GRAY_AND_ALPHA, _RGBA = 4, 6  # colour types


def is_png_16(data: bytes) -> bool:
    """Whether a file begins as a PNG of 16 bits a sample does."""
    return data.startswith(_SIGNATURE) and data[_BITS : _BITS + 1] == b"\x10"


def read_png_16(data: bytes) -> NDArray[np.uint16]:
    """The samples of a whole PNG of 16 bits, (C, H, W): gray, gray and alpha, R G B, or R G B and alpha."""
    if data[_COLOUR] == _GRAY_AND_ALPHA:  # two samples of 16 bits are stored as four of 8 are
        pairs = _decoded(_as_rgba_of_8_bits(data), None)
        return (pairs[0::2].astype(np.uint16) << 8) | pairs[1::2]
    upper = _decoded(data, None)
    if upper.dtype != np.uint8:  # gray
        return upper.astype(np.uint16)
    # Read as if they were stored the other way round, the lower bits are the upper ones.
    return (upper.astype(np.uint16) << 8) | _decoded(data, "16L")


def _decoded(data: bytes, order: str | None) -> NDArray[Any]:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if order is not None:
            image.tile = [tile._replace(args=str(tile.args).replace("16B", order)) for tile in image.tile]
        pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _as_rgba_of_8_bits(data: bytes) -> bytes:
    header = bytearray(data[:_HEADER_CRC])
    header[_BITS], header[_COLOUR] = 8, _RGBA
    return bytes(header) + zlib.crc32(header[12:]).to_bytes(4, "big") + data[_HEADER_CRC + 4 :]
