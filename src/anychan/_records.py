"""Records: JSON files that say of which kind and of which schema they are, read by no one who does not know both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anychan._files import replacing

RUN = "run.json"
SCHEMA = 1  # raised when a key changes its meaning or a new one is needed; what is only added leaves it as it is


def read_record(path: Path, kind: str) -> dict[str, Any]:
    """Read a record file.

    Args:
        path: the file.
        kind: what it must be: "run", "evaluation", "comparison" and so on.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no JSON object, of another kind, or of another schema than this version of anychan reads.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "run.json")
        ...     _ = path.write_text('{"schema": 2, "kind": "run"}')
        ...     try:
        ...         read_record(path, "run")
        ...     except ValueError as error:
        ...         print(str(error).removeprefix(folder))
        /run.json: a record of schema 2; this version of anychan reads schema 1
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error.reason})") from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged: not JSON ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{path} is damaged: nested too deep") from error
    check_record(record, str(path), kind)
    return record


def write_record(path: Path, kind: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Write a record file, whole or not at all.

    Args:
        path: the file; folders above it are made.
        kind: see ``read_record``.
        told: all else that it says.

    Returns:
        The record.
    """
    record = {"schema": SCHEMA, "kind": kind, **told}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def read_run_record(folder: Path) -> dict[str, Any]:
    """What ``run.json`` of a run folder says: how it was trained, on what, with which outcome.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: see ``read_record``.
    """
    path = folder / RUN
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: {folder} is no run folder")
    return read_record(path, "run")


def parts_of(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The environments that a run was trained in, by its run.json; the last is the record's own."""
    return [*(run.get("resumed_from") or ()), run]


def processor(hardware: Mapping[str, Any], device: str) -> str:
    """What computed, by the ``hardware`` of a record; never the name of a machine, and "" where it was not recorded."""
    return str(hardware.get("cpu" if device.startswith("cpu") else "gpu") or "")


def processors_of(run: Mapping[str, Any]) -> list[str]:
    """What a run was trained on, by its run.json, each processor once; one that was resumed may have several."""
    device = str((run.get("machine") or {}).get("device") or "cpu")
    found = (processor(part.get("hardware") or {}, device) for part in parts_of(run))
    return list(dict.fromkeys(name for name in found if name))


def trained_by(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The commits that trained a run, by its run.json, in their order and each once; None is one not recorded.

    Example:
        >>> trained_by({"commit": "b", "dirty": True, "resumed_from": [{"commit": "a", "epochs": 2, "step": 0}]})
        [{'commit': 'a', 'dirty': None}, {'commit': 'b', 'dirty': True}]
    """
    found = [{name: part.get(name) for name in ("commit", "dirty")} for part in parts_of(run)]
    return [commit for i, commit in enumerate(found) if commit not in found[:i]]


def check_record(record: Any, place: str, kind: str | None) -> None:
    """Refuse what is no record of a kind and of the schema that is read; kind None: of files that carry neither.

    Raises:
        ValueError: see ``read_record``.
    """
    if not isinstance(record, dict):
        raise ValueError(f"{place}: not a record, it holds {record!r:.60}")
    if kind is None:
        return
    if record.get("kind") != kind:
        raise ValueError(f"{place}: a record of kind {record.get('kind')!r}, not {kind!r}")
    if record.get("schema") != SCHEMA:
        raise ValueError(
            f"{place}: a record of schema {record.get('schema')!r}; this version of anychan reads schema {SCHEMA}"
        )
