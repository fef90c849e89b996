"""Drawings of a design as SVG in the page's colours: a stem in front of its body, and a network's layers.

They are laid out from what records say; no network has a drawing of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from markupsafe import Markup, escape

_MOST_PLANES = 5  # more channels than that are drawn as three and an ellipsis
_ROW = 22  # pixels from layer to layer


class LayerLike(Protocol):
    """What is drawn of a layer, see `anychan.cost.layers.Layer`."""

    @property
    def kind(self) -> str: ...
    @property
    def weight(self) -> tuple[int, ...]: ...
    @property
    def output(self) -> tuple[int, ...]: ...


def module_drawing(channels: Sequence[str], strategy: str, made_from: str, body: str, classes: int | None) -> Markup:
    """Planes, the kernel made from the channels, the stem, the body and its logits.

    Args:
        channels: names of the channels that the stem knows.
        strategy: the stem's name, "plain" for an ordinary convolution.
        made_from: "names" where the kernel follows from the channel set alone, "planes" where it looks at the image
            too, "" where it is fixed.
        body: the network's name.
        classes: the number of logits; None: not known.
    """
    shown = list(channels) if len(channels) <= _MOST_PLANES else [*channels[:3], "…"]
    parts = [_plane(i, name) for i, name in enumerate(shown)]
    foot = 74 + 7 * len(shown) + 26
    middle = 74 + (7 * len(shown) + 18) / 2
    parts += [_box(98, middle - 17, 76, "stem", strategy), _box(200, middle - 17, 80, "body", body)]
    parts += [_arrow(66, middle, 96, middle), _arrow(174, middle, 198, middle), _arrow(280, middle, 302, middle)]
    parts.append(_text(306, middle - 2, "logits"))
    if classes is not None:
        parts.append(_text(306, middle + 11, str(classes), soft=True))
    if made_from:
        source = "the channel set S" if made_from == "names" else "S and the planes"
        parts += [_box(70, 8, 132, "kernel", f"from {source}"), _arrow(136, 42, 136, middle - 19)]
        parts += [_path(f"M22 {70 if made_from == 'planes' else 66}V25H68", dashed=made_from == "names")]
    else:
        parts.append(_text(136, middle - 27, "one kernel", anchor="middle", soft=True))
    told = {"names": "a kernel made from the channel set", "planes": "weights made from the channel set and the planes"}
    label = (
        f"Planes {', '.join(channels)}, then a {strategy} stem with {told.get(made_from, 'one kernel')}, then the body "
        f"{body}, then {'the' if classes is None else classes} logits"
    )
    top = 0 if made_from else 20
    return _svg((0, top, 340, foot - top), label, parts)


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
        parts.append(_text(104, y + 11, _short(kind, 18), anchor="end"))
        parts.append(
            f'<rect x="{174 - length / 2:.4g}" y="{y}" width="{length:.4g}" height="14" rx="2" '
            f'style="fill: var(--{"faint" if i == 0 else "series-0"}); fill-opacity: 0.75"/>'
        )
        if i:
            parts.append(_arrow(174, y - _ROW + 14, 174, y))
        parts.append(_text(244, y + 11, "×".join(map(str, size)), soft=True))
    told = ", ".join(f"{kind} gives {'×'.join(map(str, size))}" for kind, size in rows[1:])
    return _svg((0, 0, 340, 4 + _ROW * len(rows)), f"Layers of {name}: {told}", parts)


def _kind(layer: LayerLike) -> str:
    taps = layer.weight[2:]
    return f"{layer.kind} {'×'.join(map(str, taps))}" if math.prod(taps) > 1 or len(taps) == 2 else layer.kind


def _svg(box: tuple[float, float, float, float], label: str, parts: Sequence[str]) -> Markup:
    body, view = "\n".join(parts), " ".join(f"{side:g}" for side in box)
    return Markup(f'<svg class="plot" viewBox="{view}" role="img" aria-label="{escape(label)}">\n{body}\n</svg>')


def _plane(index: int, name: str) -> str:
    """One plane of the input, a square behind the one before it, its name beside it."""
    x, y = 4 + 5 * index, 74 + 7 * index
    square = f'<rect x="{x}" y="{y}" width="22" height="22" style="fill: var(--panel); stroke: var(--ink)"/>'
    return square + _text(x + 27, y + 8, _short(name, 6), size=8)


def _box(x: float, y: float, width: float, title: str, below: str) -> str:
    middle = x + width / 2
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="34" rx="3" '
        'style="fill: var(--panel); stroke: var(--series-0)"/>'
        + _text(middle, y + 15, title, anchor="middle")
        + _text(middle, y + 27, _short(below, int(width / 5.2)), anchor="middle", soft=True, size=9)
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", soft: bool = False, size: int = 10) -> str:
    ink = "soft" if soft else "ink"
    style = f"font-size: {size}px; fill: var(--{ink})"
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" style="{style}">{escape(words)}</text>'


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    head = "l-4 -3m4 3l-4 3" if x != to_x else "l-3 -4m3 4l3 -4"
    return _path(f"M{x:g} {y:g}L{to_x:g} {to_y:g}{head}")


def _path(d: str, dashed: bool = False) -> str:
    dashes = "; stroke-dasharray: 3 3" if dashed else ""
    return f'<path d="{d}" style="fill: none; stroke: var(--soft){dashes}"/>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
