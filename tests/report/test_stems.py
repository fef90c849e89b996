"""Drawings of the stems: each strategy has its own, which is legible and says its parts in words too."""

from __future__ import annotations

import itertools
import re
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from PIL import ImageFont

from anychan.nn import list_strategies
from anychan.report._charts.layers import short
from anychan.report._charts.stems import mechanism_drawing

Box = tuple[float, float, float, float]  # left, top, right, bottom

# What is said and drawn of each, by the name that its formula or its docstring has for it.
_PARTS = {
    "plain": ("one fixed kernel",),
    "sliced": ("bank", "picked by name", "|C|/|S|"),
    "completed": ("bank", "matrix A", "covariance", "slices of missing ones"),
    "masked": ("mask", "network G", "G(m) − G(1)", "bank", "templates", "|C|/|S|"),
    "by_count": ("number n", "embedding e", "D kernels B", "bank W", "|C|/|S|"),
    "mixed": ("means of the planes", "mask", "two layers", "softmax", "K kernels", "for each image", "|C|/|S|"),
    "generated": ("embedding e", "one network", "|C|/|S|"),
    "spectral": ("sines and cosines of the logarithm of each wavelength", "one network", "k(λ)", "|C|/|S|"),
    "template": ("coefficients a", "templates that all channels share", "|C|/|S|"),
    "pooled": ("mean over the planes", "one plane", "one kernel K"),
    "tokens": ("patch projection K", "tokens of each plane", "embedding e", "position", "transformer attends"),
    "attentive": ("one kernel K", "embedding e", "at each place", "attention over the channels", "one map"),
}
_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("sliced", {"rescale": False}),
    ("sliced", {"selection": "random"}),
    ("sliced", {"selection": "random", "at_test": "random"}),
    ("completed", {"learnable": True}),
    ("masked", {"templates": 0}),
    ("mixed", {"attentions": "omni"}),
    ("template", {"templates": 2}),
    ("template", {"templates": 40}),
    ("pooled", {"pooling": "sum"}),
    ("pooled", {"pooling": "attention"}),
    ("attentive", {"embedding": "wavelength"}),
]
_ALL: list[tuple[str, dict[str, Any]]] = [*((name, {}) for name in _PARTS), *_OPTIONS, ("a_strategy_of_mine", {})]
_CHANNELS = [("R",), ("R", "G", "B"), ("B02", "B03", "B8A", "SWIR1", "thermal"), tuple(f"B{i:02}" for i in range(12))]


def drawing(name: str, options: dict[str, Any] | None = None, channels: tuple[str, ...] = _CHANNELS[1]) -> str:
    return mechanism_drawing(channels, name, options or {}, "vit_tiny_patch16_224", 50)


def label(svg: str) -> str:
    return ElementTree.fromstring(svg).attrib["aria-label"]


def drawn(svg: str) -> str:
    """All but the words for those who cannot see it."""
    return svg.split("\n", 1)[1]


@cache
def _font() -> Any:
    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), 100)


def texts(svg: str) -> list[tuple[str, Box]]:
    """Each text and where its letters are, in a typeface that is wider than most."""
    found = []
    for group in ElementTree.fromstring(svg).iter("g"):
        size = float(re.findall(r"font-size: (\d+)px", group.attrib["style"])[0])
        assert size >= 8
        for text in group.iter("text"):
            words, x, y = text.text or "", float(text.attrib["x"]), float(text.attrib["y"])
            _, up, _, down = _font().getbbox(words, anchor="ls")
            width = _font().getlength(words) * size / 100
            left = x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[group.attrib["text-anchor"]]
            found.append((words, (left, y + up * size / 100, left + width, y + down * size / 100)))
    return found


def squares(svg: str, style: str) -> list[Box]:
    """The rectangles of this style."""
    number = r"(-?[\d.]+)"
    path = re.findall(rf'<path d="([^"]+)" style="{re.escape(style)}"', svg)
    corners = (re.findall(rf"M{number} {number}h{number}v{number}h-?[\d.]+z", d) for d in path)
    return [(float(x), float(y), float(x) + float(w), float(y) + float(h)) for x, y, w, h in itertools.chain(*corners)]


_BOX = "fill: var(--panel); stroke: var(--series-0)"
_PLANE = "fill: var(--panel); stroke: var(--ink)"
_ABSENT = "fill: none; stroke: var(--soft); stroke-dasharray: 2 2"
_NAMES = "stroke-dasharray: 3 3"


def test_every_strategy_has_a_drawing_of_its_own() -> None:
    assert sorted(_PARTS) == sorted(["plain", *list_strategies()])
    for channels in _CHANNELS:
        made = [drawn(drawing(name, channels=channels)) for name in [*_PARTS, "a_strategy_of_mine"]]
        assert len(set(made)) == len(made)


