"""The strategies by name: how a convolution for any channels comes by its kernels."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, TypeVar

import torch

from anychan._plugins import load_plugins
from anychan.nn._contract import AnyChannelConv2d

_STRATEGIES: dict[str, type[AnyChannelConv2d]] = {}
Strategy = TypeVar("Strategy", bound=type[AnyChannelConv2d])


def register_strategy(name: str) -> Callable[[Strategy], Strategy]:
    """Class decorator that makes a strategy known by ``name``.

    Raises:
        ValueError: if the name is taken, or an option of the strategy's own has no default: by name alone, as
            ``--strategy name`` and the lists make it, it could not be made.
    """

    def register(strategy: Strategy) -> Strategy:
        if name in _STRATEGIES:
            raise ValueError(f"strategy {name!r} is registered already, as {_STRATEGIES[name].__qualname__}")
        if needed := _needed(strategy):
            raise ValueError(f"strategy {name!r} has options without a default, {', '.join(needed)}: give each one")
        _STRATEGIES[name] = strategy
        return strategy

    return register


def _needed(strategy: type[AnyChannelConv2d]) -> list[str]:
    """Options without a default, but for the channels' covariance, which is given where a strategy uses statistics."""
    taken = signature(strategy).parameters
    given = {"covariance"} if strategy.uses_statistics else set()
    return [name for name in own_options(strategy) if taken[name].default is Parameter.empty and name not in given]


def list_strategies() -> list[str]:
    """Names of all strategies, sorted, those of plug-ins (`anychan._plugins`) among them."""
    load_plugins()
    return sorted(_STRATEGIES)


def get_strategy(name: str) -> type[AnyChannelConv2d]:
    """The class behind a name; ValueError naming the strategies and the broken plug-ins that exist if there is none."""
    if name not in _STRATEGIES and name not in list_strategies():
        there = f"unknown strategy {name!r}; there are {', '.join(list_strategies())}"
        raise ValueError("; ".join([there, *load_plugins()]))
    return _STRATEGIES[name]


def own_options(strategy: type[AnyChannelConv2d]) -> list[str]:
    """Names of the options that a strategy takes besides those of every any-channel convolution, in its order.

    Example:
        >>> own_options(get_strategy("sliced"))
        ['selection', 'at_test', 'rescale']
    """
    of_all = signature(AnyChannelConv2d).parameters
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return [name for name, its in signature(strategy).parameters.items() if its.kind in named and name not in of_all]


def describe_strategies() -> list[dict[str, Any]]:
    """What each strategy is and what it promises with its default options, sorted by name.

    Returns:
        Records that JSON can hold: ``name``, the ``summary`` with which its file begins, and each of `Promises`.

    Example:
        >>> {record["name"]: record["foldable"] for record in describe_strategies()}["sliced"]
        True
    """
    return [
        {"name": name, "summary": _summary(name, strategy), **dataclasses.asdict(_small(strategy).promises)}
        for name, strategy in ((name, _STRATEGIES[name]) for name in list_strategies())
    ]


def _small(strategy: type[AnyChannelConv2d]) -> AnyChannelConv2d:
    """A convolution of red, green and blue with default options, as it answers; torch's random state stays."""
    needed: dict[str, Any] = {"covariance": torch.eye(3)} if strategy.uses_statistics else {}
    with torch.random.fork_rng(devices=()):
        return strategy(3, 32, 4, channels="RGB", **needed).eval()


def _summary(name: str, strategy: type[AnyChannelConv2d]) -> str:
    """The first sentence of the strategy's file, without the name that it begins with."""
    text = sys.modules[strategy.__module__].__doc__ or ""
    sentence = " ".join(re.split(r"\.\s", text.strip() + "\n")[0].split())
    title, colon, rest = sentence.partition(": ")
    return rest if colon and title.lower().replace(" ", "_") == name else sentence
