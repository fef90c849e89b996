"""``records validate``: are files of records what their published schema says?

The schema is JSON Schema, `schemas/records-1.schema.json` in this package, so that other tools can read it as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from anychan._records import SCHEMA
from anychan.experiments._schema import faults

# Which kind of record lies where; elsewhere a file says itself of which kind it is, which a damaged one cannot.
_BY_NAME = {"run.json": "run", "model.json": "model", "records.jsonl": "epoch", "pictures.json": "pictures"}
_BY_NAME |= {"ablation.json": "ablation", "sweep.json": "sweep"}
_REPRODUCTION = "-reproduction.json"  # after recipe and seed
_BY_FOLDER = {"evaluation": "evaluation", "comparisons": "comparison", "specialists": "specialists"}


@cache
def record_schema() -> Mapping[str, Any]:
    """The JSON Schema of all records, one definition a kind.

    Example:
        >>> record_schema()["$defs"]["epoch"]["properties"]["epoch"]
        {'type': 'integer', 'minimum': 1}
    """
    text = files("anychan").joinpath("experiments", "schemas", f"records-{SCHEMA}.schema.json").read_text("utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


def record_kinds() -> list[str]:
    """The kinds of record there are."""
    return [entry["$ref"].rpartition("/")[2] for entry in record_schema()["anyOf"]]


def validate_records(paths: Sequence[Path | str]) -> tuple[int, list[str]]:
    """Hold records against their schema.

    Args:
        paths: record files, or folders with records in them or further below, such as run folders.

    Returns:
        How many files were looked at, and a line for each fault: the file, the key, its value and what was allowed.

    Raises:
        FileNotFoundError: for a path that is not there.
        ValueError: for no path, or a folder without a record.
    """
    if not paths:
        raise ValueError("no path given; name run folders or record files")
    found: list[str] = []
    looked_at: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder")
        here = [(path, _kind_of_place(path))] if path.is_file() else list(_records_below(path))
        if not here:
            raise ValueError(f"{path}: there is no record in this folder")
        for file, kind in here:
            if file.resolve() not in looked_at:
                looked_at.add(file.resolve())
                found += _faults_of(file, kind)
    return len(looked_at), found


def _records_below(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Record files with the kind that their place asks for; of other JSON those that call themselves a record."""
    for path in sorted(folder.rglob("*.json*")):
        if not path.is_file() or path.name.startswith(".") or path.suffix not in (".json", ".jsonl"):
            continue
        kind = _kind_of_place(path)
        if kind or _calls_itself_a_record(path):
            yield path, kind


def _kind_of_place(path: Path) -> str | None:
    if path.name.endswith(_REPRODUCTION):
        return "reproduction"
    return _BY_NAME.get(path.name) or (_BY_FOLDER.get(path.parent.name) if path.suffix == ".json" else None)


def _calls_itself_a_record(path: Path) -> bool:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and {"schema", "kind"} <= value.keys()


def _faults_of(path: Path, kind: str | None) -> Iterable[str]:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        return [f"{path}: is not a text file ({error.reason})"]
    if path.suffix != ".jsonl":
        return _faults_of_text(text, str(path), kind)
    # A last line without its line break is what a killed run leaves behind, and no reader takes it for a record.
    lines = enumerate(text.rpartition("\n")[0].splitlines(), 1)
    return [fault for i, line in lines for fault in _faults_of_text(line, f"{path}: line {i}", kind)]


def _faults_of_text(text: str, place: str, kind: str | None) -> Sequence[str]:
    try:
        return list(_each_fault(text, place, kind))
    except RecursionError:
        return [f"{place}: is nested too deep to be read"]


def _each_fault(text: str, place: str, kind: str | None) -> Iterator[str]:
    try:
        record = json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        yield f"{place}: is not JSON ({error})"
        return
    if not isinstance(record, dict):
        yield f"{place}: is {record!r:.80}; it should be an object"
        return
    told = kind or record.get("kind")
    if told not in record_kinds():
        yield f"{place}: kind is {told!r}; it should be one of {', '.join(map(repr, record_kinds()))}"
    elif told != "pictures" and record.get("schema") != SCHEMA:
        yield f"{place}: schema is {record.get('schema')!r}; this version of anychan reads {SCHEMA}"
    else:
        for where, said in faults(record, record_schema()["$defs"][told], record_schema()):
            yield f"{place}: {where} {said}"


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
