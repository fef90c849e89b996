"""One process at a time on a folder of runs: two would train the same run twice and write over each other's record."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LOCK = ".lock"


@contextmanager
def alone(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Hold a folder, which is made if need be, until the block ends; the system lets go of it if the process dies.

    Args:
        folder: what is held.
        name: of the lock: other names hold other parts of what lies in the folder.

    Raises:
        FileExistsError: if another process holds it.
        OSError: if it cannot be locked, such as on a file system that has no locks.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name, alone(Path(name)):
        ...     try:
        ...         with alone(Path(name)):
        ...             print("never reached")
        ...     except FileExistsError as error:
        ...         print(str(error).removeprefix(name))
         is in use by another process: wait until it has ended, or choose another folder
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as file:
        try:
            _lock(file)
        except BlockingIOError as error:
            raise FileExistsError(
                f"{folder} is in use by another process: wait until it has ended, or choose another folder"
            ) from error
        except OSError as error:
            raise OSError(error.errno, f"cannot be locked: {error.strerror}", str(folder / name)) from error
        yield  # closing the file lets go


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:  # what Windows says where others raise BlockingIOError
            raise BlockingIOError(error.errno, error.strerror) from error

else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
