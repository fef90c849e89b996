"""Whole runs on the built-in data: what they leave, and what they refuse before they begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from anychan.adaptation.batch_renorm import BatchRenorm2d
from anychan.blocks import DeepenedConv2d
from anychan.channels import ChannelSet
from anychan.evaluation import evaluate_run
from anychan.models import load_model
from anychan.training import TrainConfig, adapt_run, loop, train
from anychan.training import run as run_module
from anychan.training.config import (
    EarlyStoppingConfig,
    NormalisationConfig,
    ObjectiveConfig,
    OptimizerConfig,
    ScheduleConfig,
)
from anychan.training.loop import Trainer

from ._runs import SETTINGS, described, recorded, weights

RGB = ChannelSet.parse("RGB")


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


def test_statistics_kept_while_training_are_each_subsets_own(make: Any) -> None:
    model, info = load_model(train(make(strategy="sliced", epochs=12)))
    assert info.kept_subsets == ("RGB", "RG", "RB", "GB", "R", "G", "B")
    counts = {str(s): kept_count(model, str(s)) for s in RGB.subsets()}
    rare = described(make().out)["recalibrated"]
    assert counts["RGB"] == 36  # each of the steps, and two other subsets in each
    assert all(counts[subset] >= 10 for subset in counts if subset not in rare)
    assert sum(counts[subset] for subset in counts if subset not in rare) <= 36 * 3


def kept_count(model: Any, names: str) -> int:
    kept = model.subset_statistics.of(RGB.subset(names))
    (count,) = {int(norm.num_batches_tracked) for norm in kept.values()}
    return count


def test_statistics_are_recalibrated_for_the_subsets_asked_for(make: Any) -> None:
    normalisation = NormalisationConfig(subsets=["RGB", "B"], images=32)
    model, info = load_model(train(make(strategy="sliced", normalisation=normalisation)))
    assert info.kept_subsets == ("RGB", "B")
    assert kept_count(model, "B") == 1  # batch of 32
    x = torch.rand(2, 1, 16, 16)
    assert model(x, channels="B").shape == (2, 4)
    with pytest.raises(ValueError, match="no normalisation statistics for R, only for RGB, B"):
        model(x, channels="R")


def test_many_channels_need_their_subsets_named(make: Any) -> None:
    data = "synthetic:bands=8,train=32,val=8,test=8,size=16,classes=4"
    with pytest.raises(ValueError, match="8 channels have 255 subsets, too many"):
        train(make(data=data, strategy="sliced"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"normalisation": NormalisationConfig(subsets=["RX"])}, "unknown channel 'X'"),
        ({"model": "vit_tiny_patch16_224", "model_options": {"img_size": 16, "patch_size": 8, "depth": 1}}, "no batch"),
        ({"channels": "R", "normalisation": NormalisationConfig()}, "the only channel is R, which has no subsets"),
        ({"objective": ObjectiveConfig(penalty=1.0)}, "objective.penalty 1.0: strategy 'sliced' has no penalty"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_before_training(make: Any, settings: dict[str, Any], words: str) -> None:
    recalibrated = {"normalisation": NormalisationConfig(statistics="recalibrated")}
    with pytest.raises(ValueError, match=words):
        train(make(strategy="sliced", **{**recalibrated, **settings}))


def test_a_subset_that_hardly_came_up_is_recalibrated_afterwards(make: Any) -> None:
    run = train(make(strategy="sliced"))
    model, _ = load_model(run)
    rare = described(run)["recalibrated"]
    assert rare == ["RGB", "RG", "RB", "GB", "R", "G", "B"]  # in 6 steps none came up ten times
    assert {kept_count(model, names) for names in rare} == {1}  # batch of the 48 images
    often = train(make(out=run.parent / "often", strategy="sliced", epochs=30))
    assert "RGB" not in described(often)["recalibrated"]


def test_statistics_are_recalibrated_where_a_step_has_one_image(make: Any) -> None:
    data = "synthetic:bands=3,train=6,val=2,test=2,size=16"
    run = train(make(data=data, strategy="sliced", model="wide4", batch_size=1, epochs=1))
    assert described(run)["status"] == "finished"
    assert kept_count(load_model(run)[0], described(run)["recalibrated"][0]) == 1  # batch of the 6 images


def test_a_subset_left_out_of_training_gets_its_statistics_afterwards(make: Any) -> None:
    run = train(make(strategy="sliced", unseen_subsets=["R", "BG"], epochs=1))
    assert {"R", "GB"} <= set(described(run)["recalibrated"])
    model, info = load_model(run)
    assert {"R", "GB"} <= set(info.kept_subsets)
    assert model(torch.rand(1, 2, 16, 16), channels="BG").isfinite().all()


@pytest.mark.parametrize(("share", "given"), [("equal", None), (0.3, 0.3)])
def test_the_full_sets_share_reaches_the_loss(
    make: Any, monkeypatch: pytest.MonkeyPatch, share: Any, given: float | None
) -> None:
    seen, original = [], loop.sandwich

    def sandwich(*given: Any, **options: Any) -> Any:
        seen.append(options["full_share"])
        return original(*given, **options)

    monkeypatch.setattr(loop, "sandwich", sandwich)
    train(make(strategy="sliced", epochs=1, objective=ObjectiveConfig(full_share=share)))
    assert set(seen) == {given}


def test_a_plain_network_is_taught_on_all_its_channels(make: Any, tmp_path: Path) -> None:
    """At a learning rate of almost nothing the loss is that of a fresh network's answers with the teacher's."""
    still = {"optimizer": OptimizerConfig(learning_rate=1e-9), "epochs": 1, "label_smoothing": 0.0}
    teacher = train(make(out=tmp_path / "teacher", epochs=3))
    losses = {
        share: recorded(
            train(
                make(
                    out=tmp_path / f"share{share}",
                    objective=ObjectiveConfig("teacher", teacher=teacher, label_share=share),
                    **still,
                )
            )
        )[0]["train_loss"]
        for share in (0.0, 0.5, 1.0)
    }
    labels = recorded(train(make(out=tmp_path / "labels", **still)))[0]["train_loss"]
    assert losses[1.0] == pytest.approx(labels, abs=1e-5)
    assert losses[0.5] == pytest.approx((losses[0.0] + labels) / 2, abs=1e-5)
    assert losses[0.0] != pytest.approx(labels, abs=1e-3)


def test_a_teacher_teaches_the_classes_and_channels_it_knows(make: Any, tmp_path: Path) -> None:
    plain = train(make(out=tmp_path / "plain"))
    settings: dict[str, Any] = {"strategy": "sliced", "objective": ObjectiveConfig("teacher", teacher=plain)}
    taught = weights(train(make(out=tmp_path / "taught", **settings)))
    alone = weights(train(make(out=tmp_path / "alone", strategy="sliced", objective=ObjectiveConfig("labels"))))
    assert any(not torch.equal(taught[name], alone[name]) for name in taught)
    sandwiches = [
        weights(train(make(out=tmp_path / name, strategy="sliced", objective=ObjectiveConfig("sandwich", teacher=by))))
        for name, by in (("in place", None), ("by a teacher", plain))
    ]
    assert any(not torch.equal(sandwiches[0][name], sandwiches[1][name]) for name in taught)
    with pytest.raises(ValueError, match=r"other classes \(4 and 3\): .* is in one of them only"):
        train(make(out=tmp_path / "other", data=SETTINGS["data"].replace("classes=4", "classes=3"), **settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"sampling_unit": "image"},
        {"channel_sampling": "diverse"},
        {"normalisation": NormalisationConfig("group")},
        {"normalisation": NormalisationConfig("renorm")},
        {"normalisation": NormalisationConfig(affine=True)},
        {"objective": ObjectiveConfig("labels"), "normalisation": NormalisationConfig(statistics="recalibrated")},
    ],
    ids=str,
)
def test_each_way_to_train_ends_with_a_model_for_every_subset(make: Any, settings: dict[str, Any]) -> None:
    model, info = load_model(train(make(strategy="completed", **settings)))
    kind = settings.get("normalisation", NormalisationConfig()).kind
    norms = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm, "renorm": BatchRenorm2d}
    assert any(isinstance(module, norms[kind]) for module in model.body.modules())
    assert info.kept_affine == settings.get("normalisation", NormalisationConfig()).affine
    for subset in RGB.subsets():
        assert model(torch.rand(2, len(subset), 16, 16), channels=subset).isfinite().all()


def test_validation_on_images_held_out_of_training(make: Any, tmp_path: Path) -> None:
    """With one step an epoch of all the images but those held out, the epoch has one step fewer."""
    ordinary = recorded(train(make(out=tmp_path / "ordinary", epochs=1)))[0]
    run = train(make(out=tmp_path / "held", epochs=1, held_out=16))
    assert (ordinary["step"], recorded(run)[0]["step"]) == (3, 2)  # 48 images in batches of 16
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


def test_it_learns(make: Any) -> None:
    data = "synthetic:bands=3,train=192,val=48,test=8,size=16,classes=2"
    run = train(make(data=data, epochs=8, optimizer=OptimizerConfig(learning_rate=0.01), model_options={"width": 8}))
    records = recorded(run)
    assert records[-1]["train_loss"] < records[0]["train_loss"]
    assert records[-1]["val_accuracy"] > 0.75


def test_the_same_seed_gives_the_same_weights_and_another_does_not(make: Any, tmp_path: Path) -> None:
    first, same, other = (
        weights(train(make(out=tmp_path / name, seed=seed, channel_sampling="bernoulli", strategy="sliced")))
        for name, seed in (("first", 0), ("same", 0), ("other", 1))
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["body.head.weight"], other["body.head.weight"])


def test_fewer_channels_make_a_specialist(make: Any) -> None:
    model, info = load_model(train(make(channels="BR", epochs=1)))
    assert info.channels.names == ("B", "R")
    assert info.statistics is not None
    assert info.statistics.mean.shape == (2,)
    assert model(torch.rand(1, 2, 16, 16)).shape == (1, 4)


def test_the_moving_average_is_what_is_saved(make: Any) -> None:
    run = train(make(ema_decay=0.5, epochs=1, schedule=ScheduleConfig(name="constant", warmup_epochs=0)))
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["trainer"]
    saved = weights(run)
    name = "body.head.weight"
    assert torch.equal(saved[name], state["averages"][f"module.{name}"])
    assert not torch.equal(saved[name], state["model"][name])


class Recording(Trainer):
    """Keeps the weights after each step."""

    history: list[torch.Tensor]  # set anew by each test

    def train_step(self) -> None:
        super().train_step()
        self.history.append(self.raw.body.head.weight.detach().clone())


def test_the_moving_average_is_that_of_the_weights(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Recording.history = []
    monkeypatch.setattr(run_module, "Trainer", Recording)
    run = train(make(ema_decay=0.8, epochs=20))
    expected = Recording.history[0]
    for steps, later in enumerate(Recording.history[1:], start=1):
        decay = min(0.8, (1 + steps) / (10 + steps))
        expected = decay * expected + (1 - decay) * later
    torch.testing.assert_close(weights(run)["body.head.weight"], expected)


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
    data = {"data": str(tmp_path / "data"), "batch_size": 4}
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
