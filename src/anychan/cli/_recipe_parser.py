"""jsonargparse's parser of a run's settings, with help and errors in the words of the command line, not of Python."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from anychan.cli._common import one_line

# What jsonargparse says of options that it adds itself.
_GROUP = "Path to a configuration file."
_PRINT = "print_config"


class RecipeParser(ArgumentParser):
    """Options are shown with hyphens, where jsonargparse spells them as Python spells fields."""

    def format_help(self) -> str:
        return _hyphenated(super().format_help().replace(" \b", ""))  # jsonargparse's way to hide a space

    def error(self, message: str, ex: Exception | None = None) -> Any:
        self.exit(2, f"anychan: error: {_hyphenated(one_line(message))}\n")


class RecipeFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """jsonargparse's help with the examples' line breaks, choices and defaults as they are typed, and no types."""

    def _get_type_str(self, action: argparse.Action) -> None:
        """No type: it is Python's."""

    def _get_help_string(self, action: argparse.Action) -> str:
        if action.dest == _PRINT:
            return "print the recipe that the options come to, and stop; =skip_default: without what is as usual"
        said = (super()._get_help_string(action) or "").replace("%(default)s", _typed(action.default))
        return said.replace(_GROUP, "a YAML file of the settings below").replace("``", "")

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        choices = _choices(getattr(action, "_typehint", None))
        return f"{{{','.join(choices)}}}" if choices else super()._get_default_metavar_for_optional(action)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        # A list's second name, which adds to a recipe's list.
        return re.sub(r", --[\w.]+\+ .*", "", super()._format_action_invocation(action))


def _choices(kind: Any) -> list[str]:
    """The words that a type allows; none where it allows others too.

    Example:
        >>> _choices(Literal["auto"] | bool), _choices(Literal["equal"] | float)
        (['auto', 'true', 'false'], [])
    """
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    if get_origin(kind) in (Union, UnionType):
        parts = [_choices(part) for part in get_args(kind)]
        return [word for part in parts for word in part] if all(parts) else []
    return ["true", "false"] if kind is bool else ["null"] if kind is NoneType else []


def _typed(value: Any) -> str:
    """A value as the command line and YAML have it."""
    return str(value) if isinstance(value, str | Path) else json.dumps(value)


def _hyphenated(text: str) -> str:
    return re.sub(r"--[a-z][\w.]*|key \"[\w.]+\"", lambda option: option[0].replace("_", "-"), text)
