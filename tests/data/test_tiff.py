"""TIFFs as they come: stored in all ways, with masks, nodata, opacity, and pages that are not there."""

from __future__ import annotations

import io
import lzma
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from anychan.data.bands import parse_bands
from anychan.data.findings import BrokenFileError
from anychan.data.images import decode_image
from anychan.data.multiband import decode_among_photographs
from anychan.data.tiff import is_picture

from .._image_files import tiff
from ._files import FOUR, broken, gdal, noise


@pytest.mark.parametrize("compress", ["deflate", "lzw", "zstd"])
@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_geotiffs_as_they_come(compress: str, interleave: str) -> None:
    """Tiled, compressed (what tifffile cannot, rasterio does), planar and interleaved, int16 with nodata and scale."""
    pixels = noise(3, 32, 48, dtype="int16") - 15_000
    pixels[0, :5], pixels[2] = -9999, -9999
    data = gdal(
        pixels, descriptions=("B04", "B08", "B11"), scale=1e-4, offset=-0.1, nodata=-9999,
        tiled=True, blockxsize=16, blockysize=16, compress=compress, interleave=interleave,
    )  # fmt: skip
    image = decode_image(data)
    assert image.channels.names == ("B04", "B08", "B11")
    assert image.pixels.dtype == np.int16
    np.testing.assert_array_equal(image.pixels, pixels)
    np.testing.assert_array_equal(image.valid, pixels != -9999)
    expected = np.where(pixels == -9999, np.nan, pixels * 1e-4 - 0.1)
    np.testing.assert_allclose(image.values, expected, rtol=1e-6)
    assert image.channels[0].units == "measured"


@pytest.mark.parametrize("compress", [None, "lzw"])
def test_a_fourth_band_that_has_a_name_is_no_opacity_though_gdal_says_so(compress: str | None) -> None:
    more = {} if compress is None else {"compress": compress}
    image = decode_image(gdal(FOUR, descriptions=("R", "G", "B", "NIR"), **more))
    assert image.channels.names == ("R", "G", "B", "NIR")
    assert image.valid is None
    np.testing.assert_array_equal(image.pixels, FOUR)
    for descriptions in (("R", "G", "B", "Alpha"), None):
        image = decode_image(gdal(FOUR, descriptions=descriptions, **more))
        assert image.channels.names == ("R", "G", "B")
        np.testing.assert_array_equal(image.valid[0], FOUR[3] > 0)
    tags = {4: {"wavelength": "842"}}
    assert "no name for plane 4" in broken(gdal(FOUR, tags=tags, **more))


def test_four_samples_are_a_photograph_only_where_the_fourth_is_an_opacity() -> None:
    pixels = FOUR.transpose(1, 2, 0)
    assert is_picture(tiff(pixels, photometric="rgb", extrasamples=["unassalpha"]), any_bits=True)
    assert not is_picture(tiff(pixels, photometric="rgb", extrasamples=["unspecified"]), any_bits=True)
    on_the_ground = [(33550, "d", 3, (10.0, 10.0, 0.0), True)]
    placed = tiff(pixels, photometric="rgb", extrasamples=["unassalpha"], extratags=on_the_ground)
    assert not is_picture(placed, any_bits=True)
    assert is_picture(tiff(pixels[:, :, :3], photometric="rgb", extratags=on_the_ground))


def test_signed_bytes_are_no_photograph() -> None:
    data = tiff(np.full((6, 7), -1, np.int8))
    assert not is_picture(data)
    assert not is_picture(data, any_bits=True)
    assert (decode_image(data).values == -1).all()
    with pytest.raises(BrokenFileError, match="has numbers from -128 to 127, the first image is a photograph"):
        decode_among_photographs(data, None)


