"""Decoded images in a file of bytes, which is mapped into memory rather than read.

``<name>.images`` holds the pixels, shape (N, H, W, C), and nothing else; ``<name>.json`` says what they are: their
shape, their type where it is not uint8, their CRC-32, and which files were broken and so are not among them. Both are
written to a temporary file and renamed, the second last, so that the second vouches for the first. Where two processes
build the same cache at once, they replace each other's files by equal ones. A file that is short or damaged is found by
its checksum (about a second for each gigabyte) and built again.
"""

from __future__ import annotations

import json
import mmap
import platform
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anychan._files import replacing
from anychan.data.dataset import Pixels
from anychan.data.findings import BrokenFileError

FORMAT = 2  # of these files and of the pixels in them: raise it when decoding changes
_CHECKED_AT_ONCE = 2**24

# Else Linux wants memory for all pages, which may be written to, and refuses a file that is larger than it has.
# Python before 3.13 does not name the flag.
_NUMBERED = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
_NO_RESERVE: int = getattr(mmap, "MAP_NORESERVE", 0x4000 if _NUMBERED else 0)


@dataclass(frozen=True)
class Decoded:
    """The images of a split that can be decoded, and those that cannot.

    Args:
        pixels: shape (N, H, W, C).
        broken: position among all samples, and reason, of each file that is not in ``pixels``.
        path: of the cache, without an ending; None: it is in no file.
    """

    pixels: Pixels
    broken: tuple[tuple[int, str], ...]
    path: Path | None = None


def in_memory(pictures: Iterable[Pixels | BrokenFileError], kept_as: str = "uint8") -> Decoded:
    """Keep pictures in memory rather than in a file."""
    kept, broken = [], []
    for i, picture in enumerate(pictures):
        if isinstance(picture, BrokenFileError):
            broken.append((i, picture.reason))
        else:
            kept.append(picture)
    return Decoded(np.stack(kept) if kept else np.empty((0, 0, 0, 0), kept_as), tuple(broken))


def write_cache(path: Path, pictures: Iterable[Pixels | BrokenFileError], kept_as: str = "uint8") -> None:
    """Write pictures of one shape and of the type ``kept_as`` to ``path`` with ``.images`` and ``.json`` added."""
    count, checksum, shape = 0, 0, (0, 0, 0)
    broken: list[tuple[int, str]] = []
    with replacing(path.with_name(f"{path.name}.images")) as temporary, temporary.open("wb") as file:
        for i, picture in enumerate(pictures):
            if isinstance(picture, BrokenFileError):
                broken.append((i, picture.reason))
                continue
            content = picture.tobytes()
            file.write(content)
            checksum = zlib.crc32(content, checksum)
            count, shape = count + 1, picture.shape
    record = {"format": FORMAT, "shape": [count, *shape], "crc32": checksum, "broken": broken}
    if kept_as != "uint8":
        record["type"] = np.dtype(kept_as).str  # with the order of bytes
    with replacing(path.with_name(f"{path.name}.json")) as temporary:
        temporary.write_text(json.dumps(record))


def read_cache(path: Path) -> Decoded | None:
    """What was written to ``path``, or None if nothing was.

    Raises:
        ValueError: if it is short or damaged; it says how.
    """
    record_path, images_path = path.with_name(f"{path.name}.json"), path.with_name(f"{path.name}.images")
    if not (record_path.exists() and images_path.exists()):
        return None
    try:
        record = json.loads(record_path.read_text())
        count, height, width, channels = map(int, record["shape"])
        broken = tuple((int(i), str(reason)) for i, reason in record["broken"])
        expected, kept_as = int(record["crc32"]), np.dtype(str(record.get("type", "uint8")))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{record_path.name} cannot be read") from error
    size = count * height * width * channels * kept_as.itemsize
    if images_path.stat().st_size != size:
        raise ValueError(f"{images_path.name} has {images_path.stat().st_size:,} bytes and not {size:,}")
    if size == 0:
        return Decoded(np.empty((0, 0, 0, 0), kept_as), broken, path)
    pixels = _mapped(images_path, kept_as).reshape(count, height, width, channels)
    flat, checksum = pixels.reshape(-1).view(np.uint8), 0
    for start in range(0, size, _CHECKED_AT_ONCE):
        checksum = zlib.crc32(flat[start : start + _CHECKED_AT_ONCE].data, checksum)
    if checksum != expected:
        raise ValueError(f"{images_path.name} is damaged: its checksum is not the one it was written with")
    return Decoded(pixels, broken, path)


def _mapped(path: Path, kept_as: npt.DTypeLike) -> npt.NDArray[Any]:
    """The numbers in a file. On writing, the process gets a page of its own; the file is never written to."""
    if not _NO_RESERVE:
        return np.memmap(path, kept_as, "c")
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE | _NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE)
    return np.frombuffer(pages, kept_as)
