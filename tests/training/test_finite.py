"""The guard: nothing that is not finite reaches the weights, however late it is asked."""

from __future__ import annotations

import pytest
import torch

from anychan.training.config import OptimizerConfig
from anychan.training.finite import FiniteGuard
from anychan.training.optimisers import make_optimizer

INFINITE, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize(("loss", "gradient"), [(NAN, 1.0), (INFINITE, 1.0), (0.5, NAN), (0.5, -INFINITE)])
def test_a_bad_step_and_all_after_it_are_not_taken(name: str, loss: float, gradient: float) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = make_optimizer(model, OptimizerConfig(name=name))  # type: ignore[arg-type] # one of the two
    guard = FiniteGuard(optimizer, torch.device("cpu"))

    def step(number: int, loss: float, gradient: float) -> list[list[float]]:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        model.weight.grad[1, 2] = gradient  # type: ignore[index] # just set
        guard.watch(torch.tensor(loss), torch.tensor(number))
        optimizer.step()
        return model.weight.tolist()

    before = step(3, 0.5, 1.0)
    assert guard.first_bad_step() is None
    assert step(4, loss, gradient) == before
    assert step(5, 0.5, 1.0) == before
    assert guard.first_bad_step() == 4
    assert f"{loss:.4g}" in guard.describe()
