"""Where an evaluation lies in a run folder, and how its record is read and written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anychan import _records as records
from anychan._files import remove_partial_folders
from anychan._lock import alone
from anychan.evaluation.predictions import unpack_right

PICTURES = "pictures"


def record_path(run: Path, split: str) -> Path:
    return run / "evaluation" / f"{split}.json"


def predictions_path(run: Path, split: str) -> Path:
    return run / "predictions" / f"{split}.parquet"


def read_record(run: Path, split: str) -> dict[str, Any]:
    """The evaluation record of a split.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or of another kind or schema.
    """
    path = record_path(run, split)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run `anychan evaluate {run} --split {split}` first")
    return records.read_record(path, "evaluation")


def right_of(run: Path, split: str, row: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Which images a row of a run's record has right, bool (N,).

    Raises:
        ValueError: if it does not say so, as older ones, or in a way that cannot be read.
    """
    if "right" not in row:
        raise ValueError(
            f"{record_path(run, split)} is from before a record told which images are right: run `anychan evaluate "
            f"{run} --split {split} --channels {row['subset']}` again"
        )
    try:
        return unpack_right(row["right"], row["n"])
    except ValueError as error:
        raise ValueError(f"{record_path(run, split)} is damaged: {error}") from error


def writing(run: Path, split: str) -> AbstractContextManager[bool]:
    """Held while a split's record is read, added to and written; who else writes it waits."""
    return alone(run / "evaluation", f".{split}.lock", wait=True)


@contextmanager
def drawing(run: Path, *, wait: bool = True) -> Iterator[None]:
    """Held while a run's pictures, which are of all splits, are written; what a killed process left goes first.

    Raises:
        FileExistsError: if another process writes them and ``wait`` is False.
    """
    with alone(run / "evaluation", ".pictures.lock", wait=wait) as is_ours:
        if is_ours:
            remove_partial_folders(run / PICTURES)
        yield


def remove_half_drawn(run: Path) -> None:
    """Remove what a killed process left of a run's pictures; not what one that holds them is writing now."""
    if (run / "evaluation").is_dir():  # where the lock lies, before anything is drawn
        with suppress(FileExistsError), drawing(run, wait=False):
            pass


def write_record(record: dict[str, Any], path: Path) -> None:
    """An evaluation record as a file, which should be one that takes another's place when it is whole."""
    path.write_text(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def path_from(run: Path, other: Path) -> str:
    """Another run's path from a run's folder, which stays the same from wherever they are named.

    On another drive of Windows, to which there is no way, it is the whole path.
    """
    try:
        return Path(os.path.relpath(other.resolve(), run.resolve())).as_posix()
    except ValueError:
        return other.resolve().as_posix()


def sha256(path: Path) -> str:
    """What a record tells a model by."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def training_conditions(run: Mapping[str, Any]) -> dict[str, str | None]:
    """By what run.json says, in which number format (``precision``) and on what ``processor`` a run was trained.

    Either is None where it was not recorded; a run that was resumed on others has several processors in it.
    """
    precision = (run.get("machine") or {}).get("precision")
    return {"precision": precision, "processor": " and ".join(records.processors_of(run)) or None}