@pytest.mark.parametrize("name", _PARTS)
def test_a_drawing_says_the_parts_of_its_mechanism(name: str) -> None:
    said = label(drawing(name))
    assert all(part in said for part in _PARTS[name])
    assert said.startswith(f"Stem {name}, for the channels R, G and B")
    assert (", of which B is missing:" in said) == (name != "plain")
    assert said.endswith(". Then the body vit_tiny_patch16_224 and 50 logits.")


@pytest.mark.parametrize("channels", _CHANNELS, ids=len)
@pytest.mark.parametrize(("name", "options"), _ALL)
def test_a_drawing_is_legible_and_small(name: str, options: dict[str, Any], channels: tuple[str, ...]) -> None:
    svg = drawing(name, options, channels)
    assert len(svg.encode()) < 5_000
    left, top, width, height = map(float, ElementTree.fromstring(svg).attrib["viewBox"].split())
    assert width == 340
    found = texts(svg)
    for words, box in found:
        assert left <= box[0] <= box[2] <= left + width, f"{words} leaves the picture"
        assert top <= box[1] <= box[3] <= top + height, f"{words} leaves the picture"
    for (one, a), (other, b) in itertools.combinations(found, 2):
        over = a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
        assert not over, f"{one} lies over {other}"
    for box in squares(svg, _BOX):
        assert left <= box[0] < box[2] <= left + width
        assert top <= box[1] < box[3] <= top + height
        for words, at in found:
            middle = (at[0] + at[2]) / 2, (at[1] + at[3]) / 2
            if box[0] < middle[0] < box[2] and box[1] < middle[1] < box[3]:
                assert box[0] < at[0] < at[2] < box[2], f"{words} is wider than its box"
                assert box[1] < at[1] < at[3] < box[3], f"{words} is higher than its box"


@pytest.mark.parametrize("channels", _CHANNELS, ids=len)
@pytest.mark.parametrize(("name", "options"), _ALL)
def test_one_channel_is_missing_where_one_can_be(name: str, options: dict[str, Any], channels: tuple[str, ...]) -> None:
    svg = drawing(name, options, channels)
    named = list(channels) if len(channels) <= 5 else list(channels[:3])
    shown = named if len(channels) <= 5 else [*named, "…"]
    there, gone = squares(svg, _PLANE), squares(svg, _ABSENT)
    left = min(box[0] for box in there)
    rows = sorted(box[1] for box in [*there, *gone] if box[0] == left)
    assert rows == [25 + 26 * i for i in range(len(shown))]
    can_miss = len(channels) > 1 and name not in ("plain", "a_strategy_of_mine")
    assert [box[1] for box in gone] == ([25 + 26 * (len(named) - 1)] if can_miss else [])
    assert (f"of which {named[-1]} is missing" in label(svg)) == can_miss
    at_left = [words for words, box in texts(svg) if box[0] == 4]
    assert {short(channel, 5) for channel in shown} <= set(at_left)


@pytest.mark.parametrize(("name", "options"), _OPTIONS)
def test_options_that_change_the_mechanism_change_the_drawing(name: str, options: dict[str, Any]) -> None:
    assert drawn(drawing(name, options)) != drawn(drawing(name))


def test_the_factor_is_drawn_where_a_kernel_has_it() -> None:
    factor = "× |C|/|S|"
    with_factor = {
        name for name, options in _ALL if not options and factor in [words for words, _ in texts(drawing(name))]
    }
    assert with_factor == {"sliced", "masked", "by_count", "mixed", "generated", "spectral", "template"}
    assert factor not in [words for words, _ in texts(drawing("sliced", {"selection": "random"}))]


def test_names_are_led_to_where_they_play_a_part() -> None:
    without = {name for name, options in _ALL if not options and _NAMES not in drawing(name)}
    assert without == {"plain", "pooled", "a_strategy_of_mine"}
    assert _NAMES not in drawing("sliced", {"selection": "random", "at_test": "random"})


def test_a_strategy_of_another_package_is_drawn_as_a_box() -> None:
    svg = drawing("a_strategy_of_mine")
    assert "a strategy that is not anychan's" in label(svg)
    assert "a_strategy_of_m…" in [words for words, _ in texts(svg)]


@pytest.mark.parametrize("name", [*_PARTS, "<mine>"])
def test_names_that_could_be_markup_are_text(name: str) -> None:
    svg = mechanism_drawing(("<b>", '"&'), name, {}, "<body>", None)
    assert "<b>" in [words for words, _ in texts(svg)]
    assert label(svg).endswith("Then the body <body> and the logits.")
