"""GeoTIFFs by rasterio (extra ``geo``), for what tifffile has no decoder for."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import Any

import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from anychan.data.raw import RawImage, check_size, stored_but_nodata
from anychan.data.tiff import described

_one_opens = threading.Lock()


def read_geotiff(data: bytes, said: Sequence[float] = ()) -> RawImage:
    """The planes of a GeoTIFF, with what it says of them.

    Args:
        data: the content of the file.
        said: what is said of its bands that stands for no value, whatever it says itself.

    Raises:
        BrokenFileError: if it has too many pixels.
        rasterio.errors.RasterioError: if it is damaged.
    """
    with MemoryFile(data) as memory, _opened(memory) as file:
        check_size((file.count, file.height, file.width), max(_itemsize(dtype) for dtype in file.dtypes))
        masked = any(MaskFlags.per_dataset in flags for flags in file.mask_flag_enums)
        alpha = any(MaskFlags.alpha in flags for flags in file.mask_flag_enums)
        told = described([_items(file, band) for band in file.indexes], _lower(file.tags()))
        pixels, nodata = stored_but_nodata(file.read(), file.nodata, said)
        return RawImage(
            pixels,
            "CHW",
            nodata=nodata,
            valid=file.dataset_mask() != 0 if masked and not alpha and file.nodata is None else None,
            alpha=file.count > 1 and file.colorinterp[-1].name == "alpha",
            **told,
            **({} if "names" in told else _colours(file)),
        )


def _opened(memory: MemoryFile) -> Any:
    with _one_opens, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture need not lie on the earth
        return memory.open()


def _items(file: Any, band: int) -> dict[str, str]:
    items = _lower(file.tags(band)) | _lower(file.tags(band, ns="IMAGERY"))
    items |= {"scale": str(file.scales[band - 1]), "offset": str(file.offsets[band - 1])}
    name = file.descriptions[band - 1]
    return {**items, "description": name} if name else items


def _colours(file: Any) -> dict[str, Any]:
    """R, G and B where the file is to be shown so."""
    if [colour.name for colour in file.colorinterp[:3]] != ["red", "green", "blue"]:
        return {}
    return {"names": ("R", "G", "B", *[None] * (file.count - 3)), "display": True}


def _lower(tags: dict[str, str]) -> dict[str, str]:
    return {name.lower(): text for name, text in tags.items()}


def _itemsize(dtype: str) -> int:
    import numpy as np

    return 8 if dtype not in rasterio.dtypes.dtype_ranges else np.dtype(dtype).itemsize
