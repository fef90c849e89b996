"""What an export was: for people as a few lines, for programs as a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from anychan._columns import columns, points

_SIZE = ("height", "width")


@dataclass(frozen=True)
class Exported:
    """A file that was written, checked and found to answer as its model does.

    Args:
        path: of the file.
        format: "onnx" or "torch".
        opset: of an ONNX file.
        channels: what its planes are called; of a file that takes subsets, all of them, by whose places it is told.
        subsets: those it takes; None for a file of one channel set.
        image_size: height and width in pixels that the model was made for.
        dynamic: the dimensions of its images that may vary: "batch", "channels", "height", "width".
        bytes: its size.
        check: calls, images, the largest difference between logits and the model's largest logit, images of the same
            class.
        int8: where weights were quantised: ``bytes_before``, the ``weights`` that are int8, what the ``check`` found
            against the file before, and the ``accuracy`` on each subset of data, int8 as a and before as b, with the
            images that were ``left_out`` as they lack a channel; None where it was not measured.
    """

    path: str
    format: str
    opset: int | None
    channels: tuple[str, ...]
    subsets: tuple[str, ...] | None
    image_size: int
    dynamic: tuple[str, ...]
    bytes: int
    check: Mapping[str, Any]
    int8: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON can hold."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def table(self) -> str:
        """A few lines for people."""
        fixed = "" if set(_SIZE) <= set(self.dynamic) else f", of {self.image_size} x {self.image_size} pixels only"
        takes = (
            f"image of {','.join(self.channels)}"
            if self.subsets is None
            else f"image, and channels as places in {','.join(self.channels)}: {len(self.subsets)} subsets"
        )
        check = self.check
        nothing = "" if check["largest"] else "; the model's logits are all 0, so that this says nothing of the file"
        rows = {
            "file": f"{self.path} ({_megabytes(self.bytes)})",
            "format": "torch.export" if self.opset is None else f"ONNX, opset {self.opset}",
            "takes": f"{takes}; {', '.join(self.dynamic)} may vary{fixed}",
            "checked": f"same class for {check['same_class']} of {check['images']} images in {check['calls']} calls, "
            f"logits differ by {check['difference']:.2g} at most{nothing}",
        }
        rows |= self._int8_rows()
        return "\n".join(columns(list(rows.items())))

    def _int8_rows(self) -> dict[str, str]:
        if self.int8 is None:
            return {}
        check = self.int8["check"]
        rows = {
            "int8": f"{_megabytes(self.int8['bytes_before'])} before; same class for {check['same_class']} of "
            f"{check['images']} made-up images"
        }
        accuracy = self.int8["accuracy"]
        if accuracy is None:
            return {**rows, "accuracy": "what int8 costs was not measured: name --data"}
        for row in accuracy:
            lacking = f"; {row['left_out']} lack a channel" if row["left_out"] else ""
            if not row["n"]:
                rows[row["subset"]] = "not measured: all images lack a channel"
                continue
            low, high = map(points, row["difference_interval"])
            rows[row["subset"]] = (
                f"{100 * row['accuracy_a']:.1f} % with int8, {100 * row['accuracy_b']:.1f} % before "
                f"({points(row['difference'])} points, {low} to {high}; n = {row['n']}{lacking})"
            )
        return rows


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
