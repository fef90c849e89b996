"""Images whose channels are a file each, as microscopes write them: ``{id}_ch1.tif``, ``{id}_ch2.tif``, ...

A source of such files shows them as one, ``{id}_ch*.tif``, whose content is an archive of theirs, stored as they are.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from anychan.data.bands import Bands, Numbers
from anychan.data.findings import BrokenFileError
from anychan.data.raw import RawImage, check_size, planes_first
from anychan.data.sources import MAX_FILE_BYTES, Source

_MEMBER = re.compile(r"(?P<id>.+)_ch(?P<number>\d{1,3})(?P<suffix>\.(?:tiff?|png|jpe?g|npy))", re.IGNORECASE)
_ALL = "_ch*."
_COMMENT = b"anychan: a file a channel"


class StackedSource:
    """Another source's files, where ``{id}_ch*.tif`` stands for the files of all channels of an image."""

    def __init__(self, source: Source) -> None:
        self.name, self.kept = source.name, source.kept
        self._source = source
        self._of_folder: dict[str, dict[str, list[str]]] = {}

    def files(self, folder: str = "") -> list[str]:
        paths = self._source.files(folder)
        images = _images(paths)
        members = {path for of_one in images.values() for path in of_one}
        return sorted([*(path for path in paths if path not in members), *images]) if images else paths

    def folders(self, folder: str = "") -> list[str]:
        return self._source.folders(folder)

    def exists(self, path: str) -> bool:
        return bool(self._members(path)) or self._source.exists(path)

    def read(self, path: str) -> bytes:
        members = self._members(path)
        if not members:
            return self._source.read(path)
        contents = {PurePosixPath(member).name: self._source.read(member) for member in members}
        if sum(map(len, contents.values())) > MAX_FILE_BYTES:
            raise BrokenFileError("too-large", f"has more than {MAX_FILE_BYTES:,} bytes in all channels together")
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.comment = _COMMENT
            for name, content in contents.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        return file.getvalue()

    def contents(self, paths: Sequence[str]) -> Mapping[str, str]:
        found = self._source.contents([file for path in paths for file in self._members(path) or [path]])
        return {path: self._of_all(path, found.__getitem__) for path in paths}

    def stamp(self, path: str) -> str:
        return self._of_all(path, self._source.stamp)

    def _of_all(self, path: str, ask: Callable[[str], str]) -> str:
        members = self._members(path)
        return "|".join(f"{PurePosixPath(member).name}:{ask(member)}" for member in members) or ask(path)

    def _members(self, path: str) -> list[str]:
        if _ALL not in path:
            return []
        folder = path.rpartition("/")[0]
        if folder not in self._of_folder:
            self._of_folder[folder] = _images(self._source.files(folder))
        return self._of_folder[folder].get(path, [])


def is_stack(data: bytes) -> bool:
    """Whether it is the content of files of one channel each."""
    return data[:4] == b"PK\x03\x04" and data.endswith(_COMMENT)


def read_stack(data: bytes, bands: Bands) -> RawImage:
    """The planes of several files of one channel each, by their numbers.

    Args:
        data: the content of the files.
        bands: what is said of them.

    Raises:
        BrokenFileError: if one cannot be read, has more than one plane, or differs from the others in size or type.
    """
    from anychan.data.images import read_raw

    numbers, planes, members, said = [], [], [], []
    size = 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # Files of channels are put in as they are; an archive that another program made may hold any number of bytes.
        if sum(member.file_size for member in archive.infolist()) > MAX_FILE_BYTES:
            raise BrokenFileError("too-large", f"has more than {MAX_FILE_BYTES:,} bytes in all channels together")
        for name in archive.namelist():
            found = _MEMBER.fullmatch(name)
            if found is None:
                raise BrokenFileError("unreadable", f"holds {name}, which is no file of one channel")
            content = archive.read(name)
            if is_stack(content):
                raise BrokenFileError("unreadable", f"holds {name}, which is a stack of channels itself")
            of_band = bands.numbers(_band_of(int(found["number"]), bands))
            try:
                raw = read_raw(content, () if of_band.nodata is None else (of_band.nodata,))
                pixels = planes_first(raw, None)
            except BrokenFileError as error:
                raise BrokenFileError(error.kind, f"cannot be read: {name} {error.reason}") from error
            if len(pixels) != 1:
                raise BrokenFileError("unreadable", f"cannot be read: {name} has {len(pixels)} planes, not one")
            size += pixels.nbytes
            check_size((size,), 1)
            numbers.append(int(found["number"]))
            planes.append(pixels[0])
            said.append(of_band)
            members.append(replace(raw, pixels=pixels))
    if not planes:
        raise BrokenFileError("empty", "holds no file of a channel")
    if len({plane.shape for plane in planes}) > 1 or len({plane.dtype for plane in planes}) > 1:
        kinds = ", ".join(f"ch{n} {plane.dtype} {plane.shape}" for n, plane in zip(numbers, planes, strict=True))
        raise BrokenFileError("unreadable", f"has channels of different sizes or types: {kinds}")
    masks = [member.valid for member in members]
    valid = None
    if any(mask is not None for mask in masks):
        whole = np.ones(planes[0].shape, dtype=bool)
        valid = np.stack([whole if mask is None else np.broadcast_to(mask, (1, *whole.shape))[0] for mask in masks])
    return RawImage(
        np.stack(planes),
        "CHW",
        _of_each(members, "names"),
        wavelengths=_of_each(members, "wavelengths"),
        numbers=tuple(numbers),
        nodatas=tuple(member.nodata for member in members),
        valid=valid,
        **_scales(members, numbers, said),
    )


def _band_of(number: int, bands: Bands) -> str | None:
    """The name of the band that a number stands for, as far as it is said."""
    if bands.renamed:
        band = dict(bands.renamed).get(f"ch{number}")
        return None if band is None else band.name
    return bands.bands.names[number - 1] if bands.bands is not None and 0 < number <= len(bands.bands) else None


def _of_each(members: list[RawImage], what: str) -> Any:
    """What each says of its one plane; None: none says anything."""
    said = [getattr(member, what) for member in members]
    return tuple(None if one is None else one[0] for one in said) if any(said) else None


def _scales(members: list[RawImage], numbers: list[int], said: list[Numbers]) -> dict[str, Any]:
    if all(member.scale is None for member in members):
        return {}
    without = [
        number
        for number, member, of_band in zip(numbers, members, said, strict=True)
        if member.scale is None and of_band.scale is None and of_band.offset is None
    ]
    if without and members[0].pixels.dtype.kind != "f":  # those would be shares of the full scale, others measured
        raise BrokenFileError("unreadable", f"has channels with a scale, but ch{without[0]} has none")
    return {name: tuple((getattr(member, name) or (None,))[0] for member in members) for name in ("scale", "offset")}


def _images(paths: list[str]) -> dict[str, list[str]]:
    """The files of each image that has one a channel, in the order of their numbers."""
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for path in paths:
        member = _MEMBER.fullmatch(path) if "_ch" in path.lower() else None
        if member is not None:
            found[f"{member['id']}{_ALL}{member['suffix'][1:]}"].append((int(member["number"]), path))
    return {image: [path for _, path in sorted(members)] for image, members in found.items()}
