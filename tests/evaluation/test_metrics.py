"""Every metric against a slow count of its own, on random answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anychan.evaluation import Predictions
from anychan.evaluation.metrics import metrics


def random_predictions(seed: int, n: int, k: int) -> Predictions:
    """Answers with ties, sure ones (confidence 1) and classes that never occur."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.full(k, 0.3), size=n)
    probability[rng.random(n) < 0.1] = np.eye(k)[0]
    order = np.argsort(-probability, axis=1, kind="stable")[:, :5]
    top_probability = np.take_along_axis(probability, order, axis=1).astype(np.float32)
    labels = rng.integers(0, max(1, k - 1), size=n)
    sure = rng.random(n) < 0.4
    labels[sure] = order[sure, 0]
    return Predictions("RGB", "", tuple(f"{i}.png" for i in range(n)), labels, order, top_probability)


def share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def by_hand(predictions: Predictions, k: int) -> dict[str, list[float]]:
    """Precision, recall, F1 and support of each class, counted image by image."""
    found: dict[str, list[float]] = {"precision": [], "recall": [], "f1": [], "support": []}
    for c in range(k):
        right = said = there = 0
        for label, predicted in zip(predictions.labels, predictions.predicted, strict=True):
            right += int(label == c and predicted == c)
            said += int(predicted == c)
            there += int(label == c)
        found["precision"].append(share(right, said))
        found["recall"].append(share(right, there))
        found["f1"].append(share(2 * right, said + there))
        found["support"].append(there)
    return found


def calibration_by_hand(predictions: Predictions) -> float:
    error, n = 0.0, len(predictions.paths)
    for i in range(15):
        confidences, rights = [], []
        for confidence, right in zip(predictions.confidence.tolist(), predictions.correct.tolist(), strict=True):
            if i / 15 <= confidence < (i + 1) / 15 or (i == 14 and confidence == 1.0):
                confidences.append(confidence)
                rights.append(right)
        if rights:
            error += len(rights) / n * abs(sum(confidences) / len(rights) - sum(rights) / len(rights))
    return error


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 80), k=st.integers(2, 9))
def test_equal_the_slow_count(seed: int, n: int, k: int) -> None:
    predictions = random_predictions(seed, n, k)
    record = metrics(predictions, [f"class {c}" for c in range(k)])
    expected = by_hand(predictions, k)
    occurring = [c for c in range(k) if c in predictions.labels or c in predictions.predicted]
    for name in ("precision", "recall", "f1"):
        assert [row[name] for row in record["per_class"]] == pytest.approx(expected[name], abs=2e-6)
        macro = sum(expected[name][c] for c in occurring) / len(occurring)
        weighted = sum(value * there for value, there in zip(expected[name], expected["support"], strict=True)) / n
        assert record[f"{name}_macro"] == pytest.approx(macro, abs=2e-6)
        assert record[f"{name}_weighted"] == pytest.approx(weighted, abs=2e-6)
    assert [row["support"] for row in record["per_class"]] == expected["support"]
    confusion = np.zeros((k, k), dtype=int)
    for label, predicted in zip(predictions.labels, predictions.predicted, strict=True):
        confusion[label, predicted] += 1
    assert record["confusion"] == confusion.tolist()
    assert record["n"] == n
    assert record["accuracy"] == pytest.approx(np.trace(confusion) / n)
    within_five = sum(label in top for label, top in zip(predictions.labels, predictions.top.tolist(), strict=True))
    assert record["top5"] == (pytest.approx(within_five / n) if k > 5 else None)
    assert record["accuracy_interval"][0] <= record["accuracy"] + 1e-12
    assert record["accuracy"] <= record["accuracy_interval"][1] + 1e-12


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 200))
def test_calibration_equals_the_slow_count(seed: int, n: int) -> None:
    predictions = random_predictions(seed, n, 4)
    record = metrics(predictions, list("abcd"))
    expected = calibration_by_hand(predictions)
    bins = record["calibration"]
    assert record["expected_calibration_error"] == pytest.approx(expected, abs=2e-6)
    assert len(bins) == 15
    assert sum(b["count"] for b in bins) == n
    from_bins = sum(b["count"] / n * abs(b["confidence"] - b["accuracy"]) for b in bins if b["count"])
    assert from_bins == pytest.approx(expected, abs=2e-6)
    assert all((b["confidence"] is None) == (b["accuracy"] is None) == (b["count"] == 0) for b in bins)


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    top, probability = np.zeros((2, 1), dtype=int), np.array([[1.0], [0.95]], dtype=np.float32)
    record = metrics(Predictions("R", "", ("a", "b"), np.array([0, 1]), top, probability), ["cat", "dog"])
    assert record["calibration"][-1] == {"confidence": 0.975, "accuracy": 0.5, "count": 2}
    assert record["expected_calibration_error"] == pytest.approx(0.475, abs=1e-6)


def test_what_cannot_be_measured_is_refused() -> None:
    predictions = random_predictions(0, 5, 3)
    with pytest.raises(ValueError, match="two classes"):
        metrics(predictions, ["only one"])
    with pytest.raises(ValueError, match="is not one of 2 classes"):
        metrics(predictions, ["cat", "dog"])
