"""Files and folders that are written whole or not at all; texts that people wrote."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anychan._errors import first_line

_ON_WINDOWS = sys.platform == "win32"
_PATIENCE_S = 2.0
_LOOK_AGAIN_S = 0.05


def read_text(path: Path) -> str:
    """A text in UTF-8; ValueError for another, which names the file."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8") from error


def read_yaml(path: Path) -> Any:
    """What a YAML file says; ValueError for what is none, which names the file."""
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, name: str) -> Any:
    """What a text in YAML says.

    Raises:
        ValueError: if it is none, is nested too deep, or has a value that is none, such as a month 13; it begins with
            the name.
    """
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is no YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ValueError(f"{name} is nested too deep to be read") from error
    except (ValueError, LookupError, AttributeError) as error:  # what its makers of values stumble into
        raise ValueError(f"{name} has a value that cannot be read: {first_line(error)}") from error


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
        move(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill, which takes the place of ``folder`` when the block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent) as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        yield new
        old = Path(temporary) / "old"
        try:
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        except BaseException:  # an interruption too
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise


def remove_partial_folders(folder: Path) -> None:
    """Remove what killed processes left of ``replacing_folder``; for whoever knows that no other is at it now."""
    for leftover in folder.parent.glob(f".{folder.name}.*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)


def remove_partial_files(beside: Path) -> None:
    """Remove what killed processes left of ``replacing`` of files whose names begin as that of a path.

    For whoever knows that no other process is at it now.
    """
    for leftover in beside.parent.glob(f".{beside.name}.*.partial"):
        leftover.unlink(missing_ok=True)


def move(file: Path, path: Path) -> None:
    """Rename a file, in place of what is at ``path``; Windows is asked for two seconds while somebody has that open."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            file.replace(path)
        except PermissionError:
            if not _ON_WINDOWS or time.monotonic() >= until:
                raise
            time.sleep(_LOOK_AGAIN_S)
        else:
            return
