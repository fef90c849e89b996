"""One reader for images of any bands: names, wavelengths, scale and nodata with the pixels, in the bits they came in.

TIFF and GeoTIFF (``anychan.data.tiff``), NPY and NPZ (``anychan.data.numpy_files``), PNG, PGM, ... of 16 bits
(``anychan.data.deep``), JPEG and what else Pillow knows (``anychan.data.decode``), and several files of one channel
each (``anychan.data.stacks``).

Shape suffixes: C channels, H and W height and width.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anychan._files import read_text
from anychan.channels import MEASURED, SHARE, Channel, ChannelSet, ChannelsLike
from anychan.data.bands import FILE, Bands, Numbers, check_no_other, parse_bands, read_bands
from anychan.data.findings import BrokenFileError
from anychan.data.raw import RawImage, has_value, planes_first
from anychan.sensors import SAME_BAND, match

_FULL = {"uint8": 255, "uint16": 65535, "int16": 32767}
_AT_ONCE = 2**18  # pixels in 64 bits


@dataclass(frozen=True)
class Image:
    """An image as its file has it, with what is known of its channels.

    Args:
        pixels: (C, H, W), uint8, uint16, int16 or float32, as stored.
        channels: the C channels, in the order of the planes; their ``units`` say what ``values`` are in.
        scale, offset: for each channel: stored number * scale + offset is its value.
        valid: bool (C, H, W), where there is a value; None: everywhere, and nothing was said of nodata.
    """

    pixels: NDArray[Any]
    channels: ChannelSet
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    valid: NDArray[np.bool_] | None = None

    @property
    def values(self) -> NDArray[np.float32]:
        """Shares of the full scale, or what was measured: float32 (C, H, W), NaN where there is no value."""
        values = np.empty(self.pixels.shape, dtype=np.float32)
        for plane, values_HW in enumerate(values):
            self._write_values(plane, values_HW)
        return values

    def plane_values(self, plane: int) -> NDArray[np.float32]:
        """The ``values`` of one plane, (H, W)."""
        values_HW = np.empty(self.pixels.shape[1:], dtype=np.float32)
        self._write_values(plane, values_HW)
        return values_HW

    def _write_values(self, plane: int, values_HW: NDArray[np.float32]) -> None:
        """Some rows at a time: in 64 bits a whole plane takes many times the room of its stored numbers."""
        pixels_HW, scale, offset = self.pixels[plane], np.float64(self.scale[plane]), np.float64(self.offset[plane])
        rows = max(1, _AT_ONCE // max(1, pixels_HW.shape[1]))
        for start in range(0, len(pixels_HW), rows):
            chosen = slice(start, start + rows)
            values_HW[chosen] = (pixels_HW[chosen].astype(np.float64) * scale + offset).astype(np.float32)
        if self.valid is not None:
            values_HW[~self.valid[plane]] = np.nan

    def subset(self, channels: ChannelsLike) -> Image:
        """Some of its channels, in the order asked for.

        Raises:
            ValueError: for one it does not have.
        """
        chosen = list(self.channels.indices(channels))
        return replace(
            self,
            pixels=self.pixels[chosen],
            channels=self.channels.subset(channels),
            scale=tuple(self.scale[i] for i in chosen),
            offset=tuple(self.offset[i] for i in chosen),
            valid=None if self.valid is None else self.valid[chosen],
        )


def read_image(path: str | Path, bands: Bands | str | Path | None = None) -> Image:
    """Read an image file of any number of bands.

    Args:
        path: a TIFF, GeoTIFF, NPY, NPZ, PNG, JPEG, ...; of files of one channel each, with ``*`` for the channel.
        bands: what its planes are, where the file does not say it: a sensor's name, names in their order, or a
            ``bands.yaml``; None: the ``bands.yaml`` in the same folder, if there is one.

    Returns:
        The pixels in the bits they are stored in, and their channels.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, its planes have no names, or its axes are not known; it names the file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "tile.npy")
        ...     np.save(path, np.zeros((12, 64, 64), np.uint16))
        ...     image = read_image(path, "sentinel-2-l2a")
        >>> image.pixels.dtype, str(image.channels[:3]), image.channels.subset("B04")[0].wavelength
        (dtype('uint16'), 'B01,B02,B03', 0.6646)
    """
    from anychan.data.stacks import read_planes

    path = Path(path)
    beside = path.with_name(FILE)
    if bands is None and beside.is_file():
        bands = read_bands(read_text(beside), str(beside))
    elif bands is None:
        check_no_other(lambda name: path.with_name(name).is_file(), str(path.parent))
    said = bands if isinstance(bands, Bands) else parse_bands(bands)
    try:
        data = read_planes(path, said)
        if data is None and not path.is_file():
            raise FileNotFoundError(f"no image at {path}")
        return decode_image(path.read_bytes() if data is None else data, said)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error


def decode_image(data: bytes, bands: Bands | None = None) -> Image:
    """The image in the content of a file; see ``read_image``.

    Raises:
        BrokenFileError: if it cannot be read, its planes have no names, or its axes are not known. The text reads on
            from the file's name.
    """
    from anychan.data import stacks

    if not data:
        raise BrokenFileError("empty", "has zero bytes")
    try:
        bands = bands or Bands()
        raw = stacks.read_stack(data, bands) if stacks.is_stack(data) else read_raw(data, bands.nodatas)
        return _described(raw, bands)
    except (BrokenFileError, MemoryError):
        raise
    except Exception as error:  # the readers raise whatever a damaged file makes them stumble over
        raise BrokenFileError("unreadable", f"cannot be read: {error or type(error).__name__}") from error


def read_raw(data: bytes, nodata: Sequence[float] = ()) -> RawImage:
    """The planes in a file, by what it begins with; raises ``BrokenFileError``.

    Args:
        data: the content of the file; of several of one channel each: see ``anychan.data.stacks``.
        nodata: what is said of its bands that stands for no value, whatever it says itself.
    """
    from anychan.data import deep, numpy_files, tiff

    if tiff.is_tiff(data):
        return _of_photograph(data) if tiff.is_coloured(data) else _of_tiff(data, nodata)
    if numpy_files.is_numpy(data):
        return numpy_files.read_numpy(data, nodata)
    if deep.is_deep(data):
        planes = deep.read_deep(data)
        alpha = len(planes) in (2, 4)
        return RawImage(planes, "CHW", _colour_names(len(planes)), display=True, alpha=alpha, photograph=True)
    return _of_photograph(data)


def _of_tiff(data: bytes, nodata: Sequence[float]) -> RawImage:
    from anychan.data import deep, tiff

    raw = tiff.read_tiff(data, nodata)
    if not tiff.is_picture(data, any_bits=True):
        return raw
    pixels = deep.upright(planes_first(raw, None), tiff.orientation(data))
    return replace(raw, pixels=pixels, axes="CHW", photograph=True, premultiplied=tiff.is_premultiplied(data))


def _of_photograph(data: bytes) -> RawImage:
    import PIL.Image

    from anychan.data.decode import decode_photograph

    pixels = decode_photograph(data).pixels.transpose(2, 0, 1)
    with PIL.Image.open(io.BytesIO(data)) as image:
        gray = image.mode in ("1", "L")
    return RawImage(pixels[:1] if gray else pixels, "CHW", _colour_names(1 if gray else 3), display=True)


def _colour_names(planes: int) -> tuple[str | None, ...] | None:
    return ("R", "G", "B", None)[:planes] if planes >= 3 else None


def _described(raw: RawImage, bands: Bands) -> Image:
    """Names, scale and masks settled."""
    from anychan.data import deep

    if not raw.axes and bands.axes:
        raw = replace(raw, axes=bands.axes)
    listed = None if bands.renamed else bands.bands
    count = len(raw.names) if raw.names is not None else None if listed is None else len(listed)
    pixels, valid = planes_first(raw, count), raw.valid
    if valid is not None and valid.shape not in (pixels.shape, pixels.shape[1:]):
        raise BrokenFileError("unreadable", f"has a mask of shape {valid.shape} for planes of {pixels.shape}")
    if _has_opacity(raw) and (listed is None or len(listed) != len(pixels)):  # else it is a band, as that is said
        if raw.photograph and deep.has_full_scale(pixels):
            pixels = deep.over_white(pixels, raw.premultiplied)
        else:
            opaque = pixels[-1] > 0
            of_colours = valid if valid is None or valid.ndim == 2 else valid[:-1]
            pixels, valid = pixels[:-1], opaque if of_colours is None else of_colours & opaque
        raw = _without_last(raw)
    if (raw.display or raw.photograph) and len(pixels) == 1 and listed is not None and {*listed.names} == {*"RGB"}:
        pixels, raw = pixels.repeat(3, axis=0), replace(raw, display=True)  # a gray picture among those in colours
    channels = _channels(raw, bands, len(pixels))
    said = [_said(raw, bands, plane, name) for plane, name in enumerate(channels.names)]
    return _scaled(raw, said, pixels, channels, _mask(raw, said, pixels, valid))


def _said(raw: RawImage, bands: Bands, plane: int, name: str) -> Numbers:
    """What is said of a plane's numbers, and otherwise of those that its file does not tell.

    Fractions may have been multiplied already: only whole numbers are multiplied by what was said of others.
    """
    said, otherwise = bands.numbers(name), dict(bands.otherwise).get(name, Numbers())
    untold = said.scale is None and said.offset is None and (raw.scale is None or raw.scale[plane] is None)
    if untold and raw.pixels.dtype.kind in "iu":
        said = replace(said, scale=otherwise.scale, offset=otherwise.offset)
    if said.nodata is None and (raw.nodatas[plane] if raw.nodatas else raw.nodata) is None:
        said = replace(said, nodata=otherwise.nodata)
    return said


def _has_opacity(raw: RawImage) -> bool:
    """GDAL calls any fourth band of 8 bits an opacity; one with a name or a wavelength of its own is none."""
    name = None if raw.names is None else raw.names[-1]
    wavelength = None if raw.wavelengths is None else raw.wavelengths[-1]
    return raw.alpha and wavelength is None and (name is None or name.strip().lower() in ("alpha", "opacity"))


def _without_last(raw: RawImage) -> RawImage:
    cut: dict[str, Any] = {
        name: getattr(raw, name)[:-1]
        for name in ("names", "wavelengths", "scale", "offset")
        if getattr(raw, name) is not None
    }
    return replace(raw, alpha=False, **cut)


def _mask(raw: RawImage, said: Sequence[Numbers], pixels: NDArray[Any], valid: Any) -> NDArray[np.bool_] | None:
    """Where there is a value, (C, H, W); None: everywhere, and nothing was said of nodata."""
    theirs = raw.nodatas or (raw.nodata,) * len(pixels)
    nodatas = [file if numbers.nodata is None else numbers.nodata for numbers, file in zip(said, theirs, strict=True)]
    mask = None if valid is None else np.broadcast_to(valid, pixels.shape).copy()
    for plane, nodata in enumerate(nodatas):
        if nodata is not None and not np.isnan(nodata):
            mask = np.ones(pixels.shape, dtype=bool) if mask is None else mask
            mask[plane] &= has_value(pixels[plane], nodata)
    if pixels.dtype == np.float32:
        if np.isinf(pixels if mask is None else pixels[mask]).any():
            raise BrokenFileError("unreadable", "has infinite pixels")
        numbers = ~np.isnan(pixels)
        if mask is not None or not numbers.all() or any(nodata is not None for nodata in nodatas):
            mask = numbers if mask is None else mask & numbers
    return mask


def _channels(raw: RawImage, bands: Bands, count: int) -> ChannelSet:
    wavelengths = raw.wavelengths or (None,) * count
    names = raw.names or (None,) * count
    if bands.renamed:
        names, wavelengths = _renamed(bands, names, wavelengths)
    listed = None if bands.renamed else bands.bands
    if raw.display and listed is not None and len(listed) == count:
        return listed
    if listed is not None and raw.numbers is not None:  # the files' numbers say which is which
        return _by_order(raw, listed, [name if name in listed.names else None for name in names], wavelengths)
    if all(name is not None for name in names):
        found = ChannelSet(_channel(name, at) for name, at in zip(names, wavelengths, strict=True))
        return found if listed is None else _as_listed(found, listed)
    if listed is not None:
        return _by_order(raw, listed, names, wavelengths)
    if count == 1 and raw.numbers is None:
        return ChannelSet(["gray"])
    unnamed = [i + 1 for i, name in enumerate(names) if name is None]
    raise BrokenFileError(
        "unreadable",
        f"has {count} planes and no name for {'any of them' if len(unnamed) == count else f'plane {unnamed[0]}'}: "
        f"say what they are in {FILE} or with --bands",
    )


def _channel(name: str | None, wavelength: float | None) -> Channel:
    """A file's name may have what a list of names may not."""
    assert name is not None
    written = "_".join(name.replace(",", " ").split())
    return replace(ChannelSet.parse([written or "?"])[0], **({} if wavelength is None else {"wavelength": wavelength}))


