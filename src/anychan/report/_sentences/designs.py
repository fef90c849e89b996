"""The designs among the runs: each strategy and each network, what it is, its theory, its source, a drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from anychan._plain import PLAIN
from anychan.report._charts.layers import LayerLike, layers_drawing
from anychan.report._charts.stems import mechanism_drawing
from anychan.report._reading.docstrings import (
    Theory,
    networks,
    networks_of_plugins,
    strategies,
    strategies_of_plugins,
)
from anychan.report._reading.records import Cost, Run
from anychan.report._sentences import numbers as fmt

Layers = Callable[[Mapping[str, Any]], Sequence[LayerLike]]

_MOST_LAYERS = 30  # of a network that is drawn layer by layer
_ORDINARY = Theory(
    "", "An ordinary convolution: one kernel, for the channels that it was trained on.", (), (
        ("Fails", "where a channel is missing: it is answered only with the missing planes filled in."),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Design:
    """A strategy or a network among the runs.

    ``drawings`` are figures with their captions; ``runs`` the names of those that use it; ``missing`` says what is not
    drawn, and why.
    """

    kind: str
    name: str
    theory: Theory
    facts: str
    runs: tuple[str, ...]
    drawings: tuple[tuple[Markup, str], ...]
    missing: str = ""


def designs(runs: Sequence[Run], split: str | None, layers: Layers | None) -> list[Design]:
    """Every strategy among the runs, then every network, in the order in which they are met.

    Args:
        runs: a row each.
        split: whose evaluations say what a network costs.
        layers: lists the layers of a network of ours by its ``model.json``; None: none are drawn.
    """
    by_strategy: dict[str, list[Run]] = {}
    by_network: dict[str, list[Run]] = {}
    for run in runs:
        by_strategy.setdefault(run.strategy or PLAIN, []).append(run)
        architecture = _architecture(run)
        known = networks().get(architecture)
        by_network.setdefault(known.module if known else architecture, []).append(run)
    found = [_of_strategy(name, same) for name, same in by_strategy.items()]
    return found + [_of_network(same, split, layers) for same in by_network.values()]


def _of_strategy(name: str, runs: Sequence[Run]) -> Design:
    """A strategy before a run's body, drawn once for options that make no difference to the drawing."""
    known = _ORDINARY if name == PLAIN else strategies().get(name) or strategies_of_plugins().get(name)
    drawings: dict[Markup, tuple[Markup, str]] = {}
    for run in runs:
        channels = [str(channel["name"]) for channel in run.model.get("channels") or []] or _evaluated_channels(run)
        if not channels:
            continue
        options = run.model.get("strategy_options") or {}
        body, classes = _architecture(run), run.model.get("num_classes")
        alike = mechanism_drawing("RGB", name, options, "", None)
        drawing = mechanism_drawing(channels, name, options, body, classes if isinstance(classes, int) else None)
        drawings.setdefault(alike, (drawing, f"{name} in front of {body}{_made_with(options)}."))
    return Design(
        "stem",
        name,
        known
        or Theory("", "A strategy of another package or of the user's own: no module of it was found here.", (), ()),
        "",
        tuple(one.name for one in runs),
        tuple(drawings.values()),
        "" if drawings else "It is not drawn: its record names no channels.",
    )


def _of_network(runs: Sequence[Run], split: str | None, layers: Layers | None) -> Design:
    """Networks of one module, drawn each with the options that it was made with."""
    names = list(dict.fromkeys(_architecture(run) for run in runs))
    drawings: dict[str, tuple[Markup, str]] = {}
    missing: list[str] = []
    sizes: dict[str, list[str]] = {}
    for run in runs:
        options = run.model.get("model_options") or {}
        key = f"{_architecture(run)}{options or ''}"
        if cost := _cost(run, split):
            sizes.setdefault(_size(cost), []).append(run.name)
        if key in drawings or layers is None or _architecture(run) not in networks():
            continue
        try:
            listed = layers(run.model)
        except ValueError as error:
            missing.append(f"The layers of {run.name} could not be listed: {error}.")
            continue
        planes, size = len(run.model.get("channels") or ()), run.model.get("image_size")
        if listed and len(listed) <= _MOST_LAYERS and planes and isinstance(size, int):
            drawing = layers_drawing(_architecture(run), listed, planes, size)
            caption = f"Layers of {_architecture(run)}{_made_with(options)}, in the order in which they run."
            drawings[key] = (drawing, caption)
    known = networks().get(names[0]) or networks_of_plugins().get(names[0])
    return Design(
        "network",
        fmt.listing(names),
        known or Theory("", "A network of timm, of another package or of the user's own, taken as it is.", (), ()),
        "; ".join(f"{size} ({fmt.listing(of)})" if len(runs) > 1 else size for size, of in sizes.items()),
        tuple(run.name for run in runs),
        tuple(drawings.values()),
        " ".join(dict.fromkeys(missing)),
    )


def _made_with(options: Mapping[str, Any]) -> str:
    return f", made with {fmt.listing([f'{name} {value}' for name, value in options.items()])}" if options else ""


def _size(cost: Cost) -> str:
    facts = [
        f"{cost.depth} weighted layers on the longest path" if cost.depth else "",
        f"{fmt.scaled(cost.parameters)} parameters" if cost.parameters else "",
        f"{fmt.scaled(cost.macs)} MACs an image of {cost.image_size}×{cost.image_size}" if cost.macs else "",
    ]
    return ", ".join(fact for fact in facts if fact)


def _cost(run: Run, split: str | None) -> Cost | None:
    """Of the run on all its channels."""
    evaluation = run.on(split)
    full = evaluation.full if evaluation else None
    return full.cost if full else None


def _architecture(run: Run) -> str:
    return run.architecture or run.name


def _evaluated_channels(run: Run) -> list[str]:
    return next((list(evaluation.channels.names) for evaluation in run.evaluations.values()), [])
