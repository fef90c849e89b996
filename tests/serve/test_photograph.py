"""What is taken as a photograph, checked before it is decoded."""

from __future__ import annotations

import base64
import dataclasses
import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from anychan.prediction import Predictor, reading
from anychan.serve import photograph as module
from anychan.serve.photograph import Photograph, example

from .._image_files import png_chunk, tiff
from ..prediction._runs import photograph


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def predictor(runs):
    return Predictor.load(runs[0], device="cpu")


def test_a_photograph_is_decoded_once_for_a_model(predictor):
    taken = Photograph.from_base64(_text(photograph(1)))
    first = taken.planes(predictor)
    assert tuple(first.pixels.shape) == (3, 16, 16)
    assert taken.planes(predictor) is first
    larger = dataclasses.replace(predictor.info, image_size=24)
    assert tuple(taken.planes(Predictor(predictor.model, larger, device="cpu")).pixels.shape) == (3, 24, 24)


def test_too_much_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(reading, "decode_photograph", None)  # would be called
    monkeypatch.setattr(Image.Image, "load", None)
    with pytest.raises(ValueError, match=r"20\.0 MB; at most 20 MB"):
        Photograph(bytes(20_000_001))
    with pytest.raises(ValueError, match="more than the 20 MB"):
        Photograph.from_base64("A" * 26_666_672)
    header = struct.pack(">2I5B", 5001, 5000, 8, 2, 0, 0, 0)
    with pytest.raises(ValueError, match=r"25\.0 megapixels; at most 25"):
        Photograph(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + struct.pack(">I", 9) + b"IDAT")


def test_a_picture_that_pillow_calls_a_bomb_has_too_many_pixels(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # of the 1040; from twice as many Pillow opens nothing
    with pytest.raises(ValueError, match="has more pixels than"):
        Photograph(photograph(1))


@pytest.mark.parametrize(
    "pages",
    [np.zeros((3, 20, 30), np.uint8), np.zeros((20, 30, 2), np.uint8)],
    ids=["pages", "planes"],
)
def test_bands_are_refused_before_they_are_decoded(pages, monkeypatch):
    monkeypatch.setattr(reading, "decode_image", None)  # would be called
    with pytest.raises(ValueError, match="holds bands, not a photograph"):
        Photograph(tiff(pages, photometric="minisblack"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no base64!", "damaged on its way"),
        (_text(b"%!PS-Adobe-3.0"), "no image of a known format"),
        (_text(b""), "no image"),
        ("/etc/passwd", "damaged on its way|no image"),
    ],
)
def test_what_is_no_photograph_is_refused_in_a_sentence(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        Photograph.from_base64(text)
    assert caught.value.__suppress_context__


def test_a_photograph_that_is_cut_off_is_refused_when_it_is_decoded(predictor):
    with pytest.raises(ValueError, match="cannot be decoded"):
        Photograph(photograph(1)[:-200]).planes(predictor)


def test_the_example_comes_from_scikit_image_or_is_not_there(predictor, tmp_path, monkeypatch):
    package = tmp_path / "skimage" / "data"
    package.mkdir(parents=True)
    (tmp_path / "skimage" / "__init__.py").write_text("raise RuntimeError('is not to be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "skimage", raising=False)
    assert example() is None
    Image.open(io.BytesIO(photograph(1))).save(package / "chelsea.png")
    found = example()
    assert found is not None
    assert found.planes(predictor).pixels.shape == (3, 16, 16)
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    assert example() is None
