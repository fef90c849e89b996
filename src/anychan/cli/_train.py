"""``anychan train``: its options are the fields of TrainConfig, read by jsonargparse from the command line and YAML."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from anychan.cli._common import Command, Parser, new_parser, one_line


def parsed_train(name: str, command: Command, words: list[str]) -> Any:
    """The options that ``words`` give, TrainConfig's fields among them."""
    parser: Any = _train_parser(name, command)
    command.options(parser)
    words = _underscored(words)
    if name == "sweep" and any(word.partition("=")[0] == "--resume" for word in words):
        parser.error("--resume is not for a search, which always goes on where it stopped")
    try:
        told = parser.parse_args(words)
    except RecursionError as error:
        raise ValueError(f"{', '.join(_recipes(words)) or 'an option'} is nested too deep to be read") from error
    from anychan.experiments.settings import check_groups, instantiated  # help does not wait for it

    options = instantiated(parser, told)
    if told.config:
        here = {word.partition("=")[0].removeprefix("--") for word in words if word.startswith("--")}
        needed = [f"--{name}={told[name]}" for name in ("data", "out", "space") if name in told]
        recipe = parser.parse_args([*needed, *(f"--config={path}" for path in told.config)])
        check_groups(recipe)  # else one that is none would be lost under an option of the group
        _compare(partial(instantiated, parser, recipe), options, here)
    return options


def _recipes(words: Sequence[str]) -> list[str]:
    """The files that ``--config`` names."""
    pairs = zip(words, [*words[1:], ""], strict=True)
    return [word.partition("=")[2] or after for word, after in pairs if word.partition("=")[0] == "--config"]


def _compare(recipe: Callable[[], Any], options: Any, here: set[str]) -> None:
    """Say what of a recipe stays as it is, though what it followed from is another on the command line.

    Args:
        recipe: gives what is read from the recipe alone.
        options: what is read with the command line.
        here: settings of the command line.
    """
    from anychan.training.config import kept_choices

    try:
        kept = kept_choices(_configuration(recipe()), _configuration(options))
    except ValueError:  # half a recipe, which the command line completes; or settings that are refused when it runs
        return
    warn_of_kept(options.config, {name: values for name, values in kept.items() if name not in here})


def warn_of_kept(recipes: Sequence[Any], kept: Mapping[str, tuple[Any, Any]]) -> None:
    """Say on one line which settings of recipes stay; see `kept_choices`."""
    if kept and os.environ.get("RANK", "0") == "0":
        files = ", ".join(map(str, recipes))
        there = ", ".join(f"{name} {value}" for name, (value, _) in kept.items())
        other = ", ".join(str(value) for _, value in kept.values())
        print(f"anychan: warning: {files} gives {there}, which stays; not given, it would be {other}", file=sys.stderr)


def _configuration(options: Any) -> Any:
    from anychan.training.config import TrainConfig

    return TrainConfig(**{field.name: getattr(options, field.name) for field in dataclasses.fields(TrainConfig)})


def _train_parser(name: str, command: Command) -> Parser:
    from anychan.cli._recipe_parser import RecipeFormatter, RecipeParser  # other commands do not wait for jsonargparse

    parser = new_parser(RecipeParser, name, command)
    parser.usage = f"anychan {name} --data DATA --out RUN [--config RECIPE.yaml] [options]"
    parser.formatter_class = RecipeFormatter
    return parser


def train_options(parser: Any) -> None:
    from anychan.training.config import TrainConfig

    parser.add_argument("--config", action="config", help="a recipe: YAML of any of the options below")
    parser.add_class_arguments(TrainConfig)


def _train(options: Any) -> int:
    config = _configuration(options)
    check_data_is_there(config.data)
    from anychan.training import InterruptedRunError, TrainingStoppedError, train

    try:
        run = train(config)
    except TrainingStoppedError as stop:
        print(f"anychan: {one_line(stop)}", file=sys.stderr)
        return 130 if isinstance(stop, InterruptedRunError) else 1
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        print(run)
    return 0


def check_data_is_there(data: str) -> None:
    """What takes no time to find out, before torch and the rest are imported.

    Raises:
        FileNotFoundError: if there is nothing of that name.
    """
    from anychan.data.sources import open_source

    if data.partition(":")[0] != "synthetic" and not Path(data).exists():
        open_source(Path(data))  # which says so


def _underscored(words: list[str]) -> list[str]:
    """``--early-stopping.patience=3`` as jsonargparse reads it, and ``--resume`` alone as ``--resume true``."""
    from anychan.training.config import TrainConfig

    flags = {f"--{field.name}" for field in dataclasses.fields(TrainConfig) if field.type in ("bool", bool)}
    read: list[str] = []
    for i, word in enumerate(words):
        if not word.startswith("--"):
            read.append(word)
            continue
        name, equals, value = word.partition("=")
        name = "--" + name[2:].replace("-", "_")
        alone = not equals and "".join(words[i + 1 : i + 2]).lower() not in ("true", "false")
        read.append(f"{name}=true" if name in flags and alone else name + equals + value)
    return read


TRAIN = Command(
    "train one network on labelled images",
    """anychan train --data photographs.zip --out runs/plain --epochs 10
anychan train --data photographs.zip --out runs/any --strategy completed
anychan train --config runs/any/config.yaml --out runs/again --seed 1 --optimizer.learning-rate 5e-4
anychan train --config runs/any/config.yaml --resume
torchrun --standalone --nproc-per-node 2 -m anychan train --data photographs.zip --out runs/two""",
    train_options,
    _train,
)
