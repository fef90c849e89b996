"""Files of any bands: each level, name, wavelength, scale and mask that they have; no guess at what they do not say."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from anychan.channels import MEASURED, SHARE
from anychan.data.bands import Bands, Numbers, parse_bands, read_bands
from anychan.data.images import decode_image, read_image

from .._image_files import npy, npz, png_16, tiff
from ._files import PIXELS, SPECIES, broken, gdal, noise, stack


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
    holes = np.where(noise(2, 4, 5) > 9, 1.0, -np.inf).astype(np.float32)
    read = decode_image(npy(holes), Bands(two.bands, nodata=-np.inf))
    np.testing.assert_array_equal(read.valid, np.isfinite(holes))


def test_axes_that_are_not_known_are_not_guessed() -> None:
    four = Bands(parse_bands("naip").bands)
    said = "has the shape 4 x 9 x 4, and which axis has the 4 planes is not known: say axes: CHW or axes: HWC"
    assert said in broken(npy(noise(4, 9, 4)), four)
    said = "has the shape 5 x 9 x 9, but 4 bands are named, and neither its first axis nor its last is so long"
    assert broken(npy(noise(5, 9, 9)), four).endswith(said)
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
    for kind in ({"imagej": True}, {"ome": True}):  # which name no channel of a photograph
        image = decode_image(tiff(five[:3].transpose(1, 2, 0).astype(np.uint8), photometric="rgb", **kind))
        assert image.channels.names == ("R", "G", "B")
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


def test_masks_and_other_ways_to_say_that_there_is_no_value() -> None:
    mask = np.arange(20 * 24).reshape(20, 24) % 3 > 0
    for compress in ("deflate", "lzw"):
        image = decode_image(gdal(PIXELS[:2], descriptions=("a", "b"), mask=mask, compress=compress))
        np.testing.assert_array_equal(image.valid, np.stack([mask, mask]))
    rgba = np.stack([*PIXELS[:3], mask * 65535]).astype(np.uint16)
    of_a_map = decode_image(gdal(rgba, photometric="RGB", alpha="YES"))
    assert of_a_map.channels.names == ("R", "G", "B")
    np.testing.assert_array_equal(of_a_map.valid, np.stack([mask] * 3))
    photograph = decode_image(tiff(rgba.transpose(1, 2, 0), photometric="rgb"))
    assert photograph.valid is None
    np.testing.assert_array_equal(photograph.pixels, np.where(mask, rgba[:3], 65535))
    for dtype, white in ((np.float32, 255), (np.uint32, 2**20)):  # which number is white is not known
        odd = np.stack([*PIXELS[:3] % 200, mask * white]).astype(dtype)
        measured = decode_image(tiff(odd.transpose(1, 2, 0), photometric="rgb", extrasamples=["unassalpha"]))
        np.testing.assert_array_equal(measured.pixels, odd[:3])
        np.testing.assert_array_equal(measured.valid, np.stack([mask] * 3))
    holes = np.where(mask, np.float32(0.5), np.nan).astype(np.float32)
    np.testing.assert_array_equal(decode_image(tiff(holes)).valid, mask[None])
    said = decode_image(npy(PIXELS), Bands(SPECIES.bands, nodata=float(PIXELS[0, 0, 0])))
    np.testing.assert_array_equal(said.valid, PIXELS[0, 0, 0] != PIXELS)


@pytest.mark.parametrize(("dtype", "full"), [("uint8", 255), ("uint16", 65535), ("float32", 1.0)])
def test_planes_that_were_multiplied_by_their_opacity_are_not_again(dtype: str, full: float) -> None:
    half = np.full((9, 9, 4), full * 128 / 255).astype(dtype)  # half-transparent white
    image = decode_image(tiff(half, photometric="rgb", extrasamples=["assocalpha"]), Bands(parse_bands("R,G,B").bands))
    np.testing.assert_array_equal(image.pixels, np.full((3, 9, 9), full, dtype))
    once = decode_image(tiff(half, photometric="rgb", extrasamples=["unassalpha"]), Bands(parse_bands("R,G,B").bands))
    np.testing.assert_allclose(once.pixels, full * (1 - 128 / 255 * 127 / 255), rtol=0.005)


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


@pytest.mark.parametrize("planes", [1, 2, 3, 4])
def test_png_of_16_bits_keeps_them(planes: int) -> None:
    pixels = noise(9, 11, planes)
    if planes in (2, 4):
        pixels[..., -1] = 65535  # opaque
    image = decode_image(png_16(pixels))
    assert image.channels.names == (("gray",) if planes < 3 else ("R", "G", "B"))
    np.testing.assert_array_equal(image.pixels, pixels.transpose(2, 0, 1)[: 1 if planes < 3 else 3])
    assert image.valid is None
    assert "cannot be decoded" in broken(png_16(pixels)[:-40])


def test_bands_yaml_is_read_from_beside_the_image(tmp_path: Path) -> None:
    (tmp_path / "tile.tif").write_bytes(tiff(PIXELS, photometric="minisblack"))
    (tmp_path / "bands.yaml").write_text("bands: [R, G, B, {name: NIR, wavelength: 842}]\nscale: 1e-4\nnodata: 7\n")
    image = read_image(tmp_path / "tile.tif")
    assert image.channels.names == ("R", "G", "B", "NIR")
    assert image.channels.wavelengths[3] == 0.842
    assert image.scale == (1e-4,) * 4
    assert image.valid is not None
    assert read_image(tmp_path / "tile.tif", "naip").channels.wavelengths[3] == 0.845


def test_a_bands_yml_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "tile.tif").write_bytes(tiff(PIXELS, photometric="minisblack"))
    (tmp_path / "bands.yml").write_text("bands: [R, G, B, NIR]\n")
    with pytest.raises(ValueError, match=r"has a bands\.yml, which is not read: call it bands\.yaml"):
        read_image(tmp_path / "tile.tif")
    assert read_image(tmp_path / "tile.tif", "naip").channels.names == ("R", "G", "B", "NIR")
    assert read_image(tmp_path / "tile.tif", tmp_path / "bands.yml").channels.names == ("R", "G", "B", "NIR")


def test_files_of_a_channel_each_are_read_as_one(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"x_C{number}.tif").write_bytes(tiff(PIXELS[number]))
    (tmp_path / "bands.yaml").write_text('bands: [DNA, ER]\nfiles: "{id}_C{channel}.tif"')
    image = read_image(tmp_path / "x_C*.tif")
    assert image.channels.names == ("DNA", "ER")
    np.testing.assert_array_equal(image.pixels, PIXELS[1:3])
    with pytest.raises(FileNotFoundError, match=r"no image at .*y_C\*\.tif"):
        read_image(tmp_path / "y_C*.tif")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("band: rgb", "unknown key 'band'; there are bands, channels, nodata"),
        ("bands: sentinel-3", "unknown sensor 'sentinel-3'; there are rgb"),
        (
            "bands: [{name: NIR, wavelenght: 0.8}]",
            "is not a name, or a name and any of wavelength, scale, offset, nodata",
        ),
        ("bands: [{name: NIR, wavelength: 50}]", "the band NIR has the wavelength 50 without its unit"),
        ("bands: [R, R]", "'R' stands twice"),
        ("axes: WHC", "axes 'WHC' are not CHW or HWC"),
        ("nodata: none at all", "nodata 'none at all' is not a number"),
        ("scale: 0", "scale 0 would make all values the same"),
        ("bands: {ch1: {name: NIR, scale: 0}}", "the band NIR: scale 0 would make all values the same"),
        ("partial: 1", "partial 1 is not true or false"),
        ('files: "{id}.tif"', "files '{id}.tif' has not one {channel} and an {id}"),
        ('files: "{id}_{channel}"', "does not end as names of images do"),
        ('files: "{id}{channel}.tif"', "has nothing between {id} and {channel}: it is to be as '{id}_w{channel}.tif'"),
        ('files: "{channel}/{id}.tif"', "has a brace, a star or a folder in it"),
        ("files: 5", "files 5 is no text"),
        ("files: {id}_w{channel}.tif", "what files are called must stand in quotes"),
        ("- rgb", "no list of keys and values"),
        ("a: [", "is no YAML"),
    ],
)
def test_what_bands_yaml_cannot_say(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^data/bands\.yaml") as caught:
        read_bands(text, "data/bands.yaml")
    assert said in str(caught.value)


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
    scaled, bare = gdal(noise(1, 6, 7), scale=2), gdal(noise(1, 6, 7))
    assert "but ch2 has none" in broken(stack(x_ch1__tif=scaled, x_ch2__tif=bare))


def test_each_file_of_a_stack_has_a_nodata_value_of_its_own() -> None:
    first, second = noise(1, 6, 7), noise(1, 6, 7, seed=1)
    first[0, 1], second[0, 2] = 7, 9
    second[0, 3] = 7  # a value like any other there
    data = stack(x_ch1__tif=gdal(first, nodata=7), x_ch2__tif=gdal(second, nodata=9))
    image = decode_image(data, parse_bands("DNA,ER"))
    np.testing.assert_array_equal(image.valid, np.concatenate([first != 7, second != 9]))
    one_without = stack(x_ch1__tif=gdal(first, nodata=7), x_ch2__tif=gdal(second))
    image = decode_image(one_without, parse_bands("DNA,ER"))
    np.testing.assert_array_equal(image.valid, np.concatenate([first != 7, np.ones_like(second, bool)]))
    image = decode_image(data, read_bands("bands: [DNA, ER]\nnodata: 7"))  # in place of what the files say
    np.testing.assert_array_equal(image.valid, np.concatenate([first, second]) != 7)
    nan = stack(
        x_ch1__tif=gdal(first.astype("float32"), nodata=float("nan")),
        x_ch2__tif=gdal(second.astype("float32"), nodata=9),
    )
    image = decode_image(nan, parse_bands("DNA,ER"))
    np.testing.assert_array_equal(image.valid, np.concatenate([np.ones_like(first, bool), second != 9]))


@pytest.mark.parametrize(("dtype", "nodata"), [("int32", -2147483648), ("uint32", 4294967295), ("float64", -1.7e308)])
@pytest.mark.parametrize("kind", ["npy", "npz", "tiff", "geotiff", "stack"])
def test_a_nodata_value_beyond_24_bits_may_be_said_of_files(dtype: str, nodata: float, kind: str) -> None:
    pixels = noise(1, 6, 7).astype(dtype)
    pixels[0, 2] = nodata
    data = {
        "npy": lambda: npy(pixels),
        "npz": lambda: npz(a=pixels[0]),
        "tiff": lambda: tiff(pixels[0]),
        "geotiff": lambda: gdal(pixels, nodata=3, compress="lzw" if dtype == "int32" else "deflate"),
        "stack": lambda: stack(x_ch1__tif=tiff(pixels[0])),
    }[kind]()
    said = read_bands(f"bands: [a]\nnodata: {nodata}\naxes: CHW")
    image = decode_image(data, said)
    np.testing.assert_array_equal(image.valid, pixels != nodata)
    np.testing.assert_allclose(image.values[image.valid], pixels[image.valid])


@pytest.mark.parametrize("text", ["scale: .nan", "offset: .inf", "nodata: true", "scale: false"])
def test_scales_and_nodata_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a (finite )?number"):
        read_bands(text)
    with pytest.raises(ValueError, match=r"^bands\.yaml: the band B2: .* is not a (finite )?number"):
        read_bands(f"bands: [B1, {{name: B2, {text}}}]")


OWN = """
bands: [{name: a, scale: 0.5, offset: 1}, b, {name: c, nodata: 7}, {name: d, offset: -3}]
scale: 2
nodata: 9
"""


def test_a_band_has_a_scale_an_offset_and_a_nodata_value_of_its_own() -> None:
    pixels = np.tile(np.array([7, 9, 20], np.uint16), (4, 2, 1))
    of_files = {"scale": 10, "nodata": 20}  # which is not asked
    same = gdal(pixels, descriptions=("d", "c", "b", "a"), **of_files)
    for data in (npy(pixels), gdal(pixels, **of_files), same):
        image = decode_image(data, read_bands(f"{OWN}axes: CHW")).subset("a,b,c,d")
        assert image.scale == (0.5, 2, 2, 2)
        assert image.offset == (1, 0, 0, -3)
        assert {channel.units for channel in image.channels} == {MEASURED}
        assert image.values[:, 0].tolist() == pytest.approx(
            np.array([[4.5, np.nan, 11], [14, np.nan, 40], [np.nan, 18, 40], [11, np.nan, 37]]), nan_ok=True
        )


def test_what_is_said_of_one_band_leaves_what_the_file_says_of_others() -> None:
    pixels = np.tile(np.array([7, 9, 20], np.uint16), (2, 2, 1))
    said = read_bands("bands: [a, {name: b, scale: 3, nodata: 9}]")
    image = decode_image(gdal(pixels, scale=10, offset=1, nodata=7), said)
    assert (image.scale, image.offset) == ((10, 3), (1, 0))
    np.testing.assert_array_equal(image.valid, pixels != np.array([7, 9])[:, None, None])
    image = decode_image(npy(pixels), Bands(said.bands, axes="CHW", own=said.own))  # of the other nothing is known
    assert [channel.units for channel in image.channels] == [SHARE, MEASURED]
    assert image.scale == (1 / 65535, 3)


def test_a_stacks_bands_have_numbers_of_their_own() -> None:
    first, second = noise(1, 6, 7), noise(1, 6, 7, seed=1)
    first[0, 1], second[0, 2] = 7, 9
    scaled = gdal(first, scale=2, nodata=9)
    for bands in (
        "[{name: DNA, nodata: 7}, {name: ER, scale: 5}]",
        "{ch1: {name: DNA, nodata: 7}, ch2: {name: ER, scale: 5}}",
    ):
        image = decode_image(stack(x_ch1__tif=scaled, x_ch2__tif=gdal(second, nodata=9)), read_bands(f"bands: {bands}"))
        assert image.scale == (2, 5)
        np.testing.assert_array_equal(image.valid, np.concatenate([first != 7, second != 9]))
    wide = second.astype("int32")
    wide[0, 3] = -2147483648  # which is no number of 24 bits, and stands for none in its own band alone
    both = stack(x_ch1__tif=gdal(first.astype("int32")), x_ch2__tif=gdal(wide))
    image = decode_image(both, read_bands("bands: [DNA, {name: ER, nodata: -2147483648}]"))
    np.testing.assert_array_equal(image.valid, np.concatenate([np.ones_like(first, bool), wide != -2147483648]))
    assert "beyond 16,777,216" in broken(both, read_bands("bands: [{name: DNA, nodata: -2147483648}, ER]"))


def test_what_is_said_otherwise_comes_after_the_file() -> None:
    pixels = noise(2, 6, 7)
    pixels[0, 0, 0], pixels[0, 0, 1] = 9, 7
    said = Bands(otherwise=(("a", Numbers(4.0, 1.0, 9.0)),))
    image = decode_image(gdal(pixels, descriptions=("a", "b"), scale=10, offset=2, nodata=7), said)
    assert (image.scale, image.offset, image.valid[0, 0, :2].tolist()) == ((10, 10), (2, 2), [True, False])
    image = decode_image(gdal(pixels, descriptions=("a", "b")), said)
    assert (image.scale, image.offset) == ((4, 1 / 65535), (1, 0))
    assert (image.valid[0, 0, :2].tolist(), image.valid[1].all()) == ([False, True], True)
