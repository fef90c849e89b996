"""An ablation's record as lines for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anychan._columns import columns, points
from anychan.experiments._machine import machine_of
from anychan.experiments.settings import merged


def ablation_table(record: Mapping[str, Any]) -> str:
    """An ablation's record as lines for people; accuracies and differences in percent."""
    further = _further_columns(record["rows"])
    rows = [("change", "all", "difference", "", "subsets", "difference", "", *further, "")]
    for row in record["rows"]:
        said = [*_fewer(row, record), *(f"seed {s} failed: {error}" for s, error in row["errors"].items())]
        failed = "; ".join([*said, *(f"cost not measured: {row[key]}" for key in ("cost_error",) if key in row)])
        full, mean = (_told(row.get(f"difference_{what}")) for what in ("full", "mean"))
        more = (tell(row) for tell in further.values())
        rows.append((row["name"], _percent(row.get("full")), *full, _percent(row.get("mean")), *mean, *more, failed))
    seeds = ", ".join(map(str, record["seeds"]))
    title = f"{record['title'] or 'Ablation'}: {record['split']}, percent, seeds {seeds}"
    notes = ["Of many changes that do nothing one in twenty looks as if it did: intervals are not corrected for that."]
    notes += filter(None, [early_stopping_note(record)])
    methods: dict[str, list[str]] = {}
    for row in record["rows"]:
        for what, column in (("full", "all"), ("mean", "subsets")):
            if method := row.get(f"difference_{what}", {}).get("method"):  # older records do not say
                methods.setdefault(method, []).append(f"{row['name']}, {column}")
    told = [f"{how} ({'; '.join(of)})" if len(methods) > 1 else how for how, of in methods.items()]
    if told:
        notes.append(f"Intervals of 95 %: {'; '.join(told)}.")
    if any(_fewer(row, record) for row in record["rows"]):
        notes.append(
            "Where a run failed, a difference is of the seeds that both have, so that columns need not subtract."
        )
    notes += [_NOTES[name] for name in further if name in _NOTES]
    if machines := dict.fromkeys(machine_of(row["cost"]) for row in record["rows"] if "device" in row.get("cost", {})):
        notes.append(f"Timed on {' and '.join(machines)}.")
    return "\n".join([title, "", *columns(rows), "", *notes])


def early_stopping_note(record: Mapping[str, Any]) -> str:
    """Of which runs early stopping kept the epoch that is best on the very images compared, and what of it; else ""."""
    chosen: list[str] = []
    names = [row["name"] for row in record["rows"]]
    for name in names:
        settings = merged(record.get("base", {}), record.get("changes", {}).get(name, {}))
        validated = "val" if settings.get("held_out") is None else "held-out"
        stopping = settings.get("early_stopping")
        stops = isinstance(stopping, Mapping) and stopping.get("patience") is not None
        chosen += [name] if stops and validated == record["split"] else []
    if not chosen:
        return ""
    whose = "all runs" if chosen == names else ", ".join(chosen)
    return (
        f"Of {whose} early stopping kept the epoch that is best on the very images compared: their accuracies are too "
        "high, and a change with more epochs to choose from may gain by that alone."
    )


def _difference_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """One of a row's differences, which are all of the same seeds; empty where there is none."""
    found: Mapping[str, Any] = row.get("difference_mean", row.get("difference_full", {}))
    return found


def _fewer(row: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """Of how many seeds a row's difference is, or without one the row, where some but not all are there."""
    there, all_seeds = len(_difference_of(row).get("seeds", row["seeds"])), len(record["seeds"])
    return [f"{there} of {all_seeds} seeds"] if 0 < there < all_seeds else []


_NOTES = {
    "half": "half: the mean over subsets of half of a run's own channels; one: over single channels.",
    "ms": "Cost: of one image with all channels, one call at a time (median), of the first seed's run.",
}


def _further_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Callable[[Mapping[str, Any]], str]]:
    """By heading, what only some ablations need: accuracies on fewer channels where the runs' differ, and costs."""
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {}
    if len({row["channels"] for row in rows if "channels" in row}) > 1:
        columns["half"] = lambda row: _percent(_of_size(row, row.get("channels", 0) / 2))
        columns["one"] = lambda row: _percent(_of_size(row, 1))
    if any("cost" in row for row in rows):
        columns["MMACs"] = lambda row: f"{row['cost']['macs'] / 1e6:.2f}" if "cost" in row else ""
        columns["ms"] = lambda row: f"{row['cost']['latency_ms']['1']['median']:.2f}" if "cost" in row else ""
    return columns


def _of_size(row: Mapping[str, Any], size: float) -> float | None:
    """A row's mean accuracy over the subsets of a size, which may be none's."""
    found: float | None = row.get("by_size", {}).get(f"{size:g}")
    return found


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _told(difference: Mapping[str, Any] | None) -> tuple[str, str]:
    if difference is None:
        return "", ""
    low, high = map(points, difference["interval"])
    return f"{points(difference['difference'])} ({low} to {high})", difference["verdict"]
