"""Settings of a training run that hang together: what follows from others, and what goes with others only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from anychan._plain import PLAIN
from anychan.training.config_groups import ObjectiveName, Statistics

if TYPE_CHECKING:
    from anychan.training.config import TrainConfig


class _Rule(NamedTuple):
    """What a setting that is not its default goes with only; with ``always``, its default too."""

    setting: str
    needed: str
    holds: Callable[[TrainConfig], bool]
    always: bool = False


def _samples(config: TrainConfig) -> bool:
    return config.channel_sampling not in ("all", "fixed")


def _only_with(setting: str, other: str, *values: str) -> _Rule:
    """That a setting goes with these values of another only."""
    needed = f"{other} {' or '.join(map(repr, values))}"
    return _Rule(setting, needed, lambda config: attrgetter(other)(config) in values)


# The first that does not hold is told.
_RULES = (
    _Rule("objective.name", "sampled channels", lambda c: c.objective.name != "sandwich" or _samples(c)),
    _Rule("unseen_subsets", "sampled channels", _samples),
    _Rule(
        "objective.teacher",
        "objective.name 'teacher', which needs it, or 'sandwich'",
        lambda c: c.objective.name == "sandwich" or (c.objective.teacher is None) == (c.objective.name != "teacher"),
        always=True,
    ),
    _Rule(
        "sampling_unit",
        "sampled channels and objective.name 'labels'",
        lambda c: _samples(c) and c.objective.name == "labels",
    ),
    _Rule(
        "normalisation.statistics",
        "a strategy other than 'plain' and, for 'kept', sampled channels",
        lambda c: (
            c.normalisation.statistics == "shared"
            or (c.strategy != PLAIN and (c.normalisation.statistics == "recalibrated" or _samples(c)))
        ),
    ),
    _Rule(
        "early_stopping.patience",
        "normalisation.statistics 'kept' or 'shared', since what is recalibrated after training cannot be validated "
        "during it,",
        lambda c: c.normalisation.statistics != "recalibrated",
    ),
    _only_with("objective.subsets", "objective.name", "sandwich"),
    _only_with("objective.temperature", "objective.name", "sandwich", "teacher"),
    _only_with("objective.label_share", "objective.name", "sandwich", "teacher"),
    _only_with("schedule.milestones", "schedule.name", "steps"),
    _only_with("schedule.factor", "schedule.name", "steps"),
    _only_with("schedule.final", "schedule.name", "cosine"),
    _Rule("early_stopping.metric", "early_stopping.patience", lambda c: c.early_stopping.patience is not None),
    _only_with("channel_probability", "channel_sampling", "bernoulli"),
    _only_with("objective.full_share", "objective.name", "sandwich"),
    _only_with("normalisation.affine", "normalisation.statistics", "kept"),
    _only_with("normalisation.subsets", "normalisation.statistics", "recalibrated"),
    _Rule(
        "normalisation.kind",
        "normalisation.statistics 'shared', since a group normalisation keeps none",
        lambda c: c.normalisation.kind != "group" or c.normalisation.statistics == "shared",
    ),
)


def settle_sampling(config: TrainConfig) -> None:
    """Replace what is left to auto of the sampling, the objective and the statistics by what it comes to."""
    if config.channel_sampling == "auto":
        free = config.fixed_subset is None
        config.channel_sampling = "fixed" if not free else "all" if config.strategy == PLAIN else "hierarchical"
    of_batches = _samples(config) and config.sampling_unit == "batch"
    if config.objective.name == "auto":
        of_one_pass: ObjectiveName = "labels" if config.objective.teacher is None else "teacher"
        config.objective = dataclasses.replace(config.objective, name="sandwich" if of_batches else of_one_pass)
    if config.normalisation.statistics == "auto":
        own: Statistics = "kept" if config.normalisation.subsets is None else "recalibrated"
        statistics = own if of_batches and config.normalisation.kind == "batch" else "shared"
        config.normalisation = dataclasses.replace(config.normalisation, statistics=statistics)


def check_together(config: TrainConfig) -> None:
    """ValueError for settled settings that contradict each other."""
    if (config.channel_sampling == "fixed") != (config.fixed_subset is not None):
        raise ValueError(
            f"fixed_subset {config.fixed_subset!r} with channel_sampling {config.channel_sampling!r}: "
            "a fixed subset goes with channel_sampling 'fixed', and only with it"
        )
    sandwich = config.objective.name == "sandwich"
    if config.channel_sampling == "bernoulli" and config.channel_probability == 1 and sandwich:
        raise ValueError("channel_probability 1.0 leaves the sandwich no subset below the full set")
    if config.strategy == PLAIN and config.channel_sampling != "all":
        raise ValueError(
            f"channel_sampling {config.channel_sampling!r} with strategy 'plain': an ordinary network takes all its "
            "channels; choose a strategy such as 'completed', or give channels for a network of fewer channels"
        )
    for rule in _RULES:
        group, _, name = rule.setting.rpartition(".")
        its = attrgetter(group)(config) if group else config
        value, default = getattr(its, name), getattr(type(its), name)
        if not (rule.holds(config) or (value == default and not rule.always)):
            raise ValueError(f"{rule.setting} {str(value)!r} goes with {rule.needed} only")
    if config.sampling_unit == "image" and config.normalisation.statistics == "kept":
        raise ValueError("sampling_unit 'image' mixes subsets in a batch, so no statistics can be kept apart")
