"""Channels and channel sets: what the planes of an image are called and where they lie.

A channel is a named plane of an image: ``R``, ``B04``, ``NIR``. A channel set is an ordered sequence of
different channels. Everywhere in anychan a plane is addressed by its name, never by its position.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

# Round centre wavelengths in micrometres for a camera's red, green and blue; sensors differ by some hundredths.
_RGB_WAVELENGTHS = {"R": 0.600, "G": 0.540, "B": 0.460}
RGB = tuple(_RGB_WAVELENGTHS)  # the channels of photographs, in order

# How pixel values are counted: as shares of the largest number that 8 or 16 bits can hold (255, 65535), or as what was
# measured (reflectance, kelvin).
SHARE, MEASURED = "share", "measured"

# One name for wavelengths further apart than this share means two bands: B8 is near infrared here, panchromatic there.
SAME_NAME = 0.15

# A wavelength so many times as long or short as any known one was written in another unit: nanometres are 1,000 times
# as many as micrometres, and thermal infrared is 40 times as long as ultraviolet.
_FURTHEST = 100


@dataclass(frozen=True, slots=True)
class Channel:
    """One named plane.

    Args:
        name: not empty, no comma, no white space.
        wavelength: centre wavelength in micrometres, or None where it has none (a fluorescent stain, depth).
        mean: mean pixel value in ``units``, or None if unknown.
        std: standard deviation of the pixel value in the same, or None if unknown.
        units: "share": values are 0 to 1, shares of what 8 or 16 bits can hold; "measured": they are what was
            measured, on any scale.

    Raises:
        ValueError: for a name that is empty or cannot be written in a list, a wavelength or standard
            deviation that is not a positive number, a mean that is not a number, or other units.
    """

    name: str
    wavelength: float | None = None
    mean: float | None = None
    std: float | None = None
    units: str = SHARE

    def __post_init__(self) -> None:
        if self.units not in (SHARE, MEASURED):
            raise ValueError(f"channel {self.name!r}: units {self.units!r} are not {SHARE!r} or {MEASURED!r}")
        if not self.name or "," in self.name or any(letter.isspace() for letter in self.name):
            raise ValueError(f"channel name {self.name!r} is empty or has a comma or white space in it")
        for field, value in (("wavelength", self.wavelength), ("standard deviation", self.std)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"channel {self.name!r}: {field} {value!r} is not a positive number")
        if self.mean is not None and not math.isfinite(self.mean):
            raise ValueError(f"channel {self.name!r}: mean {self.mean!r} is not a finite number")


class ChannelSet(Sequence[Channel]):
    """An ordered set of channels, immutable.

    Args:
        channels: channels, or names of channels, in their order.

    Raises:
        ValueError: if there are none, a name stands twice, or for a Python set, which has no order.

    Example:
        >>> rgb = ChannelSet.parse("RGB")
        >>> rgb.indices("BR")
        (2, 0)
        >>> [str(subset) for subset in rgb.subsets()]
        ['RGB', 'RG', 'RB', 'GB', 'R', 'G', 'B']
        >>> "NIR" in rgb
        False
        >>> ChannelSet(["B04", "B08"])
        ChannelSet('B04,B08')
    """

    __slots__ = ("_channels", "_index")

    def __init__(self, channels: Iterable[Channel | str]) -> None:
        _check_has_order(channels)
        self._channels = tuple(Channel(c) if isinstance(c, str) else c for c in channels)
        self._index = {channel.name: i for i, channel in enumerate(self._channels)}
        if not self._channels:
            raise ValueError("a channel set needs at least one channel")
        if len(self._index) < len(self._channels):
            raise ValueError(f"channel {_first_duplicate(self.names)!r} stands twice in {','.join(self.names)}")

    @classmethod
    def parse(cls, spec: ChannelsLike, within: ChannelSet | None = None) -> ChannelSet:
        """Read a channel set from text or a list of names.

        Text with a comma is a list of names (``"B04,B08"``). Text without one is a single name, or names
        of one letter each written together (``"RG"``): with ``within`` the names known there decide, without it
        only the letters R, G and B are taken apart. R, G and B carry their wavelengths.

        Args:
            spec: text, a sequence of names or channels, or a channel set.
            within: the channels to choose from; the result keeps their wavelengths, means and deviations.

        Raises:
            ValueError: if a channel is not in ``within``, stands twice, is no name or channel, or there is none; or
                for a Python set, which has no order.
        """
        if within is not None:
            return within.subset(spec)
        if isinstance(spec, ChannelSet):
            return spec
        return cls(
            Channel(name, _RGB_WAVELENGTHS.get(name)) if isinstance(name, str) else name
            for name in (_split_names(spec, known=_RGB_WAVELENGTHS) if isinstance(spec, str) else _each(spec))
        )

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ChannelSet:
        """Read back what ``to_dict`` wrote."""
        return cls(Channel(**channel) for channel in record["channels"])

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON can hold."""
        return {"channels": [_record(channel) for channel in self._channels]}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self._channels)

    @property
    def wavelengths(self) -> tuple[float | None, ...]:
        """Centre wavelengths in micrometres."""
        return tuple(channel.wavelength for channel in self._channels)

    def indices(self, subset: ChannelsLike | None = None) -> tuple[int, ...]:
        """Positions in this set of a subset's channels, in the subset's order (None: all of them).

        Raises:
            ValueError: if a channel is not in this set, stands twice, or there is none; as `check_meaning`.
        """
        if subset is None or subset is self:
            return tuple(range(len(self._channels)))
        given = self._given(subset)
        names = tuple(channel if isinstance(channel, str) else channel.name for channel in given)
        if not names:
            raise ValueError(f"no channel given; choose from {','.join(self.names)}")
        if len(set(names)) < len(names):
            raise ValueError(f"channel {_first_duplicate(names)!r} stands twice in {','.join(names)}")
        for name in names:
            if name not in self._index:
                raise ValueError(f"unknown channel {name!r}; there are {','.join(self.names)}")
        self._check_meanings(given)
        return tuple(self._index[name] for name in names)

    def subset(self, subset: ChannelsLike | None) -> ChannelSet:
        """The channels of a subset, in its order, with what this set knows of them (None: all of them)."""
        return self if subset is None else ChannelSet(self._channels[i] for i in self.indices(subset))

    def resolve(
        self,
        channels: ChannelsLike | None,
        planes: int | None = None,
        *,
        unseen: bool = False,
        unnamed: bool = False,
    ) -> ChannelSet:
        """The channels of a call: those of this set with what it knows of them, and others where they are allowed.

        Args:
            channels: names or channels; None: all of this set.
            planes: with ``unnamed`` and no names, how many there are; where they are not as many as this set has,
                they are called "0", "1", ...
            unseen: channels that are not in this set are taken if they have a wavelength. A wavelength then says which
                channel is meant, so one given with a name of this set must be the one known here; text and names
                alone have none.
            unnamed: channels that are not in this set are taken, whatever they are called.

        Raises:
            ValueError: for a channel that is not allowed, stands twice, or if there is none; as `check_meaning`, and
                with ``unseen`` for a name of this set with any other wavelength, and as `check_wavelength_unit`.

        Example:
            >>> rgb = ChannelSet.parse("RGB")
            >>> rgb.resolve([Channel("B8A", 0.865), Channel("R")], unseen=True).wavelengths
            (0.865, 0.6)
        """
        if channels is None:
            other = unnamed and planes not in (None, 0, len(self))
            return ChannelSet(str(i) for i in range(planes or 0)) if other else self
        if not (unseen or unnamed):
            return self.subset(channels)
        asked = channels if isinstance(channels, ChannelSet) else self._parse(channels)
        for channel in asked if unseen else ():
            if channel in self:
                self._check_same_wavelength(channel)
            elif channel.wavelength is None and not unnamed:
                raise ValueError(
                    f"unknown channel {channel.name!r} without a wavelength, by which it would be taken; "
                    f"known are {','.join(self.names)}"
                )
            else:
                self.check_wavelength_unit(channel)
        self._check_meanings(asked)
        return ChannelSet(self._channels[self._index[c.name]] if c in self else c for c in asked)

    def check_wavelength_unit(self, channel: Channel) -> None:
        """Refuse a channel whose wavelength cannot be in the unit of those here, micrometres.

        Raises:
            ValueError: if it is more than 100 times as long or as short as any wavelength of this set.

        Example:
            >>> ChannelSet.parse("RGB").check_wavelength_unit(Channel("B8A", 0.865))
        """
        known = [wavelength for wavelength in self.wavelengths if wavelength is not None]
        if channel.wavelength is None or not known:
            return
        given = channel.wavelength
        nearest = min(known, key=lambda wavelength: abs(math.log(wavelength / given)))
        if not nearest / _FURTHEST < given < nearest * _FURTHEST:
            raise ValueError(
                f"channel {channel.name!r} has wavelength {given:g}, more than {_FURTHEST} times away from "
                f"{nearest:g}, the nearest of {self}: wavelengths are in micrometres"
            )

    def subsets(self) -> list[ChannelSet]:
        """All 2^n - 1 subsets that are not empty, the largest first, each in this set's order."""
        sizes = range(len(self._channels), 0, -1)
        return [ChannelSet(chosen) for n in sizes for chosen in itertools.combinations(self._channels, n)]

    def some_subsets(self, each: int = 3) -> list[ChannelSet]:
        """The full set, every channel alone, and of each size between ``each`` subsets, for sets that have too many.

        They are drawn at random, the same at every call; of a size with no more than ``each`` there are all. The
        largest come first, each in this set's order.

        Example:
            >>> bands = ChannelSet(f"B{i:02d}" for i in range(16))
            >>> len(bands.some_subsets()), len(bands.some_subsets(each=1)), len(ChannelSet.parse("RGB").some_subsets())
            (59, 31, 7)
        """
        chance = random.Random(0)
        places = range(len(self._channels))
        found: list[tuple[int, ...]] = []
        for n in range(len(self._channels), 0, -1):
            if n == 1 or math.comb(len(self._channels), n) <= each:
                found += itertools.combinations(places, n)
                continue
            drawn: set[tuple[int, ...]] = set()
            while len(drawn) < each:
                drawn.add(tuple(sorted(chance.sample(places, n))))
            found += sorted(drawn)
        return [ChannelSet(self._channels[i] for i in chosen) for chosen in found]

    def with_statistics(self, mean: Sequence[float], std: Sequence[float]) -> ChannelSet:
        """The same channels with these means and standard deviations, one each, in this set's order."""
        return ChannelSet(
            replace(channel, mean=float(m), std=float(s))
            for channel, m, s in zip(self._channels, mean, std, strict=True)
        )

    def _parse(self, channels: str | Sequence[str] | Sequence[Channel]) -> ChannelSet:
        """Names and channels as given; what is known of a name here comes before what it means elsewhere."""
        given = _split_names(channels, known=self._index) if isinstance(channels, str) else _each(channels)
        return ChannelSet(
            (self._channels[self._index[c]] if c in self._index else Channel(c, _RGB_WAVELENGTHS.get(c)))
            if isinstance(c, str)
            else c
            for c in given
        )

    def _check_same_wavelength(self, channel: Channel) -> None:
        known, given = self._channels[self._index[channel.name]].wavelength, channel.wavelength
        if known is not None and given is not None and known != given:
            raise ValueError(f"channel {channel.name!r} has wavelength {known} here, but was given with {given}")

    def _check_meanings(self, given: Iterable[str | Channel]) -> None:
        for channel in given:
            if isinstance(channel, Channel) and channel in self:
                check_meaning(channel, self._channels[self._index[channel.name]])

    def _given(self, subset: ChannelsLike) -> Sequence[str | Channel]:
        if isinstance(subset, ChannelSet):
            return subset._channels
        return _split_names(subset, known=self._index, strict=True) if isinstance(subset, str) else _each(subset)

    def __contains__(self, channel: object) -> bool:
        return (channel.name if isinstance(channel, Channel) else channel) in self._index

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)

    def __getitem__(self, index: Any) -> Any:
        return ChannelSet(self._channels[index]) if isinstance(index, slice) else self._channels[index]

    def __eq__(self, other: object) -> bool:
        return self._channels == other._channels if isinstance(other, ChannelSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._channels)

    def __str__(self) -> str:
        """The shortest text that ``parse`` reads back: ``RG`` or ``B04,B08``."""
        letters = all(name in _RGB_WAVELENGTHS for name in self.names)
        return ("" if letters else ",").join(self.names)

    def __repr__(self) -> str:
        return f"ChannelSet({str(self)!r})"


