"""Drawings of the stems as SVG in the page's colours: how each strategy comes by its kernel and takes the planes.

A row is a channel. Where a strategy makes a kernel for a channel set, its row reads like the formula: a name, the
mechanism, the slice that it makes, ``*``, the plane; the sum of the rows goes on into the body. The others begin with
their planes. What a strategy does is drawn by a function of its name, which also says it in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from anychan._plain import PLAIN
from anychan.report._charts.layers import short
from anychan.report._charts.sheet import FACTOR, MOST_ROWS, PLANE, PLANES, ROW, WEIGHT, Sheet
from anychan.report._sentences.numbers import listing


def _plain(sheet: Sheet, _: Mapping[str, Any]) -> str:
    sheet.names()
    sheet.bank(92, "kernel W")
    sheet.text(100, sheet.foot + 10, "one, fixed")
    sheet.convolved(96)
    return "one fixed kernel, with a slice for each channel, convolves the planes, all of which it needs"


def _sliced(sheet: Sheet, options: Mapping[str, Any]) -> str:
    if options.get("selection") == "random":
        always = options.get("at_test") == "random"
        when = "in training and in evaluation" if always else "in training, by name in evaluation"
        sheet.names()
        sheet.bank(58, "bank W", all_used=True)
        sheet.each("weights", 78, 94, sheet.rows)
        sheet.box(94, 146, "|S| drawn", "at random")
        sheet.text(4, sheet.foot + 16, when, anchor="start")
        told = f"of a bank of kernel slices as many as there are planes are drawn at random {when}"
    else:
        sheet.names(52)
        sheet.bank(58, "bank W")
        told = "of a bank of kernel slices those of the channels there are picked by name"
        if options.get("rescale") is False:
            sheet.each("weights", 78, 146)
            told += ", as they are"
        else:
            sheet.each("weights", 78, 94)
            sheet.box(94, 146, FACTOR, f"= {sheet.known}/{sheet.present}")
            told += ", times |C|/|S|"
    sheet.each("weights", 146, WEIGHT - 1)
    sheet.weight("")
    return told


def _completed(sheet: Sheet, options: Mapping[str, Any]) -> str:
    learned = ", which is learned further" if options.get("learnable") else ""
    sheet.names(52)
    sheet.bank(58, "bank W", all_used=True)
    sheet.each("weights", 78, WEIGHT - 1)
    for gone in sheet.gone:
        for row in sheet.there:  # a branch to each, which enters its sum from below
            sheet.line("weights", (124, gone.y), (124, row.y + 13), (142, row.y + 13), (142, row.y + 8))
            sheet.line("weights", (120, row.y), (134, row.y))
            sheet.sign(142, row.y, "+")
        sheet.line("weights", (114, gone.y), (124, gone.y), tip=False)
        sheet.line("weights", (78, gone.y), (92, gone.y))
        foot = sheet.box(92, 114, "A", y=gone.y)[1]
        below = sheet.foot + 22
        sheet.line("weights", (103, below), (103, foot))
        sheet.box(68, 138, "covariance", "learned further" if learned else "of all channels", y=below)
    sheet.weight("")
    return (
        "slices of the channels there are come from a bank by name, and to each is added what the matrix A, made from "
        f"the covariance of the channels{learned}, carries over of the slices of missing ones"
    )


def _masked(sheet: Sheet, options: Mapping[str, Any]) -> str:
    sheet.names(52)
    sheet.bank(58, "bank W", all_used=True, more=ROW)
    templates = sheet.foot + ROW / 2
    if learned := options.get("templates") != 0:
        sheet.text(50, templates + 3, "templates", anchor="end")
        sheet.slice(58, templates, depth=2)
        sheet.line("weights", (78, templates), (94, templates))
    sheet.each("weights", 78, 94, sheet.rows)
    sheet.each("weights", 146, WEIGHT - 1)
    foot = sheet.box(94, 146, "own slice", "+ mixture", "of all", more=ROW)[1]
    below = sheet.foot + ROW + 28
    top = sheet.box(90, 150, "network G", "G(m) − G(1)", y=below)[0]
    sheet.line("weights", (120, top), (120, foot))
    sheet.mask(below, 90)
    sheet.weight()
    return (
        "the mask of the channels goes through a network G, whose coefficients G(m) − G(1) mix all slices of a bank"
        f"{' and learned templates' if learned else ''}; this mixture is added to the slice of each channel there is, "
        "times |C|/|S|"
    )


def _by_count(sheet: Sheet, _: Mapping[str, Any]) -> str:
    sheet.names(44)
    sheet.bank(50, "bank W")
    sheet.bank(100, "D kernels B", depth=4)
    for row in sheet.there:
        sheet.text(83, row.y + 4, "+", size=10, ink="ink")
    sheet.each("weights", 130, WEIGHT - 1)
    sizes = [str(n) for n in range(1, sheet.known + 1)]
    if sheet.known > MOST_ROWS:
        sizes = [sizes[0], "…", *sizes[-2:]]
    below = sheet.foot + 34
    sheet.text(4, below + 3, "n = |S|", anchor="start")
    for i, size in enumerate(sizes):
        x, picked = 44 + 16 * i, size == str(sheet.present)
        sheet.square("number" if picked else "unused", x, below, 16)
        sheet.text(x + 8, below + 3, size, ink="ink" if picked else "soft")
        if picked:
            up = below - 15
            sheet.line("weights", (x + 8, below - 8), (x + 8, up), (112, up), (112, sheet.foot + 2))
    sheet.text(118, below - 12, "e of n mixes them", anchor="start")
    sheet.text(44 + 16 * len(sizes) + 6, below + 3, f"e of {sheet.known} is 0", anchor="start")
    sheet.weight()
    return (
        "the number n of channels there are picks an embedding e, which mixes D kernels B into a change of a bank W; "
        "slices of the sum are picked by name, times |C|/|S|"
    )


def _mixed(sheet: Sheet, options: Mapping[str, Any]) -> str:
    omni = options.get("attentions") == "omni"
    sheet.names(44)
    sheet.bank(50, "K kernels", depth=4)
    sheet.each("weights", 80, 96)
    foot = sheet.box(96, 146, "Σ π W", "per image")[1]
    sheet.each("weights", 146, WEIGHT - 1)
    below = sheet.foot + 38
    lines = ("means and mask,", "2 layers, softmax", *(("and sigmoids",) if omni else ()))
    top = sheet.box(80, 168, *lines, y=below)[0]
    sheet.line("weights", (121, top), (121, foot))
    sheet.text(115, foot + 12, "π, factors" if omni else "π", anchor="end")
    sheet.mask(below, 80)
    for row in sheet.there:
        sheet.line("pixels", (PLANES, row.y + 6), (195, row.y + 6), (195, below), tip=False)
    sheet.line("pixels", (195, below), (168, below))
    sheet.weight()
    more = ", and factors for its taps, inputs and filters," if omni else ""
    return (
        f"the means of the planes over the image and the mask go through two layers and a softmax to shares π{more} "
        "with which K kernels are mixed for each image; slices are picked by name, times |C|/|S|"
    )


def _generated(sheet: Sheet, _: Mapping[str, Any]) -> str:
    sheet.names(48)
    for row in sheet.rows:
        sheet.vector(50, row.y, row.there)
    sheet.text(64, 14, "embedding e")
    sheet.each("weights", 78, 92)
    sheet.box(92, 150, "V gelu(U e)", "for all alike")
    sheet.each("weights", 150, WEIGHT - 1)
    sheet.weight()
    return (
        "the learned embedding e of each channel there is goes through one network, the same for all channels, which "
        "makes its slice, times |C|/|S|"
    )


def _spectral(sheet: Sheet, _: Mapping[str, Any]) -> str:
    sheet.names(46)
    for row in sheet.rows:
        sheet.path("curve" if row.there else "unused", f"M50 {row.y:g}q3 -9 6 0t6 0t6 0t6 0")
    sheet.text(62, 14, "waves of λ")
    sheet.each("weights", 78, 96)
    sheet.box(96, 146)
    sheet.text(121, 14, "k(λ)")
    sheet.text(121, sheet.foot + 10, "one network")

    def across(y: float) -> float:
        return 121 + 13 * math.sin((y - 20) / 14)

    curve = "L".join(f"{across(y):.3g} {y}" for y in range(22, int(sheet.foot) + 1, 4))
    sheet.path("curve", f"M{curve}")
    for row in sheet.rows:
        sheet.path("dot" if row.there else "slice", f"M{across(row.y) - 3:.4g} {row.y:g}a3 3 0 1 1 6 0a3 3 0 1 1 -6 0z")
    sheet.each("weights", 146, WEIGHT - 1)
    sheet.weight()
    return (
        "sines and cosines of the logarithm of each wavelength go through one network, so that a channel's slice k(λ), "
        "times |C|/|S|, lies on a smooth function of the wavelength, which also has one for bands never seen"
    )


def _template(sheet: Sheet, options: Mapping[str, Any]) -> str:
    asked = options.get("templates")
    count = asked if isinstance(asked, int) else sheet.known
    columns = [48 + 20 * i for i in range(min(count, 4))]
    below = sheet.foot + 16
    sheet.names(46)
    for x in columns:
        sheet.line("weights", (x + 8, below), (x + 8, sheet.there[0].y), tip=False)
        if x == columns[-1] and count > len(columns):
            sheet.text(x + 8, below + 3, "…", ink="ink")
        else:
            sheet.slice(x, below)
        for row in sheet.there:
            sheet.sign(x + 8, row.y, "a")
    sheet.text(columns[0], below + 19, "templates for all channels", anchor="start")
    sheet.each("weights", columns[0] + 16, WEIGHT - 1)
    for row in sheet.there:
        sheet.sign(144, row.y, "Σ")
    sheet.weight()
    return (
        "each channel there is has coefficients a, with which templates that all channels share are mixed into its "
        "slice, times |C|/|S|"
    )


def _pooled(sheet: Sheet, options: Mapping[str, Any]) -> str:
    pooling = options.get("pooling", "mean")
    sheet.names()
    sheet.planes(40)
    if pooling == "attention":
        sheet.shared(68)
        for row in sheet.there:
            sheet.square("plane", 108, row.y, PLANE, 4)
        sheet.text(117, 14, "maps")
        sheet.each("pixels", 126, 142)
        sheet.box(142, 216, "Σ a · map", "a: softmax over", "S of a score of", "how strong each")
        sheet.body(216)
        return (
            "one kernel K, the same for all planes, convolves each of them, and the maps are added up with weights a, "
            "the softmax of a score of how strongly each answers"
        )
    sheet.joined(58, 90, 74)
    sheet.box(90, 136, pooling, "over S", y=sheet.middle)
    sheet.line("pixels", (136, sheet.middle), (160, sheet.middle))
    sheet.square("plane", 160, sheet.middle, PLANE)
    sheet.text(169, sheet.middle - 14, "one plane")
    sheet.text(191, sheet.middle + 4, "∗", size=10, ink="ink")
    sheet.slice(204, sheet.middle)
    sheet.text(212, sheet.middle + 19, "one kernel K")
    sheet.body(220)
    return f"the {pooling} over the planes there are is one plane, which one kernel K convolves; names play no part"


def _tokens(sheet: Sheet, _: Mapping[str, Any]) -> str:
    sheet.names()
    sheet.planes(40)
    sheet.shared(68)
    for row in sheet.there:
        sheet.vector(108, row.y)
    sheet.text(122, 14, "tokens")
    sheet.embedded(152, "e")
    sheet.each("pixels", 168, 184)
    sheet.box(184, 206, "+ p")
    sheet.text(195, 14, "position")
    sheet.each("pixels", 206, 232)
    foot = sheet.box(232, 336, "body", short(sheet.network, 20), "attends over", "all tokens together")[1]
    sheet.logits(foot)
    return (
        "one patch projection K, the same for all channels, makes tokens of each plane; the embedding e of its channel "
        "and that p of each position are added, and a transformer attends over the tokens of all channels together"
    )


def _attentive(sheet: Sheet, options: Mapping[str, Any]) -> str:
    by_wavelength = options.get("embedding") == "wavelength"
    sheet.names()
    sheet.planes(40)
    sheet.shared(68)
    for row in sheet.there:
        sheet.place(108, row.y)
    sheet.text(117, 14, "maps")
    sheet.embedded(142, "λ" if by_wavelength else "e")
    sheet.each("pixels", 158, 168)
    sheet.box(168, 232, "attention", "over channels", "at each place")
    sheet.line("pixels", (232, sheet.middle), (243, sheet.middle))
    sheet.place(243, sheet.middle)
    sheet.text(252, sheet.middle - 14, "one map")
    sheet.body(261)
    of = "a function of its wavelength" if by_wavelength else "the embedding e of its channel"
    return (
        f"one kernel K, the same for all channels, convolves each plane; {of} is added, and at each place attention "
        "over the channels, with learned queries, makes one map of theirs"
    )


def _any(sheet: Sheet, strategy: str) -> str:
    """A strategy that is not among ours."""
    sheet.names()
    sheet.planes(40)
    sheet.joined(58, 110, 84)
    sheet.box(110, 200, "stem", short(strategy, 16), y=sheet.middle)
    sheet.body(200)
    return "a strategy that is not anychan's makes maps of the planes"


_MECHANISMS: dict[str, Callable[[Sheet, Mapping[str, Any]], str]] = {
    PLAIN: _plain,
    "sliced": _sliced,
    "completed": _completed,
    "masked": _masked,
    "by_count": _by_count,
    "mixed": _mixed,
    "generated": _generated,
    "spectral": _spectral,
    "template": _template,
    "pooled": _pooled,
    "tokens": _tokens,
    "attentive": _attentive,
}


def mechanism_drawing(
    channels: Sequence[str], strategy: str, options: Mapping[str, Any], body: str, classes: int | None
) -> Markup:
    """What a stem does with the planes of its channels, of which one is missing where it can be.

    Args:
        channels: names of the channels that the stem knows.
        strategy: the stem's name, "plain" for an ordinary convolution; one that is not ours is drawn as a box.
        options: the strategy's own, some of which change what is drawn.
        body: the network's name.
        classes: the number of logits; None: not known.
    """
    draw = _MECHANISMS.get(strategy)
    sheet = Sheet(channels, draw not in (None, _plain), body, classes)
    told = draw(sheet, options) if draw else _any(sheet, strategy)
    given = f"{listing(channels)}, of which {sheet.missing} is missing" if sheet.missing else listing(channels)
    logits = "the" if classes is None else classes
    return sheet.svg(f"Stem {strategy}, for the channels {given}: {told}. Then the body {body} and {logits} logits.")
