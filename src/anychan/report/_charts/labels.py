"""Names beside the points of a chart, so that it is told without colour which point each is of.

A name stands at its point, or a little way off with a line to it; never over another name or a point, nor outside of
the axes. One that finds no such place is a number there, and its name stands in a list below the chart.

The label that has the fewest places left takes the best of them, until all have one; then each in turn takes a better
one if the others leave it. Lengths are in points (1/72 inch), y upwards.

Shapes: N points, K places that a label can take, M segments; 2 are x and y. A box is its middle and half its size, a
segment its two ends.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anychan.report._charts.svg import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]
Corners = Sequence[tuple[float, float]]

_SIZE, _LINE = 7.0, 8.4  # of the letters, and from one line of them to the next
_UP, _DOWN, _AROUND = 5.4, 1.8, 0.6  # what a text takes above its foot, below it, and what is left free around it
_LONGEST = 70  # letters of a line in the list
_POINT = 4.0  # half the side of a point's sign
_BESIDE, _OFF = 5.0, (11.0, 16.0, 22.0, 29.0, 37.0, 46.0)  # from a point to a text beside it, and with a line to it
_CLEAR = 3.0  # from a text beside its point to the signs of others
_FREE = 1.0  # from what a text leaves free around it to the lines of others, lest one seem to end at it
_TOGETHER = 8.0  # points that are nearer are not kept free of each other's lines
# What it costs, as if it were so much farther off, to stand on something drawn and to be a number; and where there is
# no other way, that a line passes over the point of another, over a text, or over a line.
_ON, _NUMBER, _PASSED, _OVER, _CROSSED = 8.0, 60.0, 1000.0, 64.0, 16.0
_TRIES, _SWEEPS = 24, 3
_GROWTH = 60.0


@dataclass(frozen=True)
class _Label:
    """The K places that a label can take.

    Args:
        named: bool (K,): at some it is its name, at the others a number.
        middles, halves: (K, 2), the boxes of the text.
        lines: (K, 2, 2), from its point to the text; of no length where none is needed.
        costs: (K,), of each place by itself.
    """

    named: _Bools
    middles: _Floats
    halves: _Floats
    lines: _Floats
    costs: _Floats

    def only(self, kept: _Bools | slice) -> _Label:
        middles, halves, lines = self.middles[kept], self.halves[kept], self.lines[kept]
        return _Label(self.named[kept], middles, halves, lines, self.costs[kept])

    def best(self) -> _Label:
        k = int(self.costs.argmin())
        return self.only(slice(k, k + 1))


def label_points(axes: Axes, names: Sequence[str], points: Corners, lines: Sequence[Corners]) -> None:
    """Write the names of points; where some are numbered, the figure grows downwards by the list of them.

    Args:
        axes: drawn but for this; their place in the figure is final afterwards.
        names: N, none empty.
        points: N, in data coordinates.
        lines: the corners of what names avoid where they can, in data coordinates.
    """
    figure: Any = axes.get_figure()
    widths = [_width(name) for name in names]
    ends = [end for line in lines for pair in pairwise(line) for end in pair]
    while True:
        figure.draw_without_rendering()  # which settles where the axes are
        bounds_22 = _in_points(axes, axes.transAxes, [(0, 0), (1, 1)])
        segments_M22 = _in_points(axes, axes.transData, ends).reshape(-1, 2, 2)
        found = _placed(widths, _in_points(axes, axes.transData, points), bounds_22, segments_M22)
        if found is not None:
            break
        figure.set_figheight(figure.get_figheight() + _GROWTH / 72)  # not even numbers fit
    numbered = [i for i, label in enumerate(found) if not label.named[0]]
    texts = {i: str(number) for number, i in enumerate(numbered, 1)}
    room = _list_below(axes, [f"{number}  {names[i]}" for i, number in texts.items()])
    for i, label in enumerate(found):
        _write(axes, texts.get(i, names[i]), label, room)


def _in_points(axes: Axes, transform: Any, corners: Corners) -> _Floats:
    """Where coordinates of a transform are in the figure, rounded: no last digit decides where a name stands."""
    figure: Any = axes.get_figure()
    pixels_N2: _Floats = transform.transform(np.asarray(corners, dtype=np.float64).reshape(-1, 2))
    return np.round(pixels_N2 * (72 / figure.dpi), 1)


def _width(text: str) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    return float(text_to_path.get_text_width_height_descent(text, FontProperties(size=_SIZE), False)[0])


def _placed(
    widths_N: Sequence[float], points_N2: _Floats, bounds_22: _Floats, segments_M22: _Floats
) -> list[_Label] | None:
    """All labels, each with the one place that it takes; None if there are not enough.

    Names where they fit. If numbers are left without a place, lines may pass over points of others; then all are
    numbers; then lines may cross texts and lines.
    """
    labels = [_label(i, width, points_N2, bounds_22, segments_M22) for i, width in enumerate(widths_N)]
    clear = [label.only(label.costs < _PASSED) for label in labels]
    numbers = [label.only(~label.named) for label in labels]
    for tried, strict in ((clear, True), (labels, True), (numbers, True), (numbers, False)):
        stuck = Counter[int]()
        while stuck.total() < _TRIES:
            chosen, last = _choose(tried, stuck, strict)
            if last is None:
                return chosen
            stuck[last] += 1 if len(tried[last].named) else _TRIES
    return None


def _label(i: int, width: float, points_N2: _Floats, bounds_22: _Floats, segments_M22: _Floats) -> _Label:
    """The places of one label: for its name around its point, for a number there and all over the axes."""
    point, half = points_N2[i], _half(width)
    of_number = _half(_width("0" * len(str(len(points_N2)))))
    names_K2, numbers_K2 = _around(point, half), _around(point, of_number)
    middles_K2 = np.concatenate([names_K2, numbers_K2, _grid(bounds_22, of_number)])
    named_K = np.arange(len(middles_K2)) < len(names_K2)
    halves_K2 = np.where(named_K[:, None], half, of_number)
    ends_K2 = np.clip(point, middles_K2 - halves_K2, middles_K2 + halves_K2)
    away_K = np.abs(ends_K2 - point).max(axis=1)
    beside_K = away_K < _BESIDE + 0.1
    ends_K2[beside_K] = point
    lines_K22 = np.stack([np.broadcast_to(point, ends_K2.shape), ends_K2], axis=1)

    other = np.arange(len(points_N2)) != i
    together = other & (np.abs(points_N2 - point).max(axis=1) < _TOGETHER)
    boxes, signs = (middles_K2[:, None], halves_K2[:, None]), (points_N2, np.full(2, _POINT))
    near_K = _meet(boxes[0], boxes[1] + _CLEAR, *signs)[:, other].any(axis=1)
    passed_KN = _pass(lines_K22[:, None], *signs)
    outside_K = (np.abs(middles_K2 - bounds_22.mean(axis=0)) + halves_K2 > np.ptp(bounds_22, axis=0) / 2).any(axis=1)
    barred_K = outside_K | (beside_K & near_K) | _meet(*boxes, *signs).any(axis=1)
    upright_K = ~beside_K & (np.abs(ends_K2 - point)[:, 0] < 2)  # as bars are, among which a line would be lost
    on_K = _pass(segments_M22, *boxes).sum(axis=1) + passed_KN[:, together].sum(axis=1) + near_K + upright_K
    unclear_K = passed_KN[:, other & ~together].sum(axis=1)
    costs_K = away_K + _ON * on_K + _PASSED * unclear_K + np.where(named_K, 0.0, _NUMBER)
    return _Label(named_K, middles_K2, halves_K2, lines_K22, costs_K).only(~barred_K)


def _half(width: float) -> _Floats:
    return np.array([width, _UP + _DOWN]) / 2 + _AROUND


def _around(point: _Floats, half: _Floats) -> _Floats:
    """Places around a point, on squares the larger the farther off: on each first to the right and a little above."""
    found = []
    for away in (_BESIDE, *_OFF):
        steps = max(2, round(away / 8))
        along = sorted((j / steps for j in range(-steps, steps + 1)), key=lambda y: abs(y - 0.5))
        sides = [(x, y) for x in (1.0, -1.0) for y in along]
        ends = [(x, y) for y in (1.0, -1.0) for x in along if abs(x) < 1]
        found.append(point + np.array([*sides, *ends]) * (away + half))
    return np.concatenate(found)


def _grid(bounds_22: _Floats, half: _Floats) -> _Floats:
    """Places all over the axes."""
    (left, low), (right, high) = bounds_22
    x, y = np.arange(left + half[0], right, 2 * half[0] + 0.1), np.arange(low + half[1], high, 2 * half[1] + 0.1)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _choose(labels: Sequence[_Label], stuck: Mapping[int, int], strict: bool) -> tuple[list[_Label], int | None]:
    """Each label with one place, those first that were stuck before; and the first that finds none."""
    free = dict(enumerate(labels))
    chosen: dict[int, _Label] = {}
    while free:
        scarcest = min(free, key=lambda i: (-stuck.get(i, 0), free[i].named.sum(), len(free[i].named), i))
        if not len(free[scarcest].named):
            return [], scarcest
        taken = chosen[scarcest] = free.pop(scarcest).best()
        free = {i: _beside(label, taken, strict) for i, label in free.items()}
    for _ in range(_SWEEPS):
        for i, label in enumerate(labels):
            others = (taken for j, taken in chosen.items() if j != i)
            chosen[i] = reduce(partial(_beside, strict=strict), others, label).best()
    return [chosen[i] for i in range(len(labels))], None


def _beside(label: _Label, other: _Label, strict: bool) -> _Label:
    """What another label at its place leaves to a label: nothing where texts meet, or if strict where lines do."""
    over_K = _pass(label.lines, other.middles, other.halves + _FREE)
    over_K |= _pass(other.lines, label.middles, label.halves + _FREE)
    crossed_K = _cross(label.lines, other.lines)
    barred_K = _meet(label.middles, label.halves, other.middles, other.halves)
    if strict:
        return label.only(~(barred_K | over_K | crossed_K))
    return replace(label, costs=label.costs + _OVER * over_K + _CROSSED * crossed_K).only(~barred_K)


def _meet(middles: _Floats, halves: _Floats, others: _Floats, others_halves: _Floats) -> _Bools:
    return np.asarray((np.abs(middles - others) < halves + others_halves).all(axis=-1))


def _pass(segments: _Floats, middles: _Floats, halves: _Floats) -> _Bools:
    """Whether segments pass through boxes: no axis of either keeps them apart."""
    start, end = segments[..., 0, :], segments[..., 1, :]
    across, off = (end - start) / 2, (start + end) / 2 - middles
    reach = np.abs(across)[..., ::-1] * halves
    turned = np.abs(across[..., 0] * off[..., 1] - across[..., 1] * off[..., 0])
    return (np.abs(off) < halves + np.abs(across)).all(axis=-1) & (turned <= reach[..., 0] + reach[..., 1])


def _cross(segments: _Floats, others: _Floats) -> _Bools:
    return np.asarray(_on_both_sides(segments, others) & _on_both_sides(others, segments))


def _on_both_sides(segments: _Floats, others: _Floats) -> _Bools:
    """Whether the ends of others are on either side of segments, seen as lines without end."""
    start, along = segments[..., 0, :], segments[..., 1, :] - segments[..., 0, :]
    one, two = (
        along[..., 0] * (others[..., end, 1] - start[..., 1]) - along[..., 1] * (others[..., end, 0] - start[..., 0])
        for end in (0, 1)
    )
    return one * two < 0


def _list_below(axes: Axes, entries: Sequence[str]) -> float:
    """Write a list in columns under the chart, and fix where the axes are; by how much they are now higher up."""
    figure: Any = axes.get_figure()
    place = axes.get_position()
    lines = [line for entry in entries for line in textwrap.wrap(entry, _LONGEST)]
    width, height = 72 * figure.get_size_inches()
    column = max(map(_width, lines), default=0.0) + 2 * _LINE
    rows = -(-len(lines) // max(1, int(width // column)))
    room = (rows + 1) * _LINE if lines else 0.0
    figure.set_layout_engine("none")
    figure.set_figheight((height + room) / 72)
    share = height / (height + room)
    axes.set_position((place.x0, 1 - share * (1 - place.y0), place.width, share * place.height))
    for i, line in enumerate(lines):
        _text(axes, line, (_LINE / 2 + column * (i // rows), room - (i % rows + 1) * _LINE), "left")
    return room


def _write(axes: Axes, text: str, label: _Label, room: float) -> None:
    from matplotlib.lines import Line2D

    (x, y), (point, end), half = label.middles[0], label.lines[0], label.halves[0, 0] - _AROUND
    side = int(x > point[0] + half) - int(x < point[0] - half)
    spare = max(half - _width(text) / 2, 0.0)  # a number of one digit moves to the end of its line
    inner = x - side * half if side else np.clip(end[0], x - spare, x + spare)
    _text(axes, text, (inner, y + room - (_UP - _DOWN) / 2), ("center", "left", "right")[side])
    if (end != point).any():
        figure: Any = axes.get_figure()
        xs, ys = np.stack([point, end], axis=1) / 72
        line = Line2D(xs, ys + room / 72, transform=figure.dpi_scale_trans, color=INK, linewidth=0.5)
        figure.add_artist(line)


def _text(axes: Axes, text: str, foot: tuple[float, float], align: str) -> None:
    figure: Any = axes.get_figure()
    look = {"ha": align, "va": "baseline", "fontsize": _SIZE}
    figure.text(foot[0] / 72, foot[1] / 72, text, transform=figure.dpi_scale_trans, **look)
