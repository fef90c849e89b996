"""Training: configuration, channel sampling, the loop, checkpoints, records.

>>> from anychan.training import TrainConfig
>>> TrainConfig(data="photographs.zip", out="runs/first", epochs=3).schedule.name
'cosine'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anychan.training.config import TrainConfig
    from anychan.training.run import train
    from anychan.training.sampling import sample_channels
    from anychan.training.stopping import InterruptedRunError, NotFiniteError, TrainingStoppedError

# Where each public name is found. It is imported when it is first asked for: the command line reads the
# configuration, which need not wait for torch.
_PUBLIC = {
    "InterruptedRunError": "anychan.training.stopping",
    "NotFiniteError": "anychan.training.stopping",
    "TrainConfig": "anychan.training.config",
    "TrainingStoppedError": "anychan.training.stopping",
    "sample_channels": "anychan.training.sampling",
    "train": "anychan.training.run",
}
__all__ = ["InterruptedRunError", "NotFiniteError", "TrainConfig", "TrainingStoppedError", "sample_channels", "train"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'anychan.training' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
