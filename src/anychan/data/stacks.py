"""Images whose channels are a file each, as microscopes write them: ``{id}_ch1.tif``, ``{id}_ch2.tif``, ...

A source of such files shows them as one, ``{id}_ch*.tif``, whose content is an archive of theirs, stored as they are.
How they are called ``anychan.data.planes`` says.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anychan.channels import ChannelSet
from anychan.data.bands import Bands, Numbers
from anychan.data.findings import BrokenFileError, ReadError
from anychan.data.planes import Plane, grouped, plane_of
from anychan.data.raw import RawImage, check_size, planes_first
from anychan.data.sources import MAX_FILE_BYTES, FolderSource, Source

_COMMENT = b"anychan: a file a channel"


class StackedSource:
    """Another source's files, where ``{id}_ch*.tif`` stands for the files of all channels of an image.

    Args:
        source: has the files.
        files: how those of one channel are called, as ``bands.yaml`` says it; None: in one of the common ways.
    """

    def __init__(self, source: Source, files: str | None = None) -> None:
        self.name, self.kept = source.name, source.kept
        self._source, self._files = source, files
        self._of_folder: dict[str, dict[str, list[str]]] = {}
        self._one_plane: dict[str, bool | None] = {}

    def files(self, folder: str = "") -> list[str]:
        paths = self._source.files(folder)
        images = grouped(paths, self._files)
        members = {path for of_one in images.values() for path in of_one}
        return sorted([*(path for path in paths if path not in members), *images]) if images else paths

    def folders(self, folder: str = "") -> list[str]:
        return self._source.folders(folder)

    def exists(self, path: str) -> bool:
        return bool(self.planes(path)) or self._source.exists(path)

    def read(self, path: str) -> bytes:
        members = self.planes(path)
        return _packed(self._source, members) if members else self._source.read(path)

    def contents(self, paths: Sequence[str]) -> Mapping[str, str]:
        found = self._source.contents([file for path in paths for file in self.planes(path) or [path]])
        return {path: self._of_all(path, found.__getitem__) for path in paths}

    def stamp(self, path: str) -> str:
        return self._of_all(path, self._source.stamp)

    def _of_all(self, path: str, ask: Callable[[str], str]) -> str:
        members = self.planes(path)
        return "|".join(f"{PurePosixPath(member).name}:{ask(member)}" for member in members) or ask(path)

    def planes(self, path: str) -> list[str]:
        """The files of one channel each that a path stands for, in the order of their channels; of another none."""
        if "*" not in path:
            return []
        folder = path.rpartition("/")[0]
        if folder not in self._of_folder:
            try:
                files = self._source.files(folder)
            except ValueError:  # no folder that can be listed
                files = []
            self._of_folder[folder] = grouped(files, self._files)
        return self._of_folder[folder].get(path, [])

    def has_one_plane(self, path: str) -> bool | None:
        """Whether there is one plane in a file; None: it cannot be read."""
        if path not in self._one_plane:
            self._one_plane[path] = _has_one_plane(self._source, path)
        return self._one_plane[path]


def _packed(source: Source, members: Sequence[str]) -> bytes:
    """Files of one channel each as the content of one, stored as they are."""
    contents, size = {}, 0
    for member in members:
        content = contents[PurePosixPath(member).name] = source.read(member)
        size += len(content)
        if size > MAX_FILE_BYTES:
            raise BrokenFileError("too-large", f"has more than {MAX_FILE_BYTES:,} bytes in all channels together")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _COMMENT
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _has_one_plane(source: Source, path: str) -> bool | None:
    from anychan.data.images import read_raw

    try:
        raw = read_raw(source.read(path))
    except (ReadError, MemoryError):
        raise
    except Exception:  # whatever a damaged file makes a reader stumble over; who needs it says what is wrong
        return None
    try:
        return len(planes_first(raw, None)) == 1
    except BrokenFileError:  # there are several, of which it is not known which axis has them
        return False


def is_stack(data: bytes) -> bool:
    """Whether it is the content of files of one channel each."""
    return data[:4] == b"PK\x03\x04" and data.endswith(_COMMENT)


def read_planes(path: Path, bands: Bands | None = None) -> bytes | None:
    """The content of the files of one channel each that a path stands for; None: it stands for none.

    Raises:
        BrokenFileError: if one cannot be read.
    """
    if "*" not in path.name or not path.parent.is_dir():
        return None
    try:
        names = [entry.name for entry in path.parent.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise BrokenFileError("unreadable", f"is in a folder that cannot be listed: {error.strerror}") from error
    members = grouped(names, None if bands is None else bands.files).get(path.name)
    return None if members is None else _packed(FolderSource(path.parent), members)


def read_stack(data: bytes, bands: Bands) -> RawImage:
    """The planes of several files of one channel each, by their numbers or names.

    Of bands that are not wanted, as far as that is said, nothing is decoded.

    Args:
        data: the content of the files.
        bands: what is said of them.

    Raises:
        BrokenFileError: if one cannot be read, has more than one plane, differs from the others in size or type, or is
            of the same channel as another; or none is wanted.
    """
    planes, members = [], []
    size = 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # Files of channels are put in as they are; an archive that another program made may hold any number of bytes.
        if sum(member.file_size for member in archive.infolist()) > MAX_FILE_BYTES:
            raise BrokenFileError("too-large", f"has more than {MAX_FILE_BYTES:,} bytes in all channels together")
        files = _wanted([_described(name, bands) for name in archive.namelist()], bands)
        for file in files:
            raw = _read_plane(file, archive.read(file.name))
            size += raw.pixels.nbytes
            check_size((size,), 1)
            planes.append(raw.pixels[0])
            members.append(raw)
    if not planes:
        raise BrokenFileError("empty", "holds no file of a channel")
    _check_alike(files, planes)
    masks = [member.valid for member in members]
    valid = None
    if any(mask is not None for mask in masks):
        whole = np.ones(planes[0].shape, dtype=bool)
        valid = np.stack([whole if mask is None else np.broadcast_to(mask, (1, *whole.shape))[0] for mask in masks])
    return RawImage(
        np.stack(planes),
        "CHW",
        wavelengths=_of_each(members, "wavelengths"),
        nodatas=tuple(member.nodata for member in members),
        valid=valid,
        **_names(files, members, bands),
        **_scales(files, members),
    )


@dataclass(frozen=True)
class _File:
    """A file of one channel: the name of its band and what its numbers stand for, as far as it is said."""

    name: str
    plane: Plane
    band: str | None
    numbers: Numbers


def _described(name: str, bands: Bands) -> _File:
    plane = plane_of(name, bands.files)
    if plane is None:
        raise BrokenFileError("unreadable", f"holds {name}, which is no file of one channel")
    band = _band_of(plane, bands)
    return _File(name, plane, band, bands.numbers(band))


def _band_of(plane: Plane, bands: Bands) -> str | None:
    """The name of the band that a plane is of; None: it is not said."""
    if bands.renamed:
        band = dict(bands.renamed).get(plane.label)
        return None if band is None else band.name
    listed = () if bands.bands is None else bands.bands.names
    if plane.number is None or plane.label in listed:
        return plane.label
    return listed[plane.number - 1] if 0 < plane.number <= len(listed) else None


def _wanted(files: list[_File], bands: Bands) -> list[_File]:
    """The files of the bands that are wanted, and those of which it is not known; others may be of another size."""
    wanted = bands.wanted or _among([file.band for file in files], bands.channels)
    if wanted is None:
        chosen = files
    else:
        unknown = () if bands.renamed else (None,)
        chosen = [file for file in files if file.band in (*wanted.names, *unknown)]
    if files and not chosen:
        labels = ",".join(file.plane.label for file in files)
        raise BrokenFileError("no-channel", f"has none of {wanted}, but the channels {labels}")
    first: dict[str, str] = {}
    for file in chosen:
        channel = file.band or file.plane.label
        if first.setdefault(channel, file.name) != file.name:
            raise BrokenFileError(
                "unreadable", f"has two files of the channel {channel}: {first[channel]}, {file.name}"
            )
    return chosen


def _among(names: list[str | None], channels: str | None) -> ChannelSet | None:
    """Those of some bands that are wanted; None: it is not known of all what they are, or one is missing."""
    known = [name for name in names if name is not None]
    if channels is None or len(known) < len(names):
        return None
    try:
        return ChannelSet(known).subset(channels)
    except ValueError:  # which is said once they have been read
        return None


def _read_plane(file: _File, content: bytes) -> RawImage:
    """One plane, (1, H, W)."""
    from anychan.data.images import read_raw

    if is_stack(content):
        raise BrokenFileError("unreadable", f"holds {file.name}, which is a stack of channels itself")
    nodata = file.numbers.nodata
    try:
        raw = read_raw(content, () if nodata is None else (nodata,))
        pixels = planes_first(raw, None)
    except BrokenFileError as error:
        raise BrokenFileError(error.kind, f"cannot be read: {file.name} {error.reason}") from error
    if len(pixels) != 1:
        raise BrokenFileError("unreadable", f"cannot be read: {file.name} has {len(pixels)} planes, not one")
    return replace(raw, pixels=pixels)


def _check_alike(files: list[_File], planes: list[NDArray[Any]]) -> None:
    for file, plane in zip(files, planes, strict=True):
        if plane.shape != planes[0].shape:
            both = ((files[0].name, planes[0].shape), (file.name, plane.shape))
            sizes = ", ".join(f"{name} {w} x {h}" for name, (h, w) in both)
            raise BrokenFileError(
                "unreadable",
                f"has planes of different sizes: {sizes} pixels. Resample them to one size before (maps with gdalwarp "
                "-tr), or name those of one size as channels in bands.yaml",
            )
        if plane.dtype != planes[0].dtype:
            kinds = f"{files[0].name} {planes[0].dtype}, {file.name} {plane.dtype}"
            raise BrokenFileError("unreadable", f"has planes of different types: {kinds}")


def _names(files: list[_File], members: list[RawImage], bands: Bands) -> dict[str, Any]:
    """Numbers where all have one and nothing names them, else names."""
    if bands.renamed:  # which have yet to be put in place of these
        return {"names": tuple(file.plane.label for file in files)}
    numbers = tuple(file.plane.number for file in files)
    listed = () if bands.bands is None else bands.bands.names
    if None in numbers or any(file.plane.label in listed for file in files):
        return {"names": tuple(file.band for file in files)}
    return {"names": _of_each(members, "names"), "numbers": numbers}


def _of_each(members: list[RawImage], what: str) -> Any:
    """What each says of its one plane; None: none says anything."""
    said = [getattr(member, what) for member in members]
    return tuple(None if one is None else one[0] for one in said) if any(said) else None


def _scales(files: list[_File], members: list[RawImage]) -> dict[str, Any]:
    if all(member.scale is None for member in members):
        return {}
    without = [
        file.plane.label
        for file, member in zip(files, members, strict=True)
        if member.scale is None and file.numbers.scale is None and file.numbers.offset is None
    ]
    if without and members[0].pixels.dtype.kind != "f":  # those would be shares of the full scale, others measured
        raise BrokenFileError("unreadable", f"has channels with a scale, but {without[0]} has none")
    return {name: tuple((getattr(member, name) or (None,))[0] for member in members) for name in ("scale", "offset")}
