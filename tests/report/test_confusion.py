"""The confusion matrix: its pairs, its shades, its room."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from anychan.report import write_report
from anychan.report._charts.confusion import confused, matrix
from anychan.report._reading.records import Result
from anychan.report._reading.runs import read_run

from ._runs import write_run


def _result(folder: Path, confusion: list[list[int]]) -> Result:
    full = read_run(write_run(folder)).evaluations["test"].full
    assert full is not None
    return dataclasses.replace(full, confusion=tuple(tuple(row) for row in confusion))


def test_pairs_are_true_class_then_answer_most_frequent_first(tmp_path: Path) -> None:
    result = _result(tmp_path / "a", [[5, 0, 1], [3, 2, 0], [0, 0, 4]])
    assert confused(result, "abc") == [("b", "a", 3, 5), ("a", "c", 1, 6)]
    assert confused(result, "abc", most=1) == [("b", "a", 3, 5)]


def test_shades_tell_right_from_wrong_and_rows_run_downwards(tmp_path: Path) -> None:
    drawing = matrix(_result(tmp_path / "a", [[5, 0, 1], [3, 2, 0], [0, 0, 0]]), "abc")
    assert drawing is not None
    cells = {
        (int(y), int(x)): (kind, opacity)
        for kind, opacity, path in drawing.shades
        for x, y in re.findall(r"M(\d+) (\d+)h1", path)
    }
    assert cells == {(0, 0): ("right", 1.0), (0, 2): ("wrong", 0.5), (1, 0): ("wrong", 0.8), (1, 1): ("right", 0.7)}
    assert [(count, x < drawing.cell, y < drawing.cell) for x, y, count in drawing.counts] == [
        (5, True, True),
        (1, False, True),
        (3, True, False),
        (2, False, False),
    ]


def test_counts_have_room_beside_each_other(tmp_path: Path) -> None:
    names = [f"class {i}" for i in range(16)]
    for most, room in ((999, 25), (1300, 4 * 7.63)):  # a digit of DejaVu Sans in 12 px
        rows = [[most * (i == j) + 50 * (i != j) for j in range(16)] for i in range(16)]
        drawing = matrix(_result(tmp_path / "a", rows), names)
        assert drawing is not None
        assert len(drawing.counts) == 16 * 16
        assert room <= drawing.cell < room + 5
        assert drawing.side == 16 * drawing.cell


def test_counts_can_be_read_on_every_shade(tmp_path: Path) -> None:
    """With a contrast of 4.5, as WCAG 2.2 asks for of text, in the light and in the dark."""
    run = write_run(tmp_path / "run")
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"][0]["confusion"] = [[100, 0, 0, 0], [100, 0, 0, 0], [0, 0, 100, 0], [0, 0, 0, 100]]
    path.write_text(json.dumps(record))
    page = write_report([run], tmp_path / "page.html").read_text("utf-8")
    palette = files("anychan.report").joinpath("templates", "palette.css").read_text("utf-8")
    light, dark = (dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", part)) for part in palette.split("@media"))
    shades = re.findall(r'class="(right|wrong)" stroke-opacity="([\d.]+)"', page)
    assert {kind for kind, _ in shades} == {"right", "wrong"}
    for colours in (light, light | dark):
        ink, paper = _rgb(colours["--ink"]), _rgb(colours["--paper"])
        for kind, opacity in shades:
            shaded = float(opacity) * _rgb(colours[f"--{kind}"]) + (1 - float(opacity)) * paper
            assert _contrast(ink, shaded) >= 4.5, (kind, opacity)


def _rgb(colour: str) -> npt.NDArray[np.float64]:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def _contrast(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in (one, other)]
    dim, bright = sorted(float(rgb @ (0.2126, 0.7152, 0.0722)) for rgb in linear)
    return (bright + 0.05) / (dim + 0.05)


def test_fifty_classes_are_named_and_have_room(tmp_path: Path) -> None:
    names = [f"class {i}, with a second name" for i in range(50)]
    drawing = matrix(_result(tmp_path / "a", [[int(i == j) for j in range(50)] for i in range(50)]), names)
    assert drawing is not None
    assert [mark.text for mark in drawing.marks][:2] == ["class 0", "class 1"]
    assert drawing.cell >= 12
    assert drawing.counts == ()


def test_a_thousand_classes_are_numbered_and_small(tmp_path: Path) -> None:
    n = 1000
    rows = [[0] * n for _ in range(n)]
    for i in range(n):
        rows[i][i] = rows[i][(i + 1) % n] = 25
    drawing = matrix(_result(tmp_path / "a", rows), [str(i) for i in range(n)])
    assert drawing is not None
    assert 3 <= len(drawing.marks) <= 30
    assert sum(len(path) for _, _, path in drawing.shades) < 20_000


def test_no_matrix_no_drawing(tmp_path: Path) -> None:
    assert matrix(_result(tmp_path / "a", []), "abc") is None
