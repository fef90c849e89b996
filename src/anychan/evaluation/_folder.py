"""Where an evaluation lies in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anychan import _records as records


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


def read_run(run: Path) -> dict[str, Any]:
    """What run.json of a run folder says.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is damaged, or of another kind or schema.
    """
    return records.read_record(run / "run.json", "run")
