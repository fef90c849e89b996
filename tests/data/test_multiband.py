"""Data sets of images of any bands: from files to arrays, with each level, name and mask kept."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from anychan.channels import ChannelSet
from anychan.data import Dataset, ImageArray, check_dataset, load_split, open_dataset, split_statistics
from anychan.data.bands import Bands
from anychan.data.dataset import BYTES, Encoding
from anychan.data.resize import resize_planes, resize_values

Files = dict[str, bytes]
Pack = Callable[[Files], Path]
SIZE = 12


def tiff(pixels: Any, names: list[str] | None = None) -> bytes:
    file = io.BytesIO()
    said = {} if names is None else {"imagej": True, "metadata": {"axes": "CYX", "Labels": names}}
    tifffile.imwrite(file, pixels, **({"photometric": "minisblack"} | said))
    return file.getvalue()


def noise(*shape: int, dtype: str = "uint16", seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 30_000, shape).astype(dtype)


def folders(make: Callable[[int], bytes], suffix: str = "tif", **more: str) -> Files:
    """Two classes, 2 images each in train and 1 in test."""
    files = {f"train/{'ab'[i % 2]}/{i}.{suffix}": make(i) for i in range(4)}
    files |= {f"test/{'ab'[i % 2]}/{i}.{suffix}": make(i) for i in (4, 5)}
    return files | {name.replace("_", "."): text.encode() for name, text in more.items()}


def loaded(dataset: Dataset, tmp_path: Path, split: str = "train", size: int = SIZE) -> ImageArray:
    return load_split(dataset, split, size, tmp_path / "cache")


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
    with pytest.raises(ValueError, match=r"0\.tif has the shape 13 x 12 x 12, and which axis has the 9 planes"):
        open_dataset(path, "landsat-8-9-oli")
    with pytest.raises(ValueError, match="says itself what its bands are"):
        open_dataset("synthetic", "rgb")


def test_a_file_a_channel(pack: Pack, tmp_path: Path) -> None:
    files: Files = {"bands.yaml": b"bands: cell-painting"}
    for i in range(4):
        for channel in range(1, 6):
            files[f"train/{'ab'[i % 2]}/well{i}_ch{channel}.tif"] = tiff(noise(SIZE, SIZE, seed=10 * i + channel))
    dataset = open_dataset(pack(files))
    assert [sample.path for sample in dataset.splits["train"]][:2] == ["train/a/well0_ch*.tif", "train/a/well2_ch*.tif"]
    array = loaded(dataset, tmp_path)
    assert array.channels.names == ("DNA", "ER", "RNA", "AGP", "Mito")
    np.testing.assert_array_equal(array.images[1, 2].numpy(), noise(SIZE, SIZE, seed=23))


def test_a_channel_file_that_is_missing_is_missed(folder: Pack, tmp_path: Path) -> None:
    files: Files = {
        f"train/{'ab'[i]}/well{i}_ch{channel}.tif": tiff(noise(SIZE, SIZE)) for i in range(2) for channel in (1, 2)
    }
    del files["train/b/well1_ch1.tif"]
    path = folder(files | {"bands.yaml": b"bands: {ch1: DNA, ch2: ER}"})
    with pytest.raises(ValueError, match=r"train/b/well1_ch\*\.tif has no channel 'DNA', but ER"):
        loaded(open_dataset(path), tmp_path)
    report = check_dataset(path)
    assert report.kinds == {"no-channel": 1}
    assert report.unfit


def planes(names: list[str], channels: str) -> Files:
    """A file for each channel of each image; the names have * for it."""
    return {
        name.replace("*", channel): tiff(noise(SIZE, SIZE, seed=100 * i + j))
        for i, name in enumerate(names)
        for j, channel in enumerate(channels.split())
    }


@pytest.mark.parametrize(
    ("files", "name", "channels", "bands"),
    [
        ("{id}_w{channel}.tif", "A01_s1_w*.tif", "2 1 3", "[ER, DNA, AGP]"),  # by number, from 1
        ("{id}-ch{channel}sk1.tiff", "r01c01-ch*sk1.tiff", "2 1 3", "[ER, DNA, AGP]"),
        ("{channel}_{id}.tif", "*_site_7.tif", "DNA ER AGP", "[ER, DNA, AGP]"),  # by name
        ("{id}_{channel}.tif", "x_*.tif", "5 0 DAPI", "{0: ER, 5: DNA, DAPI: AGP}"),  # by what is said of it
        ("{id}_C{channel}_t{id}.tif", "x_C*_t1.tif", "02 01 003", "[ER, DNA, AGP]"),
    ],
)
def test_bands_yaml_says_how_files_of_a_channel_each_are_called(
    folder: Pack, tmp_path: Path, *, files: str, name: str, channels: str, bands: str
) -> None:
    names = [f"train/{label}/{name}" for label in "ab"]
    path = folder(planes(names, channels) | {"bands.yaml": f'bands: {bands}\nfiles: "{files}"'.encode()})
    dataset = open_dataset(path)
    assert [sample.path for sample in dataset.splits["train"]] == names
    array = loaded(dataset, tmp_path)
    assert array.channels.names == ("ER", "DNA", "AGP")  # as bands.yaml has them
    for place, of_file in enumerate((1, 0, 2)):
        np.testing.assert_array_equal(array.images[1, place].numpy(), noise(SIZE, SIZE, seed=100 + of_file))
    assert not check_dataset(path).findings


def test_planes_that_are_missing_doubled_or_of_another_size_are_named(pack: Pack, tmp_path: Path) -> None:
    whole = planes([f"train/{label}/x_w*.tif" for label in "ab"], "1 2")
    said = {"bands.yaml": b'bands: [DNA, ER]\nfiles: "{id}_w{channel}.tif"'}
    large = tiff(noise(2 * SIZE, SIZE))
    for odd, kind, reason in (
        ({"train/b/x_w2.tif": b""}, "empty", "cannot be read: x_w2.tif has zero bytes"),
        ({"train/b/x_w02.tif": large}, "unreadable", "has two files of the channel ER: x_w02.tif, x_w2.tif"),
        (
            {"train/b/x_w3.tif": tiff(noise(SIZE, SIZE))},
            "unreadable",
            "has channels (1, 2, 3), but the bands said of it are 2",
        ),
        (
            {"train/b/x_w2.tif": large},
            "unreadable",
            "has planes of different sizes: x_w1.tif 12 x 12, x_w2.tif 12 x 24 pixels. Resample them",
        ),
        ({"train/b/x_w2.tif": tiff(noise(2, SIZE, SIZE))}, "unreadable", "x_w2.tif has 2 planes, not one"),
        ({"train/b/x_w2.tif": None}, "no-channel", "has no channel 'ER', but DNA"),
    ):
        files = {name: content for name, content in (whole | said | odd).items() if content is not None}
        path = pack(files)
        if path.is_dir():
            for name in {*whole, "train/b/x_w02.tif", "train/b/x_w3.tif"} - {*files}:
                (path / name).unlink(missing_ok=True)
        (finding,) = check_dataset(path).findings
        assert (finding.path, finding.kind, finding.unfit) == ("train/b/x_w*.tif", kind, True)
        assert reason in finding.reason
        with pytest.raises(ValueError, match=r"train/b/x_w\*\.tif") as caught:
            loaded(open_dataset(path), tmp_path)
        assert reason in str(caught.value)


def test_planes_that_are_not_wanted_are_not_decoded(folder: Pack, tmp_path: Path) -> None:
    whole = planes([f"train/{label}/x_*.tif" for label in "ab"], "B02 B03 B04")
    others = {name: tiff(noise(2 * SIZE, SIZE)) for name in whole if "B03" in name}
    path = folder(whole | others)
    pattern = 'files: "{id}_{channel}.tif"'
    for said in (
        "bands: [B04, B02]",
        "bands: {B04: red, B02: blue}",
        "bands: sentinel-2-l2a\nchannels: B04,B02",
        "channels: B04,B02",
    ):
        (path / "bands.yaml").write_text(f"{said}\n{pattern}")
        array = loaded(open_dataset(path), tmp_path)
        assert array.channels.names in {("B04", "B02"), ("red", "blue")}
        np.testing.assert_array_equal(array.images[0, 1].numpy(), noise(SIZE, SIZE))
    (path / "bands.yaml").write_text(f"bands: [B11]\n{pattern}")
    with pytest.raises(ValueError, match=r"x_\*\.tif has none of B11, but the channels B02,B03,B04"):
        open_dataset(path)


def test_a_pattern_that_no_file_fits_is_refused(folder: Pack) -> None:
    path = folder(planes(["train/a/1_c*.tif", "train/b/1_c*.tif"], "1 2"))
    (path / "bands.yaml").write_text('bands: [a, b]\nfiles: "{id}_w{channel}.tif"')
    with pytest.raises(ValueError, match=r"no file is called as files '.*' says, but such as train/a/1_c1\.tif"):
        open_dataset(path)
    (path / "bands.yaml").write_text('files: "{id}"')  # each file is an image
    assert len(open_dataset(path).splits["train"]) == 4


@pytest.mark.parametrize(
    ("name", "channels", "bands", "found"),
    [
        ("r01c02f03p01-ch*sk1fk1fl1.tiff", "3 1 2", "DNA,ER,AGP", "DNA,ER,AGP"),
        ("cell7_ch*.tif", "3 1 2", "DNA,ER,AGP", "DNA,ER,AGP"),
    ],
)
def test_common_names_of_files_of_a_channel_each_need_no_bands_yaml(
    pack: Pack, tmp_path: Path, *, name: str, channels: str, bands: str | None, found: str
) -> None:
    names = [f"train/{label}/{name}" for label in "ab"]
    path = pack(planes(names, channels))
    dataset = open_dataset(path, bands)
    assert [sample.path for sample in dataset.splits["train"]] == names
    assert dataset.layout.endswith(", a file a channel")
    array = loaded(dataset, tmp_path)
    assert str(array.channels) == found
    for place, of_file in enumerate((1, 2, 0)):
        np.testing.assert_array_equal(array.images[1, place].numpy(), noise(SIZE, SIZE, seed=100 + of_file))
    assert not check_dataset(path, bands).findings


def test_a_mapping_names_planes_as_their_files_do(folder: Pack) -> None:
    path = folder(planes(["train/a/x_ch*.tif"], "1 2") | {"bands.yaml": b"bands: {ch2: ER, ch1: DNA}"})
    assert open_dataset(path).channels.names == ("ER", "DNA")


def test_pictures_named_after_colours_are_no_planes(folder: Pack, image_bytes: Callable[..., bytes]) -> None:
    path = folder(
        {
            f"train/car/{name}_{colour}.png": image_bytes(seed=len(colour))
            for name in "xy"
            for colour in ("red", "green")
        }
    )
    dataset = open_dataset(path)
    assert len(dataset.splits["train"]) == 4
    assert dataset.channels.names == ("R", "G", "B")
    assert "planes-apart" not in check_dataset(path).kinds


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("x_w1.tif", "x_w2.tif"), "{id}_w{channel}.tif"),
        (("x_ch1.tif", "x_ch2.tif"), "{id}_ch{channel}.tif"),
        (("T_B02_10m.tif", "T_B8A_10m.tif"), "{id}_{channel}_{id}.tif"),
        (("x-ch1sk1.a.tif", "x-ch2sk1.a.tif"), "{id}-ch{channel}sk{id}.tif"),
        (("f_B02_2021_03.tif", "f_B8A_2021_03.tif"), "{id}_{channel}_2021_03.tif"),
    ],
)
def test_planes_that_would_be_images_by_themselves_are_refused(
    pack: Pack, tmp_path: Path, *, names: tuple[str, str], pattern: str
) -> None:
    first, second = names
    files: Files = {f"images/{name}": tiff(noise(SIZE, SIZE, seed=i)) for i, name in enumerate(names)}
    lists = {"train.txt": f"images/{first} 0".encode(), "test.txt": f"images/{second} 0".encode()}
    path = pack(files | lists)
    (finding,) = check_dataset(path).findings
    assert (finding.path, finding.split, finding.kind, finding.unfit) == (
        f"images/{first}",
        "train",
        "planes-apart",
        True,
    )
    assert f"differs from images/{second} only in the channel" in finding.reason
    with pytest.raises(
        ValueError, match=rf"images/{first}: differs from images/{second} only in the channel"
    ) as caught:
        open_dataset(path, "a,b")
    assert f"files: {pattern!r}, and in lists" in str(caught.value)
    star = str(caught.value).split("in lists ")[1].split(";")[0]  # what it says to do is enough
    path = pack(
        files | {"train.txt": f"{star} 0".encode(), "bands.yaml": f"files: '{pattern}'\nbands: [B02, B8A]".encode()}
    )
    if path.is_dir():
        (path / "test.txt").unlink()
    assert loaded(open_dataset(path), tmp_path).images.shape == (1, 2, SIZE, SIZE)
    path = pack(files | lists | {"bands.yaml": b"files: '{id}'"})
    assert [len(samples) for samples in open_dataset(path).splits.values()] == [1, 1]


def test_gray_pictures_with_such_names_are_read_as_ever_once_it_is_said(
    pack: Pack, image_bytes: Callable[..., bytes]
) -> None:
    files = {f"train/{label}/x_w{number}.png": image_bytes(number, "L") for label in "ab" for number in (1, 2)}
    with pytest.raises(ValueError, match=r"or files: '\{id\}', if each file is an image"):
        open_dataset(pack(files))
    dataset = open_dataset(pack(files | {"bands.yaml": b"files: '{id}'"}))
    assert (dataset.channels.names, len(dataset.splits["train"])) == (("R", "G", "B"), 4)


def test_lists_beside_an_archive_may_name_images_of_several_files(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in planes(["images/x_w*.tif", "images/y_w*.tif"], "1 2").items():
            archive.writestr(name, content)
    said = {"train.txt": b"images/x_w*.tif 0", "test.txt": b"images/y_w*.tif 0"}
    for name, content in (said | {"bands.yaml": b"bands: [a, b]\nfiles: '{id}_w{channel}.tif'"}).items():
        (tmp_path / name).write_bytes(content)
    dataset = open_dataset(path)
    assert [[one.path for one in dataset.splits[split]] for split in ("train", "test")] == [
        ["images/x_w*.tif"],
        ["images/y_w*.tif"],
    ]


@pytest.mark.parametrize("other", ["y.tif", "x_red.tif", "x_ch1.tif"])
def test_planes_among_other_images_are_refused(folder: Pack, other: str) -> None:
    path = folder(planes(["train/a/x_w*.tif"], "1 2") | {f"train/a/{other}": tiff(noise(SIZE, SIZE))})
    with pytest.raises(ValueError, match=r"train/a/x_w1\.tif: differs from train/a/x_w2\.tif only in the channel"):
        open_dataset(path)


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


def test_files_of_bands_among_photographs_are_refused(folder: Pack, tmp_path: Path, photographs: Files) -> None:
    def npy(pixels: Any) -> bytes:
        file = io.BytesIO()
        np.save(file, pixels)
        return file.getvalue()

    path = "images/n01/train_1.JPEG"
    pixels = noise(4, SIZE, SIZE, dtype="uint8")
    for odd in (tiff(pixels), tiff(pixels[:3], ["a", "b", "c"]), tiff(pixels.transpose(1, 2, 0)), npy(pixels)):
        with pytest.raises(ValueError, match=rf"{path} has several bands or pages, the first image is a photograph"):
            load_split(open_dataset(folder(photographs | {path: odd})), "train", SIZE, tmp_path / "cache")
    file = io.BytesIO()
    tifffile.imwrite(file, pixels.transpose(1, 2, 0), photometric="rgb", extrasamples=["unassalpha"])
    for even in (tiff(pixels[0]), file.getvalue()):
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
        without.setattr("anychan.data.cache._has_rasterio", lambda: False)
        with pytest.raises(ValueError, match=r"train/b/3\.tif is compressed by LZW, for which rasterio is needed"):
            loaded(dataset, tmp_path)
    assert len(loaded(dataset, tmp_path).labels) == 4
