"""Small data sets of real files, in a folder and in a zip archive."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Files = dict[str, bytes]


@pytest.fixture(scope="session")
def image_bytes() -> Callable[..., bytes]:
    """The file of a noisy image, which no other seed gives."""

    def make(
        seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (24, 20), kind: str = "PNG", **save: Any
    ) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels if "A" in mode else pixels[..., :3]).convert(mode).save(file, kind, **save)
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def photographs(image_bytes: Callable[..., bytes]) -> Files:
    """A sound data set in the layout of mini-ImageNet: two classes; 4, 2 and 2 images."""
    files: Files = {}
    for split, count in {"train": 4, "val": 2, "test": 2}.items():
        paths = [f"images/n0{i % 2}/{split}_{i}.JPEG" for i in range(count)]
        for path in paths:
            files[path] = image_bytes(seed=len(files), kind="JPEG")
        files[f"{split}.txt"] = "".join(f"{path} {i % 2}\n" for i, path in enumerate(paths)).encode()
    return files


def _in_folder(root: Path, files: Files) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def _in_zip(root: Path, files: Files) -> Path:
    with zipfile.ZipFile(root / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return root / "data.zip"


@pytest.fixture(params=[_in_folder, _in_zip], ids=["folder", "zip"])
def pack(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Files], Path]:
    """Makes a data set of files: as a folder, and as an archive."""
    (tmp_path / "data").mkdir()
    return lambda files: request.param(tmp_path / "data", files)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Files], Path]:
    """Makes a data set of files as a folder."""
    (tmp_path / "data").mkdir()
    return lambda files: _in_folder(tmp_path / "data", files)
