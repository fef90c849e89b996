"""Decoding for prediction: that of data sets in 8 bits, all levels in 16."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from anychan.data.decode import decode_photograph, strict_pillow
from anychan.data.findings import BrokenFileError
from anychan.data.images import decode_image
from anychan.prediction import reading
from anychan.prediction.reading import pixel_count, planes_of_image

from .._image_files import png_16, png_chunk, tiff
from ._runs import photograph

RAMP = np.arange(65536, dtype=np.uint16).reshape(128, 512)


def test_8_bits_are_as_in_a_data_set():
    for number, mode in enumerate(("RGB", "L", "RGBA", "LA", "P")):
        data = photograph(number, mode)
        planes = planes_of_image(data, 16)
        expected = decode_photograph(data, 16).pixels.transpose(2, 0, 1)
        np.testing.assert_array_equal(planes.pixels.numpy(), expected)


@pytest.mark.parametrize(
    "data",
    [
        png_16(RAMP[..., None]),
        png_16(np.stack([RAMP, RAMP.T.reshape(RAMP.shape), RAMP], axis=2)),
        png_16(np.stack([RAMP] * 3 + [np.full_like(RAMP, 65535)], axis=2)),
        png_16(np.stack([RAMP, np.full_like(RAMP, 65535)], axis=2)),
        tiff(RAMP),
        tiff(np.stack([RAMP] * 3, axis=2), photometric="rgb"),
        tiff(np.stack([RAMP] * 3), photometric="rgb", planarconfig="separate"),
        tiff((RAMP / 65535).astype(np.float32)),
    ],
    ids=["gray", "colour", "alpha", "gray-alpha", "tiff", "tiff-colour", "tiff-planar", "float"],
)
def test_16_bits_keep_all_their_levels(data):
    red = planes_of_image(data).pixels[0].numpy()
    assert len(np.unique(red)) == 65536
    np.testing.assert_allclose(red * 65535, RAMP, atol=0.02)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bits_are_turned_and_cut_as_8_are(orientation, samples):
    coarse = np.random.default_rng(0).integers(0, 256, (3, 5, samples), dtype=np.uint8)
    fine = coarse.repeat(8, axis=0).repeat(8, axis=1)
    data = png_16(fine.astype(np.uint16) * 257, orientation)
    for size in (None, 16):
        expected = decode_photograph(data, size).pixels.transpose(2, 0, 1)
        got = planes_of_image(data, size).pixels.numpy()
        assert got.dtype == np.float32
        np.testing.assert_allclose(got * 255, expected, atol=1)


def test_alpha_of_16_bits_is_laid_over_white():
    half = np.stack([np.zeros_like(RAMP)] * 3 + [RAMP], axis=2)
    green = planes_of_image(png_16(half)).pixels[1].numpy()
    np.testing.assert_allclose(green * 65535, 65535 - RAMP.astype(int), atol=0.02)


def _transparent(colour: tuple[int, ...], samples: int) -> bytes:
    """A ramp, in which one colour is transparent."""
    data = png_16(np.stack([RAMP] * samples, axis=2))
    place = data.index(b"IDAT") - 4
    return data[:place] + png_chunk(b"tRNS", struct.pack(f">{samples}H", *colour)) + data[place:]


@pytest.mark.parametrize(
    "data",
    [
        *(png_16(np.stack([RAMP, RAMP.T.reshape(RAMP.shape)], axis=2), turned) for turned in (1, 2, 6)),
        *(png_16(np.stack([RAMP] * 3 + [RAMP[::-1]], axis=2), turned) for turned in (1, 5, 8)),
        *(tiff(RAMP, extratags=[(274, "H", 1, turned, True)]) for turned in (3, 6, 7)),
        tiff(np.stack([RAMP] * 3 + [RAMP[::-1]], axis=2), photometric="rgb", extrasamples=["unassalpha"]),
        _transparent((1000,), 1),
        _transparent((1000, 1000, 1000), 3),
    ],
)
def test_pictures_of_16_bits_are_read_as_in_a_data_set_and_as_those_of_8(data):
    planes = planes_of_image(data).pixels.numpy()
    image = decode_image(data)
    np.testing.assert_array_equal(planes, np.broadcast_to(image.values, planes.shape))
    assert image.valid is None
    if b"tRNS" not in data:  # of which Pillow compares the upper 8 bits only
        expected = decode_photograph(data).pixels.transpose(2, 0, 1)
        np.testing.assert_allclose(planes * 255, expected, atol=2.5)


def test_a_transparent_colour_of_16_bits_is_white():
    assert (decode_image(_transparent((1000,), 1)).pixels[0] == np.where(RAMP == 1000, 65535, RAMP)).all()


def test_pixels_are_counted_without_decoding():
    data = photograph(0)
    assert pixel_count(data) == pixel_count(data[:200]) == 40 * 26
    with pytest.raises(BrokenFileError, match="no image of a known format"):
        pixel_count(b"%!PS-Adobe")


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("compression", ["lzw", "zstd"])
def test_16_bits_that_tifffile_cannot_decode_are_read_by_rasterio(compression):
    rasterio = pytest.importorskip("rasterio")
    pixels = np.stack([RAMP] * 3)
    with rasterio.MemoryFile() as file:
        shape = {"count": 3, "height": 128, "width": 512, "dtype": "uint16", "photometric": "RGB"}
        with file.open(driver="GTiff", compress=compression, **shape) as writer:
            writer.write(pixels)
        data = file.read()
    red = planes_of_image(data).pixels[0].numpy()
    np.testing.assert_allclose(red * 65535, RAMP, atol=0.02)


def test_a_tiff_that_tifffile_stumbles_over_is_read_as_in_a_data_set_of_photographs():
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 20, 30)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    data[struct.unpack_from("<I", data, 4)[0] + 1] ^= 1  # 256 tags more, at which Pillow stops without a word
    with pytest.raises(tifffile.TiffFileError):
        tifffile.TiffFile(io.BytesIO(data))
    with strict_pillow():  # else it warns
        np.testing.assert_array_equal(planes_of_image(bytes(data)).pixels[:, 0, 0], [10, 20, 30])


def test_whatever_a_file_makes_a_reader_raise_is_said_of_that_file(monkeypatch):
    monkeypatch.setattr(reading, "_all_levels", lambda data: {}[7])
    with pytest.raises(BrokenFileError, match="cannot be decoded: 7"):
        planes_of_image(photograph(0))
