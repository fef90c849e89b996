"""Files of any bands: each level, name, wavelength, scale and mask that they have; no guess at what they do not say."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from anychan.data.bands import Bands, parse_bands, read_bands
from anychan.data.findings import BrokenFileError
from anychan.data.images import decode_image, read_image
from anychan.data.tiff import is_photograph

SPECIES = Bands(parse_bands("naip").bands)  # R, G, B, NIR


def noise(*shape: int, dtype: str = "uint16", seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    return random.random(shape, np.float32) if dtype == "float32" else random.integers(0, 30_000, shape).astype(dtype)


def tiff(pixels: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def npy(pixels: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def gdal(pixels: Any, *, descriptions: Any = None, scale: float = 1, offset: float = 0, **profile: Any) -> bytes:
    rasterio = pytest.importorskip("rasterio")
    from rasterio.io import MemoryFile

    mask, tags = profile.pop("mask", None), profile.pop("tags", {})
    profile["transform"] = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    c, h, w = pixels.shape
    with MemoryFile() as memory, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with memory.open(driver="GTiff", count=c, height=h, width=w, dtype=pixels.dtype.name, **profile) as file:
            file.write(pixels)
            if descriptions:
                file.descriptions = descriptions
            if (scale, offset) != (1, 0):
                file.scales, file.offsets = (scale,) * c, (offset,) * c
            for band, of_band in tags.items():
                file.update_tags(band, **of_band)
            if mask is not None:
                file.write_mask(mask)
        return bytes(memory.read())


def broken(data: bytes, bands: Bands | None = None) -> str:
    with pytest.raises(BrokenFileError) as caught:
        decode_image(data, bands)
    return caught.value.reason


PIXELS = noise(4, 20, 24)


@pytest.mark.parametrize(
    "data",
    [
        tiff(PIXELS, photometric="minisblack"),  # a page a band
        tiff(PIXELS, photometric="minisblack", planarconfig="separate"),
        tiff(PIXELS.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig"),
        tiff(PIXELS.transpose(1, 2, 0), photometric="rgb", extrasamples=["unspecified"]),
        tiff(PIXELS.transpose(1, 2, 0), photometric="rgb"),  # calls the fourth band an opacity
        tiff(PIXELS.transpose(1, 2, 0), photometric="minisblack"),  # an array of rows as pages
        tiff(PIXELS, photometric="minisblack", byteorder=">", compression="zlib", predictor=True, tile=(16, 16)),
        npy(PIXELS),
        npy(PIXELS.transpose(1, 2, 0)),
        npz(any_name=PIXELS),
    ],
)
def test_all_ways_to_store_bands_give_the_same_planes(data: bytes) -> None:
    image = decode_image(data, SPECIES)
    assert image.channels.names == ("R", "G", "B", "NIR")
    assert image.channels.wavelengths[3] == 0.845
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.valid is None
    assert image.scale == (1 / 65535,) * 4
    assert {channel.units for channel in image.channels} == {"share"}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("kind", [tiff, npy])
def test_types_are_kept(kind: Callable[[Any], bytes], dtype: str) -> None:
    pixels = noise(2, 9, 9, dtype=dtype)
    image = decode_image(kind(pixels), Bands(parse_bands("a,b").bands))
    assert image.pixels.dtype == dtype
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.channels[0].units == ("measured" if dtype == "float32" else "share")


def test_wider_numbers_are_kept_exactly_or_refused() -> None:
    two = Bands(parse_bands("a,b").bands)
    assert decode_image(npy(np.full((2, 4, 5), 2**24, np.int64)), two).pixels.max() == 2**24
    assert decode_image(npy(noise(2, 4, 5).astype(np.float64)), two).pixels.dtype == np.float32
    assert "int64 pixels beyond 16,777,216" in broken(npy(np.full((2, 4, 5), 2**24 + 1)), two)
    assert "complex128" in broken(npy(np.zeros((2, 4, 5), complex)), two)
    assert "infinite" in broken(npy(np.full((2, 4, 5), np.inf, np.float32)), two)


def test_axes_that_are_not_known_are_not_guessed() -> None:
    four = Bands(parse_bands("naip").bands)
    said = "has the shape 4 x 9 x 4, and which axis has the 4 planes is not known: say axes: CHW or axes: HWC"
    assert said in broken(npy(noise(4, 9, 4)), four)
    assert "5 x 9 x 9" in broken(npy(noise(5, 9, 9)), four)
    image = decode_image(npy(noise(4, 9, 4)), Bands(four.bands, axes="HWC"))
    np.testing.assert_array_equal(image.pixels, noise(4, 9, 4).transpose(2, 0, 1))
    assert "two or three axes" in broken(npy(noise(2, 4, 9, 9)), four)
    assert "has the axes" in broken(tiff(noise(2, 3, 9, 9), photometric="minisblack", metadata={"axes": "ZCYX"}), four)


def test_planes_without_names_are_an_error_and_one_plane_is_gray() -> None:
    assert "has 4 planes and no name for any of them: say what they are in bands.yaml" in broken(
        tiff(PIXELS, photometric="minisblack")
    )
    assert "no name for plane 4" in broken(
        tiff(PIXELS.transpose(1, 2, 0), photometric="rgb", extrasamples=["unspecified"])
    )
    assert decode_image(tiff(PIXELS[0])).channels.names == ("gray",)
    assert "has 4 planes, but the bands said of it are 3" in broken(
        tiff(PIXELS, photometric="minisblack", planarconfig="separate"), Bands(parse_bands("rgb").bands)
    )


def test_names_of_microscopes_and_arrays() -> None:
    five = noise(5, 20, 24)
    labels = ["DNA", "ER stain", "a,b", "AGP", "Mito"]
    expected = ("DNA", "ER_stain", "a_b", "AGP", "Mito")
    imagej = tiff(five, imagej=True, metadata={"axes": "CYX", "Labels": labels})
    ome = tiff(five, ome=True, metadata={"axes": "CYX", "Channel": {"Name": labels}})
    for data in (imagej, ome):
        image = decode_image(data)
        assert image.channels.names == expected
        np.testing.assert_array_equal(image.pixels, five)
    named = decode_image(npz(R=five[0], NIR=five[1], valid=five[2] > 9))
    assert named.channels.names == ("R", "NIR")
    np.testing.assert_array_equal(named.valid, np.stack([five[2] > 9] * 2))
    assert "different sizes or types" in broken(npz(R=five[0], NIR=five[1].astype(np.uint8)))
    file = io.BytesIO()
    np.savez(file, a=np.array([object()]))
    assert "no array that can be read" in broken(file.getvalue())


def test_bands_are_found_by_name_and_wavelength_never_by_position() -> None:
    shuffled = gdal(PIXELS[[3, 0, 2, 1]], descriptions=("NIR", "R", "B", "G"))
    np.testing.assert_array_equal(decode_image(shuffled, SPECIES).subset("R,G,B,NIR").pixels, PIXELS)
    wavelengths = {1: {"wavelength": "845"}, 2: {"wavelength": "0.635"}, 3: {"wavelength": "465.0"}, 4: {
        "wavelength": "555", "wavelength_units": "Nanometers"}}  # fmt: skip
    unnamed = gdal(PIXELS[[3, 0, 2, 1]], descriptions=("i", "ii", "iii", "iv"), tags=wavelengths)
    assert decode_image(unnamed).channels.wavelengths == (0.845, 0.635, 0.465, 0.555)
    np.testing.assert_array_equal(decode_image(unnamed, SPECIES).subset("R,G,B,NIR").pixels, PIXELS)
    assert "'R' is at 0.635 micrometres, but what has that name here is at 1.6" in broken(
        gdal(PIXELS[:2], descriptions=("R", "G"), tags={1: {"wavelength": "1600"}}), SPECIES
    )


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


def test_masks_and_other_ways_to_say_that_there_is_no_value() -> None:
    mask = np.arange(20 * 24).reshape(20, 24) % 3 > 0
    for compress in ("deflate", "lzw"):
        image = decode_image(gdal(PIXELS[:2], descriptions=("a", "b"), mask=mask, compress=compress))
        np.testing.assert_array_equal(image.valid, np.stack([mask, mask]))
    opaque = decode_image(tiff(np.stack([*PIXELS[:3], mask * 65535]).transpose(1, 2, 0), photometric="rgb"))
    assert opaque.channels.names == ("R", "G", "B")
    np.testing.assert_array_equal(opaque.valid, np.stack([mask] * 3))
    holes = np.where(mask, np.float32(0.5), np.nan).astype(np.float32)
    np.testing.assert_array_equal(decode_image(tiff(holes)).valid, mask[None])
    said = decode_image(npy(PIXELS), Bands(SPECIES.bands, nodata=float(PIXELS[0, 0, 0])))
    np.testing.assert_array_equal(said.valid, PIXELS[0, 0, 0] != PIXELS)


def test_what_a_display_says_counts_less_than_what_is_said_of_the_bands() -> None:
    infrared = tiff(PIXELS[:3].transpose(1, 2, 0), photometric="rgb")
    image = decode_image(infrared, Bands(parse_bands("NIR,R,G").bands))
    assert image.channels.names == ("NIR", "R", "G")
    np.testing.assert_array_equal(image.pixels, PIXELS[:3])


def test_photographs(image_bytes: Callable[..., bytes], tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG"):
        image = decode_image(image_bytes(kind=kind))
        expected = np.asarray(Picture.open(io.BytesIO(image_bytes(kind=kind))))
        np.testing.assert_array_equal(image.pixels, expected.transpose(2, 0, 1))
        assert str(image.channels) == "RGB"
    assert decode_image(image_bytes(mode="L")).channels.names == ("gray",)
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"x\.png is no image of a known format"):
        read_image(tmp_path / "x.png")
    with pytest.raises(FileNotFoundError, match=r"no image at .*y\.png"):
        read_image(tmp_path / "y.png")


def png_16(pixels: Any) -> bytes:
    """A PNG of 16 bits, of (H, W, C)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    h, w, c = pixels.shape
    header = struct.pack(">2I5B", w, h, 16, {1: 0, 2: 4, 3: 2, 4: 6}[c], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("planes", [1, 2, 3, 4])
def test_png_of_16_bits_keeps_them(planes: int) -> None:
    pixels = noise(9, 11, planes)
    image = decode_image(png_16(pixels))
    assert image.channels.names == (("gray",) if planes < 3 else ("R", "G", "B"))
    np.testing.assert_array_equal(image.pixels, pixels.transpose(2, 0, 1)[: 1 if planes < 3 else 3])
    assert (image.valid is not None) == (planes in (2, 4))
    assert "cannot be decoded" in broken(png_16(pixels)[:-40])


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_damaged_files_are_named_as_such(part: float) -> None:
    plain = {"photometric": "minisblack"}
    for data in (tiff(PIXELS, compression="zlib", **plain), tiff(PIXELS, **plain), npy(PIXELS), npz(a=PIXELS)):
        assert broken(data[: int(len(data) * part)], SPECIES)
    assert broken(b"", SPECIES) == "has zero bytes"


def test_bands_yaml_is_read_from_beside_the_image(tmp_path: Path) -> None:
    (tmp_path / "tile.tif").write_bytes(tiff(PIXELS, photometric="minisblack"))
    (tmp_path / "bands.yaml").write_text("bands: [R, G, B, {name: NIR, wavelength: 842}]\nscale: 1e-4\nnodata: 7\n")
    image = read_image(tmp_path / "tile.tif")
    assert image.channels.names == ("R", "G", "B", "NIR")
    assert image.channels.wavelengths[3] == 0.842
    assert image.scale == (1e-4,) * 4
    assert image.valid is not None
    assert read_image(tmp_path / "tile.tif", "naip").channels.wavelengths[3] == 0.845


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("band: rgb", "unknown key 'band'; there are bands, channels, nodata"),
        ("bands: sentinel-3", "unknown sensor 'sentinel-3'; there are rgb"),
        ("bands: [{name: NIR, wavelenght: 0.8}]", "is not a name, or a name and a wavelength"),
        ("bands: [{name: NIR, wavelength: 50}]", "the band NIR has the wavelength 50 without its unit"),
        ("bands: [R, R]", "'R' stands twice"),
        ("axes: WHC", "axes 'WHC' are not CHW or HWC"),
        ("nodata: none at all", "nodata 'none at all' is not a number"),
        ("scale: 0", "scale 0 would make all values the same"),
        ("partial: 1", "partial 1 is not true or false"),
        ("- rgb", "no list of keys and values"),
        ("a: [", "is no YAML"),
    ],
)
def test_what_bands_yaml_cannot_say(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^data/bands\.yaml") as caught:
        read_bands(text, "data/bands.yaml")
    assert said in str(caught.value)


def stack(**members: bytes) -> bytes:
    """Files of one channel each, as a source of them shows them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = b"anychan: a file a channel"
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return file.getvalue()


SMALL = noise(2, 6, 7)


@pytest.mark.parametrize(
    "data",
    [
        npy(SMALL),
        npz(a=SMALL[0], b=SMALL[1]),
        stack(x_ch1__tif=tiff(SMALL[0]), x_ch2__npy=npy(SMALL[1])),
        tiff(SMALL, photometric="minisblack", compression="zlib"),
        tiff(SMALL, imagej=True, metadata={"axes": "CYX", "Labels": ["a", "b"]}),
    ],
    ids=["npy", "npz", "stack", "tiff", "imagej"],
)
def test_a_damaged_file_is_broken_whatever_it_makes_its_reader_stumble_over(data: bytes) -> None:
    random = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 3):
            damaged[place] ^= 1 << int(random.integers(8))
        try:
            decode_image(bytes(damaged), Bands(parse_bands("a,b").bands))
        except BrokenFileError:
            continue


def test_files_that_would_escape_or_fill_the_memory_are_broken() -> None:
    huge = npy(np.zeros((2, 4, 4), np.uint8)).replace(b"(2, 4, 4), }           ", b"(99999999, 99999, 99), }")
    assert "bytes of pixels" in broken(huge)
    assert "has a mask of shape (3, 6, 7)" in broken(npz(a=SMALL, valid=np.ones((3, 6, 7), bool)), parse_bands("a,b"))
    assert "has a mask of shape (2, 2)" in broken(npz(a=SMALL, valid=np.ones((2, 2), bool)), parse_bands("a,b"))
    twice = tiff(SMALL, imagej=True, metadata={"axes": "CYX", "Labels": ["a", "a"]})
    assert "'a' stands twice" in broken(twice)
    encrypted = bytearray(npz(a=SMALL))
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.find(head) + flags] |= 1
    assert "cannot be unpacked" in broken(bytes(encrypted))
    assert "not a zip" in broken(b"PK\x03\x04 anychan: a file a channel")
    assert "holds a.txt, which is no file of one channel" in broken(stack(a__txt=b"?"))
    within = stack(x_ch1__npy=npy(SMALL[0]))
    assert "holds x_ch1.npy, which is a stack" in broken(stack(x_ch1__npy=within))


def test_the_parts_of_a_file_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anychan.data.raw.MAX_IMAGE_BYTES", 3 * SMALL[0].nbytes + 400)
    two = parse_bands("a,b")
    assert decode_image(npz(a=SMALL[0], b=SMALL[1]), two).pixels.shape == (2, 6, 7)
    assert "bytes of pixels" in broken(npz(**{f"c{i}": SMALL[0] for i in range(4)}))
    assert "bytes of pixels" in broken(stack(**{f"x_ch{i}__npy": npy(SMALL[0]) for i in range(1, 10)}))


FOUR = noise(4, 16, 20, dtype="uint8")


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
    assert is_photograph(tiff(pixels, photometric="rgb", extrasamples=["unassalpha"]), any_bits=True)
    assert not is_photograph(tiff(pixels, photometric="rgb", extrasamples=["unspecified"]), any_bits=True)
    on_the_ground = [(33550, "d", 3, (10.0, 10.0, 0.0), True)]
    placed = tiff(pixels, photometric="rgb", extrasamples=["unassalpha"], extratags=on_the_ground)
    assert not is_photograph(placed, any_bits=True)
    assert is_photograph(tiff(pixels[:, :, :3], photometric="rgb", extratags=on_the_ground))


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
    assert not is_photograph(gdal(pixels, mask=mask, **jpeg))
    image = decode_image(gdal(pixels, nodata=90, **jpeg))
    assert image.valid is not None
    assert not image.valid.all()


def test_a_plane_at_another_wavelength_than_the_one_listed_in_its_place_is_an_error() -> None:
    tags = {1: {"wavelength": "490"}, 2: {"wavelength": "842"}}
    data = gdal(PIXELS[:2], tags=tags)
    listed = ({"name": "a", "wavelength": 0.49}, {"name": "b", "wavelength": 0.76})
    assert "has 0.842 micrometres for the plane that is said to be 'b' (0.76 micrometres)" in broken(
        data, read_bands(f"bands: {list(listed)}")
    )
    assert decode_image(data, read_bands("bands: [a, {name: b, wavelength: 0.84}]")).channels.wavelengths == (
        0.49,
        0.84,
    )


def test_a_files_wavelengths_are_kept_where_the_list_has_none() -> None:
    data = gdal(PIXELS[:2], descriptions=("a", "b"), tags={1: {"wavelength": "490"}, 2: {"wavelength": "842"}})
    assert decode_image(data, parse_bands("b,a")).channels.wavelengths == (0.49, 0.842)


def test_a_stack_keeps_what_its_files_say_of_their_channels() -> None:
    def member(i: int, **more: Any) -> bytes:
        options = {"scale": 0.5 + i, "offset": i, "descriptions": (f"B{i}",), "nodata": float("nan")}
        return gdal(noise(1, 6, 7, dtype="float32", seed=i), tags={1: {"wavelength": str(500 + i)}}, **options | more)

    data = stack(x_ch1__tif=member(1), x_ch2__tif=member(2))
    image = decode_image(data)
    assert (image.channels.names, image.channels.wavelengths) == (("B1", "B2"), (0.501, 0.502))
    assert (image.scale, image.offset) == ((1.5, 2.5), (1.0, 2.0))
    assert image.valid is not None
    assert decode_image(data, parse_bands("DNA,ER")).channels.names == ("DNA", "ER")  # by their numbers
    assert "says 'B1' of the plane that is said to be 'B2'" in broken(data, parse_bands("B2,B1"))
    assert "different nodata values: ch1 nan, ch2 3.0" in broken(
        stack(x_ch1__tif=member(1), x_ch2__tif=member(2, nodata=3))
    )
    scaled, bare = gdal(noise(1, 6, 7), scale=2), gdal(noise(1, 6, 7))
    assert "but ch2 has none" in broken(stack(x_ch1__tif=scaled, x_ch2__tif=bare))


@pytest.mark.parametrize(("dtype", "nodata"), [("int32", -2147483648), ("float64", -1.7976931348623157e308)])
@pytest.mark.parametrize("compress", ["deflate", "lzw"])
def test_the_usual_nodata_of_wide_numbers_is_no_value(dtype: str, nodata: float, compress: str) -> None:
    pixels = noise(1, 8, 9).astype(dtype)
    pixels[0, 2] = nodata
    image = decode_image(gdal(pixels, nodata=nodata, compress=compress))
    np.testing.assert_array_equal(image.valid, pixels != nodata)
    np.testing.assert_array_equal(image.values[image.valid], pixels[image.valid])


@pytest.mark.parametrize("text", ["scale: .nan", "offset: .inf", "nodata: true", "scale: false"])
def test_scales_and_nodata_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a (finite )?number"):
        read_bands(text)
