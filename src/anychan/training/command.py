"""The command line that gives a configuration, free of torch."""

from __future__ import annotations

import dataclasses
import json
import shlex
from typing import Any

from anychan.training.config import TrainConfig


def command_line(config: TrainConfig, command: str = "train") -> str:
    """The ``anychan train`` command that gives this configuration, without what has its default value.

    Args:
        config: of the run.
        command: another one that takes these options.

    Example:
        >>> from pathlib import Path
        >>> command_line(TrainConfig(data="my photographs.zip", out=Path("runs/a"), epochs=3))
        "anychan train --data 'my photographs.zip' --out runs/a --epochs 3"
    """
    words = ["anychan", command]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            for inner in dataclasses.fields(value):
                words += _option(config, f"{field.name}.{inner.name}", getattr(value, inner.name))
        elif field.name != "resume":
            words += _option(config, field.name, value)
    return shlex.join(words)


def _option(config: TrainConfig, name: str, value: Any) -> list[str]:
    if value == config.choice(name):
        return []
    structured = isinstance(value, dict | list | tuple | bool) or value is None
    return [f"--{name.replace('_', '-')}", json.dumps(value) if structured else str(value)]
