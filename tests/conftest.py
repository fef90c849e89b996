"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

# Workers side by side share the cores: with a thread for each core in each of them, torch is many times slower.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

_ANIMALS = Path("shared/data/tiny-imagenet-animals-50.zip")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is left in the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANYCHAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """In which no file takes more than some bytes: what the system refuses then, it refuses libraries too."""
    resource = pytest.importorskip("resource", reason="the system has no such limits")

    @contextmanager
    def full(most: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full


@pytest.fixture(scope="session")
def animals_zip() -> Path:
    """The development benchmark: 27,500 real photographs, which lie beside the project where they are had."""
    path = Path(__file__).parents[2] / _ANIMALS
    if not path.is_file():
        pytest.skip(f"the development benchmark {_ANIMALS} is not beside the project")
    return path
