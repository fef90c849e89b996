"""How runs were made and measured: what is the same for all of them, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from anychan._plain import PLAIN
from anychan._records import processor, processors_of
from anychan.report._reading.comparisons import short_paths
from anychan.report._reading.parts import commits_in_turn
from anychan.report._reading.records import Evaluation, Run
from anychan.report._reading.settings import NEUTRAL, filled
from anychan.report._sentences import numbers as fmt
from anychan.report._sentences.headlines import EVERY, channel_names, data_name, sandwich_subsets, trained_images
from anychan.report._tables.table import Cell, Column, Group, Table

# Settings that `settings` tells in words of its own.
_TOLD = {
    *("model", "strategy", "channels", "image_size", "epochs", "batch_size", "label_smoothing"),
    *("channel_sampling", "sampling_unit", "objective.name", "normalisation.statistics"),
    *("optimizer.name", "optimizer.learning_rate", "optimizer.weight_decay", "schedule.name", "schedule.warmup_epochs"),
}
_MOST_COLUMNS = 12  # of what differs
# Those of an objective in which one answer is taught by another.
_OF_TEACHERS = ("objective.teacher", "objective.temperature", "objective.label_share")


def protocol(
    runs: Sequence[Run], split: str | None
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], Table | None]:
    """What holds for all runs, what holds unless a row says otherwise, and a table of what differs, a row a run.

    The first two are pairs of a name and a text. Where little differs, each of it is a column, and nothing is usual.

    Args:
        runs: a row each; of several seeds one row.
        split: what is reported.
    """
    told = [(run.name, found) for run, found in zip(runs, settings_of_all(runs, split), strict=True)]
    shared, differing = [], []
    for name in dict.fromkeys(name for _, found in told for name in found):
        values = {found.get(name, "") for _, found in told}
        if len(values) == 1:
            shared.append((name, values.pop()))
        else:
            differing.append(name)
    if not differing:
        return shared, [], None
    if len(differing) > _MOST_COLUMNS:
        return shared, *_by_what_is_usual(told, differing)
    columns = (Column("run", numeric=False), *(Column(name, numeric=False) for name in differing))
    rows = tuple((Cell(run), *(Cell(found.get(name, "")) for name in differing)) for run, found in told)
    caption = "What differs among the runs; an empty cell does not apply, or was not recorded."
    return shared, [], Table(caption, columns, (Group("", rows),))


def _by_what_is_usual(
    told: Sequence[tuple[str, Mapping[str, str]]], names: Sequence[str]
) -> tuple[list[tuple[str, str]], Table]:
    """What most runs have of what differs, and of each run in words what else it has."""
    usual = {name: Counter(found.get(name, "") for _, found in told).most_common(1)[0][0] for name in names}
    rows = []
    for run, found in told:
        others = {name: found.get(name, "") for name in names if found.get(name, "") != usual[name]}
        said = [
            f"{name} {value}" if value else f"no {name}"
            for name, value in others.items()
            if usual[name] or value != "none"
        ]
        rows.append((Cell(run), Cell("; ".join(said) or "nothing")))
    columns = (Column("run", numeric=False), Column("differs in", numeric=False))
    caption = 'In what each run differs from what is usual; "no" does not apply, or was not recorded.'
    return [(name, value) for name, value in usual.items() if value], Table(caption, columns, (Group("", tuple(rows)),))


def settings_of_all(runs: Sequence[Run], split: str | None) -> list[dict[str, str]]:
    """How each run was made and measured, with every other setting that is not the same for all of them."""
    others = [
        {name: value for name, value in known.items() if _is_another(name) and _says_something(name, known)}
        for known in (filled(run.configuration) for run in runs)
    ]
    paths = short_paths(value for found in others for value in found.values() if _is_path(value))
    words = [{name: _words(value, paths) for name, value in found.items()} for found in others]
    differing = [
        name
        for name in dict.fromkeys(name for found in words for name in found)
        if len({found.get(name, "") for found in words}) > 1
    ]
    return [
        settings(run, split) | {_readable(name): found[name] for name in differing if name in found}
        for run, found in zip(runs, words, strict=True)
    ]


def settings(run: Run, split: str | None) -> dict[str, str]:
    """How one run was made and measured, by what a reader calls it; what no record says is left out."""
    record, config = run.record, run.configuration
    data, source = record.get("data") or {}, record.get("adapted_from") or {}
    every = run.each_seed
    machines = [one.record.get("machine") or {} for one in every]
    evaluation, known = run.on(split), filled(config)
    found = {
        "network": run.architecture,
        "strategy": run.strategy,
        "data": data_name(data),
        "training images": _count(trained_images(record)),
        "classes": _count(data.get("classes")),
        "made from": _adapted(source),
        "starting weights": _each(map(_start, every)),
        "channels": ", ".join(channel_names(run)),
        "image size": f"{size}×{size}" if (size := config.get("image_size")) else "",
        "epochs": _count(config.get("epochs")),
        "batch size": _count(config.get("batch_size")),
        "optimiser": str((config.get("optimizer") or {}).get("name") or ""),
        "learning rate": _number((config.get("optimizer") or {}).get("learning_rate")),
        "weight decay": _number((config.get("optimizer") or {}).get("weight_decay")),
        "schedule": _schedule(config.get("schedule") or {}),
        "augmentation": _augmentation(config.get("augmentation") or {}),
        "label smoothing": _number(config.get("label_smoothing")),
        "channel sampling": _sampling(known, len(channel_names(run))),
        "objective": str(known.get("objective.name") or ""),
        "batch statistics": "recalibrated"
        if source.get("images")
        else str(known.get("normalisation.statistics") or ""),
        "weights kept": {"last": "the last", "best": "the best on validation"}.get(str(record.get("selected")), ""),
        "seeds": fmt.listing([str(one.seed) for one in every if one.seed is not None]),
        "trained on": _each(name for one in every for name in processors_of(one.record)),
        "trained in parts": _each(commits_in_turn(one.record) for one in every),
        "number format in training": _each(str(machine.get("precision") or "") for machine in machines),
        "reported on": _measured(evaluation) if evaluation else "",
        "evaluated on": _each(name for one in every if (own := one.on(split)) for name in evaluation_processors(own)),
    }
    return {name: text for name, text in found.items() if text}


def ablated_words(base: Mapping[str, Any]) -> str:
    """What an ablation's base is, by its settings: the network, its stem, the images and the epochs; "" of no settings.

    Example:
        >>> ablated_words({"model": "wide6", "model_options.width": 32, "epochs": 3, "data": "a/animals.zip"})
        'wide6, width 32, 64×64, 3 epochs, animals.zip'
    """
    if not base:
        return ""
    known = filled(base)
    strategy, data, epochs = known["strategy"], str(known["data"]), known["epochs"]
    parts = [str(known["model"])]
    parts += [
        f"{_readable(name.removeprefix('model_options.'))} {_words(value, {})}"
        for name, value in known.items()
        if name.startswith("model_options.")
    ]
    parts += [] if strategy == PLAIN else [f"{strategy} stem"]
    parts += [f"{known['image_size']}×{known['image_size']}", fmt.counted(epochs, "epoch")]
    parts += [data_name({"name": PurePath(data).name})] if data else []
    return ", ".join(parts)


def evaluation_processors(evaluation: Evaluation) -> list[str]:
    """Those that answered an evaluation's rows, each once; what costs were measured on may be others."""
    found = (processor(result.hardware, result.device) for result in evaluation.results)
    return list(dict.fromkeys(name for name in found if name))


