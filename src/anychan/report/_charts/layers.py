"""The drawing of a network's layers as SVG in the page's colours.

It is laid out from what records say; no network has a drawing of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from markupsafe import Markup, escape

_ROW = 22  # pixels from layer to layer


class LayerLike(Protocol):
    """What is drawn of a layer, see `anychan.cost.layers.Layer`."""

    @property
    def kind(self) -> str: ...
    @property
    def weight(self) -> tuple[int, ...]: ...
    @property
    def output(self) -> tuple[int, ...]: ...


def layers_drawing(name: str, layers: Sequence[LayerLike], planes: int, image_size: int) -> Markup:
    """A network's layers from the image to the logits, a row each: its kind and kernel, and the size of what it gives.

    The length of a bar goes with the logarithm of how many numbers the layer gives for one image.
    """
    rows = [("image", (planes, image_size, image_size)), *((_kind(layer), layer.output) for layer in layers)]
    most = max(math.log2(math.prod(size)) for _, size in rows)
    parts = []
    for i, (kind, size) in enumerate(rows):
        y = 4 + _ROW * i
        length = max(120 * math.log2(math.prod(size)) / most, 3)
        parts.append(_text(104, y + 11, short(kind, 18), anchor="end"))
        parts.append(
            f'<rect x="{174 - length / 2:.4g}" y="{y}" width="{length:.4g}" height="14" rx="2" '
            f'style="fill: var(--{"faint" if i == 0 else "series-0"}); fill-opacity: 0.75"/>'
        )
        if i:
            parts.append(f'<path d="M174 {y - _ROW + 14}V{y}l-3 -4m3 4l3 -4" style="fill: none; stroke: var(--soft)"/>')
        parts.append(_text(244, y + 11, "×".join(map(str, size)), soft=True))
    told = ", ".join(f"{kind} gives {'×'.join(map(str, size))}" for kind, size in rows[1:])
    return svg((0, 0, 340, 4 + _ROW * len(rows)), f"Layers of {name}: {told}", parts)


def _kind(layer: LayerLike) -> str:
    """What a layer is, and its kernel; of a linear layer of vectors how many numbers it takes."""
    taps = layer.weight[2:]
    if math.prod(taps) > 1 or len(taps) == 2:
        return f"{layer.kind} {'×'.join(map(str, taps))}"
    return f"{layer.kind} of {layer.weight[1]}" if layer.kind == "Linear" and len(layer.output) == 1 else layer.kind


def svg(box: tuple[float, float, float, float], label: str, parts: Sequence[str]) -> Markup:
    """A picture of these elements.

    Args:
        box: its left, top, width and height.
        label: what a reader who cannot see it is told.
        parts: the elements, those in front last.
    """
    body, view = "\n".join(parts), " ".join(f"{side:g}" for side in box)
    return Markup(f'<svg class="plot" viewBox="{view}" role="img" aria-label="{escape(label)}">\n{body}\n</svg>')


def _text(x: float, y: float, words: str, *, anchor: str = "start", soft: bool = False) -> str:
    style = f"font-size: 10px; fill: var(--{'soft' if soft else 'ink'})"
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" style="{style}">{escape(words)}</text>'


def short(text: str, most: int) -> str:
    """A text of at most so many letters."""
    return text if len(text) <= most else text[: most - 1] + "…"
