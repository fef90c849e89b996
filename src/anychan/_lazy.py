"""Public names that are imported when they are first asked for.

So ``anychan --help`` need not wait for torch, which takes a second, nor a configuration for what it configures.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazily(package: str, public: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__`` (PEP 562).

    Args:
        package: its ``__name__``.
        public: where each of its public names is found: the name, and the module that defines it.

    Example:
        >>> get, _ = lazily("anychan", {"OrderedDict": "collections"})
        >>> get("OrderedDict").__module__
        'collections'
    """

    def get(name: str) -> Any:
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(public[name]), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *public})

    return get, names
