"""The charts draw the records' numbers where they belong."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anychan.channels import ChannelSet
from anychan.evaluation.intervals import wilson_interval
from anychan.report._charts import runs as figures
from anychan.report._charts.svg import INK, MARKERS, SERIES, draw
from anychan.report._reading.records import Run, Specialist, Specialists
from anychan.report._reading.runs import read_run

from ._runs import write_run

_Paint = Callable[[Axes], None]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of the charts that a test draws, and no text of theirs."""
    axes: list[Axes] = []

    def draw(name: str, label: str, size: tuple[float, float], paint: _Paint) -> str:
        axes.append(Figure().add_subplot())
        paint(axes[-1])
        return label

    monkeypatch.setattr(figures, "draw", draw)
    return axes


def _lines(axes: Axes, colour: str) -> list[tuple[list[float], Any]]:
    found = [line for line in axes.lines if line.get_color() == colour]
    return [([round(float(x), 3) for x in line.get_xdata()], line.get_marker()) for line in found]


def test_retention_with_its_intervals_and_naive_answers(tmp_path: Path, drawn: list[Axes]) -> None:
    first = read_run(write_run(tmp_path / "first", fills=("zeros",)))
    other = read_run(write_run(tmp_path / "other", accuracy=0.5))
    chart = figures.retention_chart([first, other], "test")
    assert "subset, percent. first: RG 85, RB" in chart
    assert "; first, black: RG 33, RB" in chart
    assert "; other: RG " in chart
    blue, orange = _lines(drawn[0], SERIES[0]), _lines(drawn[0], SERIES[1])
    # Accuracy .51 of .6 on all channels, its interval .49 to .529.
    assert blue[:3] == [([100.0], "o"), ([81.667, 88.167], "None"), ([85.0], "o")]  # on all channels nothing is unsure
    assert ([33.333], "x") in blue
    assert orange[0] == ([100.0], "s")
    assert [label.get_text() for label in drawn[0].get_yticklabels()] == ["RGB", "RG", "RB", "GB", "R", "G", "B"]
    assert drawn[0].yaxis_inverted()


_BANDS = [*(f"B{i:02}" for i in range(1, 9)), "B8A", *(f"B{i:02}" for i in range(9, 13))]


@pytest.mark.parametrize("chart", [figures.retention_chart, figures.accuracy_chart])
def test_many_bands_leave_a_chart_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chart: Callable[[list[Run], str], Any]
) -> None:
    run = read_run(write_run(tmp_path / "run", "a,b", epochs=0, pictures=0))
    whole, *_, one = run.evaluations["test"].results
    missing = [[], ["B01"], ["B01", "B09"], _BANDS[:6], _BANDS[6:], *([x for x in _BANDS if x != y] for y in _BANDS)]
    subsets = [",".join(name for name in _BANDS if name not in gone) for gone in missing]
    results = [dataclasses.replace(whole if i == 0 else one, subset=name) for i, name in enumerate(subsets)]
    evaluation = dataclasses.replace(run.evaluations["test"], channels=ChannelSet(_BANDS), results=tuple(results))
    seen: list[tuple[list[Any], float]] = []

    def draw(name: str, label: str, size: tuple[float, float], paint: _Paint) -> str:
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72, layout="constrained")
        paint(axes := figure.add_subplot())
        figure.draw_without_rendering()
        seen.append((axes.get_yticklabels(), axes.get_window_extent().width))
        return label

    monkeypatch.setattr(figures, "draw", draw)
    assert f"{subsets[1]} " in chart([dataclasses.replace(run, evaluations={"test": evaluation})], "test")
    labels, width = seen[0]
    told = [label.get_text() for label in labels]
    assert told[:2] == ["all 13 channels", "without B01"]
    assert told[-1] == "B12"
    assert sorted(told[2:4]) == ["without B01, B02, B03,\nB04, B05, B06", "without B01, B09"]
    boxes = [label.get_window_extent() for label in labels]
    assert all(a.ymin >= b.ymax for a, b in itertools.pairwise(boxes))
    assert width > 150


def test_subsets_of_many_long_names_are_drawn_by_size(tmp_path: Path, drawn: list[Axes]) -> None:
    names = [f"wavelength-{i}-nanometres" for i in range(5)]
    run = read_run(write_run(tmp_path / "run", ",".join(names), epochs=0, pictures=0))
    assert figures.retention_chart([run], "test") is not None
    told = [label.get_text() for label in drawn[0].get_yticklabels()]
    assert told == ["5 channels", "4 channels", "3 channels", "2 channels", "1 channel"]


