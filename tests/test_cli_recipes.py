"""What ``--config`` gives ``anychan train`` and ``anychan sweep``, and what is said of it; nothing is trained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from anychan import experiments, training
from anychan.cli import main
from anychan.training import TrainConfig


@pytest.fixture(autouse=True)
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """The configurations that would have been trained, in a folder with a.zip."""
    monkeypatch.chdir(tmp_path)
    Path("a.zip").touch()
    found: list[TrainConfig] = []

    def train(config: TrainConfig) -> Path:
        found.append(config)
        return config.out

    monkeypatch.setattr(training, "train", train)
    return found


def written(path: Path, settings: Mapping[str, Any]) -> str:
    path.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(data="a.zip", out=tmp_path / "run")


def test_a_runs_recipe_with_another_strategy_or_optimiser_is_that_command(
    config: TrainConfig, tmp_path: Path, trained: list[TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = written(tmp_path / "config.yaml", config.as_given())
    changes = ["--strategy", "completed", "--optimizer.name", "sgd"]
    assert main(["train", "--config", recipe, *changes]) == 0
    assert main(["train", "--data", "a.zip", "--out", str(config.out), *changes]) == 0
    assert trained[0] == trained[1]
    assert capsys.readouterr().err == ""


def test_an_old_recipe_whose_choices_stay_is_warned_of(
    config: TrainConfig, tmp_path: Path, trained: list[TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = written(tmp_path / "old.yaml", config.to_dict())
    assert main(["train", "--config", recipe, "--epochs", "3"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["train", "--config", recipe, "--strategy", "completed"]) == 0
    assert capsys.readouterr().err == (
        f"anychan: warning: {recipe} gives channel_sampling all, objective.name labels, "
        "normalisation.statistics shared, which stays; not given, it would be hierarchical, sandwich, kept\n"
    )
    assert main(["train", "--config", recipe, "--optimizer.name", "sgd", "--optimizer.learning-rate", "1e-3"]) == 0
    assert "old.yaml gives optimizer.weight_decay 0.05, which stays; " in capsys.readouterr().err
    assert [found.optimizer.weight_decay for found in trained] == [0.05] * 3


@pytest.mark.parametrize(
    ("words", "resume"), [(["--resume"], True), (["--resume", "True"], True), (["--resume", "FALSE"], False)]
)
def test_flags_are_read_in_any_case(words: list[str], resume: bool, trained: list[TrainConfig]) -> None:
    assert main(["train", "--data", "a.zip", "--out", "new", *words]) == 0
    assert trained[0].resume is resume


def test_half_a_recipe_is_completed_on_the_command_line(
    config: TrainConfig, tmp_path: Path, trained: list[TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = written(tmp_path / "half.yaml", {"channel_sampling": "hierarchical"})
    place = ["--data", "a.zip", "--out", str(config.out)]
    assert main(["train", "--config", recipe, *place, "--strategy", "completed"]) == 0
    assert (trained[0].objective.name, capsys.readouterr().err) == ("sandwich", "")
    recipe = written(tmp_path / "half.yaml", {"optimizer": {"name": "sgd", "momentum": 0.0}})
    assert main(["train", "--config", recipe, *place]) == 2
    assert "optimizer.nesterov True must be off without momentum" in capsys.readouterr().err
    assert main(["train", "--config", recipe, *place, "--optimizer.nesterov", "false"]) == 0
    assert (trained[1].optimizer.momentum, capsys.readouterr().err) == (0.0, "")


def test_a_recipe_that_is_nested_too_deep_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "deep.yaml"
    recipe.write_text("model_options: " + "[" * 2000 + "]" * 2000)
    for words in (["--config", str(recipe)], [f"--config={recipe}"]):
        assert main(["train", *words, "--data", "a.zip", "--out", "new"]) == 2
        assert capsys.readouterr().err == f"anychan: error: {recipe} is nested too deep to be read\n"


def test_a_group_that_is_none_is_refused_beside_options_of_the_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = written(tmp_path / "wrong.yaml", {"data": "a.zip", "out": "run", "optimizer": 3})
    assert main(["train", "--config", recipe, "--optimizer.name", "sgd"]) == 2
    assert "optimizer 3 must be settings by their names" in capsys.readouterr().err


def test_a_search_from_a_recipe_tells_what_of_it_stays(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Mapping[str, Any], experiments.SearchSpace]] = []

    def sweep(settings: Mapping[str, Any], space: experiments.SearchSpace, *_: Any) -> dict[str, Any]:
        asked.append((settings, space))
        return {"trials": [], "best": True}

    monkeypatch.setattr(experiments, "sweep", sweep)
    space = written(tmp_path / "space.yaml", {"optimizer.name": ["adamw", "sgd"], "strategy": ["plain", "completed"]})
    new = written(tmp_path / "new.yaml", config.as_given())
    assert main(["sweep", "--config", new, "--space", space]) == 0
    assert capsys.readouterr().err == ""
    settings, searched = asked[0]
    trial = searched.applied(settings, {"optimizer.name": "sgd", "strategy": "completed"})
    assert (trial.optimizer.learning_rate, trial.channel_sampling) == (0.05, "hierarchical")
    old = written(tmp_path / "old.yaml", config.to_dict())
    assert main(["sweep", "--config", old, "--space", space]) == 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "old.yaml gives channel_sampling all, objective.name labels" in said
    assert "optimizer.learning_rate 0.001" in said


def test_data_that_are_not_there_are_said_at_once() -> None:
    script = """
import sys
from anychan.cli import main
for words in (["train"], ["sweep", "--space", "no.yaml"]):
    assert main([*words, "--data", "no.zip", "--out", "new"]) == 2
heavy = {"torch", "accelerate", "numpy", "optuna"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    said = "anychan: error: no data at no.zip: give a folder, a zip archive, or 'synthetic'\n"
    assert (found.returncode, found.stderr) == (0, said * 2)
