"""Ablations by Ray itself, where it is installed; without it tests/experiments/test_executors.py has a stand-in."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from anychan.experiments import Ablation, ablate, executors
from anychan.training import TrainConfig

from ._ablations import BASE, DATA, WIDE

pytest.importorskip("ray", reason="Ray is not installed: pip install anychan[ray]")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers find this anychan and the tests, whose folders need not be installed, and nothing is sent anywhere."""
    found = (
        Path(executors.__file__).parents[2],
        Path(__file__).parents[2],
        *os.environ.get("PYTHONPATH", "").split(os.pathsep),
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, found)))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


def test_runs_by_ray_are_those_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is named from the folder that the ablation is asked for in, and what fails."""
    monkeypatch.chdir(tmp_path)
    changes = {**WIDE, "Broken": {"objective.penalty": 0.5}}
    made = {
        name: ablate(Ablation(BASE, changes), Path(name), name) for name in ("sequential", "ray")
    }  # fmt: skip
    of_each: dict[str, Any] = {
        name: [{key: row.get(key) for key in ("name", "accuracy", "difference_full")} for row in record["rows"]]
        for name, record in made.items()
    }
    assert of_each["ray"] == of_each["sequential"]
    (failed,) = [row["errors"]["0"] for row in made["ray"]["rows"] if row["errors"]]
    assert "objective.penalty" in failed


def test_a_worker_that_dies_is_noted_and_the_others_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [TrainConfig(data=DATA, out=tmp_path / name, seed=seed) for seed, name in enumerate(("dies", "lives"))]
    monkeypatch.setattr(executors, "_attempt_at", _die_or_live)
    died, lived = executors.by_ray(configs, "val")
    assert died is not None
    assert "WorkerCrashedError" in died
    assert lived is None


def test_data_that_are_not_there_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.zip"):
        executors.by_ray([TrainConfig(data="nowhere.zip", out=tmp_path / "run")], "val")


def _die_or_live(place: str, settings: dict[str, Any], split: str) -> str | None:
    assert (place, split) == (str(Path.cwd()), "val")
    if settings["seed"] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return json.loads("null")  # type: ignore[no-any-return]
