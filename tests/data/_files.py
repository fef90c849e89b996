"""Files of any bands, made for the tests."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile

from anychan.data.bands import Bands, parse_bands
from anychan.data.findings import BrokenFileError
from anychan.data.images import decode_image


def noise(*shape: int, dtype: str = "uint16", seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    return random.random(shape, np.float32) if dtype == "float32" else random.integers(0, 30_000, shape).astype(dtype)


def tiff(pixels: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def npy(pixels: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def gdal(pixels: Any, *, descriptions: Any = None, scale: float = 1, offset: float = 0, **profile: Any) -> bytes:
    rasterio = pytest.importorskip("rasterio")
    from rasterio.io import MemoryFile

    mask, tags = profile.pop("mask", None), profile.pop("tags", {})
    profile["transform"] = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    c, h, w = pixels.shape
    with MemoryFile() as memory, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with memory.open(driver="GTiff", count=c, height=h, width=w, dtype=pixels.dtype.name, **profile) as file:
            file.write(pixels)
            if descriptions:
                file.descriptions = descriptions
            if (scale, offset) != (1, 0):
                file.scales, file.offsets = (scale,) * c, (offset,) * c
            for band, of_band in tags.items():
                file.update_tags(band, **of_band)
            if mask is not None:
                file.write_mask(mask)
        return bytes(memory.read())


def broken(data: bytes, bands: Bands | None = None) -> str:
    with pytest.raises(BrokenFileError) as caught:
        decode_image(data, bands)
    return caught.value.reason


def png_16(pixels: Any) -> bytes:
    """A PNG of 16 bits, of (H, W, C)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    h, w, c = pixels.shape
    header = struct.pack(">2I5B", w, h, 16, {1: 0, 2: 4, 3: 2, 4: 6}[c], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def stack(**members: bytes) -> bytes:
    """Files of one channel each, as a source of them shows them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = b"anychan: a file a channel"
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return file.getvalue()


SPECIES = Bands(parse_bands("naip").bands)  # R, G, B, NIR
PIXELS = noise(4, 20, 24)
SMALL = noise(2, 6, 7)
FOUR = noise(4, 16, 20, dtype="uint8")
