"""A run to be asked, and photographs of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from ._runs import CLASSES, make_run, photograph


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "any")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with one folder a class below ``test``, and photographs of every kind in it."""
    root = tmp_path_factory.mktemp("photos")
    kinds = (
        *(("RGB", "jpeg", 1), ("L", "png", 1), ("RGBA", "png", 1), ("RGB", "jpeg", 6)),
        *(("P", "png", 1), ("LA", "png", 1), ("CMYK", "jpeg", 3)),
    )
    for number, (mode, kind, orientation) in enumerate(kinds):
        file = root / "test" / CLASSES[number] / f"{number}.{kind}"
        file.parent.mkdir(parents=True)
        file.write_bytes(photograph(number, mode, kind, orientation))
    return root
