"""Names beside points: none over another, over a point or outside of the axes; whose each is is told without colour."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Sequence
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from PIL import ImageFont

from anychan.report._charts.labels import label_points
from anychan.report._charts.svg import draw
from anychan.report._reading.records import Run
from anychan.report._reading.runs import read_run
from anychan.report._tables import networks

from ._runs import write_run

Box = tuple[float, float, float, float]  # left, top, right, bottom
Point = tuple[float, float]
_SIZE, _TAIL = 7.0, 1.65  # of the letters, and of a p below their foot
_SIGN = 3.25  # half the side of a point's sign


@cache
def _font() -> Any:
    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), 10 * int(_SIZE))


class Chart:
    """What a reader sees of a chart, from its SVG alone."""

    def __init__(self, svg: str) -> None:
        number = r"(-?[\d.]+)"
        ((x, bottom), (_, top)), (_, (right, _)) = _strokes(svg, r"var\(--faint\); stroke-width: 0.8")
        self.axes = (x, top, right, bottom)
        self.height = float(re.findall(rf'viewBox="0 0 [\d.]+ {number}"', svg)[0])
        self.points = [
            (float(x), float(y)) for x, y in re.findall(rf'<use xlink:href="[^"]+" x="{number}" y="{number}"', svg)
        ]
        self.lines = _strokes(svg, r"var\(--ink\); stroke-width: 0.5")
        text = rf'<text style="font-size: 7px; text-anchor: (\w+)[^"]*" x="{number}" y="{number}"[^>]*>([^<]+)<'
        found = [
            (unescape(words), _box(words, float(x), float(y), side)) for side, x, y, words in re.findall(text, svg)
        ]
        self.labels = [(words, box) for words, box in found if box[3] < bottom + 5]
        self.listed = [(words, box) for words, box in found if box[3] >= bottom + 5]
        ticks = [float(y) for y in re.findall(rf'<text (?!style="font-size)[^>]* y="{number}"', svg)]
        self.lowest = max(ticks) + 0.3 * 10  # of what stands below the axes

    def whose(self) -> dict[str, Point]:
        """The point of each label: where its line begins, or the nearest one."""
        found = {}
        for words, box in self.labels:
            with_tails = (box[0], box[1], box[2], box[3] + _TAIL)
            lines = [start for start, end in self.lines if _away(end, with_tails) < 1.0]
            assert len(lines) < 2, f"two lines end at {words}"
            found[words] = lines[0] if lines else min(self.points, key=lambda point: _away(point, box))
        return found


def _strokes(svg: str, stroke: str) -> list[tuple[Point, Point]]:
    """The straight lines of this stroke, outside the clipped ones; one path may hold many."""
    number = r"(-?[\d.]+)"
    paths = re.findall(rf'<path d="([^"]+)" style="fill: none; stroke: {stroke};', svg)
    ends = (map(float, found) for d in paths for found in re.findall(rf"M{number} {number}L{number} {number}", d))
    return [((a, b), (c, d)) for a, b, c, d in ends]


def _box(words: str, x: float, foot: float, side: str) -> Box:
    """Of the letters as they stand, without what is left free around them."""
    text = unescape(words)
    width, (_, up, _, down) = _font().getlength(text) / 10, _font().getbbox(text, anchor="ls")
    left = x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[side]
    return left, foot + up / 10, left + width, foot + down / 10


def _away(point: Point, box: Box) -> float:
    return max(box[0] - point[0], point[0] - box[2], box[1] - point[1], point[1] - box[3], 0.0)


def _over(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read_run(write_run(tmp_path_factory.mktemp("runs") / "run", pictures=0))


def network(run: Run, name: str, accuracy: float, depth: int, parameters: float) -> Run:
    """A network that reaches this and costs this."""
    evaluation = run.evaluations["test"]
    full = evaluation.full
    assert full is not None
    assert full.cost is not None
    cost = dataclasses.replace(full.cost, depth=depth, parameters=int(1e6 * parameters), macs=None, latency={})
    result = dataclasses.replace(full, accuracy=accuracy, interval=(accuracy - 0.015, accuracy + 0.015), cost=cost)
    return dataclasses.replace(run, name=name, evaluations={"test": dataclasses.replace(evaluation, results=(result,))})


def networks_of(run: Run, count: int, spread: float) -> list[Run]:
    """Most of six layers, with names of unlike length, in two clusters whose width is ``spread``."""
    lot = random.Random(count)
    deep = [network(run, "network-resnet34", 0.48, 34, 21.3)]
    names = [f"network-{'wide' * lot.randint(1, 3)}{i}" for i in range(1, count)]
    middles = [(0.52, 2.0), (0.58, 5.0)]
    clustered = [(name, *lot.choice(middles)) for name in names]
    return deep + [
        network(
            run, name, lot.gauss(accuracy, 0.02 * spread), lot.choice((4, 6, 6, 6)), of * lot.gauss(1, 0.3 * spread)
        )
        for name, accuracy, of in clustered
    ]


def check(chart: Chart, names: Sequence[str]) -> None:
    boxes = [box for _, box in chart.labels]
    for i, box in enumerate(boxes):
        words = chart.labels[i][0]
        assert not any(_over(box, other) for other in boxes[:i]), f"{words} lies over another label"
        signs = [(x - _SIGN, y - _SIGN, x + _SIGN, y + _SIGN) for x, y in chart.points]
        assert not any(_over(box, sign) for sign in signs), f"{words} lies over a point"
        left, top, right, bottom = chart.axes
        assert left <= box[0] <= box[2] <= right, f"{words} leaves the axes"
        assert top <= box[1] <= box[3] <= bottom, f"{words} leaves the axes"
    listed = [words for words, _ in chart.listed]
    for i, (words, box) in enumerate(chart.listed):
        assert 0 <= box[0] <= box[2] <= 340, f"{words} leaves the picture"
        assert chart.lowest < box[1] <= box[3] <= chart.height, f"{words} leaves the picture, or lies over its axis"
        assert not any(_over(box, other) for _, other in chart.listed[:i]), f"{words} lies over another entry"
    meant = dict(entry.split(maxsplit=1) for entry in listed)
    assert list(meant) == [str(number) for number in range(1, len(listed) + 1)]
    found = {meant.get(words, words): point for words, point in chart.whose().items()}
    assert sorted(found) == sorted(names)
    for name, own in zip(names, chart.points, strict=True):
        assert found[name] == pytest.approx(own, abs=0.1), f"{name} is told to be another point"


@pytest.mark.parametrize("count", [3, 12, 30])
@pytest.mark.parametrize("spread", [1.0, 0.1])
def test_every_network_is_named_or_numbered_where_it_is(run: Run, count: int, spread: float) -> None:
    runs = networks_of(run, count, spread)
    for svg in networks.front_charts(runs, "test").values():
        chart = Chart(svg)
        check(chart, [one.name.removeprefix("network-") for one in runs])
        assert "accuracy, percent (names without network-)" in svg
        assert (chart.height == 280) == (not chart.listed)
        told = re.findall(r'aria-label="([^"]+)"', svg)[0]
        assert all(f" {one.name} " in told for one in runs)
        if spread == 1 and count < 30:
            assert len(chart.listed) <= count / 10  # names where they fit


def test_the_same_bytes_each_time(run: Run) -> None:
    runs = networks_of(run, 12, 0.1)
    assert networks.front_charts(runs, "test") == networks.front_charts(runs, "test")


def test_networks_at_one_point_are_all_told(run: Run) -> None:
    runs = [network(run, f"network-{i}", 0.5, 6, 2.0) for i in range(8)]
    check(Chart(networks.front_charts(runs, "test")["depth"]), [one.name.removeprefix("network-") for one in runs])


def test_a_name_that_is_wider_than_the_axes_is_listed_in_lines(run: Run) -> None:
    runs = [network(run, "network-" + "with-a-long-name-" * 8, 0.5, 6, 2.0), network(run, "short", 0.4, 4, 1.0)]
    chart = Chart(networks.front_charts(runs, "test")["depth"])
    assert sorted(words for words, _ in chart.labels) == ["1", "short"]
    assert "".join(words for words, _ in chart.listed) == f"1  {runs[0].name}"
    assert all(box[0] >= 0 and box[2] <= 340 for _, box in chart.listed)


def test_a_chart_that_is_too_small_for_its_numbers_grows() -> None:
    names = [f"a name that is far too long {i}" for i in range(20)]

    def paint(axes: Any) -> None:
        axes.plot(range(20), [1.0] * 20, "o", markersize=6.5)
        label_points(axes, names, [(float(i), 1.0) for i in range(20)], [])

    chart = Chart(draw("small", "", (110, 50), paint))
    assert chart.height > 50 + 8.4 * 21  # and not by the list alone
    assert sorted(int(words) for words, _ in chart.labels) == list(range(1, 21))
    boxes = [box for _, box in chart.labels]
    assert not any(_over(box, other) for i, box in enumerate(boxes) for other in boxes[:i])
