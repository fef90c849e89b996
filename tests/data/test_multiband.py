"""Data sets of images of any bands: from files to arrays, with each level, name and mask kept."""

from __future__ import annotations

import io
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anychan.channels import ChannelSet
from anychan.data import check_dataset, load_split, open_dataset, split_statistics
from anychan.data.bands import Bands, read_bands
from anychan.data.dataset import BYTES, Encoding
from anychan.data.findings import BrokenFileError
from anychan.data.resize import resize_planes, resize_values

from .._image_files import npy
from ._bands import SIZE, Files, Pack, loaded, tiff
from ._files import noise


def folders(make: Callable[[int], bytes], suffix: str = "tif", **more: str) -> Files:
    """Two classes, 2 images each in train and 1 in test."""
    files = {f"train/{'ab'[i % 2]}/{i}.{suffix}": make(i) for i in range(4)}
    files |= {f"test/{'ab'[i % 2]}/{i}.{suffix}": make(i) for i in (4, 5)}
    return files | {name.replace("_", "."): text.encode() for name, text in more.items()}


def test_16_bits_stay_16_bits(pack: Pack, tmp_path: Path) -> None:
    files = folders(lambda i: tiff(noise(4, SIZE, SIZE, seed=i)), bands_yaml="bands: naip")
    path = pack(files)
    dataset = open_dataset(path)
    assert (dataset.channels.names, dataset.encoding) == (
        ("R", "G", "B", "NIR"),
        Encoding("uint16", (1 / 65535,) * 4, (0.0,) * 4),
    )
    for _ in range(2):  # decoded, then from the cache
        array = loaded(dataset, tmp_path)
        assert array.images.dtype == torch.uint16
        for i, name in enumerate(array.paths):
            expected = noise(4, SIZE, SIZE, seed=int(Path(name).stem))
            np.testing.assert_array_equal(array.images[i].numpy(), expected)
    statistics = split_statistics(array)
    values = array.images.double().transpose(0, 1).flatten(1) / 65535
    torch.testing.assert_close(statistics.mean, values.mean(1))
    torch.testing.assert_close(statistics.covariance, torch.cov(values, correction=0))
    assert dataset.description["encoding"]["kept_as"] == "uint16"
    assert not check_dataset(path).unfit


def test_photographs_are_as_they_were(pack: Pack, photographs: Files, tmp_path: Path) -> None:
    dataset = open_dataset(pack(photographs))
    assert (dataset.encoding, dataset.decoding) == (BYTES, "")
    assert "encoding" not in dataset.description
    array = loaded(dataset, tmp_path)
    assert array.images.dtype == torch.uint8
    assert array.present is None


