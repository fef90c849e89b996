"""Pictures of more than 8 bits a sample keep their levels in data sets, or are refused by name."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anychan.data import check_dataset, load_split, open_dataset
from anychan.data.bands import Bands, parse_bands
from anychan.data.decode import strict_pillow
from anychan.data.deep import is_deep
from anychan.data.images import decode_image

from .._image_files import png_16, tiff
from ._files import broken, noise

Files = dict[str, bytes]
Make = Callable[..., bytes]
SIZE = 12
DARK = noise(SIZE, SIZE, 3) % 200  # in 8 bits it would be all black
FULL = DARK.astype(np.int64) * 300


def saved(pixels: Any, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def ppm(pixels: Any, most: int = 65535, text: bool = False) -> bytes:
    h, w, _ = pixels.shape
    head = f"P{3 if text else 6}\n# a remark\n{w} {h}\n{most}\n".encode()
    body = " ".join(map(str, pixels.ravel())).encode() + b"\n" if text else pixels.astype(">u2").tobytes()
    return head + body


@pytest.mark.parametrize("kind", ["PNG", "PPM", "JPEG2000"])  # PPM of gray is PGM
def test_gray_of_16_bits_is_a_data_set_of_16_bits(folder: Callable[[Files], Path], tmp_path: Path, kind: str) -> None:
    suffix = {"PNG": "png", "PPM": "pgm", "JPEG2000": "jp2"}[kind]
    made = {i: saved(noise(SIZE, SIZE, seed=i) % 200, kind) for i in range(4)}
    files = {f"train/{'ab'[i % 2]}/{i}.{suffix}": data for i, data in made.items()}
    dataset = open_dataset(folder(files))
    assert (str(dataset.channels), dataset.encoding.kept_as) == ("gray", "uint16")
    array = load_split(dataset, "train", SIZE, tmp_path / "cache")
    for path, plane in zip(array.paths, array.images, strict=True):
        np.testing.assert_array_equal(plane[0].numpy(), noise(SIZE, SIZE, seed=int(Path(path).stem)) % 200)


@pytest.mark.parametrize("text", [False, True])
def test_colours_of_a_ppm_keep_all_their_levels(text: bool) -> None:
    image = decode_image(ppm(FULL, text=text))
    assert (image.channels.names, image.pixels.dtype) == (("R", "G", "B"), np.uint16)
    np.testing.assert_array_equal(image.pixels, FULL.transpose(2, 0, 1))
    shares = decode_image(ppm(DARK, most=1000, text=text)).values
    np.testing.assert_allclose(shares, DARK.transpose(2, 0, 1) / 1000, atol=1e-5)
    with strict_pillow():
        assert "cannot be decoded" in broken(ppm(FULL)[:-30])


def test_floating_point_keeps_its_values() -> None:
    values = noise(SIZE, SIZE, dtype="float32")
    image = decode_image(saved(values, "PPM"))
    assert (image.channels.names, image.channels[0].units) == (("gray",), "measured")
    np.testing.assert_array_equal(image.values[0], values)


def test_colours_of_jpeg_2000_beyond_8_bits_are_refused() -> None:
    data = saved((DARK % 256).astype(np.uint8), "JPEG2000")
    assert not is_deep(data)
    start = data.index(b"\xff\x4f\xff\x51")
    for plane in range(3):  # a file of 12 bits, which Pillow cannot write
        data = data[: start + 42 + 3 * plane] + b"\x0b" + data[start + 43 + 3 * plane :]
    assert is_deep(data)
    assert "has colours of 12 bits in JPEG 2000, of which 8 can be read: write it as PNG or TIFF" in broken(data)


def test_a_picture_of_16_bits_among_photographs_is_refused_or_keeps_its_levels(
    folder: Callable[[Files], Path], photographs: Files, tmp_path: Path
) -> None:
    path = "images/n01/train_1.JPEG"
    colours, gray = tiff(DARK, photometric="rgb"), DARK[..., 0]
    for odd in (png_16(DARK), ppm(DARK), saved(gray, "JPEG2000"), saved(gray, "PPM"), colours):
        root = folder(photographs | {path: odd})
        with pytest.raises(ValueError, match=rf"{path} has more than 8 bits a sample, the first image has 8: with"):
            load_split(open_dataset(root), "train", SIZE, tmp_path / "cache")
        assert check_dataset(root).kinds == {"mixed-type": 1}
    for odd in (png_16(DARK), ppm(DARK), colours):
        root = folder(photographs | {path: odd, "bands.yaml": b"bands: R,G,B\nvalues: true"})
        array = load_split(open_dataset(root), "train", SIZE, tmp_path / "cache")
        found = array.images[array.paths.index(path)].numpy()
        np.testing.assert_allclose(found * 65535, DARK.transpose(2, 0, 1), atol=0.01)
    few = saved(gray.astype(np.uint8), "PNG")  # of 8 bits
    for odd, full in (*((saved(gray, kind), 65535) for kind in ("PNG", "JPEG2000", "PPM")), (few, 255)):
        root = folder(photographs | {path: odd, "bands.yaml": b"bands: R,G,B\nvalues: true"})
        array = load_split(open_dataset(root), "train", SIZE, tmp_path / "cache")
        found = array.images[array.paths.index(path)].numpy()
        np.testing.assert_allclose(found * full, np.stack([gray] * 3), atol=0.01)
    assert decode_image(tiff(gray), Bands(parse_bands("R,G,B").bands)).channels.names == ("R", "G", "B")
