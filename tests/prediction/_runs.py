"""A run with a small network of random weights, and photographs for it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from anychan.channels import ChannelSet
from anychan.models import ModelInfo, save_model

CLASSES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
SIZE = 16


def make_run(folder: Path, strategy: str = "sliced", **changes: Any) -> Path:
    """Write the model files of a run; ``changes`` are of its ``ModelInfo``."""
    given = changes.pop("channels", "RGB")
    channels = given if isinstance(given, ChannelSet) else ChannelSet.parse(given)
    known = channels.with_statistics([0.48, 0.45, 0.4, 0.3][: len(channels)], [0.27] * len(channels))
    options = {"model_options": {"width": 3}, **changes}
    info = ModelInfo("wide4", len(CLASSES), strategy, known, CLASSES, SIZE, **options)
    torch.manual_seed(2)
    save_model(folder, info.create(), info)
    return folder


def photograph(seed: int, mode: str = "RGB", kind: str = "PNG", orientation: int = 1) -> bytes:
    """The file of a smooth image of 40 x 26 pixels, another for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 4), dtype=np.uint8)
    image = Image.fromarray(coarse if mode in ("RGBA", "LA") else coarse[..., :3]).resize((40, 26)).convert(mode)
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif)
    return file.getvalue()
