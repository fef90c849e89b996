"""What is said of the bands of files beside them: ``bands.yaml``, or an option of the command line.

    bands: sentinel-2-l2a           # what the planes of a file are: a sensor,
    bands: [R, G, B, {name: NIR, wavelength: 0.84}]      # or a list in their order,
    bands: {ch1: DNA, ch2: ER}      # or new names for those in the file
    channels: B04,B08               # those that are wanted; not given: all
    nodata: -9999                   # a value that stands for none
    scale: 0.0001                   # stored number * scale + offset is what was measured
    offset: -0.1
    bands: [{name: B10, scale: 0.0034, offset: 149, nodata: 0}]  # or each of its own
    axes: HWC                       # of arrays that do not say it
    files: "{id}_w{channel}.tif"    # how files of one channel each are called (anychan.data.planes)
    partial: true                   # an image may lack some of the channels
    values: true                    # files may differ in type, scale and nodata: keep what was measured, in 32 bits

All keys are optional. Where a file names its planes, a list does not number them: each band is found by its name, or
by its wavelength (``anychan.sensors.match``). Where the bands are R, G and B, a gray picture's plane is each of them.
Wavelengths are in micrometres, or in nanometres from 100 on. A band's own scale, offset and nodata come before those of
all bands, and these before what files say; a band of which a scale or an offset is said takes neither from its file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from anychan._files import parse_yaml, read_text
from anychan.channels import Channel, ChannelSet
from anychan.data.findings import BrokenFileError
from anychan.data.planes import ALONE, pattern
from anychan.data.wavelengths import micrometres
from anychan.sensors import SENSORS, sensor

FILE = "bands.yaml"
_MISNAMED = "bands.yml"
_BARE = re.compile(r"^files:\s*\{", re.MULTILINE)  # a brace begins a mapping


@dataclass(frozen=True)
class Numbers:
    """What the stored numbers of a band stand for: number * scale + offset was measured.

    Args:
        scale, offset: finite, the scale not 0; None: it is not said.
        nodata: the number that stands for no value; None: it is not said.

    Raises:
        ValueError: for other scales and offsets.

    Example:
        >>> Numbers(scale=0.01).or_else(Numbers(scale=2.0, nodata=0.0))
        Numbers(scale=0.01, offset=None, nodata=0.0)
    """

    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} {value} is not a finite number")
        if self.scale == 0:
            raise ValueError("scale 0 would make all values the same")

    def or_else(self, others: Numbers) -> Numbers:
        """These, and of others what is not said here."""
        pairs = ((getattr(self, name), getattr(others, name)) for name in _NUMBERS)
        return Numbers(*(theirs if ours is None else ours for ours, theirs in pairs))


_NUMBERS = ("scale", "offset", "nodata")


@dataclass(frozen=True)
class Bands:
    """What is said of the bands of a data set's files.

    Args:
        bands: what the planes are, in their order or by their names; None: files say it.
        renamed: the band that stands for each name in the files, where there are others.
        channels: names of those that are wanted; None: all.
        nodata: a value that stands for none, in place of what files say; any number of 32 or 64 bits.
        scale, offset: what files say of themselves is not asked then.
        axes: "CHW" or "HWC", of arrays that do not say it.
        partial: whether an image may lack some of the channels.
        values: whether to keep what was measured, in 32 bits, rather than the numbers that are stored.
        files: how files of one channel each are called; None: in one of the common ways (``anychan.data.planes``).
        own: scale, offset and nodata of single bands by their names, which come before those of all.
        otherwise: the same where neither these bands nor a file says them.

    Raises:
        ValueError: for a value that is none of those allowed.
    """

    bands: ChannelSet | None = None
    renamed: tuple[tuple[str, Channel], ...] = ()
    channels: str | None = None
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None
    axes: str = ""
    partial: bool = False
    values: bool = False
    files: str | None = None
    own: tuple[tuple[str, Numbers], ...] = ()
    otherwise: tuple[tuple[str, Numbers], ...] = field(default=(), repr=False)  # no data set's bands have any

    def __post_init__(self) -> None:
        if self.axes not in ("", "CHW", "HWC"):
            raise ValueError(f"axes {self.axes!r} are not CHW or HWC")
        self._of_all()
        if self.files is not None:
            if not isinstance(self.files, str):
                raise ValueError(f"files {self.files!r} is no text")
            pattern(self.files)
        for name in ("partial", "values"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} {getattr(self, name)!r} is not true or false")

    @property
    def wanted(self) -> ChannelSet | None:
        """The channels that images shall have; None: those that the first one has.

        Raises:
            ValueError: for one that is not among the bands.
        """
        if self.renamed and self.channels is None:
            return ChannelSet(channel for _, channel in self.renamed)
        if self.channels is None:
            return self.bands
        return None if self.bands is None else self.bands.subset(self.channels)

    @property
    def nodatas(self) -> tuple[float, ...]:
        """All numbers that stand for no value in any band."""
        said = (self.nodata, *(numbers.nodata for _, numbers in (*self.own, *self.otherwise)))
        return tuple(dict.fromkeys(nodata for nodata in said if nodata is not None))

    def numbers(self, name: str | None) -> Numbers:
        """What is said of the numbers of a band: what is its own, else what holds for all (None: for all only).

        Example:
            >>> said = read_bands("bands: [a, {name: b, scale: 0.01}]\\nscale: 2")
            >>> said.numbers("a").scale, said.numbers("b").scale
            (2.0, 0.01)
        """
        return dict(self.own).get(name or "", Numbers()).or_else(self._of_all())

    def _of_all(self) -> Numbers:
        return Numbers(self.scale, self.offset, self.nodata)

    @property
    def of_planes(self) -> Bands | None:
        """These; None where they say of planes nothing, but that each file is an image by itself."""
        return None if self == Bands(files=ALONE) else self


def parse_bands(text: str | Path | None) -> Bands | None:
    """What an option says: a sensor's name, names in the order of the planes, or the path of a ``bands.yaml``.

    Raises:
        FileNotFoundError: if it ends as such a path and there is none.
        ValueError: if it is none of these.

    Example:
        >>> parse_bands("B04,B08").bands.names, len(parse_bands("naip").bands)
        (('B04', 'B08'), 4)
    """
    if text is None:
        return None
    if str(text).lower().endswith((".yaml", ".yml")):
        path = Path(text)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there, which says what the bands are")
        return read_bands(read_text(path), str(path))
    return Bands(_bands_of(str(text)))


def check_no_other(exists: Callable[[str], bool], where: str) -> None:
    """Refuse a ``bands.yml``, which would be passed over where a ``bands.yaml`` is looked for.

    Args:
        exists: says whether the place that is looked at has a file of this name.
        where: that place, for the error.

    Raises:
        ValueError: if it has.
    """
    if exists(_MISNAMED):
        raise ValueError(f"{where} has a {_MISNAMED}, which is not read: call it {FILE}")


def read_bands(text: str, name: str = FILE) -> Bands:
    """What a ``bands.yaml`` says.

    Raises:
        ValueError: if it is no YAML, has an unknown key, or a value that does not fit.
    """
    try:
        record = parse_yaml(text, name)
    except ValueError as error:
        quotes = "; what files are called must stand in quotes" if _BARE.search(text) else ""
        raise ValueError(f"{error}{quotes}") from error
    known = [key.name for key in fields(Bands) if key.name not in ("renamed", "own", "otherwise")]
    if not isinstance(record, Mapping):
        raise ValueError(f"{name} is no list of keys and values; the keys are {', '.join(known)}")
    for key in record:
        if key not in known:
            raise ValueError(f"{name}: unknown key {key!r}; there are {', '.join(known)}")
    try:
        return _read(dict(record))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


def _read(record: dict[str, Any]) -> Bands:
    for key in _NUMBERS:
        record[key] = _number(record, key)
    if isinstance(record.get("channels"), list):
        record["channels"] = ",".join(map(str, record["channels"]))
    bands = record.pop("bands", None)
    if isinstance(bands, Mapping):
        renamed = tuple((str(name), _band(band)) for name, band in bands.items())
        named = ChannelSet(channel for _, channel in renamed)
        chosen = record.get("channels")
        return Bands(**record, bands=named if chosen else None, renamed=renamed, own=_own_numbers(bands.values()))
    own = _own_numbers(bands if isinstance(bands, list) else ())
    return Bands(**record, bands=None if bands is None else _bands_of(bands), own=own)


def _number(record: Mapping[str, Any], key: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    try:
        if isinstance(value, bool):  # which would be 1 or 0
            raise TypeError(key)
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key} {value!r} is not a number") from error


def _own_numbers(bands: Iterable[Any]) -> tuple[tuple[str, Numbers], ...]:
    """What bands say of their own numbers; of those that say something."""
    found = []
    for band in bands:
        if not isinstance(band, Mapping) or not set(band) & set(_NUMBERS):
            continue
        name = _band(band).name
        try:
            found.append((name, Numbers(*(_number(band, key) for key in _NUMBERS))))
        except ValueError as error:
            raise ValueError(f"the band {name}: {error}") from error
    return tuple(found)


def _bands_of(given: Any) -> ChannelSet:
    if isinstance(given, str):
        if given in SENSORS:
            return sensor(given)
        if "," not in given and any(letter in "-_ " for letter in given):
            return sensor(given)  # which says what sensors there are
        return ChannelSet.parse(given)
    if isinstance(given, list):
        return ChannelSet(_band(band) for band in given)
    raise ValueError(f"bands {given!r} are no sensor, no list, and no names for those in the files")


def _band(given: Any) -> Channel:
    if isinstance(given, str):
        return ChannelSet.parse([given])[0]
    if not isinstance(given, Mapping) or "name" not in given or set(given) - {"name", "wavelength", *_NUMBERS}:
        allowed = ", ".join(("wavelength", *_NUMBERS))
        raise ValueError(f"the band {given!r} is not a name, or a name and any of {allowed}")
    wavelength = given.get("wavelength")
    try:
        return Channel(str(given["name"]), None if wavelength is None else micrometres(wavelength))
    except BrokenFileError as error:
        raise ValueError(f"the band {given['name']} {error}") from error
