"""Which image files are meant by what a user names: files, folders and globs."""

from __future__ import annotations

import glob
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from anychan._files import read_text
from anychan.data.bands import FILE, Bands, check_no_other, read_bands
from anychan.data.findings import BrokenFileError
from anychan.data.folders import IMAGE_SUFFIXES
from anychan.data.planes import plane_of
from anychan.data.sources import MAX_FILE_BYTES, FolderSource, Source
from anychan.data.stacks import StackedSource, read_planes


def find_images(named: Iterable[str | Path], bands: Bands | None = None) -> list[Path]:
    """The files that are named, each once, in the order in which they are named.

    Args:
        named: files; folders, of which all images are taken that lie below them, by their suffix and sorted, without
            hidden ones; and globs such as ``photos/**/*.jpg``. What is there by its name is no glob. A file of one
            channel stands for the image that it is a plane of, as in a folder.
        bands: say how files of one channel each are called; None: the next ``bands.yaml`` does.

    Returns:
        Paths. What names nothing stays in the list as it was written, so that reading it says what is wrong.

    Raises:
        ValueError: for an empty name, which would be the current folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.png", "a.jpg", "notes.txt"):
        ...         (Path(folder) / name).touch()
        ...     [[path.name for path in find_images([where])] for where in (folder, f"{folder}/*.txt")]
        [['a.jpg', 'b.png'], ['notes.txt']]
    """
    found: dict[Path, None] = {}
    said: dict[Path, Bands | None] = {}
    for name in named:
        if not str(name):
            raise ValueError("an image's name is empty")
        for path in _matching(name):
            if _is(Path.is_dir, path):
                found.update(dict.fromkeys(_below(path, bands)))
                continue
            if path.parent not in said:
                said[path.parent] = bands or _said(path.parent, "")
            found[_image_of(path, said[path.parent])] = None
    return list(found)


def _image_of(path: Path, bands: Bands | None) -> Path:
    """The image that a file is a plane of; itself where it is none, or not there."""
    plane = plane_of(path.name, None if bands is None else bands.files)
    return path.with_name(plane.image) if plane is not None and _is(Path.is_file, path) else path


def _is(asked: Callable[[Path], bool], path: Path) -> bool:
    """Whether a path is a file, a folder, or there; not where that cannot be looked up, which reading it says."""
    try:
        return asked(path)
    except OSError:
        return False


def folders_of(named: Iterable[str | Path]) -> set[Path]:
    """The folders among what is named, also by globs."""
    return {path for name in named for path in _matching(name) if _is(Path.is_dir, path)}


def _matching(name: str | Path) -> list[Path]:
    """The files and folders that a name, which may be a glob, stands for; itself where there are none."""
    if glob.has_magic(str(name)) and not _is(Path.exists, Path(name)):
        return [Path(match) for match in sorted(glob.glob(str(name), recursive=True))] or [Path(name)]  # noqa: PTH207
    return [Path(name)]


def _below(folder: Path, bands: Bands | None) -> list[Path]:
    source, unlisted = FolderSource(folder), list[Path]()
    try:
        files = source.files()
    except ValueError:  # a folder cannot be listed: it stands for itself, and stops nothing
        files, unlisted = _listed(folder)
    inside: dict[str, list[str]] = defaultdict(list)
    for path in files:
        inside[path.rpartition("/")[0]].append(path)
    paths = [path for where, its in inside.items() for path in _shown(source, its, bands or _said(folder, where))]
    images = (path for path in sorted(paths) if path.lower().endswith(IMAGE_SUFFIXES))
    return [*(folder / path for path in images), *unlisted] or [folder]


def _shown(source: FolderSource, files: list[str], bands: Bands | None) -> list[str]:
    """Files of one folder; those of one channel each as the images that they are planes of."""
    listed = SimpleNamespace(name=source.name, kept=True, files=lambda _: files, read=source.read)
    return StackedSource(cast("Source", listed), None if bands is None else bands.files).files()


def _said(folder: Path, where: str) -> Bands | None:
    try:
        return bands_near(folder / where / FILE, folder)
    except BrokenFileError:  # which is said of each file in its turn
        return None


def _listed(folder: Path) -> tuple[list[str], list[Path]]:
    """The files that `FolderSource` would list if it could, and the folders for which it cannot."""
    files: list[str] = []
    refused: list[OSError] = []
    for where, folders, names in os.walk(folder, onerror=refused.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(where, name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(files), sorted(Path(error.filename) for error in refused)


def bands_near(path: Path, named: Path | None = None) -> Bands | None:
    """What the next ``bands.yaml`` says of a file: in its folder, or above it up to the folder that was named.

    Raises:
        BrokenFileError: if it cannot be read, or says what is not allowed.
    """
    inside = named is not None and path.is_relative_to(named)
    for folder in path.parents:
        try:
            bands = _bands_in(folder)
        except (OSError, ValueError) as error:
            raise BrokenFileError("unreadable", f"has bands that cannot be read: {error}") from error
        if bands is not None or not inside or folder == named:
            return bands
    return None


def _bands_in(folder: Path) -> Bands | None:
    beside = folder / FILE
    if beside.is_file():
        return read_bands(read_text(beside), str(beside))
    check_no_other(lambda name: (folder / name).is_file(), str(folder))
    return None


def read_file(path: Path, bands: Bands | None = None) -> bytes:
    """The content of a file of up to ``MAX_FILE_BYTES``, or of the files of one channel each that a path stands for.

    Raises:
        BrokenFileError: if it is missing, no file, too large, or cannot be read.
    """
    try:
        planes = read_planes(path, bands)
        if planes is not None:
            return planes
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path):  # says so where it cannot be listed
                pass
            raise BrokenFileError("not-a-file", "is a folder without images")
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
            raise BrokenFileError("not-a-file", "is not a file")
        if status.st_size > MAX_FILE_BYTES:
            raise BrokenFileError("too-large", f"has {status.st_size:,} bytes; up to {MAX_FILE_BYTES:,} are read")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BrokenFileError("missing", "is missing") from error
    except OSError as error:
        raise BrokenFileError("unreadable", f"cannot be read: {error.strerror}") from error
