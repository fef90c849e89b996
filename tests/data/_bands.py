"""What tests of data of any bands need: files, and how a data set of them is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from anychan.data import Dataset, ImageArray, load_split

from .. import _image_files

Files = dict[str, bytes]
Pack = Callable[[Files], Path]
SIZE = 12


def tiff(pixels: Any, names: list[str] | None = None, **options: Any) -> bytes:
    said = {} if names is None else {"imagej": True, "metadata": {"axes": "CYX", "Labels": names}}
    return _image_files.tiff(pixels, **({"photometric": "minisblack"} | said | options))


def loaded(dataset: Dataset, tmp_path: Path, split: str = "train", size: int = SIZE) -> ImageArray:
    return load_split(dataset, split, size, tmp_path / "cache")