def _renamed(bands: Bands, names: Any, wavelengths: Any) -> tuple[Any, Any]:
    new = dict(bands.renamed)
    pairs = [(new[name].name, new[name].wavelength or at) if name in new else (name, at)
             for name, at in zip(names, wavelengths, strict=True)]  # fmt: skip
    return tuple(name for name, _ in pairs), tuple(at for _, at in pairs)


def _as_listed(found: ChannelSet, listed: ChannelSet) -> ChannelSet:
    """The file's planes under the names of the list, each found by name or wavelength; others keep theirs."""
    try:
        known = {theirs: ours for ours, theirs in match(listed, found).items()}
    except ValueError as error:
        raise BrokenFileError("unreadable", f"has bands that do not fit those said of it: {error}") from error
    of = {channel.name: channel for channel in listed}
    return ChannelSet(
        _with_wavelength(of[known[channel.name]], channel.wavelength) if channel.name in known else channel
        for channel in found
    )


def _with_wavelength(listed: Channel, at: float | None) -> Channel:
    return replace(listed, wavelength=at) if listed.wavelength is None else listed


def _same_wavelength(a: float | None, b: float | None) -> bool:
    return a is None or b is None or abs(a - b) <= SAME_BAND * min(a, b)


def _by_order(raw: RawImage, listed: ChannelSet, names: Any, wavelengths: Any) -> ChannelSet:
    """The list in its order, for a file that has no names; what it does say must not say otherwise."""
    positions = range(len(names)) if raw.numbers is None else [number - 1 for number in raw.numbers]
    if raw.numbers is None and len(names) != len(listed):
        raise BrokenFileError("unreadable", f"has {len(names)} planes, but the bands said of it are {len(listed)}")
    if not all(0 <= position < len(listed) for position in positions):
        raise BrokenFileError("unreadable", f"has channels {raw.numbers}, but the bands said of it are {len(listed)}")
    channels = ChannelSet(listed[position] for position in positions)
    for channel, name, at in zip(channels, names, wavelengths, strict=True):
        if name is None and not _same_wavelength(at, channel.wavelength):
            raise BrokenFileError(
                "unreadable",
                f"has {at:g} micrometres for the plane that is said to be {channel.name!r} "
                f"({channel.wavelength:g} micrometres)",
            )
        said = _channel(name or channel.name, at)
        try:
            if match(ChannelSet([channel]), ChannelSet([said])):
                continue
        except ValueError as error:
            raise BrokenFileError("unreadable", f"has other bands than those said of it: {error}") from error
        raise BrokenFileError("unreadable", f"says {said.name!r} of the plane that is said to be {channel.name!r}")
    return ChannelSet(_with_wavelength(channel, at) for channel, at in zip(channels, wavelengths, strict=True))


def _scaled(raw: RawImage, said: Sequence[Numbers], pixels: NDArray[Any], channels: ChannelSet, valid: Any) -> Image:
    full = _FULL.get(pixels.dtype.name)
    scale, offset, described = [], [], []
    for plane, (numbers, channel) in enumerate(zip(said, channels, strict=True)):
        known = _scale_of(raw, plane, numbers)
        units = SHARE if known is None and full is not None else MEASURED
        described.append(replace(channel, units=units))
        of_plane = known or (1 / (full or 1), 0.0)
        scale.append(of_plane[0])
        offset.append(of_plane[1])
    return Image(pixels, ChannelSet(described), tuple(scale), tuple(offset), valid)


def _scale_of(raw: RawImage, plane: int, said: Numbers) -> tuple[float, float] | None:
    """Scale and offset of a plane; None: neither is known. Where one is said of it, what the file says is not asked."""
    if said.scale is not None or said.offset is not None:
        return 1.0 if said.scale is None else said.scale, said.offset or 0.0
    of_file = None if raw.scale is None else raw.scale[plane]
    return None if of_file is None else (of_file, (raw.offset[plane] if raw.offset else None) or 0.0)
