"""Files of one channel each: put together as they are called, or refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anychan.data import check_dataset, open_dataset, stacks
from anychan.data.findings import BrokenFileError

from ._bands import SIZE, Files, Pack, loaded, tiff
from ._files import noise


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


def test_channels_that_are_too_large_together_are_not_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    class Source:
        def read(self, path: str) -> bytes:
            read.append(path)
            return bytes(600)

    monkeypatch.setattr(stacks, "MAX_FILE_BYTES", 1000)
    with pytest.raises(BrokenFileError, match="more than 1,000 bytes in all channels together"):
        stacks._packed(Source(), [f"x_ch{channel}.tif" for channel in range(1, 9)])
    assert read == ["x_ch1.tif", "x_ch2.tif"]


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


def of_a_camera(images: str, channels: str = "1 2 3 4 5") -> Files:
    return planes([f"{split}/{label}/{i}" for split in ("train", "test") for label in "ab" for i in images.split()],
                  channels)  # fmt: skip


def test_a_camera_that_numbers_its_planes_is_refused_until_it_is_said(folder: Pack, tmp_path: Path) -> None:
    files = of_a_camera("IMG_0000_*.TIF IMG_0001_*.TIF IMG_0002_*.TIF")
    path = folder(files)
    (finding,) = check_dataset(path).findings
    assert (finding.path, finding.kind, finding.unfit) == ("train/a/IMG_0000_1.TIF", "planes-apart", True)
    said = "differs from train/a/IMG_0000_2.TIF only in the channel"
    assert said in finding.reason
    with pytest.raises(ValueError, match=rf"{said}: say .* files: '\{{id\}}_\{{channel\}}\.TIF'"):
        open_dataset(path, "B,G,R,NIR,RE")
    (path / "bands.yaml").write_text("bands: [B, G, R, NIR, RE]\nfiles: '{id}_{channel}.TIF'")
    assert loaded(open_dataset(path), tmp_path).images.shape == (6, 5, SIZE, SIZE)
    assert not check_dataset(path).findings


@pytest.mark.parametrize(
    "files",
    [
        of_a_camera("img_*.tif", "1 2 3 4"),  # a class has one series
        of_a_camera("x_*.tif y_*.tif z_*.tif", "2 3 4"),
        of_a_camera("x_*.tif y_*.tif z_*.tif", "0 90"),
        of_a_camera("x_*.tif y_*.tif", "1 2") | of_a_camera("z_*.tif", "1 2 3"),
        of_a_camera("x_*.tif y_*.tif", "1 2") | of_a_camera("z*.tif", "1"),
    ],
)
def test_pictures_that_are_numbered_are_no_planes(folder: Pack, files: Files) -> None:
    assert "planes-apart" not in check_dataset(folder(files), "a").kinds


@pytest.mark.parametrize(("kind", "suffix", "mode"), [("PNG", ".png", "L"), ("TIFF", ".tif", "RGB")])
def test_photographs_that_are_numbered_are_no_planes(
    folder: Pack, image_bytes: Callable[..., bytes], kind: str, suffix: str, mode: str
) -> None:
    names = [name.replace(".tif", suffix) for name in of_a_camera("x_*.tif y_*.tif", "1 2 3")]
    path = folder({name: image_bytes(seed, mode, kind=kind) for seed, name in enumerate(names)})
    assert "planes-apart" not in check_dataset(path).kinds
    assert len(open_dataset(path).splits["train"]) == 12


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
