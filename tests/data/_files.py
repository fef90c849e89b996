"""Files of any bands, made for the tests."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from anychan.data.bands import Bands, parse_bands
from anychan.data.findings import BrokenFileError
from anychan.data.images import decode_image


def noise(*shape: int, dtype: str = "uint16", seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    return random.random(shape, np.float32) if dtype == "float32" else random.integers(0, 30_000, shape).astype(dtype)


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
