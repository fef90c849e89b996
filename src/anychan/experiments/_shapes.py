"""What the parts of a study's file must be: what has another shape is refused by its name before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, get_args

from anychan.experiments.completing import Costs
from anychan.training.config_groups import check


def check_shapes(part: Any) -> None:
    """Of a study, or of one of its searches or runs, whose settings are checked elsewhere.

    Raises:
        ValueError: for a field that is not what it should be.
    """
    for field in fields(part):
        value = getattr(part, field.name)
        holds, allowed = _SHAPES[field.name]
        check(field.name, value, (value is None and field.default is None) or holds(value), allowed)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _are_names(value: Any) -> bool:
    return _is_list(value) and all(isinstance(name, str) for name in value)


def _are_seeds(value: Any) -> bool:
    return _is_list(value) and all(map(_is_whole, value)) and 0 < len(value) == len(set(value))


_Shape = tuple[Callable[[Any], bool], str]
_NAMED: _Shape = (lambda value: isinstance(value, Mapping), "given by names")
_NAMES: _Shape = (_are_names, "a list of names, such as [rates]")
_TEXT: _Shape = (lambda value: isinstance(value, str), "a text, which quotes make of a number or a date")
_SHAPES: Mapping[str, _Shape] = {
    "runs": _NAMED,
    "searches": _NAMED,
    "settings": _NAMED,
    "space": _NAMED,
    "tuned_by": _NAMES,
    "tuned": _NAMES,
    "taught_by": _TEXT,
    "starts_from": _TEXT,
    "title": _TEXT,
    "split": _TEXT,
    "seeds": (_are_seeds, "a list of whole numbers, one at least and each once"),
    "seed": (_is_whole, "a whole number"),
    "trials": (lambda value: _is_whole(value) and value >= 1, "a whole number, 1 or more"),
    "flips": (lambda value: isinstance(value, bool), "true or false"),
    "cost": (lambda value: value in get_args(Costs), " or ".join(get_args(Costs))),
}
