"""The settings in run.json, each by its dotted name, with those that older records do not have yet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from anychan.training.config import TrainConfig
from anychan.training.setting_roles import BY_CONTENT, MACHINE, PLACE, WATCHED

# What runs trained with before there was a choice, where that is not today's default.
_BEFORE = {"objective.name": "labels", "normalisation.statistics": "shared"}

# Settings that runs of one row may differ in; what starts and teaches them is compared by its name.
OF_EACH_SEED = PLACE | MACHINE | WATCHED | BY_CONTENT | {"seed"}
# Those that say nothing of how a run was trained; a teacher does.
NEUTRAL = OF_EACH_SEED - {"objective.teacher"}


def filled(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting by its dotted name; one that is newer than the record has the value that it was trained with.

    Args:
        config: of run.json; nothing is known of an empty one.

    Example:
        >>> found = filled({"epochs": 5, "strategy_options": {"rank": 2}})
        >>> found["epochs"], found["strategy_options.rank"], found["sampling_unit"], found["objective.name"]
        (5, 2, 'batch', 'labels')
    """
    return {**_defaults(), **_flat(config)} if config else {}


@cache
def groups() -> tuple[str, ...]:
    """The settings that are groups of others.

    Example:
        >>> "optimizer" in groups(), "epochs" in groups()
        (True, False)
    """
    known = TrainConfig(data="", out=Path()).to_dict()
    return tuple(name for name, value in known.items() if isinstance(value, Mapping))


@cache
def _defaults() -> Mapping[str, Any]:
    return {**_flat(TrainConfig(data="", out=Path()).to_dict()), **_BEFORE}


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in config.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found
