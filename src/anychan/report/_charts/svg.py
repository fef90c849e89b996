"""Matplotlib figures as inline SVG that takes its colours and its typeface from the page.

Colours are drawn as placeholders and replaced by CSS variables, so that one figure serves light, dark and
paper. Nothing in the text of a figure depends on the time or on chance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from html import unescape
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What figures draw with, and what the page puts in its place. The hues follow Okabe and Ito (2008), whose palette
# is told apart with every common kind of colour blindness; palette.css gives a light and a dark shade of each.
INK, FAINT, PAPER = "#010203", "#040506", "#070809"
SERIES = tuple(f"#0a0b{index:02x}" for index in range(6))
MARKERS = ("o", "s", "^", "D", "v", "P")
MARKS = ("blue circle", "orange square", "green triangle", "purple diamond", "brown triangle on its tip", "grey cross")
_VARIABLES = {INK: "--ink", FAINT: "--faint", PAPER: "--paper"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES)
}

_USUAL_TEXT = ("font-size: 10px", "fill: var(--ink)")  # what most texts of a figure look like

_STYLE = {
    "svg.fonttype": "none",  # text stays text: it is searched, read aloud, and set in the page's typeface
    "text.parse_math": False,  # a dollar in a class's name is a dollar
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib; wider than most, so that the others fit its room
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
}


def draw(name: str, label: str, size: tuple[float, float], paint: Callable[[Axes], None]) -> Markup:
    """One figure with one pair of axes.

    Args:
        name: unique on the page; it goes before the figure's internal references.
        label: what a reader who cannot see the figure is told.
        size: width and height in CSS pixels at which the text has its natural size.
        paint: draws on the axes.

    Returns:
        An ``<svg>`` element.
    """
    import io

    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", {**_STYLE, "svg.hashsalt": name}]):  # whatever the user's matplotlibrc says
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), layout="constrained")
        paint(figure.add_subplot())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True)
    return Markup(_inline(file.getvalue(), name, label))


def standalone(svg: Markup) -> str:
    """An inline figure as the text of a file of its own, with the page's colours for light and dark."""
    from importlib.resources import files

    palette = files("anychan.report").joinpath("templates", "palette.css").read_text(encoding="utf-8")
    style = f"<style>{palette}text {{ font-family: var(--sans); }}</style>"
    head, body = svg.split(">", 1)
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"{head} {namespaces}>\n{style}{body}\n"


def said_in(svg: str) -> str:
    """What a figure shows, in the words that it has for those who do not see it."""
    label = re.search('aria-label="([^"]*)"', svg)
    return unescape(label[1]) if label else ""


def _inline(svg: str, name: str, label: str) -> str:
    body = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="([^"]+)"', body)
    assert box is not None, "matplotlib writes a viewBox"
    body = body[body.index(">") + 1 :]
    # The metadata hold the time at which the figure was drawn.
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>", "", body)  # it would be the whole page's
    body = _own_references(body, name)
    body = re.sub(r"(?<=\")font: ([\d.]+)px [^;\"]+|; font-family: [^;\"]+", _size_alone, body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    body = re.sub(r' (?:d|x|y|transform)="[^"]+"', _short_numbers, body)
    body = _lean(body)
    style = "; ".join((*_USUAL_TEXT, "stroke-linejoin: round"))
    head = f'viewBox="{box[1]}" style="{style}" role="img" aria-label="{escape(label)}"'
    return f'<svg class="plot" {head}>{body.rstrip()}'


def _size_alone(font: re.Match[str]) -> str:
    """What a text keeps of its font: how large it is; the typeface is the page's."""
    return f"font-size: {font[1]}px" if font[1] else ""


def _short_numbers(attribute: re.Match[str]) -> str:
    """A place to a hundredth of a pixel, which is finer than any screen, and on one line."""
    text = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), attribute[0])
    return re.sub(r"\s*([A-Za-z])\s+(?=[-\d])|\s+(?=z|\"$)", r"\1", text) if text.startswith(" d=") else text


def _lean(body: str) -> str:
    """The same picture in less text, an element a line: a page may hold hundreds of figures.

    Frames that paint nothing, groups that say nothing and rotations by nothing go. Lines of one style between which
    nothing but text was drawn become one path; such a text is then over all of them. Eight curves around a centre
    become a circle, and a text in the usual size and colour has them from the figure.
    """
    body = re.sub(r'<path [^>]*style="fill: none"/>|<g/>', "", body)
    body = re.sub(r' transform="rotate\(-?0 [^"]*"', "", body)
    body = re.sub(r'(?<=<path )d="(M[^"C]*(?:C[^"C]*){8}z)"', _circle, body).replace("<path cx", "<circle cx")
    body = re.sub(r'(<text )style="([^"]*)" ', _usual_style_left_out, body)
    bare: list[bool] = []  # of the open groups
    lines: list[str] = []
    line_style, line_at = "", 0  # of the latest path that may be drawn on
    for element in filter(None, map(str.strip, body.split("\n"))):
        if element.startswith("<g"):
            bare.append(element == "<g>")
        if element == "<g>" or (element == "</g>" and bare.pop()):
            continue
        path = re.fullmatch(r'<path d="([^"]+)" ((?:clip-path="[^"]+" )?style="fill: none;[^"]+")/>', element)
        if path and path[2] == line_style:
            lines[line_at] = lines[line_at].replace('" ', f'{path[1]}" ', 1)
            continue
        if not element.startswith("<text"):
            line_style, line_at = path[2] if path else "", len(lines)
        lines.append(element)
    return "\n".join(lines)


def _circle(path: re.Match[str]) -> str:
    """A circle's centre and radius in place of its curves; other shapes stay."""
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path[1])]
    ends = list(zip(numbers[::6], numbers[1::6], strict=True))  # of the curves
    x, y = ends[0][0], (ends[0][1] + ends[4][1]) / 2
    radius = abs(ends[0][1] - ends[4][1]) / 2
    if max(abs(math.hypot(at - x, down - y) - radius) for at, down in ends) > 0.02:
        return path[0]
    return f'cx="{x:g}" cy="{y:.6g}" r="{radius:.4g}"'


def _usual_style_left_out(text: re.Match[str]) -> str:
    own = [part for part in text[2].split("; ") if part not in _USUAL_TEXT]
    return f'{text[1]}style="{"; ".join(own)}" ' if own else text[1]


def _own_references(body: str, name: str) -> str:
    """Keep the ids that something refers to, under the figure's name; several figures share one page."""
    wanted = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in wanted else "", body)
    return re.sub(r'(id="|url\(#|href="#)(?=[^)"]+)', rf"\g<1>{name}-", body)
