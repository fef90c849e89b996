"""The strategies by name: how a convolution for any channels comes by its kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anychan.nn._contract import AnyChannelConv2d

_STRATEGIES: dict[str, type[AnyChannelConv2d]] = {}
Strategy = TypeVar("Strategy", bound=type[AnyChannelConv2d])


def register_strategy(name: str) -> Callable[[Strategy], Strategy]:
    """Class decorator that makes a strategy known by ``name``; ValueError if the name is taken."""

    def register(strategy: Strategy) -> Strategy:
        if name in _STRATEGIES:
            raise ValueError(f"strategy {name!r} is registered already, as {_STRATEGIES[name].__qualname__}")
        _STRATEGIES[name] = strategy
        return strategy

    return register


def list_strategies() -> list[str]:
    """Names of all strategies, sorted."""
    return sorted(_STRATEGIES)


def get_strategy(name: str) -> type[AnyChannelConv2d]:
    """The class behind a name; ValueError naming the strategies that exist if there is none."""
    if name not in _STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}; there are {', '.join(list_strategies())}")
    return _STRATEGIES[name]
