"""What is said of the bands of files beside them: ``bands.yaml``, or an option of the command line.

    bands: sentinel-2-l2a           # what the planes of a file are: a sensor,
    bands: [R, G, B, {name: NIR, wavelength: 0.84}]      # or a list in their order,
    bands: {ch1: DNA, ch2: ER}      # or new names for those in the file
    channels: B04,B08               # those that are wanted; not given: all
    nodata: -9999                   # a value that stands for none
    scale: 0.0001                   # stored number * scale + offset is what was measured
    offset: -0.1
    axes: HWC                       # of arrays that do not say it
    partial: true                   # an image may lack some of the channels
    values: true                    # files may differ in type, scale and nodata: keep what was measured, in 32 bits

All keys are optional. Where a file names its planes, a list does not number them: each band is found by its name, or
by its wavelength (``anychan.sensors.match``). Where the bands are R, G and B, a gray picture's plane is each of them.
Wavelengths are in micrometres, or in nanometres from 100 on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from anychan.channels import Channel, ChannelSet
from anychan.data.findings import BrokenFileError
from anychan.data.wavelengths import micrometres
from anychan.sensors import SENSORS, sensor

FILE = "bands.yaml"


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

    def __post_init__(self) -> None:
        if self.axes not in ("", "CHW", "HWC"):
            raise ValueError(f"axes {self.axes!r} are not CHW or HWC")
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} {value} is not a finite number")
        if self.scale == 0:
            raise ValueError("scale 0 would make all values the same")
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
        return read_bands(path.read_text(encoding="utf-8"), str(path))
    return Bands(_bands_of(str(text)))


def read_bands(text: str, name: str = FILE) -> Bands:
    """What a ``bands.yaml`` says.

    Raises:
        ValueError: if it is no YAML, has an unknown key, or a value that does not fit.
    """
    import yaml

    try:
        record = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is no YAML: {' '.join(str(error).split())}") from error
    known = [field.name for field in fields(Bands) if field.name != "renamed"]
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
    for key in ("nodata", "scale", "offset"):
        if record.get(key) is not None:
            try:
                if isinstance(record[key], bool):  # which would be 1 or 0
                    raise TypeError(key)
                record[key] = float(record[key])
            except (TypeError, ValueError) as error:
                raise ValueError(f"{key} {record[key]!r} is not a number") from error
    if isinstance(record.get("channels"), list):
        record["channels"] = ",".join(map(str, record["channels"]))
    bands = record.pop("bands", None)
    if isinstance(bands, Mapping):
        renamed = tuple((str(name), _band(band)) for name, band in bands.items())
        named = ChannelSet(channel for _, channel in renamed)
        chosen = record.get("channels")
        return Bands(**record, bands=named if chosen else None, renamed=renamed)
    return Bands(**record, bands=None if bands is None else _bands_of(bands))


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
    if not isinstance(given, Mapping) or "name" not in given or set(given) - {"name", "wavelength"}:
        raise ValueError(f"the band {given!r} is not a name, or a name and a wavelength")
    wavelength = given.get("wavelength")
    try:
        return Channel(str(given["name"]), None if wavelength is None else micrometres(wavelength))
    except BrokenFileError as error:
        raise ValueError(f"the band {given['name']} {error}") from error
