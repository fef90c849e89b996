"""Every kind of image becomes upright RGB; every kind of damage is named."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from anychan.data import decode
from anychan.data.decode import MAX_PIXELS, decode_photograph, strict_pillow
from anychan.data.findings import BrokenFileError
from anychan.data.resize import resize_planes

from .._image_files import png_16

Make = Callable[..., bytes]


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def kind_of(data: bytes) -> str:
    with strict_pillow(), pytest.raises(BrokenFileError) as caught:
        decode_photograph(data, 16)
    assert caught.value.reason
    return caught.value.kind


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000", "PPM"])
def test_formats(image_bytes: Make, kind: str) -> None:
    lossless = {"lossless": True} if kind == "WEBP" else {}
    mode = "L" if kind == "GIF" else "RGB"
    expected = np.asarray(Image.open(io.BytesIO(image_bytes(mode=mode))).convert("RGB"))
    picture = decode_photograph(image_bytes(mode=mode, kind=kind, **lossless))
    np.testing.assert_array_equal(picture.pixels, expected)


@pytest.mark.parametrize("size", [(24, 20), (17, 33), (1, 1)])
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True, "quality": 40}])
def test_the_fast_jpeg_decoder_gives_what_pillow_gives(
    image_bytes: Make, size: tuple[int, int], options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = image_bytes(size=size, kind="JPEG", **options)
    fast = decode_photograph(data, 16).pixels
    monkeypatch.setattr(decode, "_HAS_SIMPLEJPEG", False)
    np.testing.assert_array_equal(fast, decode_photograph(data, 16).pixels)


def test_plain_photographs_are_not_odd(image_bytes: Make) -> None:
    assert decode_photograph(image_bytes(kind="JPEG")).odd == ()


def test_grayscale() -> None:
    for mode, value in (("L", 77), ("1", 1)):
        picture = decode_photograph(saved(Image.new(mode, (8, 8), value)))
        assert picture.odd == ("grayscale",)
        assert np.unique(picture.pixels).tolist() == [77 if mode == "L" else 255]


def test_cmyk() -> None:
    picture = decode_photograph(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert picture.odd == ("cmyk",)
    np.testing.assert_allclose(picture.pixels[0, 0], [255, 0, 0], atol=4)


def test_palette_and_transparency_over_white() -> None:
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert decode_photograph(saved(palette)).odd == ("palette",)
    assert decode_photograph(saved(palette)).pixels[0, 0].tolist() == [10, 200, 30]
    see_through = decode_photograph(saved(palette, transparency=1))
    assert see_through.odd == ("palette", "alpha")
    assert see_through.pixels[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (200, 100, 0, 128)), ("LA", (100, 0))])
def test_alpha_over_white(mode: str, colour: tuple[int, ...]) -> None:
    picture = decode_photograph(saved(Image.new(mode, (8, 8), colour)))
    assert "alpha" in picture.odd
    expected = [227, 177, 127] if mode == "RGBA" else [255, 255, 255]
    np.testing.assert_allclose(picture.pixels[0, 0], expected, atol=1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_gray_keeps_its_range(kind: str) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = decode_photograph(saved(Image.fromarray(ramp), kind))
    assert picture.odd == ("grayscale", "16-bit")
    np.testing.assert_array_equal(picture.pixels[..., 1], ramp >> 8)


def test_16_bit_colour_is_noticed() -> None:
    picture = decode_photograph(png_16(np.full((4, 4, 3), [65535, 32768, 256])))
    assert picture.odd == ("16-bit",)
    assert picture.pixels[0, 0].tolist() == [255, 128, 1]


def test_numbers_without_a_known_scale_are_refused() -> None:
    unit = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    assert decode_photograph(saved(Image.fromarray(unit), "TIFF")).pixels[7, 7].tolist() == [255, 255, 255]
    assert kind_of(saved(Image.fromarray(unit * 9), "TIFF")) == "unreadable"
    assert kind_of(saved(Image.fromarray(unit * np.nan), "TIFF")) == "unreadable"
    assert kind_of(saved(Image.fromarray(np.full((8, 8), 70_000, np.int32)), "TIFF")) == "unreadable"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animated_images_show_the_first(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("#000000", "#ffffff")]
    picture = decode_photograph(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert "animated" in picture.odd
    assert picture.pixels.max() == 0


def test_the_second_view_that_some_cameras_add_is_no_animation(image_bytes: Make) -> None:
    views = [Image.open(io.BytesIO(image_bytes(seed))) for seed in (0, 1)]
    assert decode_photograph(saved(views[0], "MPO", save_all=True, append_images=views[1:])).odd == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_upright(image_bytes: Make, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = image_bytes(size=(24, 20), kind=kind, exif=exif, **options)
    picture = decode_photograph(data)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert picture.odd == (() if orientation == 1 else ("exif-rotated",))
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.pixels.shape[:2] == ((20, 24) if orientation <= 4 else (24, 20))


def test_damaged_exif_leaves_the_pixels(image_bytes: Make) -> None:
    data = image_bytes(kind="JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    with strict_pillow():
        assert decode_photograph(data).odd == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000"])
def test_cut_off_files_are_truncated(image_bytes: Make, kind: str) -> None:
    whole = image_bytes(size=(80, 60), mode="L" if kind == "GIF" else "RGB", kind=kind)
    decode_photograph(whole)
    assert kind_of(whole[: len(whole) * 6 // 10]) in {"truncated", "unreadable"}
    if kind in {"JPEG", "PNG", "BMP", "TIFF", "GIF", "PPM"}:
        assert kind_of(whole[: len(whole) * 6 // 10]) == "truncated"


def test_cut_off_files_are_truncated_though_the_program_said_otherwise(
    image_bytes: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = image_bytes(size=(80, 60), kind="JPEG")
    assert kind_of(whole[: len(whole) // 2]) == "truncated"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize(
    "data", [b"<html>not found</html>", b"\0" * 100, b"\xff\xd8\xff", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_what_is_no_image(data: bytes) -> None:
    assert kind_of(data) == "unreadable"


def test_zero_bytes() -> None:
    assert kind_of(b"") == "empty"


@pytest.mark.parametrize("size", [(20_000, 20_000), (13_000, 13_000), (9_500, 9_500)])
def test_bombs_are_refused_without_a_warning(size: tuple[int, int]) -> None:
    bomb = saved(Image.new("1", size))
    assert len(bomb) < 100_000
    assert size[0] * size[1] > MAX_PIXELS
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert kind_of(bomb) == "too-large"
    assert not caught


def test_resizing_cuts_the_middle_square(image_bytes: Make) -> None:
    stripes = np.zeros((40, 120, 3), np.uint8)
    stripes[:, 40:80] = (10, 200, 30)
    picture = decode_photograph(saved(Image.fromarray(stripes)), 16)
    assert picture.pixels.shape == (16, 16, 3)
    np.testing.assert_array_equal(picture.pixels[:, 2:-2], np.broadcast_to([10, 200, 30], (16, 12, 3)))
    same_height = decode_photograph(image_bytes(size=(30, 16)), 16).pixels
    np.testing.assert_array_equal(same_height, decode_photograph(image_bytes(size=(30, 16))).pixels[:, 7:23])


def test_resizing_is_antialiased() -> None:
    checks = np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 255
    pixels = decode_photograph(saved(Image.fromarray(checks)), 16).pixels
    assert pixels.min() > 100
    assert pixels.max() < 160


def test_thin_images_need_no_memory_for_what_is_cut_off() -> None:
    assert decode_photograph(saved(Image.new("L", (60_000, 1))), 224).pixels.shape == (224, 224, 3)


def test_planes_are_resized_as_photographs_are(image_bytes: Make) -> None:
    whole = decode_photograph(image_bytes(size=(50, 40))).pixels
    expected = decode_photograph(image_bytes(size=(50, 40)), 16).pixels
    np.testing.assert_array_equal(resize_planes(whole, 16), expected)
    np.testing.assert_array_equal(resize_planes(np.concatenate([whole, whole], axis=2), 16)[..., 3:], expected)
