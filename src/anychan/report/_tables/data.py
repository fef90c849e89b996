"""What the data of a run were, and with what it can be made again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from anychan.channels import ChannelSet
from anychan.report._reading.parts import commit_words, epochs_of_earlier_parts
from anychan.report._reading.records import Run
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.table import Cell, Column, Group, Table


def datasets(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What the templates need of the data, once for all runs that had the same."""
    found: list[dict[str, Any]] = []
    for run in runs:
        data = {
            "facts": data_facts(run),
            "statistics": statistics_table(run),
            "skipped": [tuple(map(str, pair)) for pair in run.record.get("skipped") or []],
        }
        same = next((known for known in found if all(known[key] == data[key] for key in data)), None)
        if same is None:
            found.append(data | {"runs": [run.name]})
        else:
            same["runs"].append(run.name)
    return found


def data_facts(run: Run) -> list[tuple[str, str]]:
    """The data set's description, as pairs of a name and a text."""
    data = run.record.get("data")
    return _flat(data) if isinstance(data, Mapping) else []


def statistics_table(run: Run) -> Table | None:
    """Mean, standard deviation and correlations of the training pixels, a row a channel.

    Raises:
        ValueError: if means or covariances are not those of the channels.
    """
    record = run.record.get("statistics")
    if not record:
        return None
    try:
        channels = ChannelSet(str(channel["name"]) for channel in record["channels"])
        means = [float(mean) for mean in record["mean"]]
        covariance = [[float(value) for value in row] for row in record["covariance"]]
        stds = [math.sqrt(covariance[i][i]) for i in range(len(channels))]
        rows = [
            (
                Cell(name),
                _measured(means[i]),
                _measured(stds[i]),
                *(Cell(_correlation(covariance[i][j], stds[i] * stds[j])) for j in range(len(channels))),
            )
            for i, name in enumerate(channels.names)
        ]
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f"{run.folder / 'run.json'}: statistics are not readable ({error!r})") from error
    count = f" over {fmt.count(record['count'])} pixels" if isinstance(record.get("count"), int) else ""
    columns = (
        Column("channel", numeric=False),
        Column("mean", "pixel value on a scale of 0 to 1, or as it was measured"),
        Column("std", "standard deviation on the same scale"),
        *(Column(f"r with {name}", "correlation of the two channels") for name in channels.names),
    )
    return Table(f"Channels of the training images{count}.", columns, (Group("", tuple(rows)),))


def versions_table(run: Run) -> list[tuple[str, str]]:
    """What a run was made with, as pairs: status, commit, seed, versions, hardware."""
    record = run.record
    facts = [
        ("status", run.status),
        ("started", str(record.get("started") or "not recorded")),
        ("seed", "not recorded" if run.seed is None else str(run.seed)),
        ("commit", commit_words(record)),
        *_made_with(record),
    ]
    for epochs, part in epochs_of_earlier_parts(record):
        others = [f"{name} {text}" for name, text in _made_with(part) if (name, text) not in facts]
        facts.append((f"{epochs} by", "; ".join([f"commit {commit_words(part)}", *others])))
    return facts


def _made_with(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    return _flat(record.get("hardware") or {}) + _flat(record.get("versions") or {})


def _flat(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A record as pairs of a dotted name and a text; what is None or "" was not there and is left out."""
    facts: list[tuple[str, str]] = []
    for name, value in record.items():
        if isinstance(value, Mapping):
            facts += _flat(value, f"{prefix}{name}: ")
        elif value not in (None, ""):
            facts.append((f"{prefix}{name.removesuffix('_bytes')}".replace("_", " "), _text(name, value)))
    return facts


def _text(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text("", item) for item in value)
    if name.endswith("bytes") and isinstance(value, int):
        return f"{value / 2**30:.1f} GiB"
    return fmt.count(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _measured(value: float) -> Cell:
    """A pixel value with four decimals, or with three figures where these show fewer, as of small reflectances."""
    return Cell(f"{value:.3g}" if 0 < abs(value) < 0.01 else f"{value:.4f}")


def _correlation(covariance: float, scale: float) -> str:
    return f"{covariance / scale:.3f}" if scale else ""
