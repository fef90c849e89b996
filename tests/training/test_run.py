"""Whole runs on the built-in data: what they leave, and what they refuse before they begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from anychan.blocks import DeepenedConv2d
from anychan.evaluation import evaluate_run
from anychan.experiments import validate_records
from anychan.models import load_model
from anychan.training import TrainConfig, adapt_run, train
from anychan.training import run as run_module
from anychan.training.config import EarlyStoppingConfig, OptimizerConfig, ScheduleConfig
from anychan.training.loop import Trainer

from ._runs import described, recorded, weights


def test_a_run_leaves_all_that_is_needed_to_use_and_repeat_it(make: Any) -> None:
    config = make(strategy="completed", channel_sampling="hierarchical")
    run = train(config)
    assert TrainConfig.from_dict(yaml.safe_load((run / "config.yaml").read_text())) == config
    description = described(run)
    assert description["status"] == "finished"
    assert description["command"].startswith("anychan train --data synthetic:bands=3")
    assert {"versions", "commit", "seed", "hardware", "data", "started", "statistics"} <= set(description)
    assert (description["epochs"], description["selected"], description["best_epoch"]) == (2, "last", None)
    records = recorded(run)
    assert [record["step"] for record in records] == [3, 6]
    assert records[0]["learning_rate"] == pytest.approx(1e-3)  # after one epoch of warm-up
    model, info = load_model(run)
    assert info.channels[0].mean == pytest.approx(info.statistics.mean[0].item())
    assert len(info.classes) == 4
    for channels in ("RGB", "B"):
        assert model(torch.rand(2, len(channels), 16, 16), channels=channels).shape == (2, 4)


def test_validation_on_images_held_out_of_training(make: Any, plain_run: Path, tmp_path: Path) -> None:
    """With one step an epoch of all the images but those held out, the epoch has one step fewer."""
    run = train(make(epochs=1, held_out=16))
    assert (recorded(plain_run)[0]["step"], recorded(run)[0]["step"]) == (3, 2)  # 48 images in batches of 16
    assert recorded(run)[0]["val_accuracy"] * 16 % 1 == pytest.approx(0, abs=1e-6)
    adapted = adapt_run(run, tmp_path / "adapted")  # looks at none of them either
    assert described(adapted)["adapted_from"]["images"] == 32


def test_images_held_out_are_found_again_beside_broken_ones(make: Any, tmp_path: Path) -> None:
    for number in range(16):
        path = tmp_path / "data" / "train" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (15 * number, 0, 200)).save(path)
    (tmp_path / "data" / "train" / "class0" / "broken.png").write_bytes(b"no image")
    run = train(make(data=str(tmp_path / "data"), batch_size=4, epochs=1, held_out=4, skip_broken=True))
    record = evaluate_run(
        run, "RGB", "held-out", cost=False, pictures=False, device="cpu", cache_dir=tmp_path / "cache"
    )
    assert record["results"][0]["n"] == 4


def test_files_in_two_splits_are_warned_of_and_recorded(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "data"
    for number in range(4):
        path = root / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (60 * number, 0, 200)).save(path)
    lines = [f"class{number % 2}/{number}.png {number % 2}\n" for number in range(4)]
    (root / "train.txt").write_text("".join(lines))
    (root / "test.txt").write_text("".join(lines[:2]))
    run = train(make(data=str(root), batch_size=2, epochs=1))
    said = "data: 2 files are in two splits, so that what is measured there is too good"
    assert caplog.text.count(said) == 1
    assert described(run)["data"]["in_two_splits"] == 2
    caplog.clear()
    record = evaluate_run(run, "RGB", cost=False, pictures=False, device="cpu", cache_dir=tmp_path / "cache")
    assert caplog.text.count(said) == 1
    assert record["data"]["in_two_splits"] == 2
    assert validate_records([run])[1] == []


def test_it_learns(make: Any) -> None:
    data = "synthetic:bands=3,train=192,val=48,test=8,size=16,classes=2"
    run = train(make(data=data, epochs=8, optimizer=OptimizerConfig(learning_rate=0.01), model_options={"width": 8}))
    records = recorded(run)
    assert records[-1]["train_loss"] < records[0]["train_loss"]
    assert records[-1]["val_accuracy"] > 0.75


def test_the_same_seed_gives_the_same_weights_and_another_does_not(make: Any, sliced_run: Path, tmp_path: Path) -> None:
    first = weights(sliced_run)
    same, other = (weights(train(make(out=tmp_path / f"{seed}", seed=seed, strategy="sliced"))) for seed in (0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["body.head.weight"], other["body.head.weight"])


def test_fewer_channels_make_a_specialist(make: Any) -> None:
    model, info = load_model(train(make(channels="BR", epochs=1)))
    assert info.channels.names == ("B", "R")
    assert info.statistics is not None
    assert info.statistics.mean.shape == (2,)
    assert model(torch.rand(1, 2, 16, 16)).shape == (1, 4)


def test_the_moving_average_of_the_weights_is_what_is_saved(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name, history = "body.head.weight", []

    class Recording(Trainer):
        def train_step(self) -> None:
            super().train_step()
            history.append(self.raw.get_parameter(name).detach().clone())

    monkeypatch.setattr(run_module, "Trainer", Recording)
    fast = {"optimizer": OptimizerConfig(learning_rate=0.1), "schedule": ScheduleConfig("constant", warmup_epochs=0)}
    run = train(make(ema_decay=0.3, **fast))
    expected = history[0]
    for steps, later in enumerate(history[1:], start=1):
        decay = min(0.3, (1 + steps) / (10 + steps))
        expected = decay * expected + (1 - decay) * later
    saved = weights(run)[name]
    torch.testing.assert_close(saved, expected)
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["trainer"]
    assert torch.equal(saved, state["averages"][f"module.{name}"])
    assert not torch.equal(saved, state["model"][name])


def test_early_stopping_ends_the_run_and_keeps_the_best(make: Any) -> None:
    rate = OptimizerConfig(learning_rate=1e-12)  # nothing improves after the first epoch
    config = make(epochs=9, optimizer=rate, early_stopping=EarlyStoppingConfig(patience=2, metric="accuracy"))
    run = train(config)
    description = described(run)
    accuracies = [record["val_accuracy"] for record in recorded(run)]
    best = accuracies.index(max(accuracies)) + 1
    assert (description["selected"], description["best_epoch"]) == ("best", best)
    assert description["epochs"] == len(accuracies) == best + 2
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["trainer"]
    saved = weights(run)
    assert all(torch.equal(saved[name], state["early_stopping"]["weights"][name]) for name in saved)


class Annealing(nn.Module):
    """Remembers the progress it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float] = []

    def anneal(self, progress: float) -> None:
        self.told.append(progress)


