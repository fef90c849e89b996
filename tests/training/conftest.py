"""Configurations of quick runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anychan.training import TrainConfig, train

from ._runs import SETTINGS


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make(tmp_path: Path, cache: Path) -> Any:
    def make(**settings: Any) -> TrainConfig:
        return TrainConfig(**{**SETTINGS, "out": tmp_path / "run", "cache_dir": cache, **settings})

    return make


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``make()`` has it, trained once: to be read."""
    return _trained(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def sliced_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``make(strategy="sliced")`` has it, trained once: to be read."""
    return _trained(tmp_path_factory.mktemp("sliced"), strategy="sliced")


def _trained(folder: Path, **settings: Any) -> Path:
    return train(TrainConfig(**SETTINGS, out=folder / "run", cache_dir=folder, **settings))
