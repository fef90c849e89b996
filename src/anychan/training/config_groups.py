"""The groups of a training run's settings, each checked when it is made, free of torch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

ObjectiveName = Literal["labels", "sandwich", "teacher"]
Statistics = Literal["shared", "kept", "recalibrated"]
OptimizerName = Literal["adamw", "sgd"]
ScheduleName = Literal["cosine", "steps", "constant"]
Metric = Literal["accuracy", "loss"]


# Rates and decays that suit training from scratch on small photographs.
_LEARNING_RATE = {"adamw": 1e-3, "sgd": 0.05}
_WEIGHT_DECAY = {"adamw": 0.05, "sgd": 5e-4}


@dataclass
class OptimizerConfig:
    """How weights are updated. Biases and the weights of normalisations are never decayed.

    Args:
        name: adamw (Loshchilov and Hutter, arXiv 1711.05101) or sgd.
        learning_rate: the highest rate of the schedule; not given: 1e-3 for adamw, 0.05 for sgd.
        weight_decay: 0 or more; not given: 0.05 for adamw, 5e-4 for sgd.
        betas: adamw's decay of the mean of gradients and of their squares, each in [0, 1).
        momentum: sgd's momentum, in [0, 1).
        nesterov: whether sgd's momentum is Nesterov's.

    Raises:
        ValueError: for a value outside its range.
    """

    name: OptimizerName = "adamw"
    learning_rate: float | None = None
    weight_decay: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        check_choice("optimizer.name", self.name, OptimizerName)
        self.betas = (self.betas[0], self.betas[1])
        rate, decay = self.rate, self.decay
        check("optimizer.learning_rate", rate, 0.0 < rate < math.inf, "above 0")
        check("optimizer.weight_decay", decay, 0.0 <= decay < math.inf, "0 or more")
        check("optimizer.betas", self.betas, all(0.0 <= beta < 1.0 for beta in self.betas), "two numbers in [0, 1)")
        check("optimizer.momentum", self.momentum, 0.0 <= self.momentum < 1.0, "in [0, 1)")
        check("optimizer.nesterov", self.nesterov, not self.nesterov or self.momentum > 0, "off without momentum")

    @property
    def rate(self) -> float:
        """The learning rate, the optimiser's own where none was given."""
        return _LEARNING_RATE[self.name] if self.learning_rate is None else self.learning_rate

    @property
    def decay(self) -> float:
        """The weight decay, the optimiser's own where none was given."""
        return _WEIGHT_DECAY[self.name] if self.weight_decay is None else self.weight_decay

    def settled(self) -> OptimizerConfig:
        """The same with its rate and decay written out, so that a record says what they were."""
        return dataclasses.replace(self, learning_rate=self.rate, weight_decay=self.decay)


@dataclass
class ScheduleConfig:
    """How the learning rate moves, step by step.

    Args:
        name: cosine (Loshchilov and Hutter, arXiv 1608.03983, one period), steps (dropped at the milestones) or
            constant.
        warmup_epochs: epochs, or a fraction of one, over which the rate rises linearly from nought.
        milestones: at which fractions of the whole run "steps" multiplies the rate by the factor.
        factor: what "steps" multiplies by, in (0, 1].
        final: what "cosine" ends at, as a fraction of the highest rate, in [0, 1].

    Raises:
        ValueError: for a value outside its range.
    """

    name: ScheduleName = "cosine"
    warmup_epochs: float = 1.0
    milestones: tuple[float, ...] = (0.5, 0.75, 0.85)
    factor: float = 0.1
    final: float = 0.0

    def __post_init__(self) -> None:
        check_choice("schedule.name", self.name, ScheduleName)
        self.milestones = tuple(self.milestones)
        rising = list(self.milestones) == sorted(set(self.milestones))
        inside = all(0.0 < milestone < 1.0 for milestone in self.milestones)
        check("schedule.warmup_epochs", self.warmup_epochs, 0.0 <= self.warmup_epochs < math.inf, "0 or more")
        check("schedule.milestones", self.milestones, rising and inside, "rising fractions between 0 and 1")
        check("schedule.factor", self.factor, 0.0 < self.factor <= 1.0, "in (0, 1]")
        check("schedule.final", self.final, 0.0 <= self.final <= 1.0, "in [0, 1]")


@dataclass
class EarlyStoppingConfig:
    """When to stop before the last epoch. Where it is on, the model kept is the best one on validation, which looks at
    all channels, or at the fixed subset.

    Args:
        patience: stop after so many epochs without a better validation; not given: never.
        metric: what "better" is measured by on the validation split: accuracy or loss.

    Raises:
        ValueError: for a value outside its range.
    """

    patience: int | None = None
    metric: Metric = "accuracy"

    def __post_init__(self) -> None:
        check("early_stopping.patience", self.patience, self.patience is None or self.patience >= 1, "1 or more")
        check_choice("early_stopping.metric", self.metric, Metric)


