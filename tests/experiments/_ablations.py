"""What tests of ablations share: data, a base of a few seconds, a change."""

from __future__ import annotations

from typing import Any

DATA = "synthetic:bands=2,train=32,val=24,test=8,size=16,classes=3"
BASE: dict[str, Any] = {
    "data": DATA, "model": "wide3", "model_options": {"width": 6}, "strategy": "sliced", "image_size": 16, "epochs": 1,
    "batch_size": 16,
}  # fmt: skip
WIDE = {"Wide!": {"model_options.width": 12}}
