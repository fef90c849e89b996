"""Early stopping: what is the best epoch, and when it is over."""

from __future__ import annotations

import torch

from anychan.training.config import EarlyStoppingConfig
from anychan.training.early_stopping import EarlyStopping


def follow(config: EarlyStoppingConfig, losses: list[float], accuracies: list[float]) -> EarlyStopping:
    stopping = EarlyStopping(config)
    for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1):
        stopping.update(epoch, loss, accuracy, {"epoch": torch.tensor(epoch)})
        if stopping.over(epoch):
            break
    return stopping


def test_the_best_epoch_is_kept_by_either_metric() -> None:
    losses, accuracies = [3.0, 1.0, 2.0, 2.0, 2.0], [0.1, 0.2, 0.4, 0.4, 0.3]
    by_loss = follow(EarlyStoppingConfig(patience=2, metric="loss"), losses, accuracies)
    assert (by_loss.best_epoch, by_loss.over(3), by_loss.over(4)) == (2, False, True)
    assert by_loss.weights["epoch"] == 2
    by_accuracy = follow(EarlyStoppingConfig(patience=2), losses, accuracies)
    assert (by_accuracy.best_epoch, by_accuracy.best, by_accuracy.over(5)) == (3, 0.4, True)


def test_the_weights_are_a_copy() -> None:
    stopping = EarlyStopping(EarlyStoppingConfig(patience=1))
    weights = torch.zeros(2)
    stopping.update(1, 1.0, 0.5, {"weights": weights})
    weights += 1
    assert stopping.weights["weights"].tolist() == [0.0, 0.0]


def test_without_patience_it_never_stops_nor_keeps() -> None:
    stopping = follow(EarlyStoppingConfig(), [1.0] * 50, [0.1] * 50)
    assert (stopping.best_epoch, stopping.over(50), stopping.weights) == (None, False, {})


def test_its_state_comes_back() -> None:
    config = EarlyStoppingConfig(patience=2)
    stopping = follow(config, [1.0, 2.0], [0.5, 0.4])
    other = EarlyStopping(config)
    other.load_state_dict(stopping.state_dict())
    assert other == stopping
    assert other.over(3)
