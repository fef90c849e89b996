"""Checksums of the files in a folder, each computed once as long as the file is the same.

An archive keeps a CRC-32 and a size of each file; of a folder they are found out by reading, and kept in a file of the
cache. A file counts as the same while its place, size and times are.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from anychan._files import replacing
from anychan.data.cache_dir import default_cache_dir
from anychan.data.findings import BrokenFileError

_logger = logging.getLogger(__name__)


def checksum(data: bytes) -> str:
    """The CRC-32 and the size of a file's content.

    Example:
        >>> checksum(b"123456789")
        'cbf43926:9'
    """
    return f"{zlib.crc32(data):08x}:{len(data)}"


class Checksums:
    """Those of the files below a folder.

    Args:
        root: the folder, which is told by its place.
        read: the content of a file by its path; raises ``BrokenFileError``, of which the kind is kept, and others.
        stamp: what changes whenever the file may have changed.
    """

    def __init__(self, root: str, read: Callable[[str], bytes], stamp: Callable[[str], str]) -> None:
        self._file = f"checksums-{sha256(root.encode(errors='surrogateescape')).hexdigest()[:24]}.json"
        self._read, self._stamp = read, stamp
        self._known: dict[str, list[str]] | None = None  # path -> stamp, checksum

    def of(self, paths: Iterable[str]) -> Mapping[str, str]:
        """The checksum of each file; of one that cannot be read the kind of fault."""
        stamps = {path: self._stamp(path) for path in paths}
        known = self._kept() if self._known is None else self._known
        new = [path for path, stamp in stamps.items() if known.get(path, [""])[0] != stamp]
        if new:
            with ThreadPoolExecutor() as pool:  # reading and checksums leave the interpreter's lock alone
                try:
                    for path, found in zip(new, pool.map(self._checksum, new), strict=True):
                        known[path] = [stamps[path], found]
                finally:  # what was read before an interruption need not be read again
                    self._keep(known)
        self._known = known
        return {path: known[path][1] for path in stamps}

    def _checksum(self, path: str) -> str:
        try:
            return checksum(self._read(path))
        except BrokenFileError as broken:
            return broken.kind

    def _path(self) -> Path:
        return default_cache_dir() / self._file

    def _kept(self) -> dict[str, list[str]]:
        try:
            kept = json.loads(self._path().read_text(encoding="utf-8"))
            return {str(path): [str(stamp), str(found)] for path, (stamp, found) in kept.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            _logger.warning("kept checksums cannot be read and will be computed again: %s", error)
            return {}

    def _keep(self, known: Mapping[str, list[str]]) -> None:
        try:
            with replacing(self._path()) as temporary:
                temporary.write_text(json.dumps(known), encoding="utf-8")
        except OSError as error:
            _logger.warning("checksums cannot be kept in the cache, and will be computed each time: %s", error)