def is_near(a: Channel, b: Channel, tolerance: float) -> bool:
    """Whether the wavelengths of two channels, which both must have, differ by no more than this share."""
    if a.wavelength is None or b.wavelength is None:
        return False
    return abs(a.wavelength - b.wavelength) <= tolerance * min(a.wavelength, b.wavelength)


def check_meaning(wanted: Channel, there: Channel) -> None:
    """Refuse two channels of one name that cannot be the same band.

    Raises:
        ValueError: if both have wavelengths, more than 15 % apart.
    """
    if wanted.wavelength is not None and there.wavelength is not None and not is_near(wanted, there, SAME_NAME):
        raise ValueError(
            f"channel {wanted.name!r} is at {wanted.wavelength:g} micrometres, but what has that name here is at "
            f"{there.wavelength:g}: they are different bands, give one another name"
        )


def _record(channel: Channel) -> dict[str, Any]:
    """Units that are not shares are named; records from before there were others have none."""
    record = {"name": channel.name, "wavelength": channel.wavelength, "mean": channel.mean, "std": channel.std}
    return record if channel.units == SHARE else {**record, "units": channel.units}


# What is taken wherever channels are asked for.
ChannelsLike = str | Sequence[str] | Sequence[Channel] | ChannelSet


def _each(channels: Sequence[str] | Sequence[Channel]) -> list[str | Channel]:
    """The channels of a sequence; ValueError for a set, which has no order, or what is neither a name nor a channel."""
    _check_has_order(channels)
    given: list[Any] = list(channels) if hasattr(channels, "__iter__") else [channels]
    for channel in given:
        if not isinstance(channel, str | Channel):
            said = f"a {type(channels).__name__}" if hasattr(channels, "shape") else f"{channels!r:.60}"
            raise ValueError(f"channels must be names or Channel objects, such as 'RG', not {said}")
    return given


def _check_has_order(channels: object) -> None:
    if isinstance(channels, set | frozenset):
        raise ValueError(f"channels are {channels!r:.60}, a set, which has no order: give a list, or text such as 'RG'")


def _split_names(text: str, known: Mapping[str, Any], strict: bool = False) -> tuple[str, ...]:
    """Names in a text; with ``strict`` there are no names but those known, so that among letters "RX" is R and X."""
    if "," in text:
        return tuple(name.strip() for name in text.split(","))
    name = text.strip()
    if name in known or not name:
        return (name,) if name else ()
    together = all(letter in known for letter in name) or (strict and all(len(other) == 1 for other in known))
    return tuple(name) if together else (name,)


def _first_duplicate(names: Sequence[str]) -> str:
    return next(name for i, name in enumerate(names) if name in names[:i])
