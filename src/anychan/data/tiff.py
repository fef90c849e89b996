"""TIFF and GeoTIFF: several pages, several samples a pixel, planar or interleaved, with what they say of their bands.

tifffile reads them; what it has no decoder for (LZW, ZSTD, JPEG, ... compressed pixels) rasterio does, where it is
installed (extra ``geo``). Names come from GDAL's descriptions, ImageJ's labels, OME's channels or the pages' names;
wavelengths, scale, offset and nodata from GDAL's tags; masks from GDAL's mask page or an opacity plane.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar
from xml.etree import ElementTree

import numpy as np

from anychan.data.findings import BrokenFileError
from anychan.data.raw import RawImage, check_size, stored_but_nodata
from anychan.data.wavelengths import micrometres

Answer = TypeVar("Answer")

MAX_PAGES = 10_000  # of stacks of bands and planes; each is a place in the file to go to
_PREMULTIPLIED, _ALPHA = 1, (1, 2)  # of the tag ExtraSamples
_ORIENTATION, _PAGE_NAME, _GDAL_METADATA, _GDAL_NODATA = 274, 285, 42112, 42113
_COLOURS = ("PALETTE", "SEPARATED", "YCBCR", "CIELAB")  # what only a reader of photographs turns into RGB
_GEO_KEYS = (33550, 34735)  # the size of a pixel on the ground, and the map that it is on
_INFLATING: dict[int, Callable[[], Any]] = {
    8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor
}  # fmt: skip
_MOST_DEFLATED = 1032  # bytes that one may stand for
_SEGMENT_BYTES = 64 * 2**20  # of a strip or tile, which are decoded one by one
_WAVELENGTHS = ("wavelength", "wavelengths", "center_wavelength", "central_wavelength")


def is_tiff(data: bytes) -> bool:
    """Whether a file begins as a TIFF or BigTIFF does."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def check_pages(data: bytes) -> None:
    """Follow the pages of a TIFF, which its readers would do without end where one names an earlier one as the next.

    Raises:
        BrokenFileError: if the pages go round in a circle, or are more than ``MAX_PAGES``.
    """
    order, big = "<" if data[:2] == b"II" else ">", 43 in data[2:4]
    place, entry_bytes = (f"{order}Q", 20) if big else (f"{order}I", 12)
    count = f"{order}Q" if big else f"{order}H"
    seen: set[int] = set()
    try:
        (page,) = struct.unpack_from(place, data, 8 if big else 4)
        while page:
            if page in seen:
                raise BrokenFileError("unreadable", "has pages that follow one another in a circle")
            seen.add(page)
            if len(seen) > MAX_PAGES:
                raise BrokenFileError("unreadable", f"has more than the {MAX_PAGES:,} pages that are read")
            (entries,) = struct.unpack_from(count, data, page)
            (page,) = struct.unpack_from(place, data, page + struct.calcsize(count) + entries * entry_bytes)
    except (struct.error, OverflowError):  # it ends there: what is missing is said by who reads it
        return


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    """tifffile's view of a TIFF whose pages come to an end."""
    import tifffile

    check_pages(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        yield file


def _told(data: bytes, question: Callable[[Any], Answer], otherwise: Answer) -> Answer:
    """What a file says; ``otherwise`` of a damaged one, of which who reads it says what is wrong.

    Raises:
        BrokenFileError: as `check_pages`; others would follow those pages too.
    """
    try:
        with _opened(data) as file:
            return question(file)
    except (BrokenFileError, MemoryError):
        raise
    except Exception:  # tifffile raises whatever a damaged file makes it stumble over
        return otherwise


def is_coloured(data: bytes) -> bool:
    """Whether a TIFF is in black and white, or in colours that only a reader of photographs turns into RGB.

    It raises ``BrokenFileError`` as `check_pages` does, and so do all here that look at a file.
    """

    def coloured(file: Any) -> bool:
        page = file.pages.first
        if page.photometric.name == "YCBCR" and _told_by_maps(file):
            return False  # rasterio turns it into RGB too, and keeps its mask
        return page.photometric.name in _COLOURS or page.bitspersample == 1

    return _told(data, coloured, False)


def orientation(data: bytes) -> int:
    """How a TIFF's first page is to be turned, from 1 (as it is) to 8, as in EXIF."""

    def turned(file: Any) -> int:
        tag = file.pages.first.tags.get(_ORIENTATION)
        return 1 if tag is None else int(tag.value)

    return _told(data, turned, 1)


def has_more_than_8_bits(data: bytes) -> bool:
    """Whether a TIFF has more than 8 bits a sample in its first page."""
    return _told(data, lambda file: bool(max(np.atleast_1d(file.pages.first.bitspersample)) > 8), False)


def has_signed_bytes(data: bytes) -> bool:
    """Whether a TIFF has numbers from -128 to 127, which readers of photographs take for others."""
    return _told(data, lambda file: file.pages.first.dtype == np.int8, False)


def is_picture(data: bytes, any_bits: bool = False) -> bool:
    """Whether a TIFF holds a picture for people: one page of gray or colours, nothing said of bands.

    Args:
        data: the content of the file.
        any_bits: pictures of more than 8 bits count too.
    """

    def photograph(file: Any) -> bool:
        page = file.pages.first
        told = _GDAL_METADATA in page.tags or _GDAL_NODATA in page.tags or file.is_imagej or file.is_ome
        plain = (any_bits or page.bitspersample == 8) and page.samplesperpixel in (1, 3, 4) and len(file.pages) == 1
        if page.samplesperpixel == 4 and (_has_geo_keys(page) or not _says_opacity(page)):
            return False  # the fourth is a band
        if page.dtype == np.int8:
            return False  # Pillow would make 255 of -1
        return plain and not told and (page.samplesperpixel == 1 or page.photometric.name == "RGB")

    return is_coloured(data) or _told(data, photograph, True)


def has_bands(data: bytes) -> bool:
    """Whether a TIFF has several pages, or samples that are neither colours nor an opacity."""

    def bands(file: Any) -> bool:
        page, samples = file.pages.first, file.pages.first.samplesperpixel
        if sum(not (one.is_mask or one.is_reduced) for one in file.pages) > 1:
            return True
        if page.photometric.name in _COLOURS or samples in (1, 3):
            return samples == 3 and page.photometric.name not in ("RGB", *_COLOURS)
        return samples not in (2, 4) or not _says_opacity(page) or (samples == 4 and _has_geo_keys(page))

    return _told(data, bands, False)


def _has_geo_keys(page: Any) -> bool:
    return any(key in page.tags for key in _GEO_KEYS)


def _told_by_maps(file: Any) -> bool:
    """Whether a TIFF says what programs of maps write: where it lies, or where it has no value."""
    page = file.pages.first
    return _has_geo_keys(page) or _GDAL_NODATA in page.tags or any(one.is_mask for one in file.pages)


def _says_opacity(page: Any) -> bool:
    return bool(page.extrasamples) and int(page.extrasamples[-1]) in _ALPHA


def is_premultiplied(data: bytes) -> bool:
    """Whether a TIFF's last plane is an opacity by which the others have been multiplied."""

    def premultiplied(file: Any) -> bool:
        extra = file.pages.first.extrasamples
        return bool(extra) and int(extra[-1]) == _PREMULTIPLIED

    return _told(data, premultiplied, False)


def read_tiff(data: bytes, said: Sequence[float] = ()) -> RawImage:
    """The planes of a TIFF; ``said`` is what is said of it that stands for no value, whatever it says itself.

    Raises:
        BrokenFileError: as `check_pages`, and if it is damaged, has pages of different sizes, other axes than planes,
            height and width, or a compression for which a library is missing.
    """
    try:
        with _opened(data) as file:
            series = [series for series in file.series if not series.keyframe.is_mask]
            if len(series) != 1:
                how_many = f"{len(series)} images of different shapes" if series else "no image"
                raise BrokenFileError("unreadable", f"holds {how_many}, where one is read")
            check_size(series[0].shape, series[0].dtype.itemsize)
            if any(page is None for page in series[0].pages):  # tifffile would make planes of zeros
                raise BrokenFileError("truncated", "lacks pages that it says it has")
            for one in file.series:  # a mask among them
                _check_segments(data, one)
            white_at_0 = series[0].keyframe.photometric.name == "MINISWHITE"
            if series[0].keyframe.photometric.name == "YCBCR":  # tifffile would leave it so
                return _read_with_rasterio(data, series[0], None, said)
            try:
                pixels = series[0].asarray(maxworkers=1)
                masks = [mask.asarray(maxworkers=1) for mask in file.series if mask.keyframe.is_mask]
            except (KeyError, ValueError, ImportError) as error:
                if not _lacks_decoder(error):
                    raise
                raw = _read_with_rasterio(data, series[0], error, said)
            else:
                raw = _raw(file, series[0], pixels, masks, said)
            return _black_at_0(raw) if white_at_0 else raw
    except (BrokenFileError, MemoryError):
        raise
    except Exception as error:  # tifffile raises whatever a damaged file makes it stumble over
        raise BrokenFileError("unreadable", f"cannot be decoded: {error or type(error).__name__}") from error


def _check_segments(data: bytes, series: Any) -> None:
    """Refuse strips and tiles that hold far more than the file says, and would fill the memory as they are decoded."""
    page = series.keyframe
    size = math.prod(page.chunks) * series.dtype.itemsize
    check_size((size,), 1)
    new = _INFLATING.get(int(page.compression))
    if new is None:
        return
    most = max(2 * size, _SEGMENT_BYTES)  # some have a little more than they should
    for one in series.pages:
        for start, length in zip(one.dataoffsets, one.databytecounts, strict=False):
            if new is zlib.decompressobj and length * _MOST_DEFLATED <= most:
                continue
            inflated = new().decompress(memoryview(data)[start : start + length], most + 1)
            if len(inflated) > most:
                reason = f"has a strip or tile of more than {most:,} bytes of pixels, where {size:,} are expected"
                raise BrokenFileError("too-large", reason)


def _lacks_decoder(error: Exception) -> bool:
    return isinstance(error, ImportError) or "imagecodecs" in str(error)


def _black_at_0(raw: RawImage) -> RawImage:
    pixels = raw.pixels
    if pixels.dtype.kind != "u":
        raise BrokenFileError("unreadable", f"shows {pixels.dtype.name} pixels white at 0: their scale is not known")
    white = int(np.iinfo(pixels.dtype).max)
    return replace(raw, pixels=white - pixels, nodata=None if raw.nodata is None else white - raw.nodata)


def _read_with_rasterio(data: bytes, series: Any, error: Exception | None, said: Sequence[float]) -> RawImage:
    compression = series.keyframe.compression.name
    try:
        from anychan.data.geo import read_geotiff
    except ImportError as missing:
        reason = f"is compressed by {compression}, for which rasterio is needed: install anychan[geo]"
        raise BrokenFileError("unreadable", reason) from missing
    try:
        raw = read_geotiff(data, said)
    except (BrokenFileError, MemoryError):
        raise
    except Exception as second:
        raise BrokenFileError("unreadable", f"cannot be decoded: {second}") from error
    planes = math.prod(length for axis, length in zip(series.axes, series.shape, strict=True) if axis not in "YX")
    if len(raw.pixels) != planes:  # rasterio reads the first page
        raise BrokenFileError(
            "unreadable",
            f"has {planes} planes in pages compressed by {compression}, of which rasterio reads {len(raw.pixels)}: "
            "write it with zlib, or as bands of one page",
        )
    return raw


def _raw(file: Any, series: Any, pixels: Any, masks: list[Any], said: Sequence[float]) -> RawImage:
    axes = "".join(axis for axis, length in zip(series.axes, series.shape, strict=True) if length > 1 or axis in "YX")
    pixels, nodata = stored_but_nodata(pixels, _nodata(series.keyframe), said)
    pixels = pixels.reshape([n for axis, n in zip(series.axes, series.shape, strict=True) if axis in axes])
    others = axes.replace("Y", "", 1).replace("X", "", 1)
    if len(others) > 1 or others not in ("", "S", "C", "I", "Q"):
        raise BrokenFileError("unreadable", f"has the axes {axes}: planes, height and width are read, no more")
    if not others:
        pixels, order = pixels[None], "CHW"
    else:  # pages of rows may be the rows of an array whose last axis has the planes
        order = "" if others in ("I", "Q") else "CHW" if axes[0] == others else "HWC"
    page = series.keyframe
    count = 1 if not others else series.shape[series.axes.index(others)]
    told = _gdal_bands(page, count)
    names = told.pop("names", None)
    return RawImage(
        pixels,
        order,
        names or _other_names(file, series, page, count),
        display=names is None and page.photometric.name == "RGB" and not (file.is_imagej or file.is_ome),
        alpha=others == "S" and _says_opacity(page),
        valid=None if not masks else np.asarray(masks[0]) != 0,
        nodata=nodata,
        **told,
    )


def _other_names(file: Any, series: Any, page: Any, count: int) -> tuple[str | None, ...] | None:
    names: list[str | None] = []
    if file.is_imagej:
        names = list((file.imagej_metadata or {}).get("Labels") or [])
    elif file.is_ome:
        channels = ElementTree.fromstring(file.ome_metadata).iter()
        names = [element.get("Name") for element in channels if element.tag.rpartition("}")[2] == "Channel"]
    if len(names) == count and any(names):
        return tuple(names)
    if page.photometric.name == "RGB" and count >= 3:  # of ImageJ and OME too, which say nothing more of colours
        names = ["R", "G", "B", *[None] * (count - 3)]
    elif len(series.pages) == count > 1:
        tags = [getattr(one, "tags", {}).get(_PAGE_NAME) for one in file.pages[:count]]
        names = [None if tag is None else str(tag.value) for tag in tags]
    return tuple(names) if len(names) == count and any(names) else None


def _nodata(page: Any) -> float | None:
    if (tag := page.tags.get(_GDAL_NODATA)) is None:
        return None
    text = str(tag.value).strip("\0 ")
    try:
        return float(text)
    except ValueError as error:
        raise BrokenFileError("unreadable", f"says that {text!r} is nodata, which is no number") from error


def _gdal_bands(page: Any, count: int) -> dict[str, Any]:
    """What GDAL's tags say: names, wavelengths, scale and offset of each plane."""
    found: dict[str, Any] = {}
    if (tag := page.tags.get(_GDAL_METADATA)) is None:
        return found
    of_all: dict[str, str] = {}
    of_plane: list[dict[str, str]] = [{} for _ in range(count)]
    for item in ElementTree.fromstring(str(tag.value).strip("\0")).iter("Item"):
        sample, name = item.get("sample"), (item.get("role") or item.get("name") or "").lower()
        if sample is None:
            of_all[name] = item.text or ""
        elif int(sample) < count:
            of_plane[int(sample)][name] = item.text or ""
    return found | described(of_plane, of_all)


def described(of_plane: list[dict[str, str]], of_all: dict[str, str]) -> dict[str, Any]:
    """Names, wavelengths, scale and offset for ``RawImage``, from GDAL's items of each plane, in lower case."""
    found: dict[str, Any] = {}
    names = tuple(items.get("description") or None for items in of_plane)
    if any(names):
        found["names"] = names
    wavelengths = tuple(_wavelength(items, of_all) for items in of_plane)
    if any(wavelengths):
        found["wavelengths"] = wavelengths
    scale = tuple(float(items.get("scale", 1)) for items in of_plane)
    offset = tuple(float(items.get("offset", 0)) for items in of_plane)
    if set(scale) != {1.0} or set(offset) != {0.0}:
        found |= {"scale": scale, "offset": offset}
    return found


def _wavelength(items: dict[str, str], of_all: dict[str, str]) -> float | None:
    if "central_wavelength_um" in items:  # GDAL's own
        return micrometres(items["central_wavelength_um"], "um")
    for name in _WAVELENGTHS:
        if name in items:
            units = (place.get(key) for place in (items, of_all) for key in ("wavelength_units", "wavelength_unit"))
            return micrometres(items[name], next((unit for unit in units if unit), None))
    return None
