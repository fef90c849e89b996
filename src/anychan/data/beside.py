"""Lists that lie beside an archive, as mini-ImageNet is handed out: images.zip, and train.txt, val.txt, test.txt.

And ``bands.yaml``, which says what the bands of its images are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from anychan.data.bands import FILE, check_no_other
from anychan.data.findings import BrokenFileError, Finding
from anychan.data.lists import SPLIT_LISTS
from anychan.data.sources import FolderSource, Source, ZipSource, safe_path

_LISTS = tuple(name for names in SPLIT_LISTS.values() for name in names)


class ListsBeside:
    """An archive, and at its root the lists from the folder that it lies in; all else is the archive's.

    Args:
        archive: has none of these itself.
        folder: where it lies.
        names: of the lists and, if there are such, classes.txt and bands.yaml.
    """

    def __init__(self, archive: ZipSource, folder: FolderSource, names: tuple[str, ...]) -> None:
        self.name, self.kept = archive.name, archive.kept
        self._archive, self._folder, self._names = archive, folder, names

    def _of(self, path: str) -> Source:
        return self._folder if path in self._names else self._archive

    def files(self, folder: str = "") -> list[str]:
        return self._archive.files(folder)

    def folders(self, folder: str = "") -> list[str]:
        return self._archive.folders(folder)

    def exists(self, path: str) -> bool:
        return self._of(path).exists(path)

    def read(self, path: str) -> bytes:
        return self._of(path).read(path)

    def contents(self, paths: Sequence[str]) -> Mapping[str, str]:
        of_folder = [path for path in paths if path in self._names]
        of_archive = [path for path in paths if path not in self._names]
        return {**self._archive.contents(of_archive), **self._folder.contents(of_folder)}

    def stamp(self, path: str) -> str:
        return self._of(path).stamp(path)


def with_lists_beside(source: Source, path: Path) -> Source:
    """The source with the lists that lie beside it, if it is an archive and the first image that they name is in it.

    An archive without a folder of lists of its own is asked about only; others are left as they are.
    """
    if not isinstance(source, ZipSource):
        return source
    folder = FolderSource(path.resolve().parent)
    lists = tuple(name for name in _LISTS if folder.exists(name))
    if not any(_is_in(source, _first_path(folder, name)) for name in lists):
        return source
    more = [name for name in ("classes.txt", FILE) if folder.exists(name) and not source.exists(name)]
    return ListsBeside(source, folder, (*lists, *more))


def unused_lists(source: Source, path: Path) -> list[Finding]:
    """Of lists beside an archive whose first images are not in it, that they are not its lists."""
    if not isinstance(source, ZipSource):
        return []
    folder = FolderSource(path.resolve().parent)
    reason = "lies beside the archive, which does not have the image that it names first: it is not used"
    return [Finding(name, "", "ignored", reason, False) for name in _LISTS if folder.exists(name)]


def bands_file_beside(source: Source, path: Path) -> Source:
    """The source with the ``bands.yaml`` that lies beside it, if it is an archive that has none at its root."""
    if not isinstance(source, ZipSource) or source.exists(FILE):
        return source
    folder = FolderSource(path.resolve().parent)
    check_no_other(folder.exists, folder.name)
    return ListsBeside(source, folder, (FILE,)) if folder.exists(FILE) else source


def _is_in(source: Source, path: str) -> bool:
    """Whether a source has an image: of one with ``*`` for its channels the folder, since files tell which it has."""
    return bool(source.files(path.rpartition("/")[0])) if "*" in path else source.exists(path)


def _first_path(folder: FolderSource, name: str) -> str:
    """The image that a list names first, with the slashes that a zip has; "" where there is none, or no list."""
    try:
        lines = folder.read(name).decode("utf-8-sig", errors="replace").splitlines()
        first = next((line for line in lines if line.strip()), "")
        return safe_path(first.rsplit(None, 1)[0].strip().replace("\\", "/")) if first else ""
    except BrokenFileError:
        return ""
