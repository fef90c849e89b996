"""What tests of data of any bands need: files, and how a data set of them is loaded."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from anychan.data import Dataset, ImageArray, load_split

Files = dict[str, bytes]
Pack = Callable[[Files], Path]
SIZE = 12


def tiff(pixels: Any, names: list[str] | None = None) -> bytes:
    file = io.BytesIO()
    said = {} if names is None else {"imagej": True, "metadata": {"axes": "CYX", "Labels": names}}
    tifffile.imwrite(file, pixels, **({"photometric": "minisblack"} | said))
    return file.getvalue()


def noise(*shape: int, dtype: str = "uint16", seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 30_000, shape).astype(dtype)


def loaded(dataset: Dataset, tmp_path: Path, split: str = "train", size: int = SIZE) -> ImageArray:
    return load_split(dataset, split, size, tmp_path / "cache")
