"""The configuration: defaults, refusals, records, and what the command line makes of it."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentError
from pathlib import Path
from typing import Any

import pytest
import yaml

from anychan.data.augment_config import AugmentationConfig
from anychan.training.config import (
    EarlyStoppingConfig,
    NormalisationConfig,
    ObjectiveConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
    differences,
)


def make(**settings: Any) -> TrainConfig:
    return TrainConfig(**{"data": "photographs.zip", "out": Path("runs/first"), **settings})


def test_photographs_are_cropped_and_flipped_by_default() -> None:
    assert make().augmentation == AugmentationConfig(crop_padding=4, flip=0.5)


@pytest.mark.parametrize(("name", "rate", "decay"), [("adamw", 1e-3, 0.05), ("sgd", 0.05, 5e-4)])
def test_each_optimiser_has_its_own_rate_and_decay(name: Any, rate: float, decay: float) -> None:
    config = make(optimizer=OptimizerConfig(name=name)).optimizer
    assert (config.learning_rate, config.weight_decay) == (config.rate, config.decay) == (rate, decay)
    given = make(optimizer=OptimizerConfig(name=name, learning_rate=0.3, weight_decay=0.0)).optimizer
    assert (given.rate, given.decay) == (0.3, 0.0)


def parse(*words: str) -> TrainConfig:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(TrainConfig, fail_untyped=True)
    read = parser.instantiate(parser.parse_args(list(words)))
    return TrainConfig(**{key: value for key, value in read.items() if key != "config"})


def test_on_the_command_line_too() -> None:
    config = parse("--data", "a", "--out", "b", "--optimizer.name", "sgd")
    assert (config.optimizer.learning_rate, config.optimizer.weight_decay) == (0.05, 5e-4)
    assert parse("--data", "a", "--out", "b") == TrainConfig(data="a", out=Path("b"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 0}, "epochs 0 must be 1 or more"),
        ({"batch_size": -4}, "batch_size -4"),
        ({"image_size": 0}, "image_size 0"),
        ({"seed": -1}, "seed -1"),
        ({"channel_sampling": "some"}, "'some' is not one of all, hierarchical, bernoulli, diverse, fixed"),
        ({"device": "tpu"}, "device 'tpu' is not one of auto, cpu, cuda, mps"),
        ({"precision": "float16"}, "precision 'float16'"),
        ({"channels_last": "yes"}, "channels_last 'yes'"),
        ({"channel_probability": 0.0}, "channel_probability 0.0"),
        ({"label_smoothing": 1.0}, "label_smoothing 1.0"),
        ({"ema_decay": 1.0}, "ema_decay 1.0"),
        ({"ema_decay": float("nan")}, "ema_decay nan"),
        ({"checkpoint_every_steps": 0}, "checkpoint_every_steps 0"),
        ({"channel_sampling": "fixed", "strategy": "sliced"}, "fixed_subset None"),
        ({"fixed_subset": "RG", "channel_sampling": "all"}, "fixed_subset 'RG' with channel_sampling 'all'"),
        ({"fixed_subset": "RG"}, "an ordinary network takes all its channels"),
        ({"unseen_subsets": ["R"]}, r"unseen_subsets .* goes with sampled channels only"),
        ({"channel_sampling": "hierarchical"}, "an ordinary network takes all its channels"),
        ({"sampling_unit": "pixel"}, "sampling_unit 'pixel'"),
        ({"sampling_unit": "image"}, "sampling_unit 'image' goes with sampled channels"),
        (
            {"sampling_unit": "image", "strategy": "sliced", "normalisation": NormalisationConfig(statistics="kept")},
            "no statistics can be kept apart",
        ),
        ({"objective": ObjectiveConfig("sandwich")}, "objective.name 'sandwich' goes with sampled channels only"),
        (
            {"strategy": "sliced", "objective": ObjectiveConfig("teacher")},
            "objective.teacher 'None' goes with objective.name 'teacher', which needs it, or 'sandwich'",
        ),
        ({"objective": ObjectiveConfig("labels", teacher=Path("a"))}, "objective.teacher 'a'"),
        ({"normalisation": NormalisationConfig(statistics="kept")}, "'kept' goes with a strategy other than 'plain'"),
        (
            {"strategy": "sliced", "channel_sampling": "all", "normalisation": NormalisationConfig(statistics="kept")},
            "'kept' goes with a strategy other than 'plain' and, for 'kept', sampled channels",
        ),
        (
            {
                "strategy": "sliced",
                "normalisation": NormalisationConfig(statistics="recalibrated"),
                "early_stopping": EarlyStoppingConfig(3),
            },
            "early_stopping.patience '3' goes with normalisation.statistics 'kept' or 'shared'",
        ),
        ({"objective": ObjectiveConfig("labels", subsets=3)}, "objective.subsets '3' goes with objective.name 'sandw"),
        ({"objective": ObjectiveConfig(temperature=2.0)}, "objective.temperature '2.0' goes with"),
        ({"objective": ObjectiveConfig(label_share=0.5)}, "objective.label_share '0.5' goes with"),
        ({"objective": ObjectiveConfig("labels", full_share=0.5)}, "objective.full_share '0.5' goes with"),
        (
            {"strategy": "sliced", "channel_sampling": "bernoulli", "channel_probability": 1.0},
            "leaves the sandwich no subset",
        ),
        ({"channel_probability": 0.3}, "channel_probability '0.3' goes with channel_sampling 'bernoulli' only"),
        ({"schedule": ScheduleConfig(factor=0.5)}, "schedule.factor '0.5' goes with schedule.name 'steps' only"),
        ({"schedule": ScheduleConfig(milestones=(0.5,))}, "schedule.milestones"),
        ({"schedule": ScheduleConfig("steps", final=0.1)}, "schedule.final '0.1' goes with schedule.name 'cosine'"),
        ({"early_stopping": EarlyStoppingConfig(metric="loss")}, "early_stopping.metric 'loss' goes with"),
        ({"normalisation": NormalisationConfig(affine=True)}, "normalisation.affine 'True' goes with"),
        (
            {"strategy": "sliced", "normalisation": NormalisationConfig(statistics="kept", subsets=["R"])},
            "normalisation.subsets",
        ),
        (
            {"strategy": "sliced", "normalisation": NormalisationConfig("group", statistics="kept")},
            "normalisation.kind 'group' goes with",
        ),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        make(**settings)


@pytest.mark.parametrize(
    ("make_group", "words"),
    [
        (lambda: OptimizerConfig(name="lion"), "'lion' is not one of adamw, sgd"),  # type: ignore[arg-type] # on purpose
        (lambda: OptimizerConfig(learning_rate=0.0), "learning_rate 0.0 must be above 0"),
        (lambda: OptimizerConfig(weight_decay=-1.0), "weight_decay -1.0"),
        (lambda: OptimizerConfig(betas=(0.9, 1.0)), "betas"),
        (lambda: OptimizerConfig(name="sgd", momentum=0.0), "nesterov"),
        (lambda: ScheduleConfig(name="linear"), "'linear'"),  # type: ignore[arg-type] # on purpose
        (lambda: ScheduleConfig(milestones=(0.5, 0.4)), "rising fractions"),
        (lambda: ScheduleConfig(milestones=(0.5, 1.0)), "rising fractions"),
        (lambda: ScheduleConfig(factor=0.0), "factor 0.0"),
        (lambda: ScheduleConfig(final=1.5), "final 1.5"),
        (lambda: ScheduleConfig(warmup_epochs=-1), "warmup_epochs -1"),
        (lambda: EarlyStoppingConfig(patience=0), "patience 0"),
        (lambda: EarlyStoppingConfig(metric="f1"), "'f1' is not one of accuracy, loss"),  # type: ignore[arg-type] # on purpose
        (lambda: ObjectiveConfig("kd"), "'kd' is not one of labels, sandwich, teacher"),  # type: ignore[arg-type] # on purpose
        (lambda: ObjectiveConfig(subsets=0), "objective.subsets 0 must be 1 or more"),
        (lambda: ObjectiveConfig(temperature=0.0), "objective.temperature 0.0"),
        (lambda: ObjectiveConfig(label_share=1.1), "objective.label_share 1.1"),
        (lambda: ObjectiveConfig(full_share=None), "objective.full_share None must be equal, or in"),  # type: ignore[arg-type] # on purpose
        (lambda: NormalisationConfig(subsets=""), r"normalisation.subsets \[\] must be channel sets"),
        (lambda: ObjectiveConfig(full_share=1.0), "objective.full_share 1.0 must be equal, or in"),
        (lambda: ObjectiveConfig(full_share="half"), "objective.full_share 'half' must be equal"),  # type: ignore[arg-type] # on purpose
        (lambda: ObjectiveConfig(penalty=-1.0), "objective.penalty -1.0"),
        (lambda: NormalisationConfig("layer"), "'layer' must be batch, group or renorm"),  # type: ignore[arg-type] # on purpose
        (lambda: NormalisationConfig(statistics="own"), "'own' is not one of shared, kept, recalibrated"),  # type: ignore[arg-type] # on purpose
        (lambda: NormalisationConfig(images=1), "normalisation.images 1"),
        (lambda: TrainConfig(data="a.zip", out=Path("a"), pretrained=None), "pretrained None must be true, false or"),  # type: ignore[arg-type] # on purpose
    ],
)
def test_a_group_refuses_what_is_out_of_range(make_group: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_group()


@pytest.mark.parametrize(
    ("settings", "settled"),
    [
        ({}, ("all", "labels", "shared")),
        ({"strategy": "sliced"}, ("hierarchical", "sandwich", "kept")),
        ({"strategy": "sliced", "channel_sampling": "all"}, ("all", "labels", "shared")),
        ({"strategy": "sliced", "fixed_subset": "RG"}, ("fixed", "labels", "shared")),
        ({"strategy": "sliced", "sampling_unit": "image"}, ("hierarchical", "labels", "shared")),
        ({"strategy": "sliced", "objective": ObjectiveConfig("labels")}, ("hierarchical", "labels", "kept")),
        (
            {"strategy": "sliced", "normalisation": NormalisationConfig(subsets=["RGB", "R"])},
            ("hierarchical", "sandwich", "recalibrated"),
        ),
        ({"strategy": "sliced", "normalisation": NormalisationConfig("group")}, ("hierarchical", "sandwich", "shared")),
    ],
)
def test_what_is_left_to_auto_is_settled_and_recorded(settings: dict[str, Any], settled: tuple[str, ...]) -> None:
    config = make(**settings)
    assert (config.channel_sampling, config.objective.name, config.normalisation.statistics) == settled
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_a_record_from_before_objectives_means_what_it_meant() -> None:
    record = make(strategy="sliced", channel_sampling="hierarchical").to_dict()
    del record["objective"], record["normalisation"], record["sampling_unit"]
    config = TrainConfig.from_dict(record)
    assert (config.objective.name, config.normalisation.statistics, config.sampling_unit) == (
        "labels",
        "shared",
        "batch",
    )


def unusual() -> TrainConfig:
    return make(
        cache_dir=Path("cache"),
        channel_sampling="fixed",
        fixed_subset="RG",
        strategy="sliced",
        strategy_options={"selection": "random"},
        channels_last=False,
        seed=0,
        optimizer=OptimizerConfig(name="sgd", betas=(0.8, 0.9)),
        schedule=ScheduleConfig(name="steps", milestones=(0.5,)),
        augmentation=AugmentationConfig(random_resized_crop=(0.3, 1.0)),
    )


def test_a_record_holds_everything_through_yaml() -> None:
    config = unusual()
    assert TrainConfig.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


def test_the_command_line_reads_the_file_that_a_run_leaves(tmp_path: Path) -> None:
    config = unusual()
    path = tmp_path / "config.yaml"
    for told in (config.to_dict(), config.as_given()):
        path.write_text(yaml.safe_dump(told), encoding="utf-8")
        read = parse("--config", str(path), "--optimizer.learning_rate", "0.2", "--epochs", "4")
        expected = unusual()
        expected.epochs = 4
        expected.optimizer.learning_rate = 0.2
        assert read == expected
    with pytest.raises(ArgumentError, match="epoch_count"):
        parse("--config", str(path), "--epoch_count", "4")


@pytest.mark.parametrize("change", ["--strategy=sliced", "--optimizer.name=sgd", "--channel_sampling=hierarchical"])
@pytest.mark.parametrize("given", [{}, {"optimizer": OptimizerConfig(weight_decay=0.3)}])
def test_what_follows_from_a_changed_setting_follows_when_a_recipe_is_taken(
    given: dict[str, Any], change: str, tmp_path: Path
) -> None:
    config = make(**given)
    assert TrainConfig.from_dict(config.as_given()) == config
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**config.as_given(), "strategy": "masked"}), encoding="utf-8")
    words = ["--data=photographs.zip", "--out=runs/first", "--strategy=masked"]
    words += [f"--optimizer.weight_decay={group.weight_decay}" for group in given.values()]
    assert parse(f"--config={path}", change) == parse(*words, change)


def test_a_setting_that_is_given_is_kept_as_given() -> None:
    config = make(channel_sampling="all", optimizer=OptimizerConfig(learning_rate=1e-3))
    config.objective = ObjectiveConfig("teacher")  # given afterwards
    told = config.as_given()
    assert (told["channel_sampling"], told["objective"]["name"], told["normalisation"]["statistics"]) == (
        "all",
        "teacher",
        "auto",
    )
    assert (told["optimizer"]["learning_rate"], told["optimizer"]["weight_decay"]) == (1e-3, None)


def test_differences_leave_out_only_what_is_neutral() -> None:
    before = make().to_dict()
    neutral = {"data": "elsewhere", "out": "b", "resume": True, "device": "cuda", "checkpoint_every_steps": 3}
    assert differences(before, {**before, **neutral}) == []
    now = make(epochs=12, strategy_options={}, optimizer=OptimizerConfig(learning_rate=0.5)).to_dict()
    assert differences(before, now) == ["epochs: 10 -> 12", "optimizer.learning_rate: 0.001 -> 0.5"]
    with_option = {**before, "strategy_options": {"selection": "random"}}
    assert differences(before, with_option)


def test_it_needs_no_torch() -> None:
    code = "import sys, anychan.training.config; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)
