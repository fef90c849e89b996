"""The page itself, in Gradio: what is on it and what happens when something is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anychan.channels import ChannelSet
from anychan.prediction import Predictor
from anychan.sensors import match
from anychan.serve.answers import answers_html, as_text
from anychan.serve.drop import drop_zone
from anychan.serve.photograph import Photograph, example

_IDLE = "Drop a photograph, or take the example."
_SECONDS_KEPT = 1800  # a photograph in memory

CSS = """
.answer section { margin: 0 0 1.5rem; }
.answer h2 { font-size: 1.15rem; margin: 0 0 .25rem; }
.answer h3 { font-size: 1rem; margin: 0 0 .25rem; }
.answer figure { margin: 0; }
.answer img { width: 100%; image-rendering: pixelated; border-radius: .25rem; display: block; }
.answer figcaption { font-size: .85rem; text-align: center; }
.answer .row { display: grid; grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); gap: .5rem; }
.answer .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: .75rem; }
.answer article { border: 1px solid var(--border-color-primary); border-radius: .5rem; padding: .5rem; min-width: 0; }
.answer article.current { border: 2px solid var(--color-accent); }
.answer article.changed h3::after { content: " *"; }
.answer article ol, .answer .likely ol { margin: .25rem 0 0; padding: 0; list-style: none; }
.answer article li { font-size: .85rem; overflow-wrap: anywhere; }
.answer article p { font-size: .8rem; opacity: .8; margin: .25rem 0 0; }
.answer .likely li { display: grid; grid-template-columns: minmax(0, 1fr) minmax(4rem, 8rem) 4rem; gap: .5rem;
                     align-items: center; margin: .25rem 0; overflow-wrap: anywhere; }
.answer .likely meter { width: 100%; }
.answer .likely b { text-align: right; }
"""


def shown_html(predictor: Predictor, photograph: Photograph | None, said: str, names: Sequence[str], maps: bool) -> str:
    """The page's answer, or why there is none: a reason may quote a file or a model, which are other people's.

    Args:
        predictor, names, maps: as in `answers_html`.
        photograph: None where there is none yet, or the last was refused.
        said: why it was refused; "" where it was not.
    """
    if photograph is None:
        return _reason(said or _IDLE)
    try:
        return answers_html(predictor, photograph, names, maps)
    except ValueError as error:
        return _reason(str(error))


def in_photographs(known: ChannelSet) -> list[str]:
    """Which of some channels a photograph has, by name or wavelength.

    Example:
        >>> from anychan import Channel
        >>> in_photographs(ChannelSet([Channel("red", 0.6), Channel("NIR", 0.842), Channel("G")]))
        ['red', 'G']
    """
    try:
        return list(match(known, ChannelSet.parse("RGB")))
    except ValueError:  # a name that stands for another wavelength
        return []


def _reason(words: str) -> str:
    return f'<p role="status">{as_text(words)}</p>'


def build_page(predictors: Mapping[str, Predictor]) -> Any:
    """The page for models by name.

    Args:
        predictors: at least one; the first is chosen at first.
    """
    import gradio as gr

    first = next(iter(predictors))

    def channel_choice(name: str, **more: Any) -> Any:
        known = predictors[name].model.channels
        return gr.CheckboxGroup(choices=list(known.names), value=in_photographs(known) or list(known.names), **more)

    def take(text: str) -> tuple[Photograph | None, str, str]:
        try:
            return Photograph.from_base64(text), "", ""
        except ValueError as error:
            return None, "", str(error)

    def show(photograph: Photograph | None, said: str, name: str, channels: list[str], maps: bool) -> str:
        return shown_html(predictors[name], photograph, said, channels, maps)

    with gr.Blocks(title="anychan", analytics_enabled=False) as page:
        gr.Markdown("# anychan\nOne network, any channels: see what it makes of a photograph when some are missing.")
        photograph = gr.State(None, time_to_live=_SECONDS_KEPT)
        said = gr.State("")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                drop = drop_zone()
                cat = gr.Button("Take the example: a cat", elem_id="example", visible=example() is not None)
                model = gr.Dropdown(list(predictors), value=first, label="Model", elem_id="model")
                channels = channel_choice(first, label="Channels", elem_id="channels")
                maps = gr.Checkbox(False, label="Class-activation maps", elem_id="maps")
            with gr.Column(scale=2, min_width=280):
                answer = gr.HTML(_reason(_IDLE), elem_id="answer", elem_classes="answer")
        shown = {"fn": show, "inputs": [photograph, said, model, channels, maps], "outputs": answer}
        quiet = {"api_visibility": "private"}
        # What is switched while an answer is awaited is asked afterwards, the last of it.
        switched = {**shown, **quiet, "trigger_mode": "always_last"}
        drop.upload(take, drop, [photograph, drop, said], **quiet).then(**shown, **quiet)
        cat.click(lambda: (example(), ""), None, [photograph, said], **quiet).then(**shown, **quiet)
        model.input(channel_choice, model, channels, **quiet).then(**shown, **quiet)
        channels.input(**switched)
        maps.input(**switched)
    return page
