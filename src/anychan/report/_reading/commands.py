"""How an ablation, a search or a reproduction is made again: its command, as far as its record tells it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from anychan._plain import PLAIN
from anychan.experiments.recipes import LEFT_OPEN, Recipe
from anychan.experiments.settings import merged
from anychan.report._reading.fields import Fields
from anychan.report._reading.parts import commit_words
from anychan.report._sentences import numbers as fmt
from anychan.training.command import command_line
from anychan.training.config import TrainConfig

_OF_THE_MACHINE = {"cache_dir": None, "device": "auto", "resume": False}
_UNKNOWN = "DATA"


@dataclass(frozen=True)
class Again:
    """What is made again, its command, "" where the record does not tell it, and the ``file`` that the command takes.

    ``text`` is the file's, made from the record; "" where there is none. ``commit`` is what it was made with, and what
    trained which of its runs where that was another. ``needs`` are runs that have to be there before.
    """

    name: str
    command: str
    commit: str
    file: str = ""
    text: str = ""
    needs: tuple[str, ...] = ()


def ablation_again(record: Fields, folder: str) -> Again:
    """``anychan ablate``, with the ablation as a file."""
    base = _shown(record.maybe_child("base").values)
    data = base.pop("data", "") or _UNKNOWN
    told = {
        "title": record.text("title"),
        "base": {name: value for name, value in base.items() if name not in _OF_THE_MACHINE},
        "changes": _shown(record.maybe_child("changes").values),
        "seeds": record.array("seeds"),
        "split": record.text("split"),
    }
    if any(row.values.get("cost") for row in record.children("rows")):
        told["cost"] = True
    words = ["anychan", "ablate", f"{folder}.yaml", "--data", data, "--out", f"runs/{folder}"]
    name = record.text("title") or folder
    if not told["changes"]:
        return Again(name, "", _commit(record))
    needs = _runs_taken([told["base"], *told["changes"].values()])
    return Again(name, shlex.join(words), _commit(record), f"{folder}.yaml", _yaml(told), needs)


def search_again(record: Fields, folder: str) -> Again:
    """``anychan sweep``, with the space as a file."""
    told, space = record.child("config").values, f"{folder}-space.yaml"
    try:
        usual = TrainConfig(data="", out=Path(), strategy=told.get("strategy", PLAIN)).to_dict()
        place = {**_OF_THE_MACHINE, "out": Path("runs") / folder}
        data = _shown(told.get("data") or _UNKNOWN)
        config = TrainConfig.from_dict({**usual, **_shown(told), **place, "data": data})
    except (KeyError, TypeError, ValueError):  # settings that are none today
        return Again(folder, "", _commit(record))
    command = f"{command_line(config, 'sweep')} --space {shlex.quote(space)} --trials {len(record.array('trials'))}"
    if seed := record.values.get("proposals_seed"):  # not in older records, nor said where it is 0
        command += f" --proposals-seed {seed}"
    return Again(folder, command, _commit(record), space, _yaml(record.maybe_child("space").values))


def reproduction_again(record: Fields, recipe: Recipe, heading: str) -> Again:
    """``anychan reproduce``, of those of the recipe's runs that the record has."""
    fair, changes = record.values.get("fair") is True, _shown(record.child("changes").values)
    every = recipe.names(fair)
    there = {row.text("run") for row in record.children("rows")} | record.child("errors").values.keys()
    asked = [name for name in every if name in there]
    words = ["anychan", "reproduce", recipe.name, "--data", changes.get("data") or _UNKNOWN, "--out", "runs"]
    words += ["--fair"] if fair else []
    for name in LEFT_OPEN:
        if name != "data" and name not in _OF_THE_MACHINE and (value := changes.get(name)):
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    made = record.values.get("runs") or {}
    weights = [f"{name}={made[name]['weights']}" for name in asked if made.get(name, {}).get("weights")]
    words += ["--pretrained", *weights] if weights else []
    words += ["--runs", *asked] if asked != every else []
    return Again(heading, shlex.join(words), _commit(record))


def _runs_taken(every: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The runs that some of these settings start from or are taught by, each once."""
    nested = [merged(settings) for settings in every]
    found = [settings.get("initial") for settings in nested]
    found += [(settings.get("objective") or {}).get("teacher") for settings in nested]
    return tuple(dict.fromkeys(str(run) for run in found if run))


def _shown(value: Any) -> Any:
    """Settings without the machine's own paths: of an absolute one its last part."""
    if isinstance(value, Mapping):
        return {name: _shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value


def _commit(record: Fields) -> str:
    """What the record was made with, and what trained which of its runs where that was another."""
    values = record.values
    made = [(f"trial {trial['number']}", trial) for trial in values.get("trials") or ()]
    made += [*(values.get("runs") or {}).items()]  # of a reproduction, whose rows are its figures
    made += [(row["name"], row) for row in values.get("rows") or () if "name" in row]
    names: dict[str, list[str]] = {}
    for name, run in made:
        for commit in run.get("trained_by") or ():
            names.setdefault(commit_words(commit), []).append(name)
    others = [f"{fmt.listing(of)} trained by {commit}" for commit, of in names.items()]
    return "; ".join([commit_words(values), *others])


def _yaml(told: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(told), sort_keys=False, allow_unicode=True, width=100, default_flow_style=None))