def test_pages_that_are_missing_are_not_filled_with_zeros() -> None:
    whole = tiff(noise(3, 8, 9), ome=True, metadata={"axes": "CYX", "Channel": {"Name": ["a", "b", "c"]}})
    assert decode_image(whole).channels.names == ("a", "b", "c")
    assert whole.count(b'PlaneCount="3"') == 1
    assert "lacks pages" in broken(whole.replace(b'PlaneCount="3"', b'PlaneCount="2"'))


def test_rasterio_is_not_asked_for_pages_that_it_does_not_read() -> None:
    pytest.importorskip("rasterio")
    pages = io.BytesIO()
    images = [Picture.fromarray(plane) for plane in FOUR[:3]]
    images[0].save(pages, "TIFF", compression="tiff_lzw", save_all=True, append_images=images[1:])
    said = broken(pages.getvalue(), parse_bands("RGB"))
    assert "has 3 planes in pages compressed by LZW, of which rasterio reads 1" in said


def test_what_holds_more_than_it_says_is_refused_before_it_fills_the_memory() -> None:
    def of(size: int, compression: str, dtype: str = "uint16", **tile: tuple[int, int]) -> bytes:
        new = {"zlib": zlib.compressobj, "lzma": lzma.LZMACompressor}[compression]()
        file, segment = io.BytesIO(), new.compress(bytes(size)) + new.flush()
        told = {"shape": (64, 64), "dtype": dtype, "compression": compression, "photometric": "minisblack", **tile}
        tifffile.imwrite(file, iter([segment]), **told)
        return file.getvalue()

    named = parse_bands("B08")
    for compression in ("zlib", "lzma"):
        assert decode_image(of(2 * 64**2, compression), named).pixels.shape == (1, 64, 64)
        bomb = of(2**26 + 2, compression)
        assert len(bomb) < 200_000
        assert "has a strip or tile of more than 67,108,864 bytes of pixels, where 8,192" in broken(bomb, named)
    assert "has 2,147,483,648 bytes of pixels" in broken(of(16, "zlib", "uint64", tile=(2**14, 2**14)), named)


@pytest.mark.parametrize("compress", ["lzw", "deflate"])
def test_white_at_0_is_turned_round_with_its_nodata(compress: str) -> None:
    pixels = noise(1, 16, 20, dtype="uint8", seed=3)
    image = decode_image(gdal(pixels, compress=compress, photometric="MINISWHITE", nodata=7))
    np.testing.assert_array_equal(image.pixels, 255 - pixels)
    np.testing.assert_array_equal(image.valid, pixels != 7)


def test_a_jpeg_geotiff_keeps_its_mask() -> None:
    pixels = np.full((3, 32, 32), 90, np.uint8)
    mask = np.full((32, 32), 255, np.uint8)
    mask[:8] = 0
    jpeg = {"compress": "jpeg", "photometric": "YCBCR"}
    image = decode_image(gdal(pixels, mask=mask, **jpeg))
    assert image.channels.names == ("R", "G", "B")
    np.testing.assert_array_equal(image.valid, np.broadcast_to(mask > 0, (3, 32, 32)))
    assert abs(image.pixels.astype(int) - 90).max() <= 3
    assert not is_picture(gdal(pixels, mask=mask, **jpeg))
    image = decode_image(gdal(pixels, nodata=90, **jpeg))
    assert image.valid is not None
    assert not image.valid.all()


@pytest.mark.parametrize(("dtype", "nodata"), [("int32", -2147483648), ("float64", -1.7976931348623157e308)])
@pytest.mark.parametrize("compress", ["deflate", "lzw"])
def test_the_usual_nodata_of_wide_numbers_is_no_value(dtype: str, nodata: float, compress: str) -> None:
    pixels = noise(1, 8, 9).astype(dtype)
    pixels[0, 2] = nodata
    image = decode_image(gdal(pixels, nodata=nodata, compress=compress))
    np.testing.assert_array_equal(image.valid, pixels != nodata)
    np.testing.assert_array_equal(image.values[image.valid], pixels[image.valid])
