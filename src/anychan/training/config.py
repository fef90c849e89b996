"""What a training run is told: every setting with its default, checked when it is made, free of torch.

The docstrings are the command line's help: ``anychan train`` builds its options from these classes.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from anychan._plain import PLAIN
from anychan.data.augment_config import AugmentationConfig
from anychan.training._config_records import differences, jsonable
from anychan.training._config_rules import check_together, settle_sampling
from anychan.training.config_groups import (
    EarlyStoppingConfig,
    NormalisationConfig,
    ObjectiveConfig,
    OptimizerConfig,
    ScheduleConfig,
    as_list,
    check,
    check_choice,
    run_folder,
)

__all__ = [
    "EarlyStoppingConfig",
    "NormalisationConfig",
    "ObjectiveConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "TrainConfig",
    "differences",
    "jsonable",
    "kept_choices",
]

ChannelSampling = Literal["all", "hierarchical", "bernoulli", "diverse", "fixed"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]

# Settings that follow from others where they are not given, and what they are then.
_NOT_GIVEN = {
    "channel_sampling": "auto",
    "objective.name": "auto",
    "normalisation.statistics": "auto",
    "optimizer.learning_rate": None,
    "optimizer.weight_decay": None,
}


def _photographs() -> AugmentationConfig:
    return AugmentationConfig(crop_padding=4, flip=0.5)


@dataclass
class TrainConfig:
    """One training run.

    Args:
        data: a folder, a zip, or "synthetic" with its settings ("synthetic:bands=5,classes=6").
        out: the run folder to make.
        bands: what the planes of the images are: a sensor ("sentinel-2-l2a"), names in their order, or the path of a
            bands.yaml. Not given: the bands.yaml in the data, or what the files say.
        model: a network of anychan's or timm's, by name.
        channels: the channels the model is made for ("RG", "B04,B08"); not given: all that the data have.
        strategy: how the stem makes kernels for any channels; "plain" is the ordinary network.
        initial: a finished run whose weights to start from: a plain one, whose stem an exact strategy takes over, or
            one of the same strategy. Not given: random weights.
        pretrained: a file with the network's weights, trained elsewhere (safetensors, or a state dict of torch.save);
            true: those that timm downloads. A head of another number of classes is new.
        trained_on: the channels of the planes of pretrained kernels, in their order ("B04,B03,B02" for weights of
            R, G and B on Sentinel-2). Not given: the run's channels; three planes are R, G, B.
        new_kernels: what kernels of channels that are not among ``trained_on`` are made from: wavelength, the two
            neighbours in wavelength; mean, all of them alike (`anychan.adapt`).
        held_out: this many training images, the same share of each class, are validated on instead of trained on, in
            place of the validation split: the same ones for every seed. For tuning on more images than that has.
        image_size: side of the square images, in pixels.
        epochs: passes over the training images.
        batch_size: images a step, over all processes together.
        seed: of everything random.
        channel_sampling: which channels a batch sees: all; hierarchical (a size, then channels, each uniform);
            bernoulli (each channel with a probability, at least one); diverse (a size, then channels that differ);
            fixed (always the same subset). auto: all for a plain network, fixed with a fixed_subset, else
            hierarchical.
        sampling_unit: what a subset is drawn for: a batch, or each image of it.
        channel_probability: with which bernoulli keeps a channel, in (0, 1].
        fixed_subset: the channels that fixed trains on, and validation looks at.
        unseen_subsets: subsets that training never draws, a list or words ("R G"), to see what becomes of them.
        device: auto takes an accelerator where there is one.
        precision: auto is bfloat16 where the machine multiplies it natively, on a CPU for images of 32 pixels or more,
            else float32.
        channels_last: memory layout of images and kernels; auto: where convolutions are faster with it.
        cuda_graphs: record a step's work on a GPU and replay it, which for small networks is several times as fast;
            at most 64 kinds of steps (channels, subsets, batch size) are recorded, of the first 4,096, others run as
            without it. auto: where one process trains and a step waits for nothing on the host.
        skip_broken: leave unreadable training images out and say how many, instead of stopping.
        deterministic: only algorithms that give the same bits again, on a GPU too.
        resume: go on from the run folder's last checkpoint (where there is none yet, from the beginning).
        cache_dir: where decoded images are kept; not given: the user's cache folder.
        checkpoint_every_steps: also write a checkpoint every so many steps, not only after each epoch.
        checkpoint_every_seconds: also write one whenever so many seconds have passed.
        label_smoothing: in [0, 1) (Szegedy et al., arXiv 1512.00567).
        ema_decay: decay a step of the moving average of weights, in [0, 1); 0: none. It is less in the first steps, so
            that the average forgets where training began. Where there is one, it is validated and saved in place of the
            raw weights.
        strategy_options: further arguments of the strategy, by name.
        model_options: further arguments of the network, by name.
        optimizer: how weights are updated.
        schedule: how the learning rate moves.
        early_stopping: when to stop before the last epoch.
        augmentation: what is done to training images.
        objective: what a step minimises.
        normalisation: what becomes of the batch normalisations.

    Raises:
        ValueError: for a value outside its range, or settings that contradict each other.

    Example:
        >>> config = TrainConfig(data="photographs.zip", out=Path("runs/first"), epochs=3)
        >>> config.optimizer.learning_rate
        0.001
        >>> TrainConfig.from_dict(config.to_dict()) == config
        True
    """

    data: str
    out: Path
    bands: str | None = None
    model: str = "resnet18"
    channels: str | None = None
    strategy: str = PLAIN
    initial: Path | None = None
    pretrained: bool | Path = False
    trained_on: str | None = None
    new_kernels: Literal["wavelength", "mean"] | None = None
    held_out: int | None = None
    image_size: int = 64
    epochs: int = 10
    batch_size: int = 64
    seed: int = 0
    channel_sampling: Literal["auto"] | ChannelSampling = "auto"
    sampling_unit: Literal["batch", "image"] = "batch"
    channel_probability: float = 0.5
    fixed_subset: str | None = None
    unseen_subsets: list[str] | str | None = None
    device: Device = "auto"
    precision: Precision = "auto"
    channels_last: Literal["auto"] | bool = "auto"
    cuda_graphs: Literal["auto"] | bool = "auto"
    skip_broken: bool = False
    deterministic: bool = False
    resume: bool = False
    cache_dir: Path | None = None
    checkpoint_every_steps: int | None = None
    checkpoint_every_seconds: float | None = 300.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.0
    strategy_options: dict[str, Any] = field(default_factory=dict)
    model_options: dict[str, Any] = field(default_factory=dict)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    augmentation: AugmentationConfig = field(default_factory=_photographs)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    normalisation: NormalisationConfig = field(default_factory=NormalisationConfig)

    def __post_init__(self) -> None:
        self.out = Path(self.out)
        self.initial = None if self.initial is None else run_folder(self.initial)
        check("pretrained", self.pretrained, isinstance(self.pretrained, bool | str | Path), "true, false or a file")
        self.pretrained = self.pretrained if isinstance(self.pretrained, bool) else Path(self.pretrained)
        self.cache_dir = None if self.cache_dir is None else Path(self.cache_dir)
        self.unseen_subsets = as_list(self.unseen_subsets)
        for name in ("image_size", "epochs", "batch_size"):
            check(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        check("held_out", self.held_out, self.held_out is None or self.held_out >= 1, "1 or more, or not given")
        check("seed", self.seed, self.seed >= 0, "0 or more")
        check("initial", self.initial, self.initial is None or self.pretrained is False, "left out with pretrained")
        alone = self.trained_on is None or self.pretrained is not False
        check("trained_on", self.trained_on, alone, "left out without pretrained")
        alone = self.new_kernels is None or self.trained_on is not None
        check("new_kernels", self.new_kernels, alone, "left out without trained_on")
        self._settle()
        check_choice("channel_sampling", self.channel_sampling, ChannelSampling)
        check("sampling_unit", self.sampling_unit, self.sampling_unit in ("batch", "image"), "batch or image")
        check_choice("device", self.device, Device)
        check_choice("precision", self.precision, Precision)
        check("channel_probability", self.channel_probability, 0.0 < self.channel_probability <= 1.0, "in (0, 1]")
        check("label_smoothing", self.label_smoothing, 0.0 <= self.label_smoothing < 1.0, "in [0, 1)")
        check("ema_decay", self.ema_decay, 0.0 <= self.ema_decay < 1.0, "in [0, 1)")
        for name in ("channels_last", "cuda_graphs"):
            check(name, getattr(self, name), getattr(self, name) in ("auto", True, False), "auto, true or false")
        for name in ("checkpoint_every_steps", "checkpoint_every_seconds"):
            value = getattr(self, name)
            check(name, value, value is None or value > 0, "above 0, or not given")
        check_together(self)

    def _settle(self) -> None:
        """Replace what is not given by what it comes to, so that a record says what it was; note what that was."""
        left = [name for name, absent in _NOT_GIVEN.items() if attrgetter(name)(self) == absent]
        # Here and not in the group itself: the command line asks the group for its defaults before it knows its name.
        self.optimizer = self.optimizer.settled()
        settle_sampling(self)
        self._chosen: dict[str, Any] = {name: attrgetter(name)(self) for name in left}

    def _own_choices(self) -> dict[str, Any]:
        """What each of the settings that follow from others would be, were it not given."""
        free = copy.copy(self)
        free.channel_sampling = "auto"
        free.objective = dataclasses.replace(self.objective, name="auto")
        free.normalisation = dataclasses.replace(self.normalisation, statistics="auto")
        free.optimizer = dataclasses.replace(self.optimizer, learning_rate=None, weight_decay=None)
        free._settle()
        return free._chosen

    def choice(self, name: str) -> Any:
        """What a setting (dotted, of the optimiser say) comes to where it alone is not given; else its default.

        Example:
            >>> sgd = OptimizerConfig("sgd", learning_rate=0.001)
            >>> TrainConfig(data="a.zip", out=Path("runs/a"), optimizer=sgd).choice("optimizer.learning_rate")
            0.05
        """
        group, _, inner = name.rpartition(".")
        if name not in _NOT_GIVEN:
            its = attrgetter(group)(_DEFAULT) if group else _DEFAULT
            return getattr(its, inner)
        free, left = copy.copy(self), {inner: _NOT_GIVEN[name]}
        if group:
            left = {group: dataclasses.replace(getattr(self, group), **left)}
        for one, value in left.items():
            setattr(free, one, value)
        free._settle()
        return attrgetter(name)(free)

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON and YAML can hold."""
        return jsonable(dataclasses.asdict(self))

    def as_given(self) -> dict[str, Any]:
        """The same with what was not given left open, so that it follows from a setting that is changed later.

        Example:
            >>> config = TrainConfig(data="a.zip", out=Path("runs/a"))
            >>> config.channel_sampling, config.as_given()["channel_sampling"]
            ('all', 'auto')
        """
        record = self.to_dict()
        for name, chosen in self._chosen.items():
            group, _, inner = name.rpartition(".")
            place = record[group] if group else record
            if place[inner] == chosen:  # and was not set since
                place[inner] = _NOT_GIVEN[name]
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> TrainConfig:
        """Read back what ``to_dict`` or ``as_given`` wrote."""
        augmentation = dict(record["augmentation"])
        scale = augmentation["random_resized_crop"]
        augmentation["random_resized_crop"] = None if scale is None else tuple(scale)
        groups = {
            "optimizer": OptimizerConfig(**record["optimizer"]),
            "schedule": ScheduleConfig(**record["schedule"]),
            "early_stopping": EarlyStoppingConfig(**record["early_stopping"]),
            "augmentation": AugmentationConfig(**augmentation),
            # Records from before these settings were there trained on labels with shared statistics.
            "objective": ObjectiveConfig(**record.get("objective", {"name": "labels"})),
            "normalisation": NormalisationConfig(**record.get("normalisation", {"statistics": "shared"})),
        }
        return cls(**{**record, **groups})


_DEFAULT = TrainConfig(data="", out=Path())


def kept_choices(before: TrainConfig, now: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Settings given to both that are just what the first would have chosen, and not what the second would.

    Returns:
        Each by its dotted name, with its value and what it would be were it not given.

    Example:
        >>> plain = TrainConfig(data="a.zip", out=Path("runs/a")).to_dict()
        >>> now = TrainConfig.from_dict({**plain, "strategy": "completed"})
        >>> kept_choices(TrainConfig.from_dict(plain), now)["channel_sampling"]
        ('all', 'hierarchical')
    """
    old, new = before._own_choices(), now._own_choices()
    return {
        name: (old[name], new[name])
        for name in _NOT_GIVEN
        if name not in {**before._chosen, **now._chosen}
        and attrgetter(name)(before) == attrgetter(name)(now) == old[name] != new[name]
    }
