"""The epoch whose weights a finished run kept, and whether its accuracy is still that of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anychan._records import read_run_record
from anychan.models.files import read_info
from anychan.training.records import RECORDS


def kept_epoch(run: Path) -> dict[str, Any]:
    """Its record: that of the last epoch, or with early stopping that of the best one by the metric it watched."""
    record = read_run_record(run)
    lines = [json.loads(line) for line in (run / RECORDS).read_text(encoding="utf-8").splitlines()]
    by_epoch: dict[int, dict[str, Any]] = {line["epoch"]: line for line in lines}
    return by_epoch[record["best_epoch"] if record["selected"] == "best" else max(by_epoch)]


def has_new_statistics(run: Path) -> bool:
    """Whether batch statistics for all channels were made after training, so that no epoch measured the kept model."""
    record = read_run_record(run)
    statistics = record["config"].get("normalisation", {}).get("statistics")
    return statistics == "recalibrated" or str(read_info(run).channels) in record.get("recalibrated", ())
