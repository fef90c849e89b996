"""A data set: which files belong to which split, and what their labels mean."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from anychan.channels import MEASURED, ChannelSet
from anychan.data.sources import Files

_logger = logging.getLogger(__name__)

Pixels = NDArray[Any]  # (H, W, C) of the type that the data set's encoding names; uint8 for photographs


@dataclass(frozen=True, slots=True)
class Encoding:
    """How pixels are kept, and what they stand for: kept number * scale + offset is the value.

    Args:
        kept_as: "uint8", "uint16", "int16", or "float32", where NaN is no value.
        scale, offset: for each channel, or one for all.

    Example:
        >>> str(Encoding()), Encoding().plain
        ('uint8', True)
    """

    kept_as: str = "uint8"
    scale: tuple[float, ...] = (1 / 255,)
    offset: tuple[float, ...] = (0.0,)

    @property
    def plain(self) -> bool:
        """Whether all channels have one scale and no offset."""
        return len(set(self.scale)) == 1 and set(self.offset) == {0.0}

    @property
    def values(self) -> bool:
        """Whether what is kept are the values themselves."""
        return self.kept_as == "float32"

    def __str__(self) -> str:
        full = {"uint8": 255, "uint16": 65535, "int16": 32767, "float32": 1}[self.kept_as]
        if self.plain and self.scale[0] == 1 / full:
            return self.kept_as
        return f"{self.kept_as} with scale {_one_or_all(self.scale)} and offset {_one_or_all(self.offset)}"

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON can hold."""
        return {"kept_as": self.kept_as, "scale": list(self.scale), "offset": list(self.offset)}


def _one_or_all(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in (numbers[:1] if len(set(numbers)) == 1 else numbers))


BYTES = Encoding()  # photographs


def readable(name: str) -> str:
    """A name that is no text in UTF-8, as Linux allows for files, as one that can be written anywhere.

    Example:
        >>> import os
        >>> print(readable(os.fsdecode(b"caf\\xe9.jpg")), readable("café.jpg"))
        caf\\udce9.jpg café.jpg
    """
    return name.encode(errors="backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image.

    Args:
        path: its file, relative to the root of the data, with ``/`` between the parts.
        label: its class, from 0.
    """

    path: str
    label: int


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded image.

    Args:
        pixels: shape (H, W, C), as the data set's encoding says.
        odd: what is unusual about the file, by the kinds of ``anychan.data.findings``.
    """

    pixels: Pixels
    odd: tuple[str, ...] = ()


# From the bytes of a file, and the side of the square that is wanted (None: as it is), to its picture.
# Raises BrokenFileError.
Decoder = Callable[[bytes, int | None], Picture]


@dataclass(frozen=True)
class Dataset:
    """What ``open_dataset`` found.

    Args:
        name: of the folder, the archive or the built-in set.
        source: where the files are.
        decode: makes pictures of their bytes.
        channels: the C channels of every picture.
        classes: a name for each label.
        splits: the samples of "train", "val" and "test", as far as there are such splits.
        layout: how the data are laid out, and how they were split where that was not given.
        encoding: how pixels are kept.
        decoding: what tells how pictures are made of the files from other ways; "" for photographs.
        numbers: scale, offset and nodata by channel, as far as not the files but a ``bands.yaml`` says them.
        in_two_splits: how many files lists name in more than one split; that the same image has two names is not known.
    """

    name: str
    source: Files
    decode: Decoder
    channels: ChannelSet
    classes: tuple[str, ...]
    splits: dict[str, list[Sample]]
    layout: str
    encoding: Encoding = BYTES
    decoding: str = ""
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)
    in_two_splits: int = 0

    @cached_property
    def description(self) -> dict[str, Any]:
        """A record that JSON can hold, with no path of the machine in it."""
        measured = any(channel.units == MEASURED for channel in self.channels)
        kept = {} if self.encoding == BYTES and not measured else {"encoding": self.encoding.to_dict()}
        return {
            "name": self.name,
            "layout": self.layout,
            **kept,
            "decoding": self.decoding,
            "channels": list(self.channels.names),
            "classes": len(self.classes),
            "splits": {split: len(samples) for split, samples in self.splits.items()},
            **({"in_two_splits": self.in_two_splits} if self.in_two_splits else {}),
            "fingerprints": {split: self.fingerprint(samples) for split, samples in self.splits.items()},
        }

    def warn_of_overlap(self) -> None:
        """Log a warning where files are in two splits; for who trains on the data, or measures something on them."""
        if self.in_two_splits:
            files = "1 file is" if self.in_two_splits == 1 else f"{self.in_two_splits:,} files are"
            _logger.warning(
                "%s: %s in two splits, so that what is measured there is too good; `anychan data check` names each",
                self.name,
                files,
            )

    def fingerprint(self, samples: Iterable[Sample]) -> str:
        """What tells these samples from others: a hash of their paths, labels and contents, in their order.

        Contents enter by CRC-32 and size, which an archive keeps and a folder's files are read for once, so that a copy
        counts as the same data, and so does an archive of the folder.
        """
        samples = list(samples)
        contents = self.source.contents([sample.path for sample in samples])
        digest = hashlib.sha256()
        for sample in samples:
            line = f"{sample.path}\0{sample.label}\0{contents[sample.path]}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()


def same_images(one: Mapping[str, Any], other: Mapping[str, Any], split: str) -> bool:
    """Whether two descriptions of data sets tell of the same files in a split, made into pictures in the same way.

    Where one is from before ``decoding`` was noted, it says nothing of that.

    Example:
        >>> photographs = {"fingerprints": {"test": "a"}, "decoding": ""}
        >>> same_images(photographs, photographs, "test")
        True
        >>> same_images(photographs, {**photographs, "decoding": "of a bands.yaml"}, "test")
        False
    """
    decodings = {told["decoding"] for told in (one, other) if "decoding" in told}
    return one["fingerprints"].get(split) == other["fingerprints"].get(split) and len(decodings) < 2
