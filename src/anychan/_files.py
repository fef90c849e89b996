"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to, which takes its place when the block ends well.

    The file is on the disk before it is renamed, so after a crash or a power cut ``path`` holds the old content
    or the new, whole. Folders above it are made. Where the block raises, ``path`` stays as it was.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with replacing(Path(folder.name) / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> (Path(folder.name) / "a.txt").read_text()
        'whole'
        >>> folder.cleanup()
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Containers and machines that share a folder have processes of one number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")
    try:
        yield temporary
        with temporary.open("r+b") as file:  # Windows puts on the disk only what it may write to
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
