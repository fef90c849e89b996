"""Splits are decoded once, kept by content and size, and never with a broken image in them unseen."""

from __future__ import annotations

import errno
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from anychan.data import ImageArray, decode, open_dataset
from anychan.data import load_split as load
from anychan.data.dataset import Dataset, Picture
from anychan.data.findings import BrokenFileError

Files = dict[str, bytes]
Pack = Callable[[Files], Path]
Make = Callable[..., bytes]
VICTIM = "images/n01/train_1.JPEG"


def decoding_counted(monkeypatch: pytest.MonkeyPatch, dataset: Dataset) -> list[int]:
    """The size of every file that is decoded from now on."""
    decoded: list[int] = []

    def decode(data: bytes, image_size: int | None) -> Picture:
        decoded.append(len(data))
        return dataset.decode(data, image_size)

    monkeypatch.setattr("anychan.data.layouts.decode_among_photographs", decode)
    return decoded


def test_an_array_of_a_split(pack: Pack, photographs: Files, tmp_path: Path) -> None:
    dataset = open_dataset(pack(photographs))
    array = load(dataset, "train", 16, tmp_path / "cache")
    assert array.images.shape == (4, 3, 16, 16)
    assert array.images.dtype == torch.uint8
    assert array.images.is_contiguous(memory_format=torch.channels_last)
    assert array.labels.tolist() == [0, 1, 0, 1]
    assert array.paths[1] == VICTIM
    assert (array.channels, array.classes, array.skipped) == (dataset.channels, ("n00", "n01"), ())
    assert array.fingerprint == dataset.description["fingerprints"]["train"]
    for i, path in enumerate(array.paths):
        expected = dataset.decode(photographs[path], 16).pixels
        np.testing.assert_array_equal(array.images[i].permute(1, 2, 0), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_names_that_are_no_text_can_be_written_down(image_bytes: Make, tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"data \xff")
    for split in ("train", "test"):
        for name in (b"caf\xe9", "café".encode()):
            folder = root / split / os.fsdecode(name)
            folder.mkdir(parents=True)
            (folder / os.fsdecode(b"\xe9.png")).write_bytes(image_bytes(seed=len(name)))
    dataset = open_dataset(root)
    array = load(dataset, "test", 16, tmp_path / "cache")
    assert dataset.classes == ("café", r"caf\udce9")
    assert array.paths == (r"test/café/\udce9.png", r"test/caf\udce9/\udce9.png")
    assert array.labels.tolist() == [0, 1]
    assert dataset.name == r"data \udcff"


def test_nothing_is_written_beside_the_data(folder: Pack, photographs: Files, tmp_path: Path) -> None:
    root = folder(photographs)
    before = sorted(root.rglob("*"))
    load(open_dataset(root), "train", 16, tmp_path / "cache")
    assert sorted(root.rglob("*")) == before
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".images", ".json"}


