"""One process at a time on a folder: two would train the same run twice and write over each other's records."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LOCK = ".lock"
_LOOK_AGAIN_S = 0.05

_logger = logging.getLogger(__name__)


@contextmanager
def alone(folder: Path, name: str = LOCK, *, wait: bool = False) -> Iterator[bool]:
    """Hold a folder, which is made if need be, until the block ends; the system lets go of it if the process dies.

    Where a file system has no locks, a warning says that nothing holds the folder, and what is yielded is False.

    Args:
        folder: what is held.
        name: of the lock: other names hold other parts of what lies in the folder.
        wait: for a process that holds it, as long as it takes, instead of an error.

    Raises:
        FileExistsError: if another process holds it and ``wait`` is False.

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
        while (held := _held(file, folder)) is False:
            if not wait:
                raise FileExistsError(
                    f"{folder} is in use by another process: wait until it has ended, or choose another folder"
                )
            time.sleep(_LOOK_AGAIN_S)
        try:
            yield held is True
        finally:
            _let_go(file)


def _held(file: IO[str], folder: Path) -> bool | None:
    """Whether it is ours now; None: it cannot be anybody's."""
    try:
        return _lock(file)
    except OSError as error:
        _logger.warning(
            "%s cannot be locked (%s): see to it that no other process writes there", folder, error.strerror
        )
        return None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:  # what Windows says where others raise BlockingIOError
            return False
        return True

    def _let_go(file: IO[str]) -> None:
        with suppress(OSError):  # of a file system that has no locks
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _let_go(file: IO[str]) -> None:
        """Closing the file is enough."""
