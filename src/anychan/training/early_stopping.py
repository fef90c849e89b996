"""Early stopping: the best epoch on validation so far, and when to give up waiting for a better one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from anychan.training.config import EarlyStoppingConfig


@dataclass
class EarlyStopping:
    """Keeps the best epoch's weights, and says when the patience is over. Without a patience it does neither.

    Args:
        config: patience and metric.

    Example:
        >>> stopping = EarlyStopping(EarlyStoppingConfig(patience=2, metric="loss"))
        >>> [(stopping.update(epoch, loss, 0.0, {}), stopping.over(epoch)) for epoch, loss in enumerate([3, 2, 2, 4])]
        [(True, False), (True, False), (False, False), (False, True)]
    """

    config: EarlyStoppingConfig
    best: float | None = None
    best_epoch: int | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def on(self) -> bool:
        return self.config.patience is not None

    def update(self, epoch: int, loss: float, accuracy: float, weights: dict[str, Tensor]) -> bool:
        """Take in an epoch's validation and its weights (copied if they are the best); whether it is the best."""
        score = accuracy if self.config.metric == "accuracy" else -loss
        if not self.on or (self.best is not None and score <= self.best):
            return False
        self.best, self.best_epoch = score, epoch
        self.weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        return True

    def over(self, epoch: int) -> bool:
        """Whether ``epoch`` was the last one to be waited for."""
        return (
            self.config.patience is not None
            and self.best_epoch is not None
            and epoch - self.best_epoch >= self.config.patience
        )

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch, self.weights = state["best"], state["best_epoch"], state["weights"]
