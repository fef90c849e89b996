"""A data set: which files belong to which split, and what their labels mean."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anychan.channels import ChannelSet
from anychan.data.sources import Source

Pixels = NDArray[np.uint8]  # (H, W, C)


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
        pixels: uint8, shape (H, W, C).
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
    """

    name: str
    source: Source
    decode: Decoder
    channels: ChannelSet
    classes: tuple[str, ...]
    splits: dict[str, list[Sample]]
    layout: str

    @cached_property
    def description(self) -> dict[str, Any]:
        """A record that JSON can hold, with no path of the machine in it."""
        return {
            "name": self.name,
            "layout": self.layout,
            "channels": list(self.channels.names),
            "classes": len(self.classes),
            "splits": {split: len(samples) for split, samples in self.splits.items()},
            "fingerprints": {split: self.fingerprint(samples) for split, samples in self.splits.items()},
        }

    def fingerprint(self, samples: Iterable[Sample]) -> str:
        """What tells these samples from others: a hash of their paths, labels and contents, in their order.

        The content of a file in an archive enters by its CRC-32 and size; that of a file in a folder by its size
        alone, so that a copy counts as the same data and nothing need be read twice.
        """
        digest = hashlib.sha256()
        for sample in samples:
            line = f"{sample.path}\0{sample.label}\0{self.source.content(sample.path)}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()