@dataclass
class ObjectiveConfig:
    """What a step minimises.

    Args:
        name: labels: the labels, on the channels of the batch; sandwich: the full set learns the labels and random
            subsets what the full set answers (arXiv 1903.05134); teacher: a random subset, of a plain network all
            channels, learns what a trained model answers to all channels. auto: sandwich, but labels, or with a teacher
            teacher, for a plain network and where channel_sampling is all or fixed or sampling_unit is image.
        subsets: random subsets a step of the sandwich, 1 or more; each costs as much as the full set.
        teacher: run folder of a trained model that teaches; the sandwich may have one too, which then teaches the full
            set and the subsets.
        temperature: that answers are softened by, above 0.
        label_share: how much of what is taught is taken from the labels, in [0, 1].
        full_share: how much of a sandwich's loss is the full set's, in (0, 1), the subsets sharing the rest; equal: as
            much as that of each subset.
        penalty: weight of the stem's own penalty (tokens: likeness of channel embeddings), 0 or more.

    Raises:
        ValueError: for a value outside its range.
    """

    name: Literal["auto"] | ObjectiveName = "auto"
    subsets: int = 2
    teacher: Path | None = None
    temperature: float = 1.0
    label_share: float = 0.0
    full_share: float | Literal["equal"] = "equal"
    penalty: float = 0.0

    def __post_init__(self) -> None:
        self.teacher = None if self.teacher is None else run_folder(self.teacher)
        if self.name != "auto":
            check_choice("objective.name", self.name, ObjectiveName)
        check("objective.subsets", self.subsets, self.subsets >= 1, "1 or more")
        check("objective.temperature", self.temperature, 0.0 < self.temperature < math.inf, "above 0")
        check("objective.label_share", self.label_share, 0.0 <= self.label_share <= 1.0, "in [0, 1]")
        if self.full_share != "equal":
            inside = isinstance(self.full_share, int | float) and 0.0 < self.full_share < 1.0
            check("objective.full_share", self.full_share, inside, "equal, or in (0, 1)")
        check("objective.penalty", self.penalty, 0.0 <= self.penalty < math.inf, "0 or more")


@dataclass
class NormalisationConfig:
    """What becomes of the body's batch normalisations.

    Args:
        kind: batch: as the network has them; group: group normalisation in their place (arXiv 1803.08494); renorm:
            batch renormalisation (arXiv 1702.03275), of maps (N, C, H, W) and of vectors, (N, C) and (N, C, L).
        statistics: shared: one set for all subsets; kept: a set for each subset, kept apart while training;
            recalibrated: a set for each subset, recomputed after training. auto: kept (recalibrated where subsets
            are named) if there is something to keep and channels are sampled, else shared.
        affine: with kept, a scale and shift for each subset too (arXiv 1812.08928).
        subsets: those to recalibrate for, a list or words ("RG R"); some: the full set, each channel alone and a few of
            each size between; not given: all, of up to 6 channels.
        images: training images that recalibration looks at, 2 or more; with kept, it is done after training for the
            subsets that came up in fewer batches than their averages need to forget what they began with (44 with the
            usual momentum of 0.1).

    Raises:
        ValueError: for a value outside its range.
    """

    kind: Literal["batch", "group", "renorm"] = "batch"
    statistics: Literal["auto"] | Statistics = "auto"
    affine: bool = False
    subsets: list[str] | str | None = None
    images: int = 2560

    def __post_init__(self) -> None:
        self.subsets = as_list(self.subsets)
        check("normalisation.subsets", self.subsets, self.subsets != [], "channel sets, or not given")
        check("normalisation.kind", self.kind, self.kind in ("batch", "group", "renorm"), "batch, group or renorm")
        if self.statistics != "auto":
            check_choice("normalisation.statistics", self.statistics, Statistics)
        check("normalisation.images", self.images, self.images >= 2, "2 or more")


def as_list(words: list[str] | str | None) -> list[str] | None:
    """Channel sets in a list, which may have been given as words: "RG R"."""
    return words.split() if isinstance(words, str) else words


def run_folder(path: Path | str) -> Path:
    """The folder of a run that is named by it or by the file of its model.

    Example:
        >>> run_folder("runs/a/model.safetensors").as_posix(), run_folder("runs/a").as_posix()
        ('runs/a', 'runs/a')
    """
    path = Path(path)
    return path.parent if path.name in ("model.safetensors", "model.json") else path


def check(name: str, value: object, holds: bool, allowed: str) -> None:
    """ValueError that names the value and what is allowed, unless it holds."""
    if not holds:
        raise ValueError(f"{name} {value!r} must be {allowed}")


def check_choice(name: str, value: str, choices: Any) -> None:
    """ValueError that names the value and the choices, unless it is one of them."""
    if value not in get_args(choices):
        raise ValueError(f"{name} {value!r} is not one of {', '.join(get_args(choices))}")
