"""The command line that gives a configuration, free of torch."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

from anychan.training.config import TrainConfig


def command_line(config: TrainConfig, command: str = "train") -> str:
    """The ``anychan train`` command that gives this configuration, without what has its default value.

    Args:
        config: of the run.
        command: another one that takes these options.

    Example:
        >>> command_line(TrainConfig(data="my photographs.zip", out=Path("runs/a"), epochs=3))
        "anychan train --data 'my photographs.zip' --out runs/a --epochs 3"
    """
    # What is left to "auto" follows from the strategy, so the other defaults are those beside it.
    default = TrainConfig(data="", out=Path(), strategy=config.strategy)
    words = ["anychan", command]
    for field in dataclasses.fields(config):
        value, usual = getattr(config, field.name), getattr(default, field.name)
        if field.name == "strategy":
            usual = field.default
        if dataclasses.is_dataclass(value):
            for inner in dataclasses.fields(value):
                words += _option(f"{field.name}.{inner.name}", getattr(value, inner.name), getattr(usual, inner.name))
        elif field.name != "resume":
            words += _option(field.name, value, usual)
    return shlex.join(words)


def _option(name: str, value: Any, usual: Any) -> list[str]:
    if value == usual:
        return []
    structured = isinstance(value, dict | list | tuple | bool) or value is None
    return [f"--{name.replace('_', '-')}", json.dumps(value) if structured else str(value)]
