"""The learning rate against closed forms, and against torch's own schedulers."""

from __future__ import annotations

import math

import pytest
import torch

from anychan.training.config import ScheduleConfig
from anychan.training.schedule import learning_rate_factor

STEPS, EPOCHS = 5, 8


def factors(config: ScheduleConfig) -> list[float]:
    return [learning_rate_factor(config, step, STEPS, EPOCHS) for step in range(STEPS * EPOCHS)]


def test_warm_up_rises_to_the_full_rate_and_no_further() -> None:
    rates = factors(ScheduleConfig(name="constant", warmup_epochs=2))
    assert rates == pytest.approx([(step + 1) / 10 for step in range(10)] + [1.0] * 30)


def test_cosine_is_torchs_cosine_after_the_warm_up() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=35, eta_min=0.1)
    expected = []
    for _ in range(35):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    rates = factors(ScheduleConfig(name="cosine", warmup_epochs=1, final=0.1))
    assert rates[5:] == pytest.approx(expected)


def test_cosine_is_halfway_down_in_the_middle() -> None:
    rates = factors(ScheduleConfig(name="cosine", warmup_epochs=0))
    assert rates[0] == 1.0
    assert rates[20] == pytest.approx(0.5)
    assert rates[39] == pytest.approx((1 + math.cos(math.pi * 39 / 40)) / 2)


def test_steps_drop_at_the_fractions_of_the_whole_run() -> None:
    rates = factors(ScheduleConfig(name="steps", warmup_epochs=0, milestones=(0.5, 0.75, 0.85), factor=0.1))
    assert rates == pytest.approx([1.0] * 20 + [0.1] * 10 + [0.01] * 4 + [0.001] * 6)


def test_a_warm_up_longer_than_the_run_ends_with_it() -> None:
    assert factors(ScheduleConfig(warmup_epochs=20))[-1] == 1.0
