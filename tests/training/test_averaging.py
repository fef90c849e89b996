"""The moving average of what is no weight."""

from __future__ import annotations

import torch
from torch import nn

from anychan.training.averaging import moving_average


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
