"""Runs that are stopped, fail or are asked for twice: nothing is lost, and they go on where they were."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from anychan._lock import alone
from anychan.training import InterruptedRunError, NotFiniteError, TrainConfig, train
from anychan.training import run as run_module
from anychan.training.config import OptimizerConfig
from anychan.training.loop import Trainer

from ._runs import SETTINGS, described, recorded, weights


def test_a_full_run_folder_is_refused_and_resuming_a_finished_run_changes_nothing(
    make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(make(epochs=1))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=r"run is not empty; .*--resume"):
        train(make(epochs=1))
    assert train(make(epochs=1, resume=True)) == run
    assert capsys.readouterr().err.endswith("is finished already, after 1 epoch\n")
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.rglob("*") if path.is_file()}
    assert after == before
    (run / "model.safetensors").unlink()
    train(make(epochs=1, resume=True))
    assert (run / "model.safetensors").read_bytes() == before[run / "model.safetensors"][0]


def test_a_run_that_another_process_is_at_is_left_to_it(make: Any) -> None:
    run = train(make(epochs=1))
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with alone(run), pytest.raises(FileExistsError, match="run is in use by another process: wait until it has ended"):
        train(make(epochs=1, resume=True))
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    train(make(epochs=1, resume=True))


def test_a_run_that_another_process_has_just_finished_is_not_written_over(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found the folder empty; this one comes second."""
    load, description = run_module.load_images, []

    def while_another_trains(config: TrainConfig, accelerator: Any) -> Any:
        monkeypatch.setattr(run_module, "load_images", load)
        description.append(described(train(config)))
        return load(config, accelerator)

    monkeypatch.setattr(run_module, "load_images", while_another_trains)
    with pytest.raises(FileExistsError, match=r"run is not empty; .*--resume"):
        train(make(epochs=1))
    assert [described(make().out)] == description


def test_a_run_killed_at_its_very_start_is_begun_anew(make: Any) -> None:
    config = make(epochs=1)
    with alone(config.out):
        (config.out / ".config.yaml.1.partial").touch()
    assert described(train(config))["status"] == "finished"


def test_a_run_whose_evaluation_was_killed_goes_on(make: Any) -> None:
    config = make(epochs=1)
    train(config)
    half = config.out / ".pictures.ab12cd.partial" / "new"
    half.mkdir(parents=True)
    (config.out / "evaluation").mkdir()
    with alone(config.out / "evaluation", ".pictures.lock"):  # it is at it
        train(make(epochs=1, resume=True))
        assert half.is_dir()
    train(make(epochs=1, resume=True))
    assert not half.parent.exists()


def test_only_a_run_of_the_same_settings_and_data_is_resumed(make: Any, tmp_path: Path) -> None:
    train(make())
    with pytest.raises(ValueError, match=r"epochs: 2 -> 3; optimizer.learning_rate: 0.001 -> 0.1"):
        train(make(resume=True, epochs=3, optimizer=OptimizerConfig(learning_rate=0.1)))
    with pytest.raises(ValueError, match=r"\(data: other train images, or read otherwise; data: other val"):
        train(make(resume=True, data=SETTINGS["data"] + ",seed=1"))
    with pytest.raises(ValueError, match=r"machine.precision: .*float32 -> bfloat16"):
        train(make(resume=True, precision="bfloat16"))
    with pytest.raises(ValueError, match=r"\(model_options.stem_kernel_size: None -> 6\)"):
        train(make(resume=True, model_options={**SETTINGS["model_options"], "stem_kernel_size": 6}))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    with pytest.raises(FileExistsError, match="holds no run"):
        train(make(resume=True, out=tmp_path / "other"))


def test_resuming_drops_lines_that_no_checkpoint_knows(make: Any) -> None:
    run = train(make())
    records = recorded(run)
    with (run / "records.jsonl").open("a") as file:
        file.write('{"schema": 1, "kind": "epoch", "epo')
    (run / "run.json").write_text(json.dumps(described(run) | {"status": "running"}))
    train(make(resume=True))
    assert recorded(run) == records


class Exploding(Trainer):
    """Its head becomes infinite before the fifth step."""

    def train_step(self) -> None:
        if self.steps_done == 4:
            with torch.no_grad():
                self.raw.body.head.weight[0, 0] = float("inf")
            Exploding.before = self.raw.body.head.weight.detach().clone()
            Exploding.trainer = self
        super().train_step()

    before: torch.Tensor
    trainer: Trainer


def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "Trainer", Exploding)
    config = make(checkpoint_every_steps=2)
    with pytest.raises(NotFiniteError, match=r"the loss is (nan|inf) .* in epoch 2, step 2.*is the last good state"):
        train(config)
    assert torch.equal(Exploding.trainer.raw.body.head.weight, Exploding.before)
    assert described(config.out)["status"].startswith("stopped: the loss is")
    state = torch.load(config.out / "checkpoints" / "last.pt", weights_only=True)["trainer"]
    assert (state["epoch"], state["step"]) == (1, 1)
    assert all(tensor.isfinite().all() for tensor in state["model"].values())
    monkeypatch.undo()
    assert len(recorded(train(make(checkpoint_every_steps=2, resume=True)))) == 2


def test_where_no_checkpoint_was_written_none_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class AtOnce(Trainer):
        def train_step(self) -> None:
            with torch.no_grad():
                self.raw.body.head.weight[0, 0] = float("inf")
            super().train_step()

    monkeypatch.setattr(run_module, "Trainer", AtOnce)
    with pytest.raises(NotFiniteError, match=r"epoch 1, step 1; .*, and no checkpoint was written yet. Try"):
        train(make())


def test_a_second_interruption_is_noted(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Trainer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(make())
    assert described(make().out)["status"].startswith("stopped: KeyboardInterrupt")


def test_a_validation_that_is_not_finite_stops_the_run(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "_validate", lambda _: (float("nan"), 0.0))
    with pytest.raises(NotFiniteError, match="the validation loss is nan after epoch 1"):
        train(make())


class Interrupting(Trainer):
    """Is sent a signal in its fifth step."""

    def train_step(self) -> None:
        if self.steps_done == 4:
            os.kill(os.getpid(), signal.SIGINT)
        super().train_step()


def test_an_interrupted_run_goes_on_to_the_same_weights(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = weights(train(make(out=tmp_path / "undisturbed")))
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "Trainer", Interrupting)
        with pytest.raises(InterruptedRunError, match=r"epoch 2 after step 2; go on with: .*config.yaml --resume"):
            train(make())
        spaced = make(out=tmp_path / "a run")
        with pytest.raises(
            InterruptedRunError, match=r"go on with: anychan train --config '.*/a run/config.yaml' --resume"
        ):
            train(spaced)
    assert described(tmp_path / "run")["status"].startswith("stopped: interrupted in epoch 2")
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["trainer"]
    assert (state["epoch"], state["step"]) == (1, 2)
    resumed = weights(train(make(resume=True)))
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)


class InterruptedLast(Trainer):
    """Is sent a signal in its last validation."""

    def _validate(self) -> tuple[float | None, float | None]:
        if self.epoch + 1 == self.config.epochs:
            os.kill(os.getpid(), signal.SIGTERM)
        return super()._validate()


def test_a_run_interrupted_after_its_last_step_is_finished_and_says_so(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "Trainer", InterruptedLast)
        with pytest.raises(InterruptedRunError, match=r"interrupted after the last step; .*run is finished"):
            train(make())
    assert described(make().out)["status"] == "finished"
    assert weights(make().out)
    assert len(recorded(train(make(resume=True)))) == 2  # the request is that run's own
