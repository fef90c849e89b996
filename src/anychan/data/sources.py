"""Where the bytes of a data set come from: a folder, or a zip archive that stays packed.

Files are named by paths relative to the root, with ``/`` between the parts. Nothing outside the root is read,
nothing is ever written. A source keeps no file open, so threads and processes may share it, forked ones too.
"""

from __future__ import annotations

import errno
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from anychan.data.checksums import Checksums
from anychan.data.findings import BrokenFileError, ReadError

# Larger than an uncompressed photograph of the most pixels that are decoded.
MAX_FILE_BYTES = 2**29
MAX_NAME, MAX_FOLDERS = 4096, 100  # characters of a name in an archive, and folders that it may lie in
_LOCAL_HEADER_BYTES = 30
_SAYS_UTF8 = 0x800  # of a member's flags, that its name is in UTF-8
# What is refused because of a file or its path, until these are changed; all else is the machine's, and may pass.
_OF_THE_FILE = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENAMETOOLONG, errno.ELOOP}


class Files(Protocol):
    """What a data set needs of the place where its files are."""

    name: str
    kept: bool  # whether decoded images are worth a place in the cache

    def read(self, path: str) -> bytes:
        """The content of a file; raises ``BrokenFileError``, and ``ReadError`` where the machine is at fault."""

    def contents(self, paths: Sequence[str]) -> Mapping[str, str]:
        """What tells the content of each file from another, wherever the data are copied to: its CRC-32 and size."""

    def stamp(self, path: str) -> str:
        """What changes whenever the file may have changed; only for this machine's cache. Raises ``ReadError``."""


class Source(Files, Protocol):
    """Files that can be looked through, to find out what data set they are."""

    def files(self, folder: str = "") -> list[str]:
        """All files below a folder, sorted; without hidden ones. Links to folders end in ``/``: none is followed."""

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders right in a folder, sorted; without hidden ones and links."""

    def exists(self, path: str) -> bool:
        """Whether there is something at ``path``, be it readable or not."""


def safe_path(path: str) -> str:
    """The path in its shortest form.

    Raises:
        BrokenFileError: if it could leave the root.

    Example:
        >>> safe_path("./images//a.jpg")
        'images/a.jpg'
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or path[1:2] == ":":
        raise BrokenFileError("outside", "is an absolute path; paths are relative to the data's root")
    if ".." in parts:
        raise BrokenFileError("outside", "leaves the data's root by '..'")
    if "\\" in path or "\0" in path:
        raise BrokenFileError("outside", "has a backslash or a null byte in it; the parts of a path are joined by '/'")
    return "/".join(parts)


class FolderSource:
    """The files below a folder.

    Symbolic links are followed to files within the folder only.
    """

    kept = True

    def __init__(self, root: Path) -> None:
        self.name = root.resolve().name
        self._root = os.path.realpath(root)
        self._checksums = Checksums(self._root, self.read, self.stamp)

    def files(self, folder: str = "") -> list[str]:
        return sorted(self._walk(safe_path(folder)))

    def folders(self, folder: str = "") -> list[str]:
        return sorted(entry.name for entry in self._list(safe_path(folder)) if entry.is_dir(follow_symlinks=False))

    def _walk(self, folder: str) -> Iterator[str]:
        for entry in self._list(folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(path)
            else:
                yield f"{path}/" if _leads_to_folder(entry) else path

    def _list(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self._root, folder)) as entries:  # noqa: PTH118 (Path is slow here)
                return [entry for entry in entries if not _is_hidden(entry.name)]
        except OSError as error:
            raise ValueError(f"the folder {folder or self.name} cannot be listed: {error.strerror}") from error

    def exists(self, path: str) -> bool:
        return os.path.lexists(os.path.join(self._root, path))  # noqa: PTH118

    def read(self, path: str) -> bytes:
        status, location = self._stat(path)
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
            raise BrokenFileError("not-a-file", f"is a {_type_of(status.st_mode)}, not a file")
        if status.st_size > MAX_FILE_BYTES:
            raise BrokenFileError("too-large", f"has {status.st_size:,} bytes; up to {MAX_FILE_BYTES:,} are read")
        try:
            return Path(location).read_bytes()
        except OSError as error:
            raise _refused(error, location) from error

    def contents(self, paths: Sequence[str]) -> Mapping[str, str]:
        return self._checksums.of(paths)

    def stamp(self, path: str) -> str:
        try:
            status, location = self._stat(path)
        except BrokenFileError as broken:
            return broken.kind
        return f"{location}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"

    def _stat(self, path: str) -> tuple[os.stat_result, str]:
        location = os.path.realpath(os.path.join(self._root, safe_path(path)))  # noqa: PTH118
        if os.path.commonpath([self._root, location]) != self._root:
            raise BrokenFileError("outside", "is a symbolic link that leaves the data's root")
        try:
            return os.stat(location), location  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BrokenFileError("missing", "is missing") from error
        except OSError as error:
            raise _refused(error, location) from error


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself, of which whoever reads it is told
        return False


def _named(member: zipfile.ZipInfo) -> str:
    """A member's name: where it is not said to be UTF-8, it may be all the same, as in archives of macOS."""
    if member.flag_bits & _SAYS_UTF8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:  # it is what zipfile took it for
        return member.filename


def _check_name(name: str, archive: Path) -> None:
    folders = name.count("/")
    if len(name) > MAX_NAME or folders > MAX_FOLDERS:
        raise ValueError(
            f"{archive} has a name of {len(name):,} characters in {folders:,} folders ({name[:40]}...); up to "
            f"{MAX_NAME:,} characters in {MAX_FOLDERS} folders are read"
        )


