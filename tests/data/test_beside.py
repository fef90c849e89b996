"""Lists beside an archive: taken where they are the archive's, and only there."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from anychan.data import load_split, open_dataset
from anychan.data.layouts import inspect_layout

from .conftest import Files


def archive(folder: Path, files: Files) -> Path:
    with zipfile.ZipFile(folder / "images.zip", "w") as packed:
        for path, content in files.items():
            packed.writestr(path, content)
    return folder / "images.zip"


@pytest.fixture
def parts(photographs: Files) -> tuple[Files, Files]:
    lists = {path: content for path, content in photographs.items() if path.endswith(".txt")}
    return {path: content for path, content in photographs.items() if path not in lists}, lists


def test_lists_beside_an_archive_are_as_good_as_lists_in_it(parts: tuple[Files, Files], tmp_path: Path) -> None:
    images, lists = parts
    (tmp_path / "apart").mkdir()
    (tmp_path / "in one").mkdir()
    for name, content in lists.items():
        (tmp_path / "apart" / name).write_bytes(content)
    (tmp_path / "apart" / "classes.txt").write_text("n00\tcat\nn01\tdog\n")
    apart = open_dataset(archive(tmp_path / "apart", images))
    together = open_dataset(archive(tmp_path / "in one", images | lists))
    assert apart.splits == together.splits
    assert apart.classes == ("cat", "dog")
    assert apart.description["fingerprints"] == together.description["fingerprints"]
    assert len(load_split(apart, "train", 16, tmp_path / "cache").labels) == 4


@pytest.mark.parametrize("written", ["./{}", "/images/{}", "\n{}"], ids=["by find", "absolute", "after a blank line"])
def test_paths_may_be_written_in_other_ways(written: str, parts: tuple[Files, Files], tmp_path: Path) -> None:
    images, lists = parts
    first, *rest = lists["train.txt"].decode().splitlines()
    (tmp_path / "train.txt").write_text("\n".join([written.format(first), *rest]))
    path = archive(tmp_path, images)
    if written.startswith("/"):
        findings = inspect_layout(path)[1]
        assert [(f.path, f.kind, f.unfit) for f in findings] == [("train.txt", "ignored", False)]
    else:
        assert "list" in (dataset := open_dataset(path)).layout
        assert len(dataset.splits["train"]) == 4


def test_backslashes_in_lists_beside_are_refused_as_in_the_archive(parts: tuple[Files, Files], tmp_path: Path) -> None:
    images, lists = parts
    (tmp_path / "train.txt").write_bytes(lists["train.txt"].replace(b"/", b"\\"))
    with pytest.raises(ValueError, match="has a backslash"):
        open_dataset(archive(tmp_path, images))


def test_an_archives_own_lists_come_first(parts: tuple[Files, Files], tmp_path: Path) -> None:
    images, lists = parts
    (tmp_path / "train.txt").write_bytes(lists["test.txt"])
    assert len(open_dataset(archive(tmp_path, images | lists)).splits["train"]) == 4


@pytest.mark.parametrize("first", ["images/other/1.JPEG 0", "", "word"])
def test_lists_of_something_else_are_let_alone(first: str, parts: tuple[Files, Files], tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(first + "\n")
    dataset = open_dataset(archive(tmp_path, parts[0]))
    assert "list" not in dataset.layout
    (tmp_path / "train.txt").unlink()
    (tmp_path / "train.txt").mkdir()
    assert "list" not in open_dataset(tmp_path / "images.zip").layout


def test_where_lists_may_lie_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nor of an archive's images beside it"):
        open_dataset(archive(tmp_path, {"notes.txt": b"none"}))


def test_bands_yaml_beside_an_archive_is_read(parts: tuple[Files, Files], tmp_path: Path) -> None:
    images, lists = parts
    (tmp_path / "bands.yaml").write_text("bands: rgb\nchannels: [R, B]\n")
    path = archive(tmp_path, images | lists)
    assert open_dataset(path).channels.names == ("R", "B")
    path = archive(tmp_path, images | lists | {"bands.yaml": b"channels: G"})
    assert open_dataset(path).channels.names == ("G",)
    (tmp_path / "bands.yaml").rename(tmp_path / "bands.yml")
    for more in ({}, {"bands.yml": b"channels: G"}):
        with pytest.raises(ValueError, match=r"has a bands\.yml, which is not read: call it bands\.yaml"):
            open_dataset(archive(tmp_path, images | lists | more))
    (tmp_path / "bands.yml").rename(tmp_path / "bands.yaml")
    path = archive(tmp_path, images)
    for name, content in lists.items():
        (tmp_path / name).write_bytes(content)
    assert open_dataset(path).channels.names == ("R", "B")
