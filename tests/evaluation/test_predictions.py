"""The Parquet table of predictions: what is written is read back, and others can read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from anychan.evaluation import Predictions, read_predictions, write_predictions
from anychan.evaluation.metrics import metrics


def predictions(subset: str, fill: str, n: int = 7, k: int = 5, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(8), size=n).astype(np.float32)
    order = np.argsort(-probability, axis=1)[:, :k]
    return Predictions(
        subset,
        fill,
        tuple(f"images/ä {i}.png" for i in range(n)),
        rng.integers(0, 8, size=n),
        order,
        np.take_along_axis(probability, order, axis=1),
    )


def test_round_trip_keeps_every_bit_and_the_order(tmp_path: Path) -> None:
    written = [
        predictions("RGB", "", seed=1),
        predictions("R", "mean", n=3, seed=2),
        predictions("R", "", seed=3),
        predictions("B04,B08", "zeros", n=1, k=3, seed=4),
    ]
    write_predictions(written, tmp_path / "test.parquet")
    found = read_predictions(tmp_path / "test.parquet")
    assert list(found) == [("RGB", ""), ("R", "mean"), ("R", ""), ("B04,B08", "zeros")]
    for before, after in zip(written, found.values(), strict=True):
        assert before.paths == after.paths
        for name in ("labels", "top", "probability"):
            a, b = getattr(before, name), getattr(after, name)
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
        classes = list("abcdefgh")
        assert metrics(before, classes) == metrics(after, classes)


def test_columns_are_those_of_the_format(tmp_path: Path) -> None:
    answers = predictions("RG", "zeros")
    write_predictions([answers], tmp_path / "test.parquet")
    rows = pq.read_table(tmp_path / "test.parquet").to_pylist()
    assert list(rows[0]) == [
        "path", "label", "subset", "fill", "predicted", "confidence", "top5", "top5_probability",
    ]  # fmt: skip
    for i, row in enumerate(rows):
        assert row["path"] == f"images/ä {i}.png"
        assert row["label"] == answers.labels[i]
        assert (row["subset"], row["fill"]) == ("RG", "zeros")
        assert row["predicted"] == row["top5"][0] == answers.top[i, 0]
        assert row["confidence"] == row["top5_probability"][0] == max(row["top5_probability"])
        assert len(row["top5"]) == 5


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.parquet"):
        read_predictions(tmp_path / "nothing.parquet")


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="3 images"):
        Predictions("R", "", ("a", "b", "c"), np.zeros(2, int), np.zeros((3, 5), int), np.zeros((3, 5), np.float32))
