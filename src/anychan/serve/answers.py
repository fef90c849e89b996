"""What a model says of a photograph, as the HTML that the page shows; its pictures lie in it as data, in no file."""

from __future__ import annotations

import base64
import html
import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anychan._plain import PLAIN
from anychan.channels import ChannelSet
from anychan.evaluation.activation import overlaid
from anychan.prediction import Predictor
from anychan.prediction.reading import Planes
from anychan.sensors import match
from anychan.serve.photograph import Photograph

MOST_SUBSETS = 63  # of 6 channels
_one_at_a_time = threading.Lock()  # a class-activation map listens to the whole model
Colours = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's likely classes through one channel set, and the picture of what it saw."""

    channels: ChannelSet
    labels: tuple[int, ...]
    probabilities: tuple[float, ...]
    picture: Colours
    no_map: str = ""  # why there is no class-activation map where one was asked for


def answers_html(predictor: Predictor, photograph: Photograph, names: Sequence[str], maps: bool) -> str:
    """The three parts of the page's answer.

    Args:
        predictor: of the model that is chosen.
        photograph: what it is shown.
        names: the channels that are switched on.
        maps: lay class-activation maps over the pictures.

    Raises:
        ValueError: for a broken photograph, no channel, or channels that the model does not take; for people.
    """
    channels = predictor.model.channels
    image = photograph.planes(predictor)
    chosen = [channel.name for channel in channels if channel.name in names]
    if not chosen:
        raise ValueError("Switch on one channel at least.")
    if problem := predictor.problem(image, predictor.asked(chosen)):  # what predict refuses is refused here
        raise ValueError(f"The photograph {problem}.")
    with _one_at_a_time:
        answer = _ask(predictor, image, predictor.asked(chosen), maps)
        others = [_ask(predictor, image, subset, maps) for subset in subsets(predictor, image.channels)]
    return _seen(answer, image) + _classes(answer, predictor) + _all_subsets(answer, others, predictor)


def subsets(predictor: Predictor, there: ChannelSet) -> list[ChannelSet]:
    """The channel sets of a photograph that a model answers, the largest first; those of up to 6 channels."""
    known = list(match(predictor.model.channels, there))
    taken = []
    for subset in ChannelSet(known).subsets() if len(known) <= 6 else []:
        try:
            taken.append(predictor.asked(subset.names))
        except ValueError:
            continue  # a plain model takes its full set alone, and others may lack a subset's statistics
    return taken


def _ask(predictor: Predictor, image: Planes, channels: ChannelSet, maps: bool) -> Answer:
    labels, probabilities = predictor.answer([image], channels)[0]
    picture = view(image, channels)
    if not maps:
        return Answer(channels, labels, probabilities, picture)
    try:
        heat = predictor.activation_map(image, channels, labels[0])
    except ValueError as error:
        return Answer(channels, labels, probabilities, picture, str(error))
    return Answer(channels, labels, probabilities, overlaid(picture, heat))


def view(image: Planes, channels: ChannelSet) -> Colours:
    """What a model is shown, in colour: planes that it is not shown are black. One plane alone is gray."""
    levels_CHW = image.levels.numpy()
    theirs = tuple(match(channels, image.channels).values())  # by name or wavelength, as they are answered
    shown = [name for name in "RGB" if name in theirs]
    if len(channels) == 1 or not shown:
        plane = levels_CHW[image.channels.indices(theirs)[0]]
        return np.repeat(plane[:, :, None], 3, axis=2)
    colours = np.zeros((*levels_CHW.shape[1:], 3), np.uint8)
    for name in shown:
        colours[:, :, "RGB".index(name)] = levels_CHW[image.channels.indices([name])[0]]
    return colours


def _seen(answer: Answer, image: Planes) -> str:
    pictures = [_figure(answer.picture, f"shown: {answer.channels}")]
    if len(answer.channels) > 1:
        pictures += [_figure(view(image, answer.channels.subset([name])), name) for name in answer.channels.names]
    note = f'<p role="note">{as_text(answer.no_map)}</p>' if answer.no_map else ""
    side, shown = image.pixels.shape[1], as_text(str(answer.channels))
    return (
        f'<section class="seen"><h2>What the network sees</h2><p>{side} x {side} pixels of {shown}</p>'
        f'<div class="row">{"".join(pictures)}</div>{note}</section>'
    )


def _classes(answer: Answer, predictor: Predictor) -> str:
    rows = []
    for label, share in zip(answer.labels, answer.probabilities, strict=True):
        name = as_text(predictor.info.classes[label])
        rows.append(
            f'<li data-label="{label}" data-probability="{share!r}"><span>{name}</span>'
            f'<meter min="0" max="1" value="{share:.4f}"></meter><b>{share:.1%}</b></li>'
        )
    return (
        f'<section class="likely" data-channels="{as_text(str(answer.channels))}"><h2>Likely classes</h2>'
        f"<ol>{''.join(rows)}</ol></section>"
    )


def _all_subsets(chosen: Answer, answers: Sequence[Answer], predictor: Predictor) -> str:
    if not answers:
        return '<section class="subsets"><h2>All subsets</h2><p>There are too many of them to show.</p></section>'
    cards = []
    for answer in answers:
        rows = "".join(
            f"<li>{as_text(predictor.info.classes[label])} <b>{share:.1%}</b></li>"
            for label, share in zip(answer.labels[:3], answer.probabilities[:3], strict=True)
        )
        changed, shown = answer.labels[0] != answers[0].labels[0], as_text(str(answer.channels))
        marks = ("current " if answer.channels.names == chosen.channels.names else "") + ("changed" if changed else "")
        note = f"<p>another class than on {as_text(str(answers[0].channels))}</p>" if changed else ""
        cards.append(
            f'<article class="{marks.strip()}" data-channels="{shown}" data-label="{answer.labels[0]}">'
            f"<h3>{shown}</h3>{_figure(answer.picture)}<ol>{rows}</ol>{note}</article>"
        )
    plain = predictor.model.strategy == PLAIN
    alone = "<p>A plain network takes all its channels together only.</p>" if plain else ""
    return f'<section class="subsets"><h2>All subsets</h2>{alone}<div class="cards">{"".join(cards)}</div></section>'


def _figure(picture: Colours, caption: str = "") -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    said = f"<figcaption>{as_text(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{as_text(caption or "what it saw")}" src="data:image/png;base64,{data}">{said}</figure>'


def as_text(words: str) -> str:
    """Words that are not ours, for HTML, with nothing in them that a template would take for its own."""
    return html.escape(words).replace("{", "&#123;").replace("}", "&#125;").replace("$", "&#36;").replace("`", "&#96;")
