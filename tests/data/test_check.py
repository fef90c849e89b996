"""Whatever is wrong with files is found, by path and reason, and never crashes or hangs the check."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anychan.data import check_dataset, load_split, open_dataset
from anychan.data.check_report import CheckReport

from .._image_files import npz

Files = dict[str, bytes]
Pack = Callable[[Files], Path]
Make = Callable[..., bytes]
VICTIM = "images/n01/train_1.JPEG"


def found(report: CheckReport) -> set[tuple[str, str, str, bool]]:
    assert all(finding.reason for finding in report.findings)
    return {(finding.path, finding.split, finding.kind, finding.unfit) for finding in report.findings}


def snapshot(path: Path) -> dict[Path, object]:
    files = [path, *path.rglob("*")]
    return {file: (file.stat().st_mtime_ns, file.is_file() and file.read_bytes()) for file in files}


def test_sound_data_are_fit_and_left_alone(pack: Pack, photographs: Files) -> None:
    path = pack(photographs)
    before = snapshot(path.parent)
    report = check_dataset(path)
    assert snapshot(path.parent) == before
    assert report.findings == ()
    assert not report.unfit
    assert (report.files, report.decoded) == (8, 8)
    assert report.counts == {"train": (2, 2), "val": (1, 1), "test": (1, 1)}
    assert "nothing found that is odd" in report.table()
    assert "\nchannels: R, G, B; kept as uint8\nclasses: 2\n" in report.table()
    assert report.to_dict()["lacking"] == {}


def test_channels_that_files_lack_are_counted(tmp_path: Path) -> None:
    empty, full = np.full((8, 8), np.nan, np.float32), np.ones((8, 8), np.float32)
    planes = [{"A": full, "B": full}, {"A": full, "B": empty}, {"B": full}, {"A": full}]
    for number, its in enumerate(planes):
        for split in ("train", "test"):
            file = tmp_path / split / f"class{number % 2}" / f"{number}.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(npz(**its, C=number * full))
    (tmp_path / "bands.yaml").write_text("channels: A,B,C\npartial: true\n")
    report = check_dataset(tmp_path)
    assert "\nchannels: A, B, C; kept as float32\nfiles without a channel: A in 2, B in 4\nclasses" in report.table()
    told = report.to_dict()
    assert [told[key] for key in ("channels", "kept_as", "lacking")] == [["A", "B", "C"], "float32", {"A": 2, "B": 4}]


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("empty", lambda whole: b""),
        ("truncated", lambda whole: whole[: len(whole) // 2]),
        ("truncated", lambda whole: whole[:-40]),
        ("unreadable", lambda whole: b"<html>404</html>"),
        ("unreadable", lambda whole: whole[:3]),
    ],
)
def test_broken_files(pack: Pack, photographs: Files, kind: str, damage: Callable[[bytes], bytes]) -> None:
    path = pack({**photographs, VICTIM: damage(photographs[VICTIM])})
    report = check_dataset(path)
    assert found(report) == {(VICTIM, "train", kind, True)}
    assert report.unfit
    assert report.decoded == 7
    assert f"{kind}: 1 (unfit for training)\n  [train] {VICTIM}: " in report.table()
    assert "\nunfit for training" in report.table()


def test_missing_files(pack: Pack, photographs: Files) -> None:
    files = {path: content for path, content in photographs.items() if path != VICTIM}
    assert found(check_dataset(pack(files))) == {(VICTIM, "train", "missing", True)}


def test_bombs(pack: Pack, photographs: Files, tmp_path: Path) -> None:
    Image.new("1", (14_000, 14_000)).save(tmp_path / "bomb.png")
    report = check_dataset(pack({**photographs, VICTIM: (tmp_path / "bomb.png").read_bytes()}))
    assert found(report) == {(VICTIM, "train", "too-large", True)}


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_stands_in_place_of_a_file(folder: Pack, photographs: Files, kind: str) -> None:
    root = folder(photographs)
    (root / VICTIM).unlink()
    if kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("there are no named pipes")
        os.mkfifo(root / VICTIM)
    elif kind == "folder":
        (root / VICTIM).mkdir()
    else:
        (root.parent / "secret.png").write_bytes(photographs["images/n00/train_0.JPEG"])
        (root / VICTIM).symlink_to(root.parent / "secret.png")
    expected = "outside" if kind == "link" else "not-a-file"
    assert found(check_dataset(root)) == {(VICTIM, "train", expected, True)}


@pytest.mark.parametrize(
    ("kinds", "options"),
    [
        ({"grayscale"}, {"mode": "L"}),
        ({"cmyk"}, {"mode": "CMYK", "kind": "JPEG"}),
        ({"palette"}, {"mode": "P"}),
        ({"alpha"}, {"mode": "RGBA"}),
        ({"grayscale", "alpha"}, {"mode": "LA"}),
        ({"animated"}, {"kind": "PNG", "save_all": True, "append_images": [Image.new("RGB", (24, 20))]}),
        (
            {"exif-rotated"},
            {"kind": "JPEG", "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"},
        ),
        ({"other-mode"}, {"mode": "LAB", "kind": "TIFF"}),
    ],
)
def test_odd_modes_are_counted_and_fit(
    pack: Pack, photographs: Files, image_bytes: Make, kinds: set[str], options: dict
) -> None:
    path = pack({**photographs, VICTIM: image_bytes(seed=99, **options)})
    report = check_dataset(path)
    assert found(report) == {(VICTIM, "train", kind, False) for kind in kinds}
    assert report.kinds == dict.fromkeys(kinds, 1)
    assert not report.unfit


def test_one_image_in_two_splits_under_two_labels(pack: Pack, photographs: Files) -> None:
    path = pack({**photographs, "images/n01/test_1.JPEG": photographs["images/n00/train_0.JPEG"]})
    report = check_dataset(path)
    twin = "images/n01/test_1.JPEG"
    assert found(report) == {(twin, "test", "two-splits", False), (twin, "test", "image-two-labels", False)}
    assert "images/n00/train_0.JPEG, which is in train" in report.table()


def test_one_image_twice_in_a_split(pack: Pack, photographs: Files) -> None:
    path = pack({**photographs, "images/n00/train_2.JPEG": photographs["images/n00/train_0.JPEG"]})
    assert found(check_dataset(path)) == {("images/n00/train_2.JPEG", "train", "same-image", False)}


def test_faulty_lists_are_reported_with_everything_else(pack: Pack, photographs: Files) -> None:
    lists = {
        "train.txt": photographs["train.txt"] + b"images/n00/train_0.JPEG 1\n../out.jpg 0\nno-label\nnegative.jpg -3\n",
        "val.txt": photographs["val.txt"] + b"images/n00/train_2.JPEG 0\n",
        "test.txt": b"\n",
        "classes.txt": b"one\n",
    }
    report = check_dataset(pack({**photographs, **lists}))
    kinds = {(kind, unfit) for _, _, kind, unfit in found(report)}
    assert kinds == {
        ("two-labels", True),
        ("outside", True),
        ("bad-line", True),
        ("two-splits", False),
        ("empty-split", True),
        ("label-out-of-range", True),
    }
    assert report.kinds["bad-line"] == 2
    assert report.unfit


def test_gaps_and_a_missing_training_split(pack: Pack, photographs: Files) -> None:
    gap = check_dataset(pack({**photographs, "classes.txt": b"one\ntwo\nthree\n"}))
    assert found(gap) == {("three", "train", "gap", False)}
    files = {path: content for path, content in photographs.items() if path != "train.txt"}
    if pack({}).is_dir():
        (pack({}) / "train.txt").unlink()
        (pack({}) / "classes.txt").unlink()
    assert found(check_dataset(pack(files))) == {("train", "train", "no-train", True)}


def test_unfit_is_what_loading_refuses(pack: Pack, photographs: Files, tmp_path: Path) -> None:
    path = pack({**photographs, VICTIM: photographs[VICTIM][:300]})
    (finding,) = check_dataset(path).findings
    with pytest.raises(ValueError, match=VICTIM) as caught:
        load_split(open_dataset(path), "train", 16, tmp_path / "cache")
    assert finding.reason in str(caught.value)


def test_the_record_holds_everything_and_the_table_a_few(pack: Pack, photographs: Files) -> None:
    lines = "".join(f"gone_{i}.jpg 0\n" for i in range(30)).encode()
    report = check_dataset(pack({**photographs, "val.txt": lines}))
    record = json.loads(json.dumps(report.to_dict()))
    assert len(record["findings"]) == record["kinds"]["missing"] == 30
    assert record["findings"][0] == {
        "path": "gone_0.jpg",
        "split": "val",
        "kind": "missing",
        "reason": "is missing",
        "unfit": True,
    }
    assert record["splits"] == {"train": 4, "val": 30, "test": 2}
    assert record["classes"][1] == {"label": 1, "class": "n01", "train": 2, "val": 0, "test": 1}
    assert "gone_4.jpg" in report.table()
    assert "gone_5.jpg" not in report.table()
    assert "and 25 more" in report.table()


def test_names_that_are_no_text_can_be_printed(folder: Pack, image_bytes: Make) -> None:
    root = folder({"cat/a.png": image_bytes(mode="L")})
    os.rename(os.fsencode(root / "cat" / "a.png"), os.fsencode(root / "cat") + b"/\xff.png")  # noqa: PTH104
    report = check_dataset(root)
    report.table().encode()
    json.dumps(report.to_dict()).encode()


def test_the_development_benchmark(animals_zip: Path) -> None:
    report = check_dataset(animals_zip)
    assert {split: sum(counts) for split, counts in report.counts.items()} == {
        "train": 24000,
        "val": 1000,
        "test": 2500,
    }
    assert (report.files, report.decoded, len(report.classes)) == (27_500, 27_500, 50)
    assert report.kinds == {"grayscale": 160, "image-two-labels": 4, "two-splits": 1}
    assert not report.unfit
    assert report.seconds < 60
