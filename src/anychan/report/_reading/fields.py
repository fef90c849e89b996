"""Records as JSON, read with care: every complaint names the file and the field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anychan._records import check_record


@dataclass(frozen=True)
class Fields:
    """The fields of one JSON object, with the place where it stands for complaints.

    Example:
        >>> fields = Fields("run.json", {"seed": 0, "loss": None})
        >>> fields.integer("seed"), fields.maybe("loss")
        (0, None)
        >>> fields.text("name")
        Traceback (most recent call last):
        ValueError: run.json: 'name' is missing; it should be a text
    """

    place: str
    values: Mapping[str, Any]

    def text(self, key: str) -> str:
        return self._typed(key, str, "a text")

    def integer(self, key: str) -> int:
        return self._typed(key, int, "an integer")

    def array(self, key: str) -> list[Any]:
        return self._typed(key, list, "a list")

    def number(self, key: str) -> float:
        """A finite number."""
        value = self.maybe(key)
        if value is None:
            raise self._complaint(key, "a finite number")
        return value

    def maybe(self, key: str) -> float | None:
        """A number, or None where there is none or it is not finite."""
        if self.values.get(key) is None:
            return None
        value = float(self._typed(key, (int, float), "a number"))
        return value if math.isfinite(value) else None

    def maybe_integer(self, key: str) -> int | None:
        return None if self.values.get(key) is None else self.integer(key)

    def interval(self, key: str) -> tuple[float, float]:
        """Two numbers, the lower one first."""
        bounds = self.array(key)
        if len(bounds) != 2 or not all(isinstance(b, (int, float)) for b in bounds) or not bounds[0] <= bounds[1]:
            raise self._complaint(key, "two numbers, the lower one first")
        return float(bounds[0]), float(bounds[1])

    def child(self, key: str) -> Fields:
        return self.of(self._typed(key, dict, "an object"), f"{self.place}: {key}")

    def maybe_child(self, key: str) -> Fields:
        """An object, empty where there is none."""
        return self.of({}) if self.values.get(key) is None else self.child(key)

    def children(self, key: str) -> list[Fields]:
        """A list of objects."""
        return [self.of(value, f"{self.place}: {key}[{i}]") for i, value in enumerate(self.array(key))]

    def of(self, value: Any, place: str = "") -> Fields:
        """Another object of the same file.

        Raises:
            ValueError: if it is no object.
        """
        if not isinstance(value, dict):
            raise ValueError(f"{place or self.place} should be an object, not {value!r:.60}")
        return Fields(place or self.place, value)

    def _typed(self, key: str, kind: Any, words: str) -> Any:
        value = self.values.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self._complaint(key, words)
        return value

    def _complaint(self, key: str, words: str) -> ValueError:
        found = f"is {self.values[key]!r:.60}" if key in self.values else "is missing"
        return ValueError(f"{self.place}: {key!r} {found}; it should be {words}")


def read_json(path: Path, kind: str | None) -> Fields:
    """Read a record file.

    Args:
        path: the file.
        kind: what its ``kind`` field must say; None for files that carry neither kind nor schema.

    Raises:
        ValueError: if it is no JSON object, of another kind, or of another schema than 1.
    """
    try:
        return _record(str(path), path.read_text("utf-8"), kind)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error.reason})") from error


def read_lines(path: Path, kind: str) -> list[Fields]:
    """Read a file of one record a line; no file, no records.

    A last line without its line break is what a killed run leaves behind, and is left out.

    Raises:
        ValueError: for any other line that ``read_json`` would refuse.
    """
    if not path.is_file():
        return []
    whole, _, _ = path.read_text("utf-8", errors="replace").rpartition("\n")
    return [_record(f"{path}: line {i}", line, kind) for i, line in enumerate(whole.splitlines(), 1) if line.strip()]


def _record(place: str, text: str, kind: str | None) -> Fields:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{place}: nested too deep to be read") from error
    check_record(values, place, kind)
    return Fields(place, values)
