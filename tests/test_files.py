"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from anychan import _files
from anychan._files import read_yaml, replacing, replacing_folder
from anychan.training.checkpoint import LEFTOVERS


def test_a_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    for text in ("first", "second"):
        with replacing(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_what_is_put_on_the_disk_is_open_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(os, "fsync", lambda file: written.append(os.write(file, b"")))  # fails on what is read alone
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert written == [0]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_two_processes_of_one_number_write_to_files_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as one, replacing(path) as other:
        one.write_text("one")
        other.write_text("other")
        assert one != other
        assert all(temporary.match(LEFTOVERS) for temporary in (one, other))
    assert path.read_text() == "one"


@pytest.mark.parametrize(("on_windows", "times"), [(True, 3), (True, 1000), (False, 1)])
def test_what_somebody_has_open_on_windows_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_windows: bool, times: int
) -> None:
    refusals, rename = iter(range(times)), Path.replace

    def refuse(file: Path, path: Path) -> Path:
        if next(refusals, None) is not None:
            raise PermissionError(13, "Permission denied")
        return rename(file, path)

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("new")

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(_files, "_ON_WINDOWS", on_windows)
    monkeypatch.setattr(_files, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(Path, "replace", refuse)
    if on_windows and times == 3:
        write()
        assert path.read_text() == "new"
    else:
        with pytest.raises(PermissionError):
            write()
        assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interruption_leaves_the_old_folder_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], after: int
) -> None:
    renamed, rename = [], Path.rename

    def interrupted(path: Path, to: Path) -> Path:
        moved = rename(path, to)
        renamed.append(to)
        if len(renamed) == after:
            raise error
        return moved

    folder = tmp_path / "pictures"
    for text in ("old", "new"):
        monkeypatch.setattr(Path, "rename", rename if text == "old" else interrupted)
        with nullcontext() if text == "old" else pytest.raises(error), replacing_folder(folder) as new:
            (new / "a.txt").write_text(text)
    assert (folder / "a.txt").read_text() == ("old" if after == 1 else "new")
    assert list(tmp_path.iterdir()) == [folder]


def test_what_is_no_text_or_no_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("epochs: 2".encode("utf-16"))
    with pytest.raises(ValueError, match=r"a\.yaml is no text in UTF-8"):
        read_yaml(path)
    path.write_text("epochs: [2", "utf-8")
    with pytest.raises(ValueError, match=r"a\.yaml is no YAML"):
        read_yaml(path)
    path.write_text("[" * 2000, "utf-8")
    with pytest.raises(ValueError, match=r"a\.yaml is nested too deep"):
        read_yaml(path)
    for value in ("2020-13-45", '!!int ""', "!!bool maybe", "!!timestamp soon"):
        path.write_text(f"epochs: {value}", "utf-8")
        with pytest.raises(ValueError, match=r"a\.yaml has a value that cannot be read: "):
            read_yaml(path)
    path.write_text("epochs: 2", "utf-8")
    assert read_yaml(path) == {"epochs": 2}
