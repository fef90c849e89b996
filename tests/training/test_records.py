"""The run folder: what may be written to, the records, the command that repeats a run."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from anychan.cli import COMMANDS
from anychan.cli._train import _configuration, parsed_train
from anychan.data.augment_config import AugmentationConfig
from anychan.experiments.recipes import Recipe, list_recipes
from anychan.experiments.settings import configuration
from anychan.training.command import command_line
from anychan.training.config import OptimizerConfig, TrainConfig
from anychan.training.records import RunFolder, check_folder

RECORD = {
    "schema": 1,
    "kind": "epoch",
    "epoch": 1,
    "step": 3,
    "train_loss": 1.5,
    "train_accuracy": 0.25,
    "val_loss": None,
    "val_accuracy": None,
    "learning_rate": 0.1,
    "images_per_second": 100.0,
    "seconds": 2.0,
}


def config(out: Path, **settings: Any) -> TrainConfig:
    return TrainConfig(data="a b.zip", out=out, **settings)


def test_new_and_empty_folders_may_be_written_to(tmp_path: Path) -> None:
    check_folder(config(tmp_path / "new"))
    check_folder(config(tmp_path))
    (tmp_path / ".config.yaml.17.partial").touch()  # killed at its very start
    check_folder(config(tmp_path))
    check_folder(config(tmp_path, resume=True))


def test_full_folders_and_files_may_not(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        check_folder(config(tmp_path))
    with pytest.raises(FileExistsError, match="holds no run to resume"):
        check_folder(config(tmp_path, resume=True))
    with pytest.raises(FileExistsError, match="is a file"):
        check_folder(config(tmp_path / "notes.txt"))
    (tmp_path / "run.json").touch()
    check_folder(config(tmp_path, resume=True))


def test_settings_are_read_back_in_any_encoding(tmp_path: Path) -> None:
    given = TrainConfig(data="日本/café.zip", out=tmp_path / "run")
    RunFolder(given.out).start(given, {}, [])
    for encoding in ("utf-8", "cp1252"):
        settings = yaml.safe_load((given.out / "config.yaml").read_text(encoding))
        assert TrainConfig.from_dict(settings) == given
    assert (settings["channel_sampling"], settings["optimizer"]["learning_rate"]) == ("auto", None)


def test_records_are_rewritten_from_what_is_known(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start(config(folder.path), {"status": "running"}, [])
    folder.append(RECORD)
    folder.append({**RECORD, "epoch": 2})
    folder.close()
    again = RunFolder(folder.path)
    again.start(config(folder.path, resume=True), {"status": "running"}, [RECORD])
    again.append({**RECORD, "epoch": 2, "val_loss": 0.5})
    again.close()
    lines = (folder.path / "records.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [RECORD, {**RECORD, "epoch": 2, "val_loss": 0.5}]
    assert json.loads((folder.path / "run.json").read_text()) == {"schema": 1, "kind": "run", "status": "running"}
    assert "resume: false" in (folder.path / "config.yaml").read_text()


def test_curves_go_to_tensorboard_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = RunFolder(tmp_path / "run")
    folder.start(config(folder.path), {}, [])
    folder.append(RECORD)
    folder.close()
    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    assert events.Scalars("train/loss")[0].value == 1.5
    assert "val/loss" not in events.Tags()["scalars"]

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if not installed
    without = RunFolder(tmp_path / "without")
    without.start(config(without.path), {}, [])
    without.append(RECORD)
    without.close()
    assert not (without.path / "tensorboard").exists()


def test_the_command_line_says_what_differs_from_the_defaults(tmp_path: Path) -> None:
    command = command_line(
        config(
            Path("runs/a"),
            resume=True,
            skip_broken=True,
            strategy="sliced",
            strategy_options={"selection": "random"},
            optimizer=OptimizerConfig(name="sgd"),
            augmentation=AugmentationConfig(crop_padding=4, flip=0.5, random_resized_crop=(0.3, 1.0)),
        )
    )
    words = ["anychan", "train", "--data", "a b.zip", "--out", "runs/a", "--strategy", "sliced"]
    words += ["--skip-broken", "true", "--strategy-options", '{"selection": "random"}', "--optimizer.name", "sgd"]
    words += ["--augmentation.random-resized-crop", "[0.3, 1.0]"]
    assert shlex.split(command) == words


def parsed(command: str) -> TrainConfig:
    name, *words = shlex.split(command)[1:]
    return _configuration(parsed_train(name, COMMANDS[name], words))


@pytest.mark.parametrize("fair", [False, True], ids=["as described", "fair"])
@pytest.mark.parametrize("name", list_recipes())
def test_a_recipes_command_line_gives_its_settings_again(name: str, fair: bool) -> None:
    recipe = Recipe.read(name)
    for run in recipe.runs:
        given = configuration({"data": "a.zip", "out": "runs/a", **recipe.settings_of(run, fair)})
        assert parsed(command_line(given)).to_dict() == given.to_dict()


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": {"name": "sgd", "learning_rate": 1e-3, "weight_decay": 0.05}},  # AdamW's
        {"strategy": "completed", "channel_sampling": "all"},
        {"strategy": "completed", "channel_sampling": "fixed", "fixed_subset": "RG"},
        {"strategy": "completed", "objective": {"name": "labels"}},
        {"strategy": "completed", "normalisation": {"subsets": ["RG"], "statistics": "recalibrated"}},
        {"objective": {"name": "labels", "teacher": None}},
    ],
)
def test_what_follows_from_other_settings_is_left_out_only_where_it_does(settings: dict[str, Any]) -> None:
    given = configuration({"data": "a.zip", "out": "runs/a", **settings})
    assert parsed(command_line(given)).to_dict() == given.to_dict()