def test_a_subset_that_keeps_all_is_as_unsure_as_others(tmp_path: Path, drawn: list[Axes]) -> None:
    run = read_run(write_run(tmp_path / "run"))
    full, *smaller = run.evaluations["test"].results
    alike = [dataclasses.replace(full, subset=result.subset) for result in smaller]
    evaluation = dataclasses.replace(run.evaluations["test"], results=(full, *alike))
    assert figures.retention_chart([dataclasses.replace(run, evaluations={"test": evaluation})], "test")
    bar = [round(100 * bound / full.accuracy, 3) for bound in full.interval]
    assert _lines(drawn[0], SERIES[0]) == [([100.0], "o"), *[(bar, "None"), ([100.0], "o")] * 6]


def test_accuracies_beside_those_of_specialists(tmp_path: Path, drawn: list[Axes]) -> None:
    first = read_run(write_run(tmp_path / "first", fills=("zeros",)))
    row = Specialist("RG", "plain-RG", 400, 0.51, 0.53, -0.02, (-0.04, 0.0), 0.04, 0.04, "b is better")
    beside = Specialists("first", "test", (row,), 0.51, 0.53, -0.02, (-0.04, 0.0), (None, None), (None, None), ())
    assert figures.accuracy_chart([dataclasses.replace(first, specialists=(beside,))], "test")
    low, high = (round(100 * bound, 3) for bound in wilson_interval(212, 400))
    assert _lines(drawn[0], INK) == [([low, high], "None"), ([53.0], "D")]
    blue = _lines(drawn[0], SERIES[0])
    bounds = [round(100 * bound, 3) for bound in first.evaluations["test"].results[0].interval]
    assert blue[:2] == [(bounds, "None"), ([60.0], "o")]
    assert ([20.0], "x") in blue
    assert figures.accuracy_chart([first], "val") is None


def test_runs_of_one_chart_have_marks_of_their_own(tmp_path: Path, drawn: list[Axes]) -> None:
    """Six a chart at most; a run on all channels alone is in none, and shifts the marks of those behind it."""
    runs = [read_run(write_run(tmp_path / f"run{i}")) for i in range(8)]
    alone = dataclasses.replace(evaluation := runs[2].evaluations["test"], results=evaluation.results[:1])
    runs[2] = dataclasses.replace(runs[2], evaluations={"test": alone})
    assert [places for _, places in figures.retention_panels(runs, "test")] == [[0, 1, 3, 4, 5], [6, 7]]
    for axes, places in zip(drawn, ([0, 1, 3, 4, 5], [6, 7]), strict=True):
        marks = {(line.get_color(), line.get_marker()) for line in axes.lines if len(line.get_xdata()) == 1}
        assert marks == {(SERIES[place % 6], MARKERS[place % 6]) for place in places}
    assert len({axes.get_xlim() for axes in drawn}) == 1  # to one scale
    assert figures.retention_panels(runs, "val") == []


def test_subsets_without_retention_are_not_drawn(tmp_path: Path, drawn: list[Axes]) -> None:
    run = write_run(tmp_path / "first")
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    for result in record["results"]:
        result["retention"] = result["retention"] if result["subset"] == "RG" else None
    path.write_text(json.dumps(record))
    assert figures.retention_chart([read_run(run)], "test") is not None
    assert _lines(drawn[0], SERIES[0]) == [([81.667, 88.167], "None"), ([85.0], "o")]
    assert figures.retention_chart([read_run(run)], "val") is None


def test_curves_tell_training_from_validation(tmp_path: Path, drawn: list[Axes]) -> None:
    run = read_run(write_run(tmp_path / "first", epochs=3, selected="best", best_epoch=2))
    label = figures.curve_chart(run, 1, "accuracy", (0.0, 60.0))
    assert label == "first, accuracy by epoch: train 36.4 after epoch 3, val 38.4 after epoch 3"
    train, validation, best = drawn[0].lines
    assert (train.get_linestyle(), validation.get_linestyle()) == ("--", "-")
    assert [round(float(y), 1) for y in train.get_ydata()] == [21.1, 29.7, 36.4]
    assert [round(float(y), 1) for y in validation.get_ydata()] == [22.8, 31.9, 38.4]
    assert list(best.get_xdata()) == [2, 2]
    assert drawn[0].get_ylim() == (0.0, 60.0)


