"""An ablation's record, read."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path, PurePath
from typing import Any

from anychan._plain import PLAIN
from anychan._records import processor
from anychan.experiments._ablation_words import early_stopping_note
from anychan.report._reading.commands import ablation_again
from anychan.report._reading.fields import Fields, read_json
from anychan.report._reading.pairs import trained_words
from anychan.report._reading.records import AblationRecord, Change, Gap
from anychan.report._reading.runs import spread_of
from anychan.report._reading.settings import filled
from anychan.report._sentences.headlines import data_name
from anychan.report._sentences.protocol import ablated_words

ABLATION = "ablation.json"


def read_ablation(path: Path) -> AblationRecord:
    """Read an ablation.json.

    Raises:
        ValueError: if it is broken, or of another kind or schema.
    """
    record, name = read_json(path, kind="ablation"), path.resolve().parent.name
    base, changed = record.maybe_child("base").values, record.maybe_child("changes")
    hardware, rows = record.maybe_child("hardware").values, record.children("rows")
    of_base = {int(seed) for row in rows[:1] for seed in row.array("seeds")}
    runs = [run for row in rows for run in (row.children("trained") if "trained" in row.values else [])]
    return AblationRecord(
        title=record.text("title") or name,
        base=ablated_words(base),
        split=record.text("split"),
        images=tuple(dict.fromkeys(n for row in rows if (n := row.maybe_integer("n")))),
        seeds=tuple(int(seed) for seed in record.array("seeds")),
        trained=tuple(dict.fromkeys(map(trained_words, runs))),
        processor=str(hardware.get("gpu") or hardware.get("cpu") or ""),
        changes=tuple(_change(row, {**base, **changed.maybe_child(row.text("name")).values}, of_base) for row in rows),
        note=early_stopping_note(record.values),
        again=ablation_again(record, name),
    )


def _change(row: Fields, settings: Mapping[str, Any], of_base: Collection[int]) -> Change:
    """A change by its row, all settings of its runs, and the base's seeds."""
    gaps = {what: row.child(f"difference_{what}") for what in ("mean", "full") if row.values.get(f"difference_{what}")}
    channels, sizes, cost = row.maybe_integer("channels"), row.maybe_child("by_size"), row.maybe_child("cost")
    seeds, known = tuple(int(seed) for seed in row.array("seeds")), filled(settings)
    return Change(
        name=row.text("name"),
        seeds=seeds,
        paired=tuple(seed for seed in seeds if seed in of_base),
        full=row.maybe("full"),
        mean=row.maybe("mean"),
        gaps={
            what: Gap(gap.number("difference"), gap.interval("interval"), gap.text("verdict"))
            for what, gap in gaps.items()
        },
        errors={str(seed): str(error) for seed, error in row.child("errors").values.items()},
        channels=channels,
        half=sizes.maybe(f"{(channels or 0) / 2:g}"),
        one=sizes.maybe("1"),
        macs=cost.maybe_integer("macs"),
        latency=spread_of(cost.maybe_child("latency_ms").maybe_child("1")),
        timed_on=processor(cost.maybe_child("hardware").values, str(cost.values.get("device") or "cpu")),
        n=row.maybe_integer("n"),
        strategy=str(settings.get("strategy") or PLAIN),
        data=data_name({"name": PurePath(str(known.get("data") or "")).name}),
        image_size=known.get("image_size"),
        epochs=known.get("epochs"),
        initial=PurePath(str(known.get("initial") or "")).name,
        but_for_channels=json.dumps({k: v for k, v in settings.items() if k != "channels"}, sort_keys=True),
    )


def is_ablation(folder: Path) -> bool:
    """Whether a folder is that of an ablation and not of a run."""
    return (folder / ABLATION).is_file() and not (folder / "run.json").is_file()
