"""What tests of experiments share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ._ablations import BASE


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    return {**BASE, "cache_dir": str(tmp_path / "cache")}