def test_a_run_without_validation_has_one_curve_and_one_without_epochs_none(tmp_path: Path, drawn: list[Axes]) -> None:
    run = read_run(write_run(tmp_path / "first", epochs=2))
    bare = dataclasses.replace(run, epochs=tuple(dataclasses.replace(e, val_loss=None) for e in run.epochs))
    assert figures.curve_chart(bare, 0, "loss", (0.0, 4.0)) is not None
    assert [line.get_linestyle() for line in drawn[0].lines] == ["--"]
    assert figures.curve_chart(dataclasses.replace(run, epochs=()), 0, "loss", (0.0, 4.0)) is None


def test_runs_of_one_objective_share_a_scale(tmp_path: Path) -> None:
    low = read_run(write_run(tmp_path / "low"))
    epoch = dataclasses.replace(low.epochs[0], val_loss=9.0, val_accuracy=0.9)
    high = dataclasses.replace(low, epochs=(epoch,))
    assert figures.curve_limits(low, [low, high], "loss") == (0.0, pytest.approx(9.72))
    assert figures.curve_limits(low, [dataclasses.replace(low, epochs=())], "loss") == (0.0, 1.08)
    taught = {**low.record["config"], "objective": {"name": "teacher", "temperature": 4.0}}
    other = dataclasses.replace(high, record={**low.record, "config": taught})
    assert figures.curve_limits(low, [low, other], "loss") == figures.curve_limits(low, [low], "loss")
    assert figures.curve_limits(other, [low, other], "loss") == (0.0, pytest.approx(9.72))
    assert figures.curve_limits(low, [low, other], "accuracy") == (0.0, pytest.approx(97.2))


def test_calibration_points_are_confidence_and_accuracy(tmp_path: Path, drawn: list[Axes]) -> None:
    run = write_run(tmp_path / "first")
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"][0]["calibration"] = [
        {"confidence": 0.2, "accuracy": 0.3, "count": 10},
        {"confidence": 0.5, "accuracy": None, "count": 0},
        {"confidence": 0.9, "accuracy": 0.7, "count": 40},
    ]
    path.write_text(json.dumps(record))
    read = read_run(run)
    full = read.evaluations["test"].full
    assert full is not None
    assert figures.calibration_chart(read, 0, full) == (
        "first on RGB, accuracy by confidence: 20 %: 30 % of 10; 90 %: 70 % of 40"
    )
    points = drawn[0].collections[0]
    assert points.get_offsets().tolist() == [[20.0, 30.0], [90.0, 70.0]]
    assert points.get_sizes()[0] < points.get_sizes()[1]
    assert figures.calibration_chart(read, 0, dataclasses.replace(full, calibration=())) is None


def test_a_figure_does_not_follow_the_user_s_settings_and_leaves_them() -> None:
    def paint(axes: Axes) -> None:
        axes.plot([0, 1, 3], [0, 1 / 3, 1])
        axes.set_xlabel("epoch")

    own = {"savefig.bbox": "tight", "axes.labelsize": 20, "axes.prop_cycle": mpl.cycler(color=["#ff0000"])}
    usual = draw("a", "a line", (120, 80), paint)
    with mpl.rc_context(own):
        before = dict(mpl.rcParams)
        assert draw("a", "a line", (120, 80), paint) == usual
        assert dict(mpl.rcParams) == before


def test_places_are_short_and_the_typeface_is_the_page_s() -> None:
    def paint(axes: Axes) -> None:
        axes.plot([0, 1, 3], [0, 1 / 3, 1])

    svg = draw("a", "a line", (120, 80), paint)
    assert "font-family" not in svg
    assert "font-size" in svg
    assert not re.search(r' (?:d|x|y|transform)="[^"]*(?:\d\.\d{3}|\n)', svg)


def test_a_point_is_a_circle_of_two_numbers_and_a_radius() -> None:
    def paint(axes: Axes) -> None:
        axes.set_xlim(0, 10)
        axes.set_ylim(0, 10)
        axes.scatter([2, 8], [5, 5], [100, 25], color=SERIES[0])
        axes.scatter([5], [5], [100], color=SERIES[1], marker="s")

    text = str(draw("points", "points", (300, 200), paint))
    circles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', text)
    (x, y, large), (right, same, small) = [tuple(map(float, circle)) for circle in circles]
    assert [(x + right) / 2] == pytest.approx(
        [float(at) for at in re.findall(r'<use [^>]*x="([\d.]+)"', text)], abs=0.01
    )
    assert (y, large) == (same, pytest.approx(2 * small, abs=0.01))
    assert large == pytest.approx(math.sqrt(100) / 2, abs=0.01)  # a marker's area is that of its square, in points
