"""A sheet to draw a stem on: rows of channels, and the signs for slices, planes, boxes and lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from anychan.report._charts.layers import short, svg

MOST_ROWS = 5  # more channels than that are drawn as three and an ellipsis
ROW, PLANE, SLICE = 26, 18, 16  # pixels: from row to row, and the sides of a plane and of a slice
_WIDTH = 340
WEIGHT, PLANES = 164, 200  # where the slices of weight(S) stand, and the planes that they convolve
FACTOR = "× |C|/|S|"

# How things look, in the order in which they are painted; a line is called by what it carries.
_LOOKS = {
    "frame": "fill: none; stroke: var(--faint)",
    "pixels": "fill: none; stroke: var(--soft)",
    "names": "fill: none; stroke: var(--soft); stroke-dasharray: 3 3",
    "weights": "fill: none; stroke: var(--series-0); stroke-width: 2",
    "tip of pixels": "fill: var(--soft)",
    "tip of names": "fill: var(--soft)",
    "tip of weights": "fill: var(--series-0)",
    "absent": "fill: none; stroke: var(--soft); stroke-dasharray: 2 2",
    "box": "fill: var(--panel); stroke: var(--series-0)",
    "plane": "fill: var(--panel); stroke: var(--ink)",
    "unused": "fill: none; stroke: var(--faint)",
    "slice": "fill: var(--panel); stroke: var(--series-0)",
    "number": "fill: var(--series-0); fill-opacity: 0.35; stroke: var(--series-0)",
    "curve": "fill: none; stroke: var(--series-0)",
    "dot": "fill: var(--series-0)",
}


@dataclass(frozen=True)
class Row:
    """A channel: its name, the middle of its row, and whether its plane is there."""

    name: str
    y: float
    there: bool


class Sheet:
    """A drawing in the making; what looks alike becomes one path or one group of texts, which keeps it short."""

    def __init__(self, channels: Sequence[str], may_miss: bool, body: str, classes: int | None) -> None:
        named = list(channels) if len(channels) <= MOST_ROWS else list(channels[:3])
        self.missing = named[-1] if may_miss and len(channels) > 1 else ""
        shown = named if len(named) == len(channels) else [*named, "…"]
        self.rows = [Row(name, 34 + ROW * i, name != self.missing) for i, name in enumerate(shown)]
        self.there = [row for row in self.rows if row.there]
        self.gone = [row for row in self.rows if not row.there]
        self.known, self.present = len(channels), len(channels) - bool(self.missing)
        self.middle = (self.rows[0].y + self.rows[-1].y) / 2
        self.foot = self.rows[-1].y + ROW / 2  # of the rows
        self.network = body
        self._logits = "logits" if classes is None else f"{classes} logits"
        self._paths: dict[str, list[str]] = {look: [] for look in _LOOKS}
        self._texts: dict[str, list[str]] = {}
        self._bottom = self.foot

    def svg(self, label: str) -> Markup:
        paths = [f'<path d="{"".join(d)}" style="{_LOOKS[look]}"/>' for look, d in self._paths.items() if d]
        texts = [f"<g {look}>{''.join(words)}</g>" for look, words in self._texts.items()]
        return svg((0, 0, _WIDTH, self._bottom + 4), label, paths + texts)

    def path(self, look: str, d: str) -> None:
        self._paths[look].append(d)

    def text(self, x: float, y: float, words: str, *, anchor: str = "middle", size: int = 8, ink: str = "soft") -> None:
        look = f'text-anchor="{anchor}" style="font-size: {size}px; fill: var(--{ink})"'
        self._texts.setdefault(look, []).append(f'<text x="{x:g}" y="{y:g}">{escape(words)}</text>')
        self._bottom = max(self._bottom, y + 2)

    def line(self, carries: str, *points: tuple[float, float], tip: bool = True) -> None:
        """A line through points, the last stretch of which is level or upright."""
        (from_x, from_y), (x, y) = points[-2:]
        ahead = math.copysign(5, x - from_x if x != from_x else y - from_y)
        if tip:
            head = f"l{-ahead:g} -3v6z" if x != from_x else f"l-3 {-ahead:g}h6z"
            self.path(f"tip of {carries}", f"M{x:g} {y:g}{head}")
            x, y = (x - ahead / 2, y) if x != from_x else (x, y - ahead / 2)
        self.path(carries, "M" + "L".join(f"{at:g} {down:g}" for at, down in (*points[:-1], (x, y))))

    def square(self, look: str, x: float, y: float, side: float, cells: int = 1) -> None:
        """A square from x on, around y, cut into cells a side."""
        self.path(look, f"M{x:g} {y - side / 2:g}h{side:g}v{side:g}h{-side:g}z")
        for i in range(1, cells):
            at = side * i / cells
            self.path(look, f"M{x + at:g} {y - side / 2:g}v{side:g}M{x:g} {y - side / 2 + at:g}h{side:g}")

    def slice(self, x: float, y: float, used: bool = True, depth: int = 1) -> None:
        """One channel's part of a kernel, or of as many kernels as the depth says."""
        look = "slice" if used else "unused"
        self.square(look, x, y, SLICE, 3)
        for i in range(1, depth):
            self.path(look, f"M{x + 3 * i:g} {y - 6 - 2 * i:g}v-2h16v16h-3")

    def bank(self, x: float, title: str, *, all_used: bool = False, depth: int = 1, more: float = 0) -> None:
        """Kernels with a slice for each known channel, in a frame that goes on below the rows for some more."""
        for row in self.rows:
            self.slice(x, row.y, row.there or all_used, depth)
        width = SLICE + 8 + 3 * (depth - 1)
        self.path("frame", f"M{x - 4:g} 19h{width:g}V{self.foot + more + 1:g}h{-width:g}z")
        self.text(x - 4 + width / 2, 14, title)

    def shared(self, x: float) -> None:
        """One kernel that convolves each plane on its own, between the lines of pixels."""
        self.each("pixels", x - 10, x)
        self.box(x, x + 26)
        self.slice(x + 5, self.middle)
        self.text(x + 13, 14, "K for all")
        self.each("pixels", x + 26, x + 40)

    def names(self, to_x: float = 0) -> None:
        """Every channel's name; of those there are, a line goes from it."""
        for row in self.rows:
            name = short(row.name, 5)
            self.text(4, row.y + 3, name, anchor="start", ink="ink" if row.there else "soft")
            if row.there and to_x:
                self.line("names", (8 + 6 * len(name), row.y), (to_x, row.y))

    def planes(self, x: float) -> None:
        """The planes there are; an outline for one that is missing."""
        for row in self.rows:
            self.square("plane" if row.there else "absent", x, row.y, PLANE)
        self.text(x + PLANE / 2, 14, "planes")

    def each(self, carries: str, from_x: float, to_x: float, rows: Sequence[Row] | None = None) -> None:
        """A line in each row; where rows are not said, in those of the channels there are."""
        for row in self.there if rows is None else rows:
            self.line(carries, (from_x, row.y), (to_x, row.y))

    def joined(self, from_x: float, to_x: float, at: float) -> None:
        """Pixels of all rows into one."""
        for row in self.there:
            self.line("pixels", (from_x, row.y), (at, row.y), (at, self.middle), tip=False)
        self.line("pixels", (at, self.middle), (to_x, self.middle))

    def box(self, x: float, to_x: float, *lines: str, y: float | None = None, more: float = 0) -> tuple[float, float]:
        """A box with lines of text around y, or beside all rows and some more below them; its top and its foot."""
        height = max(11 * len(lines) + 8, self.foot - 22 + more if y is None else 0)
        y = self.middle + more / 2 if y is None else y
        top = y - height / 2
        self.path("box", f"M{x:g} {top:g}h{to_x - x:g}v{height:g}h{x - to_x:g}z")
        for i, words in enumerate(lines):
            self.text((x + to_x) / 2, y + 3 + 11 * (i - (len(lines) - 1) / 2), words, ink="ink")
        self._bottom = max(self._bottom, top + height)
        return top, top + height

    def sign(self, x: float, y: float, words: str) -> None:
        """A number or a sum, in a circle."""
        self.path("box", f"M{x - 8:g} {y:g}a8 8 0 1 1 16 0a8 8 0 1 1 -16 0z")
        self.text(x, y + 3.5, words, size=10, ink="ink")

    def vector(self, x: float, y: float, used: bool = True) -> None:
        for i in range(4):
            self.square("number" if used else "unused", x + 7 * i, y, 7)

    def place(self, x: float, y: float) -> None:
        """A map of which one place is marked."""
        self.square("plane", x, y, PLANE, 4)
        self.square("number", x + PLANE / 2, y - PLANE / 8, PLANE / 4)

    def mask(self, y: float, to_x: float) -> None:
        """Which channels are there, as numbers, and a line from it."""
        self.text(4, y - 10, "mask m", anchor="start")
        for i, row in enumerate(self.rows):
            self.square("number" if row.there else "unused", 4 + 13 * i, y, 13)
            self.text(10.5 + 13 * i, y + 3, "…" if row.name == "…" else str(int(row.there)), ink="ink")
        self.line("names", (4 + 13 * len(self.rows), y), (to_x, y))

    def embedded(self, x: float, sign: str) -> None:
        """What is added to a channel's own map or tokens, by its name; its line passes below plane and kernel."""
        for row in self.there:
            self.text(x - 8, row.y + 3.5, "+", size=10, ink="ink")
            self.square("number", x, row.y, 16)
            self.text(x + 8, row.y + 3, sign, ink="ink")
            under = row.y + ROW / 2
            self.line("names", (8, row.y + 6), (8, under), (x + 8, under), (x + 8, row.y + 8))
        self.text(x + 8, 14, "channel")

    def body(self, from_x: float) -> None:
        """What one map goes on into."""
        self.line("pixels", (from_x, self.middle), (272, self.middle))
        self.logits(self.middle + 15)
        self.path("box", f"M272 {self.middle - 15:g}h64v30h-64z")
        self.text(304, self.middle - 2, "body", size=10, ink="ink")
        self.text(304, self.middle + 9, short(self.network, 11))

    def logits(self, from_y: float) -> None:
        self.line("pixels", (304, from_y), (304, from_y + 12))
        self.text(304, from_y + 21, self._logits, ink="ink")

    def weight(self, factor: str = FACTOR) -> None:
        """The slices that a mechanism made for the channels there are, convolving their planes, and the sum of it."""
        for row in self.there:
            self.slice(WEIGHT, row.y)
        self.text(WEIGHT + SLICE / 2, 14, "weight(S)")
        if factor:
            self.text(WEIGHT + SLICE / 2, self.foot + 8, factor)
        self.convolved(WEIGHT)

    def convolved(self, x: float) -> None:
        """Planes beside the slices at x, and the sum of what they give together."""
        for row in self.there:
            self.text(x + 23, row.y + 4, "∗", size=10, ink="ink")
        self.planes(x + PLANES - WEIGHT)
        self.joined(x + PLANES - WEIGHT + PLANE, 238, 228)
        self.sign(246, self.middle, "Σ")
        self.body(254)
