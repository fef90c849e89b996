"""Settings as records: how they are kept, and what of two would give other weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anychan.training.setting_roles import BY_CONTENT, MACHINE, PLACE, WATCHED

# Settings that a run may be resumed with others of: the data too are compared by content, the device and what follows
# from it by what was chosen, not by what was asked for.
_NEUTRAL = PLACE | MACHINE | WATCHED | BY_CONTENT


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of two ``TrainConfig.to_dict`` records would give other weights, as lines "name: before -> now".

    Left out are where things lie (data, out, cache_dir), when checkpoints are written, and the device with what
    follows from it: a run may go on with others.

    Example:
        >>> from anychan.training import TrainConfig
        >>> config = TrainConfig(data="a.zip", out=Path("runs/a")).to_dict()
        >>> differences(config, {**config, "out": "runs/b", "epochs": 12, "strategy_options": {"drop": 0.5}})
        ['epochs: 10 -> 12', 'strategy_options.drop: None -> 0.5']
    """
    flat_before, flat_now = _flat(before), _flat(now)
    names = [name for name in {**flat_before, **flat_now} if name not in _NEUTRAL]
    return [
        f"{name}: {flat_before.get(name)} -> {flat_now.get(name)}"
        for name in names
        if flat_before.get(name) != flat_now.get(name)
    ]


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def jsonable(value: Any) -> Any:
    """Settings as JSON and YAML can hold them: paths as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(name): jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return str(value) if isinstance(value, Path) else value
