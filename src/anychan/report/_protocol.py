"""How runs were made and measured: what is the same for all of them, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anychan.report import _format as fmt
from anychan.report._records import Evaluation, Run
from anychan.report._table import Cell, Column, Group, Table
from anychan.report._words import data_name


def protocol(runs: Sequence[Run], split: str | None) -> tuple[list[tuple[str, str]], Table | None]:
    """What holds for all runs as pairs of a name and a text, and a table of what differs, a row a run.

    Args:
        runs: a row each; of several seeds one row.
        split: what is reported.
    """
    told = [(run.name, settings(run, split)) for run in runs]
    shared, differing = [], []
    for name in dict.fromkeys(name for _, found in told for name in found):
        values = {found.get(name, "") for _, found in told}
        if len(values) == 1:
            shared.append((name, values.pop()))
        else:
            differing.append(name)
    if not differing:
        return shared, None
    columns = (Column("run", numeric=False), *(Column(name, numeric=False) for name in differing))
    rows = tuple((Cell(run), *(Cell(found.get(name, "")) for name in differing)) for run, found in told)
    return shared, Table(
        "What differs among the runs; an empty cell does not apply, or was not recorded.", columns, (Group("", rows),)
    )


def settings(run: Run, split: str | None) -> dict[str, str]:
    """How one run was made and measured, by what a reader calls it; what no record says is left out."""
    record, config = run.record, run.record.get("config") or {}
    data, machine = record.get("data") or {}, record.get("machine") or {}
    source = record.get("adapted_from") or {}
    evaluation = run.on(split)
    found = {
        "data": data_name(data),
        "training images": _count(_split(data, "train")),
        "classes": _count(data.get("classes")),
        "made from": _adapted(source),
        "channels": ", ".join(map(str, data.get("channels") or [])),
        "image size": f"{size}×{size}" if (size := config.get("image_size")) else "",
        "epochs": _count(config.get("epochs")),
        "batch size": _count(config.get("batch_size")),
        "optimiser": _optimiser(config.get("optimizer") or {}),
        "schedule": _schedule(config.get("schedule") or {}),
        "augmentation": _augmentation(config.get("augmentation") or {}),
        "label smoothing": _number(config.get("label_smoothing")),
        "channel sampling": _sampling(config),
        "objective": str((config.get("objective") or {}).get("name") or ""),
        "batch statistics": str((config.get("normalisation") or {}).get("statistics") or ""),
        "weights kept": {"last": "the last", "best": "the best on validation"}.get(str(record.get("selected")), ""),
        "seeds": fmt.listing([str(one.seed) for one in run.pooled or (run,) if one.seed is not None]),
        "trained on": processor(record.get("hardware") or {}, str(machine.get("device") or "cpu")),
        "number format in training": str(machine.get("precision") or ""),
        "reported on": _measured(evaluation) if evaluation else "",
        "evaluated on": fmt.listing(processors(evaluation)) if evaluation else "",
    }
    return {name: text for name, text in found.items() if text}


def processor(hardware: Mapping[str, Any], device: str) -> str:
    """What computed; never the name of a machine."""
    name = hardware.get("cpu" if device.startswith("cpu") else "gpu")
    return str(name) if name else ""


def processors(evaluation: Evaluation) -> list[str]:
    """Those that timed an evaluation's rows, each once."""
    found = (processor(result.hardware, result.device) for result in evaluation.results)
    return list(dict.fromkeys(name for name in found if name))


def _measured(evaluation: Evaluation) -> str:
    counts = sorted({result.n for result in evaluation.results})
    return f"{evaluation.split}, {' or '.join(fmt.count(n) for n in counts)} images" if counts else evaluation.split


def _split(data: Mapping[str, Any], split: str) -> Any:
    counts = data.get("splits")
    return counts.get(split) if isinstance(counts, Mapping) else None


def _adapted(source: Mapping[str, Any]) -> str:
    if not source.get("name"):
        return ""
    images = source.get("images")
    return f"{source['name']}, without training" + (f"; statistics of {fmt.count(images)} images" if images else "")


def _optimiser(settings: Mapping[str, Any]) -> str:
    parts = [str(settings.get("name") or "")]
    for name in ("learning_rate", "weight_decay"):
        parts += [f"{name.replace('_', ' ')} {value}"] if (value := _number(settings.get(name))) else []
    return ", ".join(part for part in parts if part)


def _schedule(settings: Mapping[str, Any]) -> str:
    name, warmup = settings.get("name"), settings.get("warmup_epochs")
    return (
        f"{name} after {_number(warmup)} epoch{'' if warmup == 1 else 's'} of warm-up"
        if name and warmup
        else str(name or "")
    )


def _augmentation(settings: Mapping[str, Any]) -> str:
    used = [f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if value]
    return ", ".join(used) if used else "none" if settings else ""


def _sampling(config: Mapping[str, Any]) -> str:
    how = config.get("channel_sampling")
    if not how or config.get("strategy", "plain") == "plain":
        return ""
    return str(how) if how == "all" else f"{how}, for each {config.get('sampling_unit', 'batch')}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else ""


def _count(value: Any) -> str:
    return fmt.count(value) if isinstance(value, int) and not isinstance(value, bool) else ""
