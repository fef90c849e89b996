"""The guard against a loss or gradient that is not finite: no update is made with one.

The fused optimisers skip their update on the device where their ``found_inf`` is 1 (the contract that
``torch.amp.GradScaler`` uses). So a GPU need not be waited for at every step: the guard is asked every few
steps, and until then a bad step and all after it leave the weights as they were.
"""

from __future__ import annotations

import torch
from torch import Tensor


class FiniteGuard:
    """Watches loss and gradients, and holds an optimiser back.

    Args:
        optimizer: a fused one.
        device: where loss and gradients are.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = torch.optim.SGD([weight], lr=1.0, fused=True)
        >>> guard = FiniteGuard(optimizer, torch.device("cpu"))
        >>> weight.grad = torch.tensor([1.0, float("nan")])
        >>> guard.watch(torch.tensor(0.5), torch.tensor(7))
        >>> optimizer.step()
        >>> weight.tolist(), guard.first_bad_step(), guard.describe()
        ([1.0, 1.0], 7, 'the loss is 0.5 and the norm of the gradient nan')
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self._optimizer = optimizer
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._bad_step = torch.full((), -1, dtype=torch.int64, device=device)
        self._seen = torch.zeros(2, device=device)  # loss and norm of the first bad step

    def watch(self, loss: Tensor, step: Tensor) -> None:
        """Look at the loss (scalar) and the gradients of a step, before the update; does not wait for the device.

        Args:
            loss: a scalar.
            step: int64, its number, on the device: a recorded step is replayed with other numbers.
        """
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        seen = torch.stack([loss.detach().float(), torch.nn.utils.get_total_norm(gradients).float()])
        good_so_far = self._bad_step < 0
        first_bad = good_so_far & ~seen.isfinite().all()
        self._seen.copy_(torch.where(first_bad, seen, self._seen))  # in place: so does a recorded step
        self._bad_step.copy_(torch.where(first_bad, step, self._bad_step))
        self._optimizer.found_inf = (self._bad_step >= 0).float()  # type: ignore[attr-defined] # see above

    def first_bad_step(self) -> int | None:
        """The first step with something not finite, or None; waits for the device."""
        step = int(self._bad_step)
        return None if step < 0 else step

    def describe(self) -> str:
        """What was not finite."""
        loss, norm = self._seen.tolist()
        return f"the loss is {loss:.4g} and the norm of the gradient {norm:.4g}"
