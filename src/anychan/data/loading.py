"""From a split of a data set to an array of its images."""

from __future__ import annotations

from pathlib import Path

import torch

from anychan.data.arrays import ImageArray, find_present
from anychan.data.cache import decode_split
from anychan.data.cache_file import Decoded
from anychan.data.dataset import Dataset, readable

_BROKEN_NAMED = 5


def load_split(  # noqa: PLR0917 (the first three are needed, the others are named)
    dataset: Dataset,
    split: str,
    image_size: int,
    cache_dir: Path | None = None,
    skip_broken: bool = False,
    progress: bool = False,
) -> ImageArray:
    """All images of a split, decoded to squares of ``image_size`` pixels.

    Files are decoded once, on all cores, into the cache; built-in images are made in memory. The cache holds for the
    same files, unchanged, the same size, and the same that is said of their bands.

    Args:
        dataset: from ``open_dataset``.
        split: one of ``dataset.splits``.
        image_size: side of the images; the shorter side is resized to it and the middle cut out.
        cache_dir: where decoded images are kept; None: the folder ``$ANYCHAN_CACHE``, or else the user's cache.
        skip_broken: leave broken files out and name them in ``ImageArray.skipped``.
        progress: show it on the standard error stream.

    Raises:
        ValueError: if there is no such split, no image in it, or an image is broken and is not to be skipped.
        OSError: if one cannot be read for what may pass, such as a network's fault.
    """
    if split not in dataset.splits:
        raise ValueError(f"{dataset.name} has no split {split!r}; there are {', '.join(dataset.splits)}")
    if image_size < 1:
        raise ValueError(f"image_size {image_size} is not a positive number of pixels")
    samples = dataset.splits[split]
    if not samples:
        raise ValueError(f"{dataset.name}: the split {split} is empty")
    decoded = decode_split(dataset, split, image_size, cache_dir, progress=progress)
    if decoded.broken and not skip_broken:
        raise ValueError(_refusal(dataset, split, decoded))
    if len(decoded.broken) == len(samples):
        raise ValueError(f"{dataset.name}: all {len(samples)} images of the split {split} are broken")
    left_out = {i for i, _ in decoded.broken}
    kept = [sample for i, sample in enumerate(samples) if i not in left_out]
    images = torch.from_numpy(decoded.pixels).permute(0, 3, 1, 2)
    return ImageArray(
        images=images,
        labels=torch.tensor([sample.label for sample in kept]),
        paths=tuple(readable(sample.path) for sample in kept),
        channels=dataset.channels,
        classes=dataset.classes,
        skipped=tuple((readable(samples[i].path), reason) for i, reason in decoded.broken),
        fingerprint=dataset.fingerprint(kept),
        encoding=dataset.encoding,
        present=find_present(images),
        stored=decoded.path,
    )


def _refusal(dataset: Dataset, split: str, decoded: Decoded) -> str:
    samples, broken = dataset.splits[split], decoded.broken
    named = "; ".join(f"{samples[i].path} {reason}" for i, reason in broken[:_BROKEN_NAMED])
    more = f"; and {len(broken) - _BROKEN_NAMED} more" if len(broken) > _BROKEN_NAMED else ""
    return f"{dataset.name}: {len(broken)} of {len(samples)} images of the split {split} are broken: {named}{more}"
