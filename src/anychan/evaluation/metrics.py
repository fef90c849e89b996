"""What is measured of a model's answers: each number a pure function of the table of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anychan.evaluation.intervals import wilson_interval
from anychan.evaluation.predictions import Predictions

CALIBRATION_BINS = 15
_TOP = 5  # answers of which one is right: of so few classes always


def metrics(predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
    """All metrics of the answers to one split through one channel set, as a record that JSON can hold.

    Precision, recall and F1 are 0 for a class where they would be 0/0. A macro average is the mean over the classes
    that occur or are answered, a weighted one over all images.

    Args:
        predictions: N answers, N at least 1.
        classes: the names of the classes, at least two.

    Returns:
        ``n``, ``accuracy``, ``accuracy_interval`` (Wilson, 95 %), ``top5``, None of five classes or fewer;
        ``precision``, ``recall`` and ``f1``, each ``_macro`` and ``_weighted``; ``expected_calibration_error`` and
        ``calibration`` (see ``calibration``); ``per_class`` (class, support, precision, recall, f1); ``confusion``
        (row: right class, column: answer).
        All rates are 0 to 1.

    Raises:
        ValueError: for no image, fewer than two classes, or a class that has no name.

    Example:
        >>> top = np.array([[0, 1], [1, 0], [1, 0], [1, 0]])
        >>> answers = Predictions("RGB", "", ("a", "b", "c", "d"), np.array([0, 0, 1, 1]), top,
        ...     np.array([[0.9, 0.1]] * 4, dtype=np.float32))
        >>> record = metrics(answers, ["cat", "dog"])
        >>> record["accuracy"], record["precision_macro"], record["confusion"]
        (0.75, 0.833333, [[1, 1], [0, 2]])
    """
    n, k = len(predictions.paths), len(classes)
    if not n or k < 2:
        raise ValueError(f"metrics need an image and two classes at least, not {n} images and {k} classes")
    for name, values in (("label", predictions.labels), ("answer", predictions.top)):
        if values.min() < 0 or values.max() >= k:
            raise ValueError(f"{name} {values.min() if values.min() < 0 else values.max()} is not one of {k} classes")
    right = int(predictions.correct.sum())
    return {
        "n": n,
        "accuracy": right / n,
        "accuracy_interval": list(wilson_interval(right, n)),
        "top5": float((predictions.top == predictions.labels[:, None]).any(axis=1).mean()) if k > _TOP else None,
        **_by_class(torch.tensor(predictions.predicted), torch.tensor(predictions.labels), classes),
        **calibration(predictions),
    }


def calibration(predictions: Predictions) -> dict[str, Any]:
    """How far confidence is from accuracy, over 15 bins of equal width.

    C. Guo et al., "On calibration of modern neural networks", ICML 2017, eq. 3.

    Returns:
        ``expected_calibration_error``, 0 to 1, and ``calibration``: for each bin the mean ``confidence`` and the
        ``accuracy`` (None where the bin is empty) and the ``count`` of images.
    """
    from torchmetrics.functional.classification import binary_calibration_error

    # torchmetrics gives a confidence of exactly 1 a sixteenth bin of its own; just below, it is in the fifteenth.
    confidence = torch.tensor(predictions.confidence, dtype=torch.float64).clamp(max=1 - 1e-12)
    correct = torch.tensor(predictions.correct, dtype=torch.float64)
    error = binary_calibration_error(confidence, correct.long(), n_bins=CALIBRATION_BINS)
    edges = torch.linspace(0, 1, CALIBRATION_BINS + 1, dtype=torch.float64)
    index = torch.bucketize(confidence, edges, right=True) - 1
    bins: list[dict[str, Any]] = []
    for i in range(CALIBRATION_BINS):
        here = index == i
        count = int(here.sum())
        mean, share = (_round(values[here].mean()) if count else None for values in (confidence, correct))
        bins.append({"confidence": mean, "accuracy": share, "count": count})
    return {"expected_calibration_error": _round(error), "calibration": bins}


def _by_class(predicted: Tensor, label: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    from torchmetrics.functional.classification import (
        multiclass_confusion_matrix,
        multiclass_f1_score,
        multiclass_precision,
        multiclass_recall,
    )

    k = len(classes)
    functions = {"precision": multiclass_precision, "recall": multiclass_recall, "f1": multiclass_f1_score}
    each = {name: measure(predicted, label, k, average="none") for name, measure in functions.items()}
    support = np.bincount(label.numpy(), minlength=k)
    return {
        **{
            f"{name}_{average}": _round(measure(predicted, label, k, average=average))
            for average in ("macro", "weighted")
            for name, measure in functions.items()
        },
        "per_class": [
            {"class": name, "support": int(support[i]), **{key: _round(each[key][i]) for key in functions}}
            for i, name in enumerate(classes)
        ],
        "confusion": multiclass_confusion_matrix(predicted, label, k).tolist(),
    }


def _round(value: Tensor) -> float:
    # torchmetrics counts in float32: beyond six places there is nothing but its rounding.
    return round(float(value), 6)
