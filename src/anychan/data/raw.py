"""What a file says of its planes, before names and scales are settled: what each reader gives (plumbing).

Shape suffixes: C planes, H and W their height and width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anychan.data.findings import BrokenFileError

# What the caches hold; other numbers are brought to one of these without loss, or refused.
STORED = ("uint8", "uint16", "int16", "float32")
MAX_IMAGE_BYTES = 2**30
MAX_HELD_BYTES = 2**32  # of an image's pixels and what is made of them, at one time
_EXACT_IN_FLOAT32 = 2**24


@dataclass(frozen=True)
class RawImage:
    """Planes and what is known of them.

    Args:
        pixels: three axes, in the order of ``axes``, of any of ``STORED``.
        axes: "CHW", "HWC", or "" where the file does not say which.
        names: a name for each plane, None where it has none; None: none has one.
        display: whether the names say only how it is to be shown, so that what is said of the file counts more.
        wavelengths: in micrometres, likewise.
        numbers: the number of each plane where each was a file, from 1.
        nodata: the value that stands for no value; None: there is none.
        nodatas: that of each plane, where each was a file.
        valid: bool, (H, W) or (C, H, W): where there is a value; None: it is not said.
        alpha: whether the last plane is said to be an opacity.
        premultiplied: whether the other planes have been multiplied by it.
        photograph: whether it is a picture for people: what is not opaque shows white, where in a map it has no value.
        scale, offset: for each plane, by which stored numbers become what was measured; None: it is not said, of any
            or of one.
    """

    pixels: NDArray[Any]
    axes: str = ""
    names: tuple[str | None, ...] | None = None
    display: bool = False
    wavelengths: tuple[float | None, ...] | None = None
    numbers: tuple[int, ...] | None = None
    nodata: float | None = None
    nodatas: tuple[float | None, ...] | None = None
    valid: NDArray[np.bool_] | None = None
    alpha: bool = False
    premultiplied: bool = False
    photograph: bool = False
    scale: tuple[float | None, ...] | None = None
    offset: tuple[float | None, ...] | None = None


def stored_but_nodata(
    pixels: NDArray[Any], nodata: float | None, said: Sequence[float] = ()
) -> tuple[NDArray[Any], float | None]:
    """``stored``, for nodata values that need not be among its numbers, such as the least of 32 or 64 bits.

    Args:
        pixels: as they are in the file.
        nodata: what the file says that stands for no value.
        said: what is said of the file that does, of any of its bands.

    Returns:
        The pixels, and the file's nodata in them: NaN where it was too large.

    Example:
        >>> stored_but_nodata(np.array([-2147483648, 7], dtype=np.int32), -2147483648.0)
        (array([nan,  7.], dtype=float32), nan)
    """
    beyond = [
        value for value in (nodata, *said)
        if value is not None and not math.isnan(value) and abs(value) > _EXACT_IN_FLOAT32
    ]  # fmt: skip
    if not beyond or pixels.dtype.itemsize < 4 or pixels.dtype == np.float32 or pixels.dtype.kind not in "iuf":
        return stored(pixels), nodata
    missing = np.isin(pixels, np.array(beyond, pixels.dtype) if pixels.dtype.kind == "f" else beyond)
    kept = stored(np.where(missing, pixels.dtype.type(0), pixels))
    return np.where(missing, np.float32(np.nan), kept), math.nan if nodata in beyond else nodata


def has_value(pixels: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Where pixels are other than nodata.

    Example:
        >>> has_value(np.array([-9999, 7], np.int16), -9999.0)
        array([False,  True])
    """
    with np.errstate(over="ignore"):  # what 32 bits do not hold is none of their numbers
        there: NDArray[np.bool_] = pixels != (np.float32(nodata) if pixels.dtype == np.float32 else nodata)
    return there


def stored(pixels: NDArray[Any]) -> NDArray[Any]:
    """Numbers as one of ``STORED``: wider ones as float32 where that holds each of them exactly.

    Raises:
        BrokenFileError: for complex numbers or texts, and whole numbers beyond 2^24.

    Example:
        >>> stored(np.array([1, 2], dtype=np.int64)).dtype
        dtype('float32')
    """
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if native.dtype.name in STORED:
        return native
    if native.dtype.kind == "f":  # float64 has more digits than any sensor
        with np.errstate(over="ignore"):
            narrow: NDArray[Any] = native.astype(np.float32)
        if np.isinf(narrow).sum() > np.isinf(native).sum():
            raise BrokenFileError("unreadable", "has pixels too large for 32-bit numbers")
        return narrow
    if native.dtype.kind in "iu":
        if native.size and not -_EXACT_IN_FLOAT32 <= int(native.min()) <= int(native.max()) <= _EXACT_IN_FLOAT32:
            raise BrokenFileError("unreadable", f"has {native.dtype.name} pixels beyond {_EXACT_IN_FLOAT32:,}")
        return native.astype(np.float32)
    raise BrokenFileError("unreadable", f"has pixels of type {native.dtype.name}, which are no numbers of a plane")


def check_size(shape: tuple[int, ...], itemsize: int) -> None:
    """Refuse what would fill the memory before it is decoded."""
    size = itemsize
    for length in shape:
        size *= length
    if size > MAX_IMAGE_BYTES:
        raise BrokenFileError("too-large", f"has {size:,} bytes of pixels; up to {MAX_IMAGE_BYTES:,} are decoded")
    if size == 0:
        raise BrokenFileError("empty", "has no pixel")


def check_held(held: int) -> None:
    """Refuse an image of which more would be held at one time than ``MAX_HELD_BYTES``."""
    if held > MAX_HELD_BYTES:
        raise BrokenFileError(
            "too-large", f"would take {held:,} bytes of memory for its values; up to {MAX_HELD_BYTES:,} are taken"
        )


def planes_first(raw: RawImage, count: int | None) -> NDArray[Any]:
    """Pixels as (C, H, W).

    Where the file does not say which axis has the planes, it is the first or the last, the one that is ``count`` long.
    Where the number is not known either, it is the one that is shorter than the two others.

    Raises:
        BrokenFileError: where both or neither would do, or no axis is ``count`` long.

    Example:
        >>> planes_first(RawImage(np.zeros((64, 64, 13), np.uint8)), count=13).shape
        (13, 64, 64)
    """
    axes = raw.axes
    if not axes:
        first, middle, last = raw.pixels.shape
        if count is not None:
            fits = [axes for axes, length in (("CHW", first), ("HWC", last)) if length == count]
        else:
            fits = ["CHW"] if first < min(middle, last) else ["HWC"] if last < min(first, middle) else []
        shape = f"has the shape {first} x {middle} x {last}"
        if count is not None and not fits:
            named = f"{count} band{'' if count == 1 else 's'} {'is' if count == 1 else 'are'} named"
            neither = f"{shape}, but {named}, and neither its first axis nor its last is so long"
            raise BrokenFileError("unreadable", neither)
        if len(fits) != 1:
            wanted = "planes" if count is None else f"{count} planes"
            raise BrokenFileError(
                "unreadable",
                f"{shape}, and which axis has the {wanted} is not known: say axes: CHW or axes: HWC in bands.yaml",
            )
        axes = fits[0]
    return raw.pixels if axes == "CHW" else np.moveaxis(raw.pixels, 2, 0)
