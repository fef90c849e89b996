"""NPY and NPZ: an array, or an array a channel; never pickled objects."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from anychan.data.findings import BrokenFileError
from anychan.data.raw import RawImage, check_size, stored_but_nodata

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
VALID = "valid"  # the name of a mask in an NPZ


def is_numpy(data: bytes) -> bool:
    """Whether a file begins as an NPY does, or as an NPZ, which is an archive."""
    return data.startswith((_NPY, _ZIP))


def read_numpy(data: bytes, said: Sequence[float] = ()) -> RawImage:
    """The planes in either; ``said`` is what is said of it that stands for no value; raises ``BrokenFileError``."""
    return _read_npy(data, said) if data.startswith(_NPY) else _read_npz(data, said)


def _read_npy(data: bytes, said: Sequence[float] = ()) -> RawImage:
    """An array (C, H, W), (H, W, C) or (H, W).

    Raises:
        BrokenFileError: if it is damaged, holds objects, or has other axes.
    """
    return _of_array(_load(data), said)


def _read_npz(data: bytes, said: Sequence[float] = ()) -> RawImage:
    """One array of two or three axes, or an array (H, W) for each channel, under its name; and ``valid``, if there is.

    Raises:
        BrokenFileError: if it is damaged, or holds objects or anything else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            check_size((max(1, sum(member.file_size for member in archive.infolist())),), 1)
            arrays = {name.removesuffix(".npy"): _load(archive.read(name)) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:  # the last: it is encrypted
        raise BrokenFileError("unreadable", f"cannot be unpacked: {error}") from error
    mask = arrays.pop(VALID, None)
    valid = None if mask is None else mask.astype(bool)
    if len(arrays) == 1 and next(iter(arrays.values())).ndim == 3:
        return _of_array(next(iter(arrays.values())), said, valid)
    if not arrays or any(array.ndim != 2 for array in arrays.values()):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise BrokenFileError(
            "unreadable", f"holds {shapes or 'nothing'}: one image or a plane for each channel is read"
        )
    if len({array.shape for array in arrays.values()}) > 1 or len({array.dtype for array in arrays.values()}) > 1:
        raise BrokenFileError("unreadable", f"has planes of different sizes or types: {', '.join(arrays)}")
    pixels, _ = stored_but_nodata(np.stack(list(arrays.values())), None, said)
    return RawImage(pixels, "CHW", tuple(arrays), valid=valid)


def _of_array(array: Any, said: Sequence[float], valid: Any = None) -> RawImage:
    if array.ndim not in (2, 3):
        raise BrokenFileError("unreadable", f"has the shape {array.shape}: two or three axes are read")
    check_size(array.shape, array.dtype.itemsize)
    pixels, _ = stored_but_nodata(array, None, said)
    return RawImage(pixels[None], "CHW", valid=valid) if array.ndim == 2 else RawImage(pixels, valid=valid)


def _load(data: bytes) -> Any:
    try:
        _check_header(io.BytesIO(data))
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise BrokenFileError("unreadable", f"is no array that can be read: {error}") from error


def _check_header(file: Any) -> None:
    """Refuse what would fill the memory before it is taken: the head of a damaged file may say any shape."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:  # that of arrays of records
        raise BrokenFileError("unreadable", f"is of version {version[0]}.{version[1]}: 1.0 and 2.0 are read")
    shape, _, dtype = _HEADERS[version](file)
    check_size(shape, dtype.itemsize)
