"""The photographs that benchmarks train on, in one folder a class, which other programs than ours read too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch
from torch.nn import functional as F

from anychan.data import open_dataset

CLASSES = 10


def photographs(data: str | None, folder: Path, images: int, size: int) -> Path:
    """So many images of a data set, or made ones where none is given, in a folder of splits."""
    return make_photographs(folder, images, size) if data is None else unpack(data, folder, images)


def make_photographs(folder: Path, images: int, size: int) -> Path:
    """JPEGs of smooth noise in one folder a class, so many in training and one of each class to validate with."""
    from PIL import Image

    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(images + CLASSES, 3, 8, 8, generator=generator)
    pixels = (F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1) * 255).byte()
    for number, image in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        place = folder / ("train" if number < images else "val") / f"class{number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:06}.jpg", quality=90)
    return folder


def unpack(data: str, folder: Path, images: int) -> Path:
    """The first files of each class of a data set, as many as asked for in training, in one folder a class."""
    dataset = open_dataset(data)
    if images < len(dataset.classes):
        raise SystemExit(f"{images} images are fewer than the {len(dataset.classes)} classes of {data}")
    for split, wanted in (("train", images // len(dataset.classes)), ("val", 1)):
        taken: Counter[int] = Counter()
        for sample in dataset.splits.get(split, ()):
            taken[sample.label] += 1
            if taken[sample.label] <= wanted:
                name = f"{taken[sample.label]:06}{Path(sample.path).suffix}"
                place = folder / split / dataset.classes[sample.label] / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(dataset.source.read(sample.path))
    return folder
