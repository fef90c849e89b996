"""Two runs to be served."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..prediction._runs import make_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One that takes any channels and a plain one."""
    folder = tmp_path_factory.mktemp("served")
    return make_run(folder / "any"), make_run(folder / "plain", "plain")
