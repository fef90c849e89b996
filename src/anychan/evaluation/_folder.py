"""Where an evaluation lies in a run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def record_path(run: Path, split: str) -> Path:
    return run / "evaluation" / f"{split}.json"


def predictions_path(run: Path, split: str) -> Path:
    return run / "predictions" / f"{split}.parquet"


def read_record(run: Path, split: str) -> dict[str, Any]:
    """The evaluation record of a split.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged.
    """
    path = record_path(run, split)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run `anychan evaluate {run} --split {split}` first")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        schema, kind = record["schema"], record["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from error
    if (schema, kind) != (1, "evaluation"):
        raise ValueError(f"{path} is no evaluation of schema 1 but {kind!r} of schema {schema!r}")
    return record
