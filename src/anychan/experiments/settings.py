"""Settings of a run as people write them: in groups or dotted, some only, the rest by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from anychan.training.config import TrainConfig

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_OPTIONS = ("model_options", "strategy_options")


def merged(*settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings put together, the later before the earlier, group by group; empty options are none.

    Raises:
        ValueError: for a group that one of them takes for a single setting, and a later one for a group.

    Example:
        >>> merged({"model_options.width": 6}, {"model_options": {}})
        {'model_options': {}}
        >>> merged({"epochs": 10, "optimizer": {"name": "sgd"}}, {"optimizer.learning_rate": 0.1, "epochs": 2})
        {'epochs': 2, 'optimizer': {'name': 'sgd', 'learning_rate': 0.1}}
    """
    together: dict[str, Any] = {}
    for some in settings:
        for name, value in some.items():
            group, _, rest = str(name).partition(".")
            given = {rest: value} if rest else value
            known = together.get(group)
            if rest and group in together:
                _check_group(group, known)
            if isinstance(given, Mapping) and (given or group not in _OPTIONS):
                together[group] = merged(known if isinstance(known, Mapping) else {}, given)
            else:
                together[group] = given
    return together


def says(settings: Mapping[str, Any], name: str) -> bool:
    """Whether settings, in groups or dotted, say one of a dotted name.

    Example:
        >>> says({"optimizer": {"name": "sgd"}}, "optimizer.name"), says({"optimizer.name": "sgd"}, "optimizer")
        (True, True)
        >>> says({"optimizer.name": "sgd"}, "optimizer.momentum")
        False
    """
    place: Any = merged(settings)
    for part in name.split("."):
        if not isinstance(place, Mapping) or part not in place:
            return False
        place = place[part]
    return True


def configuration(settings: Mapping[str, Any]) -> TrainConfig:
    """The run that nested settings describe, read as the command line reads a recipe.

    Raises:
        ValueError: for a setting that a run does not have, or a value that it cannot have.

    Example:
        >>> configuration({"data": "a.zip", "out": "runs/a", "optimizer": {"learning_rate": "2e-3"}}).optimizer.rate
        0.002
    """
    from jsonargparse import ArgumentError

    parser = _parser()
    try:
        return TrainConfig(**vars(instantiated(parser, parser.parse_object(dict(settings)))))
    except ArgumentError as error:
        raise ValueError(" ".join(str(error).split())) from error


@cache
def _parser() -> ArgumentParser:
    """Made once: it takes longer than what it reads."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(TrainConfig)
    return parser


def instantiated(parser: ArgumentParser, told: Namespace) -> Namespace:
    """What a parser of a run's settings has read, its groups made.

    Raises:
        ValueError: for a setting or a group with nothing behind its name, which parsers let pass.
    """
    check_groups(told)
    for name, kind in _types(TrainConfig).items():
        _check_given(name, told[name], kind)
    return parser.instantiate(told)


def check_groups(told: Namespace) -> None:
    """Refuse a group of settings that is none; ValueError."""
    for field in fields(TrainConfig):
        if field.default_factory is not MISSING:
            _check_group(field.name, told[field.name])


def _check_given(name: str, value: Any, kind: Any) -> None:
    """Refuse None for what cannot be it, also within a group."""
    if value is None and type(None) not in get_args(kind):
        raise ValueError(f"{name} has no value: give it one, or leave it out")
    if isinstance(kind, type) and is_dataclass(kind):
        for inner, its_kind in _types(kind).items():
            if inner in value:
                _check_given(f"{name}.{inner}", value[inner], its_kind)


@cache
def _types(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _check_group(name: str, value: Any) -> None:
    if not hasattr(value, "items"):  # which a mapping has, and a parser's namespace
        raise ValueError(f"{name} {value!r} must be settings by their names, or left out")
