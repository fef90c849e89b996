"""Training: configuration, channel sampling, the loop, checkpoints, records.

>>> from anychan.training import TrainConfig
>>> TrainConfig(data="photographs.zip", out="runs/first", epochs=3).schedule.name
'cosine'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anychan._lazy import lazily

if TYPE_CHECKING:
    from anychan.training.adapted import adapt_run
    from anychan.training.collating import collate
    from anychan.training.config import TrainConfig
    from anychan.training.objectives import sandwich
    from anychan.training.run import train
    from anychan.training.sampling import sample_channels, sample_smaller
    from anychan.training.stopping import InterruptedRunError, NotFiniteError, TrainingStoppedError

_PUBLIC = {
    "InterruptedRunError": "anychan.training.stopping",
    "NotFiniteError": "anychan.training.stopping",
    "TrainConfig": "anychan.training.config",
    "TrainingStoppedError": "anychan.training.stopping",
    "adapt_run": "anychan.training.adapted",
    "collate": "anychan.training.collating",
    "sample_channels": "anychan.training.sampling",
    "sample_smaller": "anychan.training.sampling",
    "sandwich": "anychan.training.objectives",
    "train": "anychan.training.run",
}
__all__ = [
    "InterruptedRunError",
    "NotFiniteError",
    "TrainConfig",
    "TrainingStoppedError",
    "adapt_run",
    "collate",
    "sample_channels",
    "sample_smaller",
    "sandwich",
    "train",
]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