def test_the_cache_folder_can_be_chosen_by_the_environment(
    pack: Pack, photographs: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYCHAN_CACHE", str(tmp_path / "elsewhere"))
    load(open_dataset(pack(photographs)), "train", 16)
    assert len(list((tmp_path / "elsewhere").glob("data-*"))) == 2


def test_a_second_time_nothing_is_decoded(
    pack: Pack, photographs: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(photographs)
    decoded = decoding_counted(monkeypatch, open_dataset(path))
    first = load(open_dataset(path), "train", 16, tmp_path / "cache")
    assert len(decoded) == 4
    again = load(open_dataset(path), "train", 16, tmp_path / "cache")
    assert len(decoded) == 4
    torch.testing.assert_close(again.images, first.images, rtol=0, atol=0)
    load(open_dataset(path), "train", 20, tmp_path / "cache")
    assert len(decoded) == 8


def test_a_changed_file_is_decoded_anew(pack: Pack, photographs: Files, image_bytes: Make, tmp_path: Path) -> None:
    path = pack(photographs)
    before = load(open_dataset(path), "train", 16, tmp_path / "cache")
    times = path.stat()
    changed = {**photographs, VICTIM: image_bytes(seed=77, kind="JPEG")}
    path = pack(changed)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = load(open_dataset(path), "train", 16, tmp_path / "cache")
    differs = (before.images != after.images).flatten(1).any(1)
    assert differs.tolist() == [False, True, False, False]
    assert before.fingerprint != after.fingerprint


def test_changed_labels_need_no_new_decoding(
    pack: Pack, photographs: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack({**photographs, "images/n00/train_0.JPEG": photographs["images/n00/train_2.JPEG"]})
    load(open_dataset(path), "train", 16, tmp_path / "cache")
    decoded = decoding_counted(monkeypatch, open_dataset(path))
    dataset = open_dataset(path)
    relabelled = [type(sample)(sample.path, 1 - sample.label) for sample in dataset.splits["train"]]
    dataset.splits["train"][:] = relabelled
    assert load(dataset, "train", 16, tmp_path / "cache").labels.tolist() == [1, 0, 1, 0]
    assert decoded == []


def test_writing_to_the_array_changes_no_file(
    pack: Pack, photographs: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset(pack(photographs))
    first = load(dataset, "train", 16, tmp_path / "cache")
    kept = first.images.clone()
    first.images.zero_()
    torch.testing.assert_close(load(dataset, "train", 16, tmp_path / "cache").images, kept, rtol=0, atol=0)
    assert not caplog.text  # it was not built again


@pytest.mark.parametrize(
    "damage",
    [
        lambda images, record: images.write_bytes(images.read_bytes()[:-1]),
        lambda images, record: images.write_bytes(images.read_bytes() + b"0"),
        lambda images, record: images.write_bytes(b"\x55" + images.read_bytes()[1:]),
        lambda images, record: record.write_text("{"),
        lambda images, record: record.write_text("[]"),
        lambda images, record: record.write_text(record.read_text().replace("[4,", "[3,")),
        lambda images, record: record.write_text(record.read_text().replace("[]", '[[0, "is missing"]]')),
    ],
    ids=["short", "long", "changed", "no-json", "no-record", "wrong-shape", "wrong-count"],
)
def test_a_damaged_cache_is_built_again(
    pack: Pack, photographs: Files, tmp_path: Path, damage: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset(pack(photographs))
    first = load(dataset, "train", 16, tmp_path / "cache").to("cpu")
    (images,), (record,) = (tmp_path / "cache").glob("*.images"), (tmp_path / "cache").glob("*.json")
    damage(images, record)
    again = load(dataset, "train", 16, tmp_path / "cache")
    assert "damaged" in caplog.text
    torch.testing.assert_close(again.images, first.images, rtol=0, atol=0)
    caplog.clear()
    load(dataset, "train", 16, tmp_path / "cache")
    assert not caplog.text


def test_a_build_that_stops_half_way_leaves_no_cache(
    pack: Pack, photographs: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopError(Exception):
        pass

    def stop(data: bytes, image_size: int | None) -> Picture:
        raise StopError

    path = pack(photographs)
    with monkeypatch.context() as patched:
        patched.setattr("anychan.data.layouts.decode_among_photographs", stop)
        with pytest.raises(StopError):
            load(open_dataset(path), "train", 16, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(load(open_dataset(path), "train", 16, tmp_path / "cache")) == 4


def broken(photographs: Files) -> Files:
    return {**photographs, VICTIM: photographs[VICTIM][:300], "images/n00/train_2.JPEG": b""}


def test_broken_files_are_refused_by_name_and_number(pack: Pack, photographs: Files, tmp_path: Path) -> None:
    dataset = open_dataset(pack(broken(photographs)))
    for _ in range(2):  # decoded, and from the cache
        with pytest.raises(
            ValueError, match=f"2 of 4 images of the split train are broken: {VICTIM} cannot be decoded"
        ):
            load(dataset, "train", 16, tmp_path / "cache")


def test_broken_files_are_skipped_where_that_is_asked_for(pack: Pack, photographs: Files, tmp_path: Path) -> None:
    whole = load(open_dataset(pack(photographs)), "train", 16, tmp_path / "cache").to("cpu")
    dataset = open_dataset(pack(broken(photographs)))
    for _ in range(2):
        array = load(dataset, "train", 16, tmp_path / "cache", skip_broken=True)
        assert array.paths == ("images/n00/train_0.JPEG", "images/n01/train_3.JPEG")
        assert array.labels.tolist() == [0, 1]
        assert [path for path, _ in array.skipped] == [VICTIM, "images/n00/train_2.JPEG"]
        assert array.skipped[1][1] == "has zero bytes"
        torch.testing.assert_close(array.images, whole.images[[0, 3]], rtol=0, atol=0)
        assert array.fingerprint != whole.fingerprint
    assert len(load(dataset, "test", 16, tmp_path / "cache")) == 2


def test_many_broken_files_are_counted(pack: Pack, tmp_path: Path) -> None:
    lines = "".join(f"gone_{i}.jpg 0\n" for i in range(9)).encode()
    dataset = open_dataset(pack({"train.txt": lines}))
    with pytest.raises(ValueError, match=r"9 of 9 .*gone_4\.jpg is missing; and 4 more"):
        load(dataset, "train", 16, tmp_path)
    with pytest.raises(ValueError, match="all 9 images"):
        load(dataset, "train", 16, tmp_path, skip_broken=True)


def test_a_file_that_was_restored_is_read(pack: Pack, photographs: Files, tmp_path: Path) -> None:
    root = pack(broken(photographs))
    assert len(load(open_dataset(root), "train", 16, tmp_path / "cache", skip_broken=True)) == 2
    pack(photographs)
    assert len(load(open_dataset(root), "train", 16, tmp_path / "cache")) == 4


def test_a_damaged_archive_that_was_replaced_by_a_sound_copy_is_read(photographs: Files, tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in photographs.items():
            archive.writestr(name, content)
    sound = path.read_bytes()
    at = sound.index(photographs[VICTIM]) + 200
    path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"{VICTIM} is damaged in the archive"):
            load(open_dataset(path), "train", 16, tmp_path / "cache")
    path.write_bytes(sound)
    assert len(load(open_dataset(path), "train", 16, tmp_path / "cache")) == 4


def test_the_reason_why_a_file_is_broken_is_that_of_today(
    pack: Pack, photographs: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = pack(broken(photographs))
    load(open_dataset(root), "train", 16, tmp_path / "cache", skip_broken=True)

    def decode(data: bytes, image_size: int | None) -> Picture:
        raise BrokenFileError("unreadable", "is unlike any other")

    monkeypatch.setattr("anychan.data.layouts.decode_among_photographs", decode)
    again = load(open_dataset(root), "train", 16, tmp_path / "cache", skip_broken=True)
    assert len(again) == 2
    assert {reason for _, reason in again.skipped} == {"is unlike any other"}


@pytest.mark.parametrize("lacking", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_what_passes_leaves_no_image_broken(
    folder: Pack, photographs: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: Exception
) -> None:
    def fail(*_: object) -> None:
        raise lacking

    dataset = open_dataset(folder(photographs))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail) if isinstance(lacking, OSError) else patch.setattr(decode, "fit", fail)
        for _ in range(2):
            with pytest.raises(OSError, match=r"(Input/output error|no memory to decode it): .*n00/train_0.JPEG"):
                load(dataset, "train", 16, tmp_path / "cache", skip_broken=True)
    assert len(load(dataset, "train", 16, tmp_path / "cache")) == 4


@pytest.mark.parametrize(
    ("split", "size", "says"),
    [
        ("dev", 16, "no split 'dev'; there are train, val, test"),
        ("val", 16, "val is empty"),
        ("train", 0, "image_size 0"),
    ],
)
def test_what_cannot_be_loaded(  # noqa: PLR0917
    pack: Pack, photographs: Files, tmp_path: Path, split: str, size: int, says: str
) -> None:
    dataset = open_dataset(pack({**photographs, "val.txt": b"\n"}))
    with pytest.raises(ValueError, match=says):
        load(dataset, split, size, tmp_path)


def test_a_cache_that_cannot_be_written(pack: Pack, photographs: Files, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="ANYCHAN_CACHE"):
        load(open_dataset(pack(photographs)), "train", 16, tmp_path / "file" / "cache")
    load(open_dataset(pack(photographs)), "train", 16, tmp_path / "cache")  # nothing stays locked


def test_built_in_images_need_no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = open_dataset("synthetic:bands=5,train=30,val=10,test=10,size=16")
    array = load(dataset, "train", 16, tmp_path, progress=True)
    assert isinstance(array, ImageArray)
    assert array.images.shape == (30, 5, 16, 16)
    assert array.images.is_contiguous(memory_format=torch.channels_last)
    assert array.skipped == ()
    assert list(tmp_path.iterdir()) == []
    assert "30/30" in capsys.readouterr().err
    assert load(dataset, "train", 12, tmp_path).images.shape == (30, 5, 12, 12)


def test_progress_is_silent_unless_asked_for(
    pack: Pack, photographs: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(open_dataset(pack(photographs)), "train", 16, tmp_path / "cache")
    assert capsys.readouterr() == ("", "")
