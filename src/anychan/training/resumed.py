"""A run that is there already: what of it is asked for otherwise, and what trained it: maybe another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anychan.training.config import TrainConfig, differences

_ENVIRONMENT = ("versions", "commit", "dirty", "hardware")


def changes(known: Mapping[str, Any], config: TrainConfig, weights: Mapping[str, str], other: str) -> list[str]:
    """What is asked for otherwise than a run was trained, of what tells its weights, but for the images.

    ``known`` is what its run.json or its checkpoint says, ``weights`` what ``weights_taken`` gives now, ``other`` is
    said of those that are not the same.

    Raises:
        ValueError: for a run of settings that there are none of, as another version's.

    Example:
        >>> from pathlib import Path
        >>> config = TrainConfig(data="a.zip", out=Path("runs/a"))
        >>> known = {"config": {**config.to_dict(), "epochs": 12}, "weights": {"initial": "0ae9"}}
        >>> changes(known, config, {}, "another model")
        ['epochs: 12 -> 10', 'initial: another model']
    """
    before = known.get("weights", {})
    try:
        trained = TrainConfig.from_dict(known["config"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"{config.out} was trained with settings that this version does not have: {error}") from error
    return [
        *differences(trained.to_dict(), config.to_dict()),
        *(f"{name}: {other}" for name in {**before, **weights} if before.get(name) != weights.get(name)),
    ]


def other_images(split: str) -> str:
    """What is said of a split whose images are not those that a run was trained with."""
    return f"data: other {split} images, or read otherwise"


def earlier_parts(record: Mapping[str, Any], done: tuple[int, int], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts of a run that are done and were trained in another environment than what comes next.

    Args:
        record: what its run.json says so far; empty where there is none.
        done: the epochs that are done, and the steps in the next.
        now: the environment in which the run goes on.

    Returns:
        Of each part its environment, as far as it is known, and ``epochs`` and ``step``, how far it came. What no
        checkpoint kept is left out.

    Example:
        >>> earlier_parts({"commit": "a"}, (2, 0), {"commit": "b"})
        [{'commit': 'a', 'epochs': 2, 'step': 0}]
        >>> earlier_parts({"commit": "b"}, (2, 0), {"commit": "b"})
        []
    """
    last = {**_environment(record), "epochs": done[0], "step": done[1]}
    parts: list[dict[str, Any]] = []
    came = (0, 0)
    for part in (*record.get("resumed_from", ()), last):
        end = min((part["epochs"], part["step"]), done)
        if end > came:
            parts.append({**part, "epochs": end[0], "step": end[1]})
            came = end
    return parts[:-1] if parts and _environment(parts[-1]) == _environment(now) else parts


def told(parts: list[dict[str, Any]], now: Mapping[str, Any]) -> str:
    """Which epochs were trained in another environment, and in what it differs from today's; "" where none were.

    Example:
        >>> told([{"commit": "a", "epochs": 2, "step": 3}], {"commit": "b"})
        'trained in another environment: epochs 1 to 2 and 3 steps (commit: a -> b)'
    """
    said = []
    for first, part in with_first_epochs(parts):
        changed = "; ".join(differences(_environment(part), _environment(now)))
        said.append(f"{epochs_words(part, first)} ({changed})")
    return f"trained in another environment: {'; '.join(said)}" if said else ""


def with_first_epochs(parts: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """Parts with the epoch that each began in."""
    return [(1 if i == 0 else parts[i - 1]["epochs"] + 1, part) for i, part in enumerate(parts)]


def epochs_words(part: Mapping[str, Any], first: int) -> str:
    """The epochs of a part that began in epoch ``first``.

    Example:
        >>> epochs_words({"epochs": 4, "step": 0}, 1), epochs_words({"epochs": 4, "step": 7}, 4)
        ('epochs 1 to 4', 'epoch 4 and 7 steps')
    """
    epochs, step = part["epochs"], part["step"]
    steps = f"{step} step{'' if step == 1 else 's'}" if step else ""
    whole = "" if epochs < first else f"epoch {first}" if epochs == first else f"epochs {first} to {epochs}"
    return " and ".join(filter(None, (whole, steps))) if whole else f"{steps} of epoch {first}"


def _environment(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in _ENVIRONMENT if name in record}