def _each(names: Iterable[str]) -> str:
    """Those that are known, each once."""
    return fmt.listing(list(dict.fromkeys(name for name in names if name)))


def _start(run: Run) -> str:
    """The weights that training began with; "" where no settings are recorded."""
    config, taken = run.configuration, run.record.get("pretrained") or {}
    if taken or config.get("pretrained"):
        source = str(taken.get("source") or "")
        return (
            f"pretrained, {source if source.startswith('timm/') else PurePath(source).name}" if source else "pretrained"
        )
    if initial := config.get("initial"):
        return f"those of {PurePath(str(initial)).name}"
    return "random" if config else ""


def _is_another(setting: str) -> bool:
    """Whether it is a setting of the run that `settings` does not tell."""
    return setting not in NEUTRAL | _TOLD and not setting.startswith("augmentation.")


def _says_something(setting: str, config: Mapping[str, Any]) -> bool:
    """Whether a setting does anything beside a run's others: what a teacher says does nothing without one."""
    objective = config["objective.name"]
    if setting in ("objective.subsets", "objective.full_share"):
        return bool(objective == "sandwich")
    return not setting.startswith(_OF_TEACHERS) or objective != "labels"


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and "/" in value


def _words(value: Any, paths: Mapping[str, str]) -> str:
    """A setting's value in a cell, paths as short as tells them apart."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_words(one, {}) for one in value)
    return _number(value) or paths.get(str(value), str(value))


def _readable(setting: str) -> str:
    """A setting's name in words.

    Example:
        >>> _readable("objective.label_share")
        'objective label share'
    """
    return setting.replace(".", " ").replace("_", " ")


def _measured(evaluation: Evaluation) -> str:
    counts = sorted({result.n for result in evaluation.results})
    return f"{evaluation.split}, {' or '.join(fmt.count(n) for n in counts)} images" if counts else evaluation.split


def _adapted(source: Mapping[str, Any]) -> str:
    if not source.get("name"):
        return ""
    images = source.get("images")
    return f"{source['name']}, without training" + (f"; statistics of {fmt.count(images)} images" if images else "")


def _schedule(settings: Mapping[str, Any]) -> str:
    name, warmup = settings.get("name"), settings.get("warmup_epochs")
    return (
        f"{name} after {_number(warmup)} {fmt.plural(warmup, 'epoch')} of warm-up"
        if name and warmup
        else str(name or "")
    )


def _augmentation(settings: Mapping[str, Any]) -> str:
    used = [f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if value]
    return ", ".join(used) if used else "none" if settings else ""


def _sampling(known: Mapping[str, Any], channels: int) -> str:
    if not known or known["strategy"] == PLAIN:
        return ""
    if subsets := sandwich_subsets(known, channels):
        return f"{subsets}, in each step" if subsets == EVERY else f"by size, {subsets} in each step"
    how = str(known["channel_sampling"])
    return how if how == "all" else f"{how}, for each {known['sampling_unit']}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else ""


def _count(value: Any) -> str:
    return fmt.count(value) if isinstance(value, int) and not isinstance(value, bool) else ""
