"""What the page says of a photograph."""

from __future__ import annotations

import dataclasses
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from anychan.channels import MEASURED, Channel, ChannelSet
from anychan.evaluation.activation import overlaid
from anychan.models import load_model
from anychan.prediction import Predictor
from anychan.prediction.reading import Planes
from anychan.serve.answers import answers_html, subsets, view
from anychan.serve.page import shown_html
from anychan.serve.photograph import Photograph

from ..prediction._runs import CLASSES, make_run, photograph


@pytest.fixture(scope="module")
def any_channel(runs):
    return Predictor.load(runs[0], device="cpu")


def test_the_likely_classes_are_those_of_predict(any_channel):
    data = photograph(5)
    for channels in ("R", "RG", "RGB"):
        page = answers_html(any_channel, Photograph(data), list(channels), maps=False)
        expected = next(any_channel.predict([data], channels))
        assert re.search(r'class="likely" data-channels="(\w+)"', page)[1] == channels
        found = re.findall(r'data-label="(\d+)" data-probability="([\d.e-]+)"><span>(\w+)', page)
        assert tuple(int(label) for label, _, _ in found) == expected.labels
        assert tuple(name for _, _, name in found) == expected.classes
        assert tuple(float(share) for _, share, _ in found) == pytest.approx(expected.probabilities, abs=1e-6)


def test_all_subsets_stand_side_by_side(any_channel):
    data = photograph(5)
    page = answers_html(any_channel, Photograph(data), ["G"], maps=False)
    cards = re.findall(r'<article class="([\w ]*)" data-channels="(\w+)" data-label="(\d+)"', page)
    assert [channels for _, channels, _ in cards] == ["RGB", "RG", "RB", "GB", "R", "G", "B"]
    assert [channels for marks, channels, _ in cards if "current" in marks] == ["G"]
    whole = cards[0][2]
    for marks, channels, label in cards:
        assert int(label) == next(any_channel.predict([data], channels)).labels[0]
        assert ("changed" in marks) == (label != whole)
    assert page.count("data:image/png;base64,") == 1 + 7
    assert "http" not in page


def test_maps_change_the_pictures_and_nothing_else(any_channel):
    taken = Photograph(photograph(5))
    without, with_maps = (answers_html(any_channel, taken, ["R", "G"], maps) for maps in (False, True))
    pictures = r"data:image/png;base64,[^\"]*"
    assert re.sub(pictures, "", without) == re.sub(pictures, "", with_maps)
    changed = [a != b for a, b in zip(re.findall(pictures, without), re.findall(pictures, with_maps), strict=True)]
    assert changed == [True, False, False, *[True] * 7]


def test_what_a_model_does_not_take_is_said(any_channel, runs, tmp_path):
    taken = Photograph(photograph(5))
    with pytest.raises(ValueError, match="Switch on one channel"):
        answers_html(any_channel, taken, [], maps=False)
    plain = Predictor.load(runs[1], device="cpu")
    with pytest.raises(ValueError, match="a plain model takes all of RGB"):
        answers_html(plain, taken, ["R"], maps=False)
    assert "all its channels together only" in answers_html(plain, taken, ["R", "G", "B"], maps=False)
    infrared = Predictor.load(make_run(tmp_path / "n", channels=["R", "G", "B", "N"]), device="cpu")
    with pytest.raises(ValueError, match="no channel N"):
        answers_html(infrared, taken, ["R", "N"], maps=False)
    assert [str(subset) for subset in subsets(infrared, ChannelSet.parse("RGB"))][:2] == ["RGB", "RG"]
    red = Predictor.load(make_run(tmp_path / "r", channels=["R", "N"]), device="cpu")
    page = answers_html(red, taken, ["R"], maps=False)  # one card
    assert page.count("<article") == 1
    assert "plain" not in page
    kept = Predictor.load(make_run(tmp_path / "k", kept_subsets=("RGB", "B")), device="cpu")
    assert [str(subset) for subset in subsets(kept, ChannelSet.parse("RGB"))] == ["RGB", "B"]


