"""Annealing: modules whose behaviour moves with the training, such as the temperature of an attention.

Such a module has a method ``anneal(progress)``. The loop calls it with the fraction of the run that is done: before
each step, and after each epoch, at the end of the run with 1, before the model is validated and saved. It is a
function of the step alone, so a resumed run anneals as an uninterrupted one; what it sets is a buffer, in place, so
that the model file holds it and a recorded step reads it.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class Annealed(Protocol):
    """A module that anneals."""

    def anneal(self, progress: float) -> None:
        """Take on the state that belongs to ``progress``, from 0 (the first step) up to 1 (after the last)."""


def annealed_modules(model: nn.Module) -> list[Annealed]:
    """Those of a model's modules that anneal."""
    return [module for module in model.modules() if isinstance(module, Annealed)]
