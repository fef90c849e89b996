"""Decoded images in a file of bytes, which is mapped into memory rather than read.

``<name>.images`` holds the pixels, uint8, shape (N, H, W, C), and nothing else; ``<name>.json`` says what they are:
their shape, their CRC-32, and which files were broken and so are not among them. Both are written to a temporary
file and renamed, the second last, so that the second vouches for the first. Two processes that build the same
cache at once do the work twice and replace each other's files by equal ones. A file that is short or damaged
is found by its checksum (about a second for each gigabyte) and built again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anychan._files import replacing
from anychan.data.dataset import Pixels
from anychan.data.findings import BrokenFileError

FORMAT = 1  # of these files and of the pixels in them: raise it when decoding changes
_CHECKED_AT_ONCE = 2**24


@dataclass(frozen=True)
class Decoded:
    """The images of a split that can be decoded, and those that cannot.

    Args:
        pixels: uint8, shape (N, H, W, C).
        broken: position among all samples, and reason, of each file that is not in ``pixels``.
    """

    pixels: Pixels
    broken: tuple[tuple[int, str], ...]


def in_memory(pictures: Iterable[Pixels | BrokenFileError]) -> Decoded:
    """Keep pictures in memory rather than in a file."""
    kept, broken = [], []
    for i, picture in enumerate(pictures):
        if isinstance(picture, BrokenFileError):
            broken.append((i, picture.reason))
        else:
            kept.append(picture)
    return Decoded(np.stack(kept) if kept else np.empty((0, 0, 0, 0), np.uint8), tuple(broken))


def write_cache(path: Path, pictures: Iterable[Pixels | BrokenFileError]) -> None:
    """Write pictures, all of one shape, to ``path`` with ``.images`` and ``.json`` added."""
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
        expected = int(record["crc32"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{record_path.name} cannot be read") from error
    size = count * height * width * channels
    if images_path.stat().st_size != size:
        raise ValueError(f"{images_path.name} has {images_path.stat().st_size:,} bytes and not {size:,}")
    if size == 0:
        return Decoded(np.empty((0, 0, 0, 0), np.uint8), broken)
    # "c": on writing, the process gets a page of its own. The file is never written to.
    pixels = np.memmap(images_path, np.uint8, "c", shape=(count, height, width, channels))
    flat, checksum = pixels.reshape(-1), 0
    for start in range(0, size, _CHECKED_AT_ONCE):
        checksum = zlib.crc32(flat[start : start + _CHECKED_AT_ONCE].data, checksum)
    if checksum != expected:
        raise ValueError(f"{images_path.name} is damaged: its checksum is not the one it was written with")
    return Decoded(pixels, broken)
