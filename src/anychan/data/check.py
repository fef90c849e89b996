"""The check of a data set: every file decoded to its end, every list read, nothing changed."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anychan.data.bands import Bands
from anychan.data.check_report import CheckReport
from anychan.data.dataset import Dataset, Pixels, Sample
from anychan.data.decode import strict_pillow
from anychan.data.findings import BrokenFileError, Finding
from anychan.data.layouts import inspect_layout
from anychan.data.parallel import ordered_map

_ODD = {
    "grayscale": "is grayscale: its channels will be equal",
    "cmyk": "is CMYK: converted to RGB",
    "palette": "has a palette: converted to RGB",
    "alpha": "has transparent pixels or an alpha channel: laid over white",
    "animated": "is animated or has several pages: the first picture counts",
    "exif-rotated": "is rotated by its EXIF data: turned upright",
    "other-mode": "is in another colour space: converted to RGB",
}


@dataclass(frozen=True, slots=True)
class _Reading:
    digest: bytes
    odd: tuple[str, ...]
    empty: tuple[int, ...]  # channels without a value
    broken: BrokenFileError | None


def check_dataset(spec: str | Path, bands: Bands | str | Path | None = None, *, progress: bool = False) -> CheckReport:
    """Read all of a data set and report what is unusual or broken in it.

    Args:
        spec, bands: as for ``open_dataset``.
        progress: show it on the standard error stream.

    Raises:
        FileNotFoundError: if there is nothing at that path.
        ValueError: if it is no data set at all.

    Example:
        >>> report = check_dataset("synthetic:train=20,val=10,test=10,size=16")
        >>> report.decoded, report.unfit
        (40, False)
    """
    started = time.perf_counter()
    dataset, findings = inspect_layout(spec, bands)
    readings = _read_all(dataset, progress)
    for split, samples in dataset.splits.items():
        findings += _of_files(split, samples, readings)
    findings += _same_images(dataset, readings)
    counts = {split: _count(samples, len(dataset.classes)) for split, samples in dataset.splits.items()}
    findings += _of_splits(dataset, counts)
    return CheckReport(
        name=dataset.name,
        layout=dataset.layout,
        classes=dataset.classes,
        counts=counts,
        channels=dataset.channels.names,
        kept_as=str(dataset.encoding),
        lacking={
            name: count
            for place, name in enumerate(dataset.channels.names)
            if (count := sum(place in reading.empty for reading in readings.values()))
        },
        findings=tuple(findings),
        files=len(readings),
        decoded=sum(reading.broken is None for reading in readings.values()),
        seconds=time.perf_counter() - started,
    )


def _read_all(dataset: Dataset, progress: bool) -> dict[str, _Reading]:
    from tqdm import tqdm

    def read(path: str) -> _Reading:
        content = b""
        try:
            content = dataset.source.read(path)
            picture = dataset.decode(content, None)
            return _Reading(hashlib.sha256(content).digest(), picture.odd, _empty(picture.pixels), None)
        except BrokenFileError as broken:
            return _Reading(hashlib.sha256(content).digest(), (), (), broken)

    paths = list(dict.fromkeys(sample.path for samples in dataset.splits.values() for sample in samples))
    with strict_pillow():
        readings = ordered_map(read, paths)
        shown = tqdm(readings, "checking", len(paths), unit=" images", disable=not progress, mininterval=0.5)
        return dict(zip(paths, shown, strict=True))


def _empty(pixels_HWC: Pixels) -> tuple[int, ...]:
    if pixels_HWC.dtype.kind != "f":
        return ()
    return tuple(np.flatnonzero(np.isnan(pixels_HWC).all(axis=(0, 1))).tolist())


def _of_files(split: str, samples: list[Sample], readings: dict[str, _Reading]) -> list[Finding]:
    findings = []
    for path in dict.fromkeys(sample.path for sample in samples):
        reading = readings[path]
        if reading.broken is not None:
            findings.append(Finding(path, split, reading.broken.kind, reading.broken.reason, True))
        findings += [Finding(path, split, kind, _ODD[kind], False) for kind in reading.odd]
    return findings


def _same_images(dataset: Dataset, readings: dict[str, _Reading]) -> list[Finding]:
    """Files of equal content; each is compared with the first of its kind."""
    places: dict[bytes, dict[str, tuple[str, int]]] = defaultdict(dict)  # content -> path -> split, label
    for split, samples in dataset.splits.items():
        for sample in samples:
            if readings[sample.path].broken is None:
                places[readings[sample.path].digest].setdefault(sample.path, (split, sample.label))
    findings = []
    for same in places.values():
        (first, (first_split, first_label)), *others = same.items()
        for path, (split, label) in others:
            twin = f"is the same image as {first}"
            if split != first_split:
                findings.append(Finding(path, split, "two-splits", f"{twin}, which is in {first_split}", False))
            if label != first_label:
                reason = f"{twin}, but has the label {label} and not {first_label}"
                findings.append(Finding(path, split, "image-two-labels", reason, False))
            if (split, label) == (first_split, first_label):
                findings.append(Finding(path, split, "same-image", twin, False))
    return findings


def _count(samples: list[Sample], classes: int) -> tuple[int, ...]:
    counts = [0] * classes
    for sample in samples:
        if sample.label < classes:  # others were found to be out of range
            counts[sample.label] += 1
    return tuple(counts)


def _of_splits(dataset: Dataset, counts: dict[str, tuple[int, ...]]) -> list[Finding]:
    findings = [
        Finding(split, split, "empty-split", "there is no image in this split", True)
        for split, samples in dataset.splits.items()
        if not samples
    ]
    if "train" not in counts:
        findings.append(Finding("train", "train", "no-train", "there is no training split", True))
    else:
        findings += [
            Finding(name, "train", "gap", f"label {label} has no image in the training split", False)
            for label, (name, count) in enumerate(zip(dataset.classes, counts["train"], strict=True))
            if count == 0
        ]
    return findings
