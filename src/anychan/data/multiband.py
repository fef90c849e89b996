"""Data sets of images of any bands: what their channels are, and pictures in the bits that the files have.

Two ways to keep pixels. As stored: the files' own 8 or 16 bits, where all files agree on type and scale and none has
a pixel without a value. As values: 32-bit floating point, what was measured or shares of the full scale, NaN where
there is no value; nothing of 8 or 16 bits is lost in it. The first image and ``bands.yaml`` decide.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anychan.channels import MEASURED, SHARE, ChannelSet
from anychan.data import tiff
from anychan.data.bands import FILE, Bands, check_no_other, read_bands
from anychan.data.dataset import Encoding, Picture
from anychan.data.decode import decode_photograph, strict_pillow
from anychan.data.deep import is_deep
from anychan.data.findings import BrokenFileError
from anychan.data.images import Image, decode_image
from anychan.data.numpy_files import is_numpy
from anychan.data.raw import check_held
from anychan.data.resize import resize_planes, resize_values
from anychan.data.sources import Source
from anychan.sensors import match

_VERSION = 4  # of how files are decoded: raise it when that changes
_WHILE_RESIZED = 17  # bytes for each pixel of a plane of values: four times 32 bits, and where it has none
_LOOKED_AT = 16  # files that are tried for one that can be read


@dataclass(frozen=True)
class BandDecoder:
    """From the bytes of a file to the planes of a data set's channels.

    Args:
        bands: what is said of the files.
        channels: the C channels, in their order.
        encoding: how pixels are kept.
        only: whether a file may have no other channels.
    """

    bands: Bands
    channels: ChannelSet
    encoding: Encoding
    only: bool

    def __call__(self, data: bytes, image_size: int | None) -> Picture:
        """The picture of a file, (H, W, C); a channel that it lacks is NaN where that is allowed.

        Raises:
            BrokenFileError: if it cannot be read, lacks a channel, or differs in type or scale from the others.
        """
        image = self._chosen(decode_image(data, self.bands))
        if self.encoding.values:
            self._check_held(image, image_size)
            return Picture(resize_values(self._values(image), image_size))
        if image.valid is not None and not image.valid.all():
            raise BrokenFileError("mixed-type", f"has pixels without a value, unlike the first image: {_SAY_VALUES}")
        return Picture(resize_planes(self._as_stored(image).transpose(1, 2, 0), image_size))

    def _chosen(self, image: Image) -> Image:
        """The channels wanted, under their names here."""
        try:
            found = match(self.channels, image.channels)
        except ValueError as error:
            raise BrokenFileError("no-channel", f"has other bands than the first image: {error}") from error
        missing = [name for name in self.channels.names if name not in found]
        if missing and (not self.bands.partial or not found):
            raise BrokenFileError("no-channel", f"has no channel {missing[0]!r}, but {','.join(image.channels.names)}")
        others = set(image.channels.names) - set(found.values())
        if others and self.only:
            raise BrokenFileError(
                "no-channel", f"has the channel {min(others)!r}, which the first image has not: name those in {FILE}"
            )
        names = tuple(found.values())
        chosen = image if names == image.channels.names else image.subset(names)  # which copies
        for theirs, ours in zip(chosen.channels, self.channels.subset(tuple(found)), strict=True):
            if theirs.units != ours.units:
                raise BrokenFileError(
                    "mixed-type", f"has {theirs.units} values of {ours.name!r}, not {ours.units} ones like the first"
                )
        return replace(chosen, channels=self.channels.subset(tuple(found)))

    def _as_stored(self, image: Image) -> NDArray[Any]:
        theirs = Encoding(image.pixels.dtype.name, image.scale, image.offset)
        if theirs == self.encoding:
            return image.pixels
        if self.encoding.kept_as == "uint16" and theirs.kept_as == "uint8" and image.channels[0].units == SHARE:
            return image.pixels.astype(np.uint16) * 257  # the same share of the full scale
        raise BrokenFileError("mixed-type", f"is stored as {theirs}, the first image as {self.encoding}: {_SAY_VALUES}")

    def _check_held(self, image: Image, image_size: int | None) -> None:
        height, width = image.pixels.shape[1:]
        masks = 0 if image.valid is None else image.valid.nbytes
        made = 4 * len(self.channels) * (height * width if image_size is None else image_size**2)
        check_held(image.pixels.nbytes + masks + height * width * _WHILE_RESIZED + 2 * made)

    def _values(self, image: Image) -> Iterator[NDArray[np.float32]]:
        """Values (H, W) of each channel, each computed when its turn comes."""
        plane_of = {name: plane for plane, name in enumerate(image.channels.names)}
        for name in self.channels.names:
            if name in plane_of:
                yield image.plane_values(plane_of[name])
            else:
                yield np.full(image.pixels.shape[1:], np.nan, dtype=np.float32)

    @property
    def numbers(self) -> dict[str, dict[str, float]]:
        """Scale, offset and nodata by channel, as far as they are said of the files."""
        said = {name: asdict(self.bands.numbers(name)) for name in self.channels.names}
        told = {
            name: {key: number for key, number in its.items() if number is not None and not math.isnan(number)}
            for name, its in said.items()
        }
        return {name: its for name, its in told.items() if its}

    @property
    def key(self) -> str:
        """What tells pictures made in this way from others of the same files."""
        said = f"{_VERSION} {self.bands} {self.channels!r} {self.channels.wavelengths} {self.encoding}"
        return hashlib.sha256(said.encode()).hexdigest()


_SAY_BANDS = f"say what all of them have in {FILE}, or leave it out"
_SAY_VALUES = f"with 'values: true' in {FILE} such files go together"


def bands_beside(source: Source) -> Bands | None:
    """What the ``bands.yaml`` at the root of the data says, or in the one folder that all are in; None: there is none.

    Raises:
        ValueError: if it cannot be read, or is called ``bands.yml``.
    """
    folder = ""
    while True:
        path = f"{folder}/{FILE}" if folder else FILE
        if source.exists(path):
            return _read_bands(source, path)
        check_no_other(partial(_is_in, source, folder), f"{source.name}/{folder}".rstrip("/"))
        inside = source.folders(folder)
        if len(inside) != 1:
            return None
        folder = f"{folder}/{inside[0]}" if folder else inside[0]


def _read_bands(source: Source, path: str) -> Bands:
    try:
        text = source.read(path).decode(errors="replace")
    except BrokenFileError as error:
        raise ValueError(f"{source.name}/{path} {error}") from error
    return read_bands(text, f"{source.name}/{path}")


def _is_in(source: Source, folder: str, name: str) -> bool:
    return source.exists(f"{folder}/{name}" if folder else name)


def band_decoder(source: Source, paths: Iterable[str], bands: Bands | None) -> BandDecoder | None:
    """How to decode images of any bands, settled by the first that can be read; None: they are photographs.

    Args:
        source: where the files are.
        paths: of the images.
        bands: what is said of them; None: nothing, and the first image tells whether they are photographs.

    Raises:
        ValueError: if the first image's channels are not known, or are not those wanted; it names the file.
    """
    bands = None if bands is None else bands.of_planes
    refused: list[tuple[str, BrokenFileError]] = []
    for path, _ in zip(paths, range(_LOOKED_AT), strict=False):
        try:
            data = source.read(path)
        except BrokenFileError:
            continue
        claims_photograph = False
        try:  # only a file that is what it claims to be decides
            claims_photograph = bands is None and is_eight_bit_picture(data)
            if claims_photograph:
                with strict_pillow():
                    decode_photograph(data, 1)
                return None
            image = decode_image(data, bands)
        except BrokenFileError as error:
            if not claims_photograph:
                refused.append((path, error))
            continue
        try:
            return _settled(image, bands or Bands())
        except BrokenFileError as error:
            raise ValueError(f"{source.name}: {path} {error}") from error
    if refused:
        path, first = refused[0]
        raise ValueError(f"{source.name}: {path} {first}") from first
    if bands is not None and bands.wanted is not None:  # nothing can be read: a check still says why
        return BandDecoder(bands, bands.wanted, Encoding("float32", (1.0,), (0.0,)), only=False)
    return None


def is_eight_bit_picture(data: bytes) -> bool:
    """Whether a file is a picture in 8 bits for people, which is read as R, G and B; raises ``BrokenFileError``."""
    if tiff.is_tiff(data):
        return tiff.is_picture(data)
    return not (is_numpy(data) or is_deep(data))


def is_kept_as_stored(image: Image, bands: Bands) -> bool:
    """Whether a data set of such images keeps their own whole numbers, in which they are resized too."""
    return image.pixels.dtype.kind in "iu" and image.valid is None and not (bands.values or bands.partial)


def decode_among_photographs(data: bytes, image_size: int | None) -> Picture:
    """The picture of a file in a data set of photographs; see ``decode_photograph``.

    Raises:
        BrokenFileError: also for a file of several bands or pages, of which R, G and B would be a guess, for one of
            more than 8 bits a sample, whose levels would be lost, and for one of signed numbers.
    """
    if is_numpy(data) or (tiff.is_tiff(data) and tiff.has_bands(data)):
        raise BrokenFileError(
            "mixed-type", f"has several bands or pages, the first image is a photograph: {_SAY_BANDS}"
        )
    if tiff.is_tiff(data) and tiff.has_signed_bytes(data):
        raise BrokenFileError(
            "mixed-type", f"has numbers from -128 to 127, the first image is a photograph: {_SAY_BANDS}"
        )
    picture = decode_photograph(data, image_size)
    if "16-bit" in picture.odd or is_deep(data):  # the second knows formats better, but no TIFF
        raise BrokenFileError(
            "mixed-type",
            "has more than 8 bits a sample, the first image has 8: with 'bands: R,G,B' and 'values: true' in "
            f"{FILE} such files go together",
        )
    return picture


def _settled(image: Image, bands: Bands) -> BandDecoder:
    wanted = bands.wanted or (image.channels if bands.channels is None else image.channels.subset(bands.channels))
    found = match(wanted, image.channels)
    missing = [name for name in wanted.names if name not in found]
    if missing and not bands.partial:
        raise BrokenFileError("no-channel", f"has no channel {missing[0]!r}, but {','.join(image.channels.names)}")
    if not found:
        raise BrokenFileError("no-channel", f"has none of {wanted}, but {','.join(image.channels.names)}")
    units = {image.channels.subset([name])[0].units: name for name in found.values()}
    if len(units) > 1:
        measured, share = units[MEASURED], units[SHARE]
        raise BrokenFileError(
            "mixed-type", f"has a scale of {measured!r}, but none of {share!r}: say in {FILE} what that of each is"
        )
    channels = ChannelSet(replace(channel, units=next(iter(units))) for channel in wanted)
    as_stored = image.subset(tuple(found.values()))
    if is_kept_as_stored(image, bands):
        encoding = Encoding(as_stored.pixels.dtype.name, as_stored.scale, as_stored.offset)
    else:
        encoding = Encoding("float32", (1.0,), (0.0,))
    return BandDecoder(bands, channels, encoding, only=bands.wanted is None and bands.channels is None)
