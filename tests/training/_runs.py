"""What tests of whole runs share: quick settings, and what a run left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from anychan.models import load_model

SETTINGS: dict[str, Any] = {
    "data": "synthetic:bands=3,train=48,val=12,test=8,size=16,classes=4",
    "image_size": 16,
    "model": "wide6",
    "model_options": {"width": 4},
    "epochs": 2,
    "batch_size": 16,
    "device": "cpu",
}


def described(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def recorded(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_model(run)[0].state_dict()
