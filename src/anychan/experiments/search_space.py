"""What a search may vary: settings of a run by their dotted names, each with its values or its range."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anychan._files import read_yaml
from anychan.experiments.settings import configuration, merged
from anychan.training.config import TrainConfig

if TYPE_CHECKING:
    from optuna.trial import Trial

_RANGE = {"low", "high", "log", "step", "first"}
# Settings that name another run, or say where one lies and how it is watched, which a search gives itself; and those
# that say on which images a choice is made, which must be the same ones for all.
_MOST_TRIED = 64  # choices
_FIXED = {"out", "resume", "data", "bands", "held_out", "skip_broken"}


@dataclass(frozen=True)
class SearchSpace:
    """Values to choose from, or a range, for each setting.

    Args:
        settings: by dotted name ("optimizer.learning_rate", "model_options.width"): a list of values, or
            ``{"low", "high"}`` with ``"log": True`` for a logarithmic scale or ``"step"``; whole numbers stay whole.
            Where a range has a value that is tried ``"first"``, such as the one used so far, the search begins
            with it, and with the first of each list.

    Raises:
        ValueError: for a setting that a run does not have, an empty list, a range that is none, or a first value
            outside of it.

    Example:
        >>> SearchSpace({"model_options.width": {"low": 32, "high": 96, "step": 16}, "model": ["wide5", "wide6"]})
        SearchSpace(model_options.width from 32 to 96 in steps of 16; model of wide5, wide6)
    """

    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.settings, Mapping) or not self.settings:
            raise ValueError(f"a search space names settings with their values, but this is {self.settings!r}")
        base = TrainConfig(data="unknown", out=Path("unknown")).to_dict()
        for name, values in self.settings.items():
            _check_name(name, base)
            _check_values(name, values)

    def __repr__(self) -> str:
        return f"SearchSpace({'; '.join(map(_told, self.settings.items()))})"

    @classmethod
    def read(cls, path: Path) -> SearchSpace:
        """From a YAML file.

        Raises:
            FileNotFoundError: if it is not there.
            ValueError: if it is no YAML or no search space.
        """
        return cls(read_yaml(path))

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """A value for each setting, chosen by an Optuna trial."""
        return {name: _suggest(trial, name, values) for name, values in self.settings.items()}

    def first(self) -> dict[str, Any]:
        """What the first trial takes, as Optuna has it (of a list the place); empty where no range says so.

        Example:
            >>> SearchSpace({"epochs": {"low": 2, "high": 9, "first": 4}, "model": ["wide6", "wide4"]}).first()
            {'epochs': 4, 'model': 0}
        """
        if not any(isinstance(values, Mapping) and "first" in values for values in self.settings.values()):
            return {}
        told = {name: 0 if isinstance(values, list) else values.get("first") for name, values in self.settings.items()}
        return {name: value for name, value in told.items() if value is not None}

    def choices(self, names: Collection[str]) -> tuple[list[dict[str, Any]], bool]:
        """Choices to try something by, and whether these are all: of some settings, and of groups' settings.

        They are all combinations where these are few; else those of lists and of the ends of ranges.

        Example:
            >>> space = SearchSpace({"seed": [1, 2], "model": ["wide6"], "model_options.width": {"low": 8, "high": 9}})
            >>> space.choices(["model", "model_options"])
            ([{'model': 'wide6', 'model_options.width': 8}, {'model': 'wide6', 'model_options.width': 9}], True)
        """
        asked = {
            name: values for name, values in self.settings.items() if name in names or name.partition(".")[0] in names
        }
        every = {name: _every(values) for name, values in asked.items()}
        found = {name: values for name, values in every.items() if values is not None}
        complete = len(found) == len(asked) and prod(map(len, found.values())) <= _MOST_TRIED
        if not complete:
            found = {name: v if isinstance(v, list) else [v["low"], v["high"]] for name, v in asked.items()}
        return [dict(zip(found, values, strict=True)) for values in itertools.product(*found.values())], complete

    def applied(self, settings: Mapping[str, Any], chosen: Mapping[str, Any]) -> TrainConfig:
        """A run's configuration with some settings replaced.

        Args:
            settings: as people write them: what follows from a chosen one (an optimiser's rate, an objective of
                "auto") must not be settled yet, or it would stay that of another choice.
            chosen: by dotted name.

        Raises:
            ValueError: if they do not fit the others.

        Example:
            >>> space = SearchSpace({"optimizer.name": ["adamw", "sgd"]})
            >>> config = space.applied({"data": "a.zip", "out": "runs/a"}, {"optimizer.name": "sgd"})
            >>> config.optimizer.learning_rate
            0.05
        """
        return configuration(merged(settings, chosen))


def _check_name(name: Any, base: Mapping[str, Any]) -> None:
    if name in _FIXED:
        raise ValueError(f"{name!r} cannot be searched: it must be one for all trials")
    groups = str(name).split(".")
    place: Any = base
    for depth, group in enumerate(groups):
        free = depth and groups[depth - 1] in ("model_options", "strategy_options")
        if free and depth == len(groups) - 1:
            return
        if not isinstance(place, Mapping) or group not in place:
            raise ValueError(f"{name!r} is no setting that can be searched; `anychan train --help` lists them")
        place = place[group]
    if isinstance(place, Mapping):
        raise ValueError(f"{name!r} is a group of settings; name one of {', '.join(place) or 'its options'}")


def _check_values(name: str, values: Any) -> None:
    if isinstance(values, list):
        if not values:
            raise ValueError(f"{name} has no values to choose from")
        return
    numbers = isinstance(values, Mapping) and {"low", "high"} <= values.keys() <= _RANGE
    if not numbers or not all(_is_number(values[key]) for key in values.keys() - {"log"}):
        raise ValueError(f"{name} is {values!r}; it should be a list of values, or low and high with log or step")
    if not isinstance(values.get("log", False), bool):
        raise ValueError(f"{name} has log {values['log']!r}; it should be true or false")
    if not values["low"] < values["high"] or (values.get("log") and values["low"] <= 0):
        raise ValueError(f"{name} goes from {values['low']} to {values['high']}, which is no range")
    if not values.get("step", 1) > 0:
        raise ValueError(f"{name} goes in steps of {values['step']}, which must be more than 0")
    if values.get("log") and "step" in values:
        raise ValueError(f"{name} has log and step; a range has one of them")
    if "first" in values and not _holds(values, values["first"]):
        raise ValueError(f"{name} is {values['first']} first, which is not in its range")


def _holds(values: Mapping[str, Any], value: float) -> bool:
    step = values.get("step", 1 if _whole(values) else None)
    steps = (value - values["low"]) / step if step else 0
    return bool(values["low"] <= value <= values["high"]) and abs(steps - round(steps)) < 1e-9


def _whole(values: Mapping[str, Any]) -> bool:
    return all(isinstance(values.get(key, 1), int) for key in ("low", "high", "step"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _every(values: Any) -> list[Any] | None:
    """All that a list or a range can give, in their order; None of a range without steps, or of very many."""
    if isinstance(values, list):
        return values
    step = values.get("step", 1 if _whole(values) else None)
    count = 0 if step is None else int((values["high"] - values["low"]) / step + 1e-9) + 1
    return [values["low"] + number * step for number in range(count)] if 0 < count <= _MOST_TRIED else None


def _suggest(trial: Trial, name: str, values: Any) -> Any:
    if isinstance(values, list):
        # Optuna's choices are scalars: a list of kernel sizes is chosen by its place.
        return values[trial.suggest_categorical(name, range(len(values)))]
    low, high, log = values["low"], values["high"], bool(values.get("log"))
    if _whole(values):
        return trial.suggest_int(name, low, high, step=values.get("step", 1), log=log)
    return trial.suggest_float(name, low, high, step=values.get("step"), log=log)


def _told(setting: tuple[str, Any]) -> str:
    name, values = setting
    if isinstance(values, list):
        return f"{name} of {', '.join(map(str, values))}"
    first = f", {values['first']} first" if "first" in values else ""
    how = (
        " on a logarithmic scale" if values.get("log") else f" in steps of {values['step']}" if "step" in values else ""
    )
    return f"{name} from {values['low']} to {values['high']}{how}{first}"