class _Tree:
    """Which files and folders lie right in which folder; hidden ones are known, but not listed."""

    def __init__(self, files: Iterable[str]) -> None:
        self._files: dict[str, list[str]] = {"": []}
        self._folders: dict[str, list[str]] = {}
        for file in files:
            folder = file.rpartition("/")[0]
            new = folder
            while new not in self._files:
                self._files[new] = []
                above = new.rpartition("/")[0]
                self._folders.setdefault(above, []).append(new)
                new = above
            self._files[folder].append(file)

    def __contains__(self, folder: str) -> bool:
        return folder in self._files

    def folders_in(self, folder: str) -> Iterator[str]:
        return _shown(self._folders.get(folder, ()), folder)

    def below(self, folder: str) -> Iterator[str]:
        yield from _shown(self._files.get(folder, ()), folder)
        for inside in self.folders_in(folder):
            yield from self.below(inside)


def _shown(paths: Iterable[str], folder: str) -> Iterator[str]:
    start = len(folder) + 1 if folder else 0
    return (path for path in paths if not _is_hidden(path[start:]))


class ZipSource:
    """The files in a zip archive, stored or deflated.

    Raises:
        ValueError: if it is not a zip archive that can be read, or has a name longer or deeper than are read.
    """

    kept = True

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path.resolve()
        try:
            with zipfile.ZipFile(self._path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
        # Also for a version of the format to come, a name that is no text, and a place before the file's beginning.
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError) as error:
            raise ValueError(f"{path} is not a zip archive that can be read: {error}") from error
        names = [_named(member).removeprefix("./") for member in members]
        self._members = dict(zip(names, members, strict=True))
        self._ambiguous = {name for name, times in Counter(names).items() if times > 1}
        for name in names:
            _check_name(name, path)
        self._tree = _Tree(self._members)

    def files(self, folder: str = "") -> list[str]:
        return sorted(self._tree.below(folder))

    def folders(self, folder: str = "") -> list[str]:
        return sorted(path.rpartition("/")[2] for path in self._tree.folders_in(folder))

    def exists(self, path: str) -> bool:
        return path in self._members

    def read(self, path: str) -> bytes:
        name = safe_path(path)
        if name not in self._members:
            raise BrokenFileError(*(("not-a-file", "is a folder") if name in self._tree else ("missing", "is missing")))
        member = self._members[name]
        if name in self._ambiguous:
            raise BrokenFileError("unreadable", "stands in the archive twice, so that which is meant is not known")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BrokenFileError("outside", "is a symbolic link; none is followed in an archive")
        if member.flag_bits & 1:
            raise BrokenFileError("unreadable", "is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BrokenFileError("unreadable", "is packed by a method other than store and deflate")
        if member.header_offset < 0:
            raise BrokenFileError("unreadable", "lies before the archive's beginning, which is cut off")
        if max(member.file_size, member.compress_size) > MAX_FILE_BYTES:
            raise BrokenFileError("too-large", f"has {member.file_size:,} bytes; up to {MAX_FILE_BYTES:,} are read")
        return self._unpack(member)

    def _unpack(self, member: zipfile.ZipInfo) -> bytes:
        try:
            with self._path.open("rb") as file:  # anew each time: nothing to share, and 20 microseconds
                file.seek(member.header_offset)
                header = file.read(_LOCAL_HEADER_BYTES)
                name_and_extra = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
                file.seek(name_and_extra, os.SEEK_CUR)
                packed = file.read(member.compress_size)
            if member.compress_type == zipfile.ZIP_DEFLATED:
                # One byte more than was promised at most, so that an archive that lies fills no memory.
                packed = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.file_size + 1)
        except OSError as error:  # of the archive, which holds the file as before
            raise ReadError(error.errno, error.strerror, str(self._path)) from error
        except zlib.error as error:
            raise BrokenFileError("unreadable", f"cannot be unpacked: {error}") from error
        if len(packed) != member.file_size or zlib.crc32(packed) != member.CRC:
            raise BrokenFileError("unreadable", "is damaged in the archive: its checksum is not the one kept there")
        return packed

    def contents(self, paths: Sequence[str]) -> Mapping[str, str]:
        return {path: self.stamp(path) for path in paths}

    def stamp(self, path: str) -> str:
        """The CRC-32 and the size that the archive keeps of a file: of a damaged one others than it has.

        Which is found out when it is unpacked.
        """
        member = self._members.get(path)
        return "missing" if member is None else f"{member.CRC:08x}:{member.file_size}"


def open_source(path: Path) -> Source:
    """The files of a folder or a zip archive.

    Raises:
        FileNotFoundError: if there is nothing at ``path``.
        ValueError: if it is neither.
    """
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise FileNotFoundError(f"no data at {path}: give a folder, a zip archive, or 'synthetic'")
    if not path.is_file():
        raise ValueError(f"{path} is neither a folder nor a zip archive")
    return ZipSource(path)


def _refused(error: OSError, location: str) -> BrokenFileError | ReadError:
    if error.errno in _OF_THE_FILE:
        return BrokenFileError("unreadable", f"cannot be read: {error.strerror}")
    return ReadError(error.errno, error.strerror, location)


def _is_hidden(path: str) -> bool:
    """Whether a part of the path is hidden, or left by a Macintosh; such names are in archives by accident."""
    return any(part.startswith(".") or part in ("", "__MACOSX") for part in path.split("/"))


def _type_of(mode: int) -> str:
    names = {stat.S_ISDIR: "folder", stat.S_ISFIFO: "named pipe", stat.S_ISSOCK: "socket"}
    return next((name for is_type, name in names.items() if is_type(mode)), "device")
