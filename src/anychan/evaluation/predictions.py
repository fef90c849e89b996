"""A model's answers to the images of a split, and the Parquet table that holds them.

One row is one image seen through one channel set: ``path, label, subset, fill, predicted, confidence, top5,
top5_probability``. All metrics are functions of such rows, so none needs the model again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Key = tuple[str, str]  # (subset, fill)


@dataclass(frozen=True, eq=False, slots=True)
class Predictions:
    """The answers of one model to N images, all seen through one channel set.

    Args:
        subset: the channels that are there, as ``str(ChannelSet)``.
        fill: the naive answer that filled the missing ones, or "" where the model answers by itself.
        paths: of the images, N.
        labels: int64 (N,), the right classes.
        top: int64 (N, K), the K most probable classes, the most probable first; K is 5, or the number of classes
            where there are fewer.
        probability: float32 (N, K), their probabilities, 0 to 1.
        milliseconds: of the model for one image, if there were batches enough to measure it; no column of the table.

    Raises:
        ValueError: if the lengths differ.
    """

    subset: str
    fill: str
    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    top: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float32]
    milliseconds: float | None = None

    def __post_init__(self) -> None:
        n = len(self.paths)
        shapes = (self.labels.shape, self.top.shape, self.probability.shape)
        if self.labels.shape != (n,) or self.top.ndim != 2 or len(self.top) != n or shapes[1] != shapes[2]:
            raise ValueError(f"predictions for {n} images cannot have labels, top, probability of shapes {shapes}")

    @property
    def key(self) -> Key:
        return self.subset, self.fill

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """int64 (N,), the most probable classes."""
        return self.top[:, 0]

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """float32 (N,), the probabilities of ``predicted``."""
        return self.probability[:, 0]

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """bool (N,)."""
        return self.predicted == self.labels


def pack_right(answers: Predictions) -> str:
    """Which images are answered rightly, in the order of their paths: a bit an image, as base64 text for a record.

    Example:
        >>> unpack_right("oA==", 3)
        array([ True, False,  True])
    """
    return pack_bits(answers.correct[np.argsort(np.array(answers.paths), kind="stable")])


def pack_bits(right: npt.NDArray[np.bool_]) -> str:
    """Bool (N,) as base64 text; ``unpack_right`` reads it.

    Example:
        >>> pack_bits(np.array([True, False, True]))
        'oA=='
    """
    return base64.b64encode(np.packbits(right).tobytes()).decode("ascii")


def unpack_right(packed: str, n: int) -> npt.NDArray[np.bool_]:
    """Read back what ``pack_right`` gave of ``n`` images, bool (N,).

    Raises:
        ValueError: if it is not that of as many images.
    """
    bits = np.frombuffer(base64.b64decode(packed, validate=True), dtype=np.uint8)
    if len(bits) != (n + 7) // 8:
        raise ValueError(f"answers to {n} images take {(n + 7) // 8} bytes, not {len(bits)}")
    return np.unpackbits(bits, count=n).astype(bool)


def write_predictions(predictions: Iterable[Predictions], path: Path) -> None:
    """Write a Parquet table of all rows, in the order given."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema := _schema(), compression="zstd") as writer:
        for answers in predictions:
            n, k = answers.top.shape
            ends = np.arange(n + 1, dtype=np.int32) * k
            columns = [
                pa.array(answers.paths, pa.string()),
                pa.array(answers.labels),
                pa.array([answers.subset] * n, pa.string()),
                pa.array([answers.fill] * n, pa.string()),
                pa.array(answers.predicted),
                pa.array(answers.confidence),
                pa.ListArray.from_arrays(ends, answers.top.ravel()),
                pa.ListArray.from_arrays(ends, answers.probability.ravel()),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def read_predictions(path: Path) -> dict[Key, Predictions]:
    """Read a table back, by (subset, fill), in the order of the table.

    Raises:
        FileNotFoundError: if there is no table.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not path.is_file():
        raise FileNotFoundError(f"there are no predictions at {path}: evaluate the run on this split first")
    table = pq.read_table(path, schema=_schema())
    keys = table.select(["subset", "fill"]).group_by(["subset", "fill"], use_threads=False).aggregate([]).to_pylist()
    found = {}
    for key in keys:
        rows = table.filter((pc.field("subset") == key["subset"]) & (pc.field("fill") == key["fill"]))
        found[key["subset"], key["fill"]] = Predictions(
            key["subset"],
            key["fill"],
            tuple(rows["path"].to_pylist()),
            rows["label"].to_numpy(),
            _rows_of_lists(rows["top5"]),
            _rows_of_lists(rows["top5_probability"]),
        )
    return found


def _rows_of_lists(column: Any) -> Any:
    lists = column.combine_chunks()
    return lists.flatten().to_numpy().reshape(len(lists), -1)


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        {
            "path": pa.string(),
            "label": pa.int64(),
            "subset": pa.string(),
            "fill": pa.string(),
            "predicted": pa.int64(),
            "confidence": pa.float32(),
            "top5": pa.list_(pa.int64()),
            "top5_probability": pa.list_(pa.float32()),
        }
    )
