"""Configurations of quick runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anychan.training import TrainConfig

from ._runs import SETTINGS


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make(tmp_path: Path, cache: Path) -> Any:
    def make(**settings: Any) -> TrainConfig:
        return TrainConfig(**{**SETTINGS, "out": tmp_path / "run", "cache_dir": cache, **settings})

    return make
