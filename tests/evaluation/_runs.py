"""Small run folders on the built-in data, as training leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anychan.data import load_split, open_dataset, split_statistics
from anychan.models import ModelInfo, save_model

SPEC = "synthetic:bands=3,train=24,val=12,test=30,size=16,classes=6,seed=0"
RUN = {"schema": 1, "kind": "run"}


def write_run(run: Path, cache: Path, strategy: str = "sliced", spec: str = SPEC, **told: Any) -> Path:
    """Model files of an untrained network and run.json; keywords are further ones of ``ModelInfo``."""
    dataset = open_dataset(spec)
    statistics = split_statistics(load_split(dataset, "train", 16, cache))
    info = ModelInfo(
        "wide4", len(dataset.classes), strategy, statistics.described, dataset.classes, 16, statistics,
        model_options={"width": 8}, **told,
    )  # fmt: skip
    save_model(run, info.create(), info)
    (run / "run.json").write_text(json.dumps({**RUN, "config": {"data": spec}}))
    return run
