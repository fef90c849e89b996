"""Which runs were trained alike, in what the others differ, and in which number format on what each was trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from anychan._records import processors_of
from anychan.report._reading.parts import was_dirty
from anychan.report._reading.records import Run
from anychan.report._reading.settings import filled
from anychan.report._sentences import numbers as fmt
from anychan.report._sentences.headlines import data_name, trained_images
from anychan.report._sentences.protocol import settings_of_all
from anychan.report._sentences.trained_where import place, place_words, told_of_all_others

# Settings that differ because the runs are what is compared, or that other sentences are about.
_OF_THE_QUESTION = {
    *("network", "strategy", "channels", "channel sampling", "made from", "seeds", "trained on"),
    *("number format in training", "evaluated on", "reported on", "data"),
}
_OBJECTIVES = {"labels": "on labels", "sandwich": "by the sandwich rule", "teacher": "taught by another network"}
_DIGITS = 8  # of a fingerprint that are told
_MOST_VALUES = 4  # of a setting that differs; of more only its name is told


def trained_alike(rows: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Runs by how long, on which images, how large, and on what they were trained, with words; the most come first.

    Args:
        rows: a row each; of several seeds one row.
    """
    found: dict[tuple[str, str], list[Run]] = {}
    for row in rows:
        found.setdefault((_how(row), _images(row)), []).append(row)
    groups = list(found.values())
    headings = [how for how, _ in found]
    for more in (_amount, _fingerprint):
        told = Counter(headings)
        headings = [
            heading if told[heading] == 1 else f"{heading}, {more(alike[0])}"
            for heading, alike in zip(headings, groups, strict=True)
        ]
    return sorted(zip(headings, groups, strict=True), key=lambda group: -len(group[1]))


def _images(row: Run) -> str:
    """What tells the images that a run was trained on from others."""
    record = row.record
    fingerprints = (record.get("data") or {}).get("fingerprints") or {}
    count = trained_images(record)
    which = (record.get("skipped") or []) if count is None else count  # older records do not tell of which split it was
    return str([fingerprints.get("train"), row.configuration.get("held_out"), which])


def _amount(row: Run) -> str:
    images, name = trained_images(row.record), data_name(row.record.get("data")) or "data not recorded"
    return f"on {fmt.count(images)} images of {name}" if images is not None else f"on {name}"


def _fingerprint(row: Run) -> str:
    of_training = str(((row.record.get("data") or {}).get("fingerprints") or {}).get("train") or "")
    return f"fingerprint {of_training[:_DIGITS]}" if of_training else "whose fingerprint is not recorded"


def _how(row: Run) -> str:
    config = filled(row.configuration)
    if not config:
        return "settings not recorded"
    epochs, size, objective = (config[name] for name in ("epochs", "image_size", "objective.name"))
    taught = ", taught by another network" if objective == "sandwich" and config.get("objective.teacher") else ""
    how = f"{_OBJECTIVES.get(objective, objective)}{taught}"
    return f"{fmt.counted(epochs, 'epoch')} at {size}×{size}, {how}"


def differing(rows: Sequence[Run], split: str | None) -> dict[str, dict[str, list[str]]]:
    """The settings in which runs were not made alike, but for what is compared: of each value the names of its runs.

    What only one objective has is compared among its runs: that objectives differ is told by itself.
    """
    told = settings_of_all(rows, split)
    names = dict.fromkeys(name for found in told for name in found if name not in _OF_THE_QUESTION)
    by_value: dict[str, dict[str, list[str]]] = {name: {} for name in names}
    for row, found in zip(rows, told, strict=True):
        for name in names:
            by_value[name].setdefault(found.get(name, ""), []).append(row.name)
    for name in names:
        if name.startswith("objective "):
            by_value[name].pop("", None)
    return {name: values for name, values in by_value.items() if len(values) > 1}


def training_words(rows: Sequence[Run], split: str | None, groups: Sequence[Sequence[Run]] = ()) -> str:
    """On what networks were trained, which of them from an uncommitted tree, and in what else they differ.

    Args:
        rows: a row each; of several seeds one row.
        split: what is reported.
        groups: where only rows of one group are to be held against each other, these groups.
    """
    said = [place_words(_named(rows, _place))]
    if dirty := _named(rows, lambda run: "dirty" if was_dirty(run.record) else "").get("dirty"):
        said.append(f"From a working tree with changes that no commit holds: {fmt.listing(dirty)}.")
    for alike in groups or [rows]:
        told = [
            f"in {_values(name, values)}"
            for name, values in differing(alike, split).items()
            if not name.startswith("model options")  # which make another network
        ]
        if told:
            said.append(f"{fmt.listing([row.name for row in alike]) if groups else 'They'} differ {'; '.join(told)}.")
    return " ".join(said)


def _place(run: Run) -> str:
    precision = str((run.record.get("machine") or {}).get("precision") or "")
    return place(precision, fmt.listing(processors_of(run.record)))


def _named(rows: Sequence[Run], say: Callable[[Run], str]) -> dict[str, list[str]]:
    """Rows by what is to be said of them; of seeds that differ in it each by its own name."""
    found: dict[str, list[str]] = {}
    for row in rows:
        every = row.each_seed
        alike = len({say(run) for run in every}) == 1
        for run in every[:1] if alike else every:
            found.setdefault(say(run), []).append(row.name if alike else run.name)
    return found


def _values(name: str, values: Mapping[str, Sequence[str]]) -> str:
    if len(values) > _MOST_VALUES:
        return name
    told, most = {value: value or "none or not recorded" for value in values}, told_of_all_others(values)
    each = [f"{told[value]} ({fmt.listing(list(runs))})" for value, runs in values.items() if value != most]
    return f"{name}: {' or '.join(each)}{'' if most is None else f', all others {told[most]}'}"