def test_modules_that_anneal_are_told_the_progress(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Annealing()

    class WithAnnealing(Trainer):
        def __post_init__(self) -> None:
            self.raw.body.add_module("annealing", module)
            super().__post_init__()

    monkeypatch.setattr(run_module, "Trainer", WithAnnealing)
    train(make())
    assert module.told == pytest.approx([step / 6 for step in (0, 1, 2, 3, 3, 4, 5, 6)])  # again after each epoch


def test_what_anneals_ends_where_it_is_to_end(make: Any, tmp_path: Path) -> None:
    deepened = {"model": "wide4", "model_options": {"width": 4, "deepened": True}}
    for name, more in (("raw", {}), ("average", {"ema_decay": 0.5})):
        model, _ = load_model(train(make(out=tmp_path / name, epochs=1, **deepened, **more)))
        assert all(module.foldable for module in model.modules() if isinstance(module, DeepenedConv2d))
    mixed = {"strategy": "mixed", "strategy_options": {"annealing": 1.0}, "model": "wide2"}
    run = train(make(out=tmp_path / "mixed", epochs=2, **mixed))
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["trainer"]
    for saved in (weights(run), state["model"]):
        assert [float(value) for name, value in saved.items() if name.endswith("temperature")] == [1.0]


def test_a_run_that_stops_early_keeps_the_annealing_it_was_validated_with(make: Any) -> None:
    run = train(
        make(
            strategy="mixed",
            strategy_options={"annealing": 1.0},
            model="wide2",
            epochs=4,
            optimizer=OptimizerConfig(learning_rate=1e-12),
            early_stopping=EarlyStoppingConfig(patience=1),
        )
    )
    best = described(run)["best_epoch"]
    assert best < 4
    (temperature,) = (float(value) for name, value in weights(run).items() if name.endswith("temperature"))
    assert temperature == pytest.approx(30 - 29 * best / 4)


def test_without_validation_it_trains_but_does_not_stop_early(make: Any, tmp_path: Path) -> None:
    for number in range(8):
        path = tmp_path / "data" / "train" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (30 * number, 0, 200)).save(path)
    data = {"data": str(tmp_path / "data"), "batch_size": 4, "epochs": 1}
    with pytest.raises(ValueError, match="early stopping needs a validation split"):
        train(make(**data, early_stopping=EarlyStoppingConfig(patience=1)))
    assert recorded(train(make(**data)))[-1]["val_loss"] is None
    (tmp_path / "data" / "train" / "class0" / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken.png"):
        train(make(**data, out=tmp_path / "second"))
    skipping = train(make(**data, out=tmp_path / "second", skip_broken=True))
    assert [path for path, _ in described(skipping)["skipped"]] == ["train/class0/broken.png"]
    assert described(skipping)["training_images"] == described(skipping)["data"]["splits"]["train"] - 1
    (tmp_path / "data" / "val" / "class0").mkdir(parents=True)
    (tmp_path / "data" / "val" / "class0" / "seen.png").write_bytes(b"no image")  # what is measured is not chosen so
    with pytest.raises(ValueError, match=r"1 of 1 images of the split val are broken: val/class0/seen.png"):
        train(make(**data, out=tmp_path / "third", skip_broken=True))


def test_what_is_not_there_is_said(make: Any) -> None:
    with pytest.raises(ValueError, match="unknown channel 'NIR'"):
        train(make(channels="NIR,R"))
    with pytest.raises(ValueError, match="device 'cuda' is not there"):
        train(make(device="cuda")) if not torch.cuda.is_available() else pytest.skip("this machine has a GPU")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "wide4", "image_size": 1}, r"wide4 does not take images of 1x1 pixels: .*padded input size"),
        (
            {"model": "vit_tiny_patch16_224", "image_size": 32},
            r"vit_tiny_patch16_224 does not take images of 32x32 pixels: Input height \(32\) doesn't match",
        ),
    ],
)
def test_images_that_do_not_fit_the_network_are_refused_before_anything_is_written(
    make: Any, settings: dict[str, Any], said: str
) -> None:
    config = make(**{"model_options": {}, **settings})
    with pytest.raises(ValueError, match=said):
        train(config)
    assert not config.out.exists()


@pytest.mark.parametrize(
    ("unseen", "said"),
    [
        ("", ""),
        ("c", "warning: label 2 has no image in the training split\n"),
        ("cdefghi", "warning: labels 2, 3, 4, 5, 6 and 2 more have no image in the training split\n"),
    ],
)
def test_classes_that_are_not_trained_are_told(
    make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], unseen: str, said: str
) -> None:
    for name in ("train/a", "train/b", *(f"test/{one}" for one in "ab" + unseen)):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16), (len(name), ord(name[-1]), 90)).save(tmp_path / "data" / name / "0.png")
    train(make(data=str(tmp_path / "data"), epochs=1, batch_size=2))
    told = capsys.readouterr().err
    assert "".join(line for line in told.splitlines(keepends=True) if line.startswith("warning")) == said
