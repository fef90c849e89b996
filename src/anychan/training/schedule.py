"""The learning rate as a function of the step: it has no state, so a resumed run cannot lose it."""

from __future__ import annotations

import math

from anychan.training.config import ScheduleConfig


def learning_rate_factor(config: ScheduleConfig, step: int, steps_per_epoch: int, epochs: int) -> float:
    """What the highest learning rate is multiplied by in one step.

    During warm-up of w steps it is (step + 1) / w. After it, with t the fraction of the remaining steps that
    are done, cosine is final + (1 - final) (1 + cos(pi t)) / 2; steps is factor to the power of the number of
    milestones that the whole run has passed.

    Args:
        config: the schedule.
        step: steps done before this one, over all epochs, from 0.
        steps_per_epoch: steps an epoch has.
        epochs: epochs the run has.

    Returns:
        A number in [0, 1].

    Example:
        >>> config = ScheduleConfig(name="steps", warmup_epochs=0, milestones=(0.5,), factor=0.1)
        >>> [learning_rate_factor(config, step, steps_per_epoch=2, epochs=2) for step in range(4)]
        [1.0, 1.0, 0.1, 0.1]
    """
    total = steps_per_epoch * epochs
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total)
    if step < warmup:
        return (step + 1) / warmup
    if config.name == "cosine":
        done = (step - warmup) / (total - warmup)
        return config.final + (1 - config.final) * (1 + math.cos(math.pi * done)) / 2
    if config.name == "steps":
        passed = sum(step >= milestone * total for milestone in config.milestones)
        return config.factor**passed
    return 1.0