def test_what_predict_refuses_is_refused(tmp_path):
    channels = ChannelSet(dataclasses.replace(channel, units=MEASURED) for channel in ChannelSet.parse("RGB"))
    predictor = Predictor.load(make_run(tmp_path, channels=channels), device="cpu")
    (answer,) = predictor.predict([photograph(5)])
    assert answer.error is not None
    with pytest.raises(ValueError, match=re.escape(answer.error)):
        answers_html(predictor, Photograph(photograph(5)), ["R", "G", "B"], maps=False)


def test_a_photograph_is_read_as_predict_reads_it(tmp_path):
    predictor = Predictor.load(make_run(tmp_path, channels=["R", "G", "B", "NIR"]), device="cpu")
    file = io.BytesIO()
    Image.fromarray(np.full((20, 20), 1000, np.uint16)).save(file, "PNG")  # 8 bits would be R = G = B
    (answer,) = predictor.predict([file.getvalue()], "RGB")
    assert answer.error is not None
    with pytest.raises(ValueError, match=re.escape(answer.error)):
        answers_html(predictor, Photograph(file.getvalue()), ["R", "G", "B"], maps=False)


def test_names_of_classes_are_text(tmp_path):
    names = ("<script>alert(1)</script>", "${value}", "{{value}}", *CLASSES[3:])
    model, info = load_model(make_run(tmp_path))
    info = dataclasses.replace(info, classes=names)
    page = answers_html(Predictor(model, info, device="cpu"), Photograph(photograph(5)), ["R"], maps=False)
    assert "<script" not in page
    assert "${" not in page
    assert "{{" not in page


def test_names_of_channels_are_text(tmp_path):
    names = ["R", "<script>alert(1)</script>", 'B"onload="alert(1)', "${value}"]
    predictor = Predictor.load(make_run(tmp_path, channels=names), device="cpu")
    image = Planes(torch.zeros(4, 16, 16, dtype=torch.uint8), ChannelSet(names))
    taken = Photograph(photograph(5), {predictor: image})
    for page in (
        shown_html(predictor, taken, "", names, False),
        shown_html(predictor, Photograph(photograph(5)), "", names, False),
        shown_html(predictor, None, "".join(names), names, False),
    ):
        assert "&lt;script" in page
        assert "<script" not in page
        assert "${" not in page
        assert 'B"onload' not in page
    assert "Drop a photograph" in shown_html(predictor, None, "", names, False)


def test_what_the_network_sees():
    pixels = torch.tensor([[[10]], [[20]], [[30]]], dtype=torch.uint8)
    image = Planes(pixels, ChannelSet.parse("RGB"))
    assert view(image, ChannelSet.parse("RB")).tolist() == [[[10, 0, 30]]]
    assert view(image, ChannelSet.parse("BR")).tolist() == [[[10, 0, 30]]]
    assert view(image, ChannelSet.parse("G")).tolist() == [[[20, 20, 20]]]
    assert overlaid(view(image, ChannelSet.parse("G")), torch.zeros(1, 1)).tolist() == [[[14, 14, 14]]]
    assert overlaid(view(image, ChannelSet.parse("G")), torch.ones(1, 1))[0, 0, 0] > 190


def test_channels_that_are_found_by_wavelength_are_shown_too(tmp_path):
    channels = ChannelSet([Channel("blue", 0.46), Channel("red", 0.6)])
    predictor = Predictor.load(make_run(tmp_path, channels=channels), device="cpu")
    taken = Photograph(photograph(5))
    page = answers_html(predictor, taken, ["red", "blue"], maps=False)
    assert page.count("data:image/png;base64,") == 3 + 3
    image = taken.planes(predictor)
    assert (view(image, channels) == view(image, ChannelSet.parse("RB"))).all()
    assert (view(image, channels.subset("red")) == view(image, ChannelSet.parse("R"))).all()
