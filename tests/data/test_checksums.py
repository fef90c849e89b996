"""Checksums of a folder's files: right, computed once, and again where a file may have changed."""

from __future__ import annotations

import json
import logging
import zlib
from pathlib import Path

import numpy as np
import pytest

from anychan.data import open_dataset
from anychan.data.checksums import Checksums
from anychan.data.findings import ReadError
from anychan.data.sources import FolderSource

from .._image_files import npy


class Counted:
    """Two files, and how often each was read."""

    def __init__(self) -> None:
        self.files, self.stamps, self.read_files = {"a": b"1", "b": b"22"}, {"a": "1", "b": "1"}, []

    def checksums(self) -> Checksums:
        return Checksums("root", self.read, self.stamps.__getitem__)

    def read(self, path: str) -> bytes:
        self.read_files.append(path)
        return self.files[path]


def refuse(error: Exception) -> bytes:
    raise error


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    monkeypatch.setenv("ANYCHAN_CACHE", str(tmp_path / "cache"))
    return Counted()


def test_each_file_is_read_once_as_long_as_it_is_the_same(files: Counted) -> None:
    first = files.checksums().of(["a", "b"])
    assert first == {"a": f"{zlib.crc32(b'1'):08x}:1", "b": f"{zlib.crc32(b'22'):08x}:2"}
    assert files.checksums().of(["b", "a"]) == first
    assert sorted(files.read_files) == ["a", "b"]
    files.files["a"], files.stamps["a"] = b"9", "2"
    again = files.checksums()
    assert again.of(["a"]) == again.of(["a"]) == {"a": f"{zlib.crc32(b'9'):08x}:1"}
    assert sorted(files.read_files) == ["a", "a", "b"]
    assert files.checksums().of(["a", "b"])["b"] == first["b"]
    assert sorted(files.read_files) == ["a", "a", "b"]


def test_of_what_cannot_be_read_for_now_nothing_is_kept(files: Counted) -> None:
    content = files.files.pop("b")
    files.read = lambda path: files.files[path] if path in files.files else refuse(ReadError(5, "no answer", path))
    with pytest.raises(ReadError):
        files.checksums().of(["a", "b"])
    files.files["b"] = content
    assert files.checksums().of(["b"]) == {"b": f"{zlib.crc32(b'22'):08x}:2"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ReadError(5, "no answer", "b")])
def test_what_was_computed_before_an_interruption_is_kept(files: Counted, error: Exception) -> None:
    content = files.files.pop("b")
    files.read = lambda path: Counted.read(files, path) if path in files.files else refuse(error)
    with pytest.raises(type(error)):
        files.checksums().of(["a", "b"])
    files.files["b"] = content
    files.checksums().of(["a", "b"])
    assert files.read_files == ["a", "b"]


def test_without_a_cache_they_are_computed_each_time(
    files: Counted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        first = files.checksums().of(["a"])
    assert "checksums cannot be kept in the cache" in caplog.text
    assert files.checksums().of(["a"]) == first
    assert files.read_files == ["a", "a"]


@pytest.mark.parametrize("damaged", ["[", "[1]", '{"a": 1}', json.dumps({"a": ["1"]})])
def test_a_damaged_file_of_them_is_made_anew(
    damaged: str, files: Counted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = files.checksums().of(["a"])
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text(damaged)
    assert files.checksums().of(["a"]) == first
    assert "will be computed again" in caplog.text
    assert json.loads(kept.read_text())["a"] == ["1", first["a"]]


def test_images_of_equal_size_with_other_pixels_are_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As all uncompressed files of one shape have."""
    monkeypatch.setenv("ANYCHAN_CACHE", str(tmp_path / "cache"))
    found = []
    for name, value in (("one", 1), ("other", 2), ("copy", 1)):
        for label in "xy":
            folder = tmp_path / name / "train" / label
            folder.mkdir(parents=True)
            (folder / "1.npy").write_bytes(npy(np.full((4, 16, 16), value, np.uint8)))
        found.append(open_dataset(tmp_path / name, "B02,B03,B04,B08").description["fingerprints"]["train"])
    assert found[0] == found[2] != found[1]
    assert FolderSource(tmp_path / "one").contents(["train/x/gone.npy"]) == {"train/x/gone.npy": "missing"}
