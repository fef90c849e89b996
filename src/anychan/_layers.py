"""As how many layers a network is counted by its author: ``models/layers.yaml``, read without making any."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

_DEPTH = "depth"


def authors_layers(model: str, options: Mapping[str, Any] | None = None, depth: int | None = None) -> int | None:
    """The author's count of a network's layers; None where none is known.

    Args:
        model: by the name that `create_model` knows it by.
        options: its own.
        depth: its weighted layers on the longest path, which some authors count; None: not known.

    Example:
        >>> authors_layers("ghost2"), authors_layers("patch_transformer", {"layers": 3}), authors_layers("wide6", {}, 6)
        (2, 3, 6)
    """
    counted = _counted().get(model)
    if isinstance(counted, Mapping):
        ((option, default),) = counted.items()
        found: int = (options or {}).get(option, default)
        return found
    return depth if counted == _DEPTH else counted


def layers_words(model: str, options: Mapping[str, Any] | None, depth: int | None) -> str:
    """A network's depth beside its author's count, as far as they are known.

    Example:
        >>> layers_words("ghost2", None, 16), layers_words("ghost2", None, None), layers_words("vgg11", None, None)
        ('depth 16, its author counts 2', 'its author counts 2', '')
    """
    counted = authors_layers(model, options, depth)
    said = [f"depth {depth}"] if depth is not None else []
    return ", ".join([*said, *([f"its author counts {counted}"] if counted is not None else [])])


@cache
def _counted() -> Mapping[str, Any]:
    import yaml

    found: Mapping[str, Any] = yaml.safe_load(
        files("anychan").joinpath("models", "layers.yaml").read_text(encoding="utf-8")
    )
    return found