def test_statistics_are_computed_once_and_kept_beside_the_cache(
    folder: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(folder(folders(lambda i: tiff(noise(2, SIZE, SIZE, seed=i), ["a", "b"]))))
    first = split_statistics(loaded(dataset, tmp_path))
    monkeypatch.setattr("anychan.data.arrays.MaskedStatistics", None)
    again = split_statistics(loaded(dataset, tmp_path))
    assert again.to_dict() == first.to_dict()
    next((tmp_path / "cache").glob("*.statistics.json")).write_text("{")
    monkeypatch.undo()
    assert split_statistics(loaded(dataset, tmp_path)).to_dict() == first.to_dict()


def test_nodata_is_no_value(folder: Pack, tmp_path: Path) -> None:
    def make(i: int) -> bytes:
        pixels = noise(2, SIZE, SIZE, dtype="int16", seed=i) - 9000
        pixels[0, :4] = -9999
        pixels[1] = -9999 if i == 1 else pixels[1]
        return tiff(pixels, ["a", "b"])

    said = "nodata: -9999\nscale: 0.0001\noffset: -0.1\n"
    dataset = open_dataset(folder(folders(make, bands_yaml=said)))
    array = loaded(dataset, tmp_path)
    assert array.encoding == Encoding("float32", (1.0,), (0.0,))
    assert array.channels[0].units == "measured"
    assert array.present is not None
    assert array.present.tolist() == [[True, Path(name).stem != "1"] for name in array.paths]
    assert array.images[:, 0, :4].isnan().all()
    assert not array.images[:, 0, 4:].isnan().any()
    statistics = split_statistics(array)
    of_a = array.images[:, 0, 4:].double().flatten()
    torch.testing.assert_close(statistics.mean[0], of_a.mean())
    torch.testing.assert_close(statistics.std[0], of_a.std(correction=0))
    assert statistics.mean[0] > -1.0  # -9999 is -1.0999


def test_images_may_lack_channels_where_that_is_said(folder: Pack, tmp_path: Path) -> None:
    def make(i: int) -> bytes:
        names = ["NIR", "G", "R"] if i % 2 else ["R", "G"]
        return tiff(
            np.stack([np.full((SIZE, SIZE), 1000 * ord(name[0]) // 10 + i, np.uint16) for name in names]), names
        )

    path = folder(folders(make))
    with pytest.raises(ValueError, match=r"1\.tif has the channel 'NIR', which the first image has not: name those in"):
        loaded(open_dataset(path), tmp_path)
    (path / "bands.yaml").write_text("channels: R,G,NIR\nbands: rgb-nir\n")
    with pytest.raises(ValueError, match=r"0\.tif has no channel 'NIR', but R,G"):
        open_dataset(path)
    (path / "bands.yaml").write_text("channels: R,G,NIR\nbands: rgb-nir\npartial: true\n")
    array = loaded(open_dataset(path), tmp_path)
    for i, name in enumerate(array.paths):
        number = int(Path(name).stem)
        assert array.present is not None
        assert array.present[i].tolist() == [True, True, number % 2 == 1]
        for plane, channel in enumerate(("R", "G", "NIR")):
            expected = (1000 * ord(channel[0]) // 10 + number) / 65535
            if array.present[i, plane]:
                torch.testing.assert_close(array.images[i, plane], torch.full((SIZE, SIZE), expected))


def test_a_choice_of_bands_and_another_sensors_names(folder: Pack, tmp_path: Path) -> None:
    path = folder(
        folders(lambda i: tiff(noise(13, SIZE, SIZE, seed=i)), bands_yaml="bands: sentinel-2-l1c\nchannels: [B11, B04]")
    )
    array = loaded(open_dataset(path), tmp_path)
    assert array.channels.names == ("B11", "B04")
    np.testing.assert_array_equal(array.images[0].numpy(), noise(13, SIZE, SIZE, seed=0)[[11, 3]])
    whole = open_dataset(path, "sentinel-2-l1c")  # what is said when it is opened comes first
    assert len(whole.channels) == 13
    with pytest.raises(ValueError, match=r"0\.tif has the shape 13 x 12 x 12, but 9 bands are named"):
        open_dataset(path, "landsat-8-9-oli")
    with pytest.raises(ValueError, match="says itself what its bands are"):
        open_dataset("synthetic", "rgb")


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (tiff(noise(2, SIZE, SIZE, dtype="int16"), ["a", "b"]), "is stored as int16, the first image as uint16"),
        (tiff(noise(2, SIZE, SIZE), ["a", "c"]), "has no channel 'b', but a,c"),
        (tiff(noise(2, SIZE, SIZE).astype(np.float32), ["a", "b"]), "has measured values of 'a', not share ones"),
        (b"II*\0 no TIFF", "holds no image, where one is read"),
    ],
)
def test_files_unlike_the_first_are_named(folder: Pack, tmp_path: Path, odd: bytes, said: str) -> None:
    files = folders(lambda i: tiff(noise(2, SIZE, SIZE, seed=i), ["a", "b"]))
    path = folder(files | {"train/b/3.tif": odd})
    with pytest.raises(ValueError, match=r"train/b/3\.tif") as caught:
        loaded(open_dataset(path), tmp_path)
    assert said in str(caught.value)


def test_files_of_different_types_go_together_as_values(folder: Pack, tmp_path: Path) -> None:
    def make(i: int) -> bytes:
        pixels = np.full((2, SIZE, SIZE), 51, np.uint8) if i % 2 else np.full((2, SIZE, SIZE), 51 * 257, np.uint16)
        return tiff(pixels, ["a", "b"])

    path = folder(folders(make))
    assert loaded(open_dataset(path), tmp_path).images.unique().tolist() == [51 * 257]  # 8 bits go into 16
    (path / "bands.yaml").write_text("values: true")
    torch.testing.assert_close(loaded(open_dataset(path), tmp_path).images.unique(), torch.tensor([0.2]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_planes_of_all_types_are_resized_alike(dtype: str) -> None:
    bytes_ = noise(30, 40, 3) % 256
    expected = resize_planes(bytes_.astype(np.uint8), 10).astype(float)
    found = resize_planes((bytes_ * (1 if dtype == "uint8" else 100)).astype(dtype), 10)
    assert found.dtype == dtype
    np.testing.assert_allclose(found / (1 if dtype == "uint8" else 100), expected, atol=1)


def test_resizing_leaves_what_is_missing_out() -> None:
    values = np.full((2, 20, 30), 5.0, np.float32)
    values[0, :, :15] = np.nan
    values[1, 3, 8] = np.nan
    resized = resize_values(values, 5)
    np.testing.assert_allclose(resized[..., 1], 5.0)  # a hole of a pixel is filled by those around it
    assert np.isnan(resized[:, :2, 0]).all()
    np.testing.assert_allclose(resized[:, 3:, 0], 5.0)
    smooth = resize_values(np.random.default_rng(0).random((1, 20, 30), np.float32), 5)
    holed = np.random.default_rng(0).random((1, 20, 30), np.float32)
    holed[0, :2, 5:9] = np.nan
    np.testing.assert_allclose(resize_values(holed, 5)[2:], smooth[2:], atol=1e-6)  # far from the hole all is as ever


def test_what_is_said_of_the_bands_is_part_of_the_cache(folder: Pack, tmp_path: Path) -> None:
    path = folder(folders(lambda i: tiff(noise(3, SIZE, SIZE, seed=i))))
    first = loaded(open_dataset(path, "R,G,B"), tmp_path)
    second = loaded(open_dataset(path, "B,G,R"), tmp_path)
    assert torch.equal(first.images, second.images)
    assert (str(first.channels), str(second.channels)) == ("RGB", "BGR")
    values = loaded(open_dataset(path, Bands(ChannelSet.parse("RGB"), values=True)), tmp_path)
    assert values.images.dtype == torch.float32
    torch.testing.assert_close(values.images, first.images.float() / 65535)
    assert ChannelSet.parse("RGB") == open_dataset(path, "R,G,B").channels


def test_a_bands_own_numbers_reach_arrays_statistics_and_the_cache(folder: Pack, tmp_path: Path) -> None:
    path = folder(folders(lambda i: tiff(noise(2, SIZE, SIZE, seed=i)), bands_yaml="bands: [a, b]\nscale: 2"))
    alike = loaded(open_dataset(path), tmp_path)
    (path / "bands.yaml").write_text("bands: [{name: a, scale: 4, offset: -1}, b]\nscale: 2")
    dataset = open_dataset(path)
    own = loaded(dataset, tmp_path)
    assert own.encoding == Encoding("uint16", (4, 2), (-1, 0))
    assert dataset.description["encoding"] == {"kept_as": "uint16", "scale": [4, 2], "offset": [-1, 0]}
    assert own.stored != alike.stored
    before, after = split_statistics(alike), split_statistics(own)
    torch.testing.assert_close(after.mean, before.mean * torch.tensor([2, 1]) - torch.tensor([1, 0]))
    (path / "bands.yaml").write_text(f"bands: [{{name: a, nodata: {noise(2, SIZE, SIZE)[0, 3, 4]}}}, b]\nscale: 2")
    holed = loaded(open_dataset(path), tmp_path)
    assert holed.images.dtype == torch.float32
    assert holed.images[0, 0, 3, 4].isnan()
    assert not holed.images[:, 1].isnan().any()
    assert not check_dataset(path).unfit
    keys = set()
    for scale in (4, 5):  # kept as values, whose encoding is the same
        (path / "bands.yaml").write_text(f"bands: [{{name: a, scale: {scale}}}, b]\nscale: 2\nvalues: true")
        keys.add(open_dataset(path).decoding)
    assert len(keys) == 2


def test_a_scale_of_some_channels_only_is_refused(folder: Pack) -> None:
    files = folders(lambda i: tiff(noise(3, SIZE, SIZE, seed=i)), bands_yaml="bands: [{name: a, scale: 4}, b, c]")
    path = folder(files)
    with pytest.raises(ValueError, match=r"0\.tif has a scale of 'a', but none of '[bc]': say in bands\.yaml"):
        open_dataset(path)
    for channels in ("a", "b,c"):  # there is nothing odd in these
        (path / "bands.yaml").write_text(f"{files['bands.yaml'].decode()}\nchannels: '{channels}'")
        assert str(open_dataset(path).channels) == channels


def test_a_file_that_cannot_be_decoded_decides_nothing(folder: Pack, tmp_path: Path) -> None:
    files = folders(lambda i: tiff(noise(2, SIZE, SIZE, seed=i), ["a", "b"]))
    whole = files["train/a/0.tif"]
    for odd in (b"no image at all", b"II*\0 no TIFF", whole[: len(whole) // 2]):
        dataset = open_dataset(folder(files | {"train/a/0.tif": odd}))
        assert dataset.channels.names == ("a", "b")
        with pytest.raises(ValueError, match=r"train/a/0\.tif"):
            loaded(dataset, tmp_path)
    with pytest.raises(ValueError, match=r"train/a/0\.tif has 4 planes and no name"):
        open_dataset(folder(folders(lambda i: tiff(noise(4, SIZE, SIZE, seed=i)))))


@pytest.mark.parametrize("text", ["bands: " + "[" * 2000, "nodata: 2020-13-45"], ids=["deep", "month"])
def test_a_bands_file_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"^data/bands\.yaml (is nested too deep|has a value that cannot be read)"):
        read_bands(text, "data/bands.yaml")


@pytest.mark.parametrize("beside", [True, False])
def test_a_folder_in_place_of_bands_yaml_is_named(tmp_path: Path, image_bytes: Callable, beside: bool) -> None:
    root = tmp_path / "data"
    (root / "bands.yaml").mkdir(parents=True)
    if beside:
        with zipfile.ZipFile(root / "data.zip", "w") as archive:
            archive.writestr("train/a/0.png", image_bytes())
        root /= "data.zip"
    else:
        (root / "train" / "a").mkdir(parents=True)
        (root / "train" / "a" / "0.png").write_bytes(image_bytes())
    with pytest.raises(ValueError, match=rf"^{root.name}/bands\.yaml is a folder, not a file"):
        open_dataset(root)


def test_files_of_bands_among_photographs_are_refused(folder: Pack, tmp_path: Path, photographs: Files) -> None:
    path = "images/n01/train_1.JPEG"
    pixels = noise(4, SIZE, SIZE, dtype="uint8")
    for odd in (tiff(pixels), tiff(pixels[:3], ["a", "b", "c"]), tiff(pixels.transpose(1, 2, 0)), npy(pixels)):
        with pytest.raises(ValueError, match=rf"{path} has several bands or pages, the first image is a photograph"):
            load_split(open_dataset(folder(photographs | {path: odd})), "train", SIZE, tmp_path / "cache")
    opaque = tiff(pixels.transpose(1, 2, 0), photometric="rgb", extrasamples=["unassalpha"])
    for even in (tiff(pixels[0]), opaque):
        load_split(open_dataset(folder(photographs | {path: even})), "train", SIZE, tmp_path / "cache")


def test_files_that_lacked_a_library_are_tried_again_once_it_is_there(
    folder: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rasterio")
    files = folders(lambda i: tiff(noise(1, SIZE, SIZE, seed=i)))
    file = io.BytesIO()
    Image.fromarray(noise(SIZE, SIZE, seed=9)).save(file, "TIFF", compression="tiff_lzw")
    dataset = open_dataset(folder(files | {"train/b/3.tif": file.getvalue()}))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "anychan.data.geo", None)
        with pytest.raises(ValueError, match=r"train/b/3\.tif is compressed by LZW, for which rasterio is needed"):
            loaded(dataset, tmp_path)
    assert len(loaded(dataset, tmp_path).labels) == 4


def test_values_are_computed_a_plane_at_a_time(folder: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((8, 1024, 1024), np.uint8)
    data = tiff(pixels, photometric="minisblack", compression="zlib")
    dataset = open_dataset(folder(folders(lambda i: data, bands_yaml="bands: 'a,b,c,d,e,f,g,h'\nnodata: 255")))
    tracemalloc.start()
    picture = dataset.decode(data, SIZE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert picture.pixels.shape == (SIZE, SIZE, 8)
    assert peak < 5 * pixels.nbytes


def test_values_that_would_fill_the_memory_are_refused(folder: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    data = npy(noise(2, SIZE, SIZE))
    dataset = open_dataset(folder(folders(lambda i: data, "npy", bands_yaml="bands: 'a,b'\nvalues: true\naxes: CHW")))
    monkeypatch.setattr("anychan.data.raw.MAX_HELD_BYTES", 1000)
    with pytest.raises(BrokenFileError, match=r"^would take [\d,]+ bytes of memory for its values; up to 1,000 are"):
        dataset.decode(data, SIZE)
