"""The moving average of what is no weight, and what of a run is kept with it."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import torch
from torch import nn

from anychan.training import loop, train
from anychan.training.averaging import moving_average
from anychan.training.config import EarlyStoppingConfig

from ._runs import described


def test_whole_numbers_are_the_models_and_not_averaged() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    model.register_buffer("index", torch.arange(50))
    model.register_buffer("mask", torch.tensor([True, False]))
    average = moving_average(model, decay=0.9)
    for step in range(20):
        model[1].running_mean.fill_(step)
        model[1].num_batches_tracked.fill_(step)
        average.update_parameters(model)
        assert torch.equal(average.module.index, torch.arange(50))
        assert average.module.mask.tolist() == [True, False]
        assert average.module[1].num_batches_tracked == step
    assert 10 < average.module[1].running_mean < 19


def test_batches_of_epochs_that_are_not_kept_do_not_count(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = count(1.0)  # the first epoch is the best
    monkeypatch.setattr(loop, "validate", lambda *_: (next(losses), 0.0))
    stopping = EarlyStoppingConfig(patience=4, metric="loss")
    run = train(make(strategy="sliced", ema_decay=0.9, epochs=9, early_stopping=stopping))
    assert (described(run)["best_epoch"], described(run)["epochs"]) == (1, 5)
    assert set(described(run)["recalibrated"]) == {"RGB", "RG", "RB", "GB", "R", "G", "B"}  # RGB saw 3 batches of 15
