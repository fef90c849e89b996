"""Ablations one run after another, by Ray, or not at all: executors, and folders that another process holds."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anychan._lock import alone
from anychan.experiments import Ablation, ablate, ablation, executors
from anychan.training import TrainConfig

from ._ablations import BASE, DATA, WIDE


class FakeRay(types.ModuleType):
    """As much of Ray as is used, in this process; what was asked of it is noted."""

    class exceptions:  # noqa: N801
        class RayError(Exception):
            pass

    def __init__(self, gpus: float) -> None:
        super().__init__("ray")
        self.gpus, self.up, self.asked = gpus, False, []  # type: ignore[var-annotated]

    def is_initialized(self) -> bool:
        return self.up

    def init(self, **_: Any) -> None:
        self.up = True

    def shutdown(self) -> None:
        self.up = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0, "GPU": self.gpus} if self.gpus else {"CPU": 4.0}

    def remote(self, **given: Any) -> Any:
        self.asked.append(given)
        return lambda function: types.SimpleNamespace(remote=lambda *words: (function, words))

    def get(self, task: Any) -> Any:
        function, words = task
        return function(*words)


def test_ray_makes_the_same_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def attempted(config: TrainConfig, split: str) -> str | None:
        made.append(f"{config.out} {split} {config.as_given()['channel_sampling']}")
        if config.seed == 1:
            raise ray.exceptions.RayError("the worker\ndied")
        if config.seed == 3:
            raise FileNotFoundError("no data")
        return None if config.seed == 0 else "went wrong"

    ray = FakeRay(gpus=2)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(executors, "attempt", attempted)
    configs = [TrainConfig(data=DATA, out=tmp_path / str(seed), seed=seed) for seed in range(3)]
    assert executors.by_ray(configs, "val") == [None, "RayError: the worker died", "went wrong"]
    assert made == [f"{tmp_path / str(seed)} val auto" for seed in range(3)]
    assert [asked["num_gpus"] for asked in ray.asked] == [1, 1, 1]
    assert not ray.up
    on_cpu = TrainConfig(data=DATA, out=tmp_path / "a", device="cpu")
    executors.by_ray([on_cpu], "val")
    assert ray.asked[-1]["num_gpus"] == 0
    ray.init()
    with pytest.raises(FileNotFoundError, match="no data"):
        executors.by_ray([TrainConfig(data=DATA, out=tmp_path / "3", seed=3)], "val")
    assert ray.up  # whoever started it stops it


def test_an_executor_there_is_not_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if not installed
    with pytest.raises(ValueError, match=r"executor 'ray' needs Ray: pip install anychan\[ray\]"):
        ablate(Ablation(BASE, WIDE), tmp_path / "out", "ray")
    with pytest.raises(ValueError, match="unknown executor 'slurm'; there are sequential, processes, ray"):
        ablate(Ablation(BASE, WIDE), tmp_path / "out", "slurm")
    with alone(tmp_path / "out"), pytest.raises(FileExistsError, match="in use by another process"):
        ablate(Ablation(BASE, WIDE), tmp_path / "out")


def test_what_is_there_is_looked_at_when_no_other_process_can_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def after_another(folder: Path) -> Iterator[None]:
        """As if another process had held the folder until now."""
        (folder / "ablation.json").write_text('{"schema": 2, "kind": "ablation"}')
        yield

    monkeypatch.setattr(ablation, "alone", after_another)
    with pytest.raises(ValueError, match=r"ablation\.json: a record of schema 2"):
        ablate(Ablation(BASE, WIDE), tmp_path)
