"""Files, folders and globs; what cannot be read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from anychan.data.findings import BrokenFileError
from anychan.prediction import images
from anychan.prediction.images import find_images, folders_of, read_file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("a/1.jpg", "a/deep/2.PNG", "a/notes.txt", "a/.hidden.jpg", "b/3.tif", "odd[1].jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path)
    found = images.glob.glob  # in the order of the file system, which may be any
    monkeypatch.setattr(images.glob, "glob", lambda *given, **how: sorted(found(*given, **how), reverse=True))
    return tmp_path


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (["a"], ["a/1.jpg", "a/deep/2.PNG"]),
        (["b", "a/1.jpg"], ["b/3.tif", "a/1.jpg"]),
        (["a/notes.txt"], ["a/notes.txt"]),
        (["*/*.*"], ["a/1.jpg", "a/notes.txt", "b/3.tif"]),
        (["**/*.PNG", "a"], ["a/deep/2.PNG", "a/1.jpg"]),
        (["[ab]"], ["a/1.jpg", "a/deep/2.PNG", "b/3.tif"]),
        (["odd[1].jpg", "o*"], ["odd[1].jpg"]),
        (["*.webp", "none.jpg", "bare"], ["*.webp", "none.jpg", "bare"]),
        ([], []),
    ],
)
def test_what_is_named_is_found_once_and_in_order(folder, named, found):
    assert [path.as_posix() for path in find_images(named)] == found


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (["cells"], ["cells/c_ch*.tif", "cells/d.tif"]),
        (["cells/c_ch*.tif"], ["cells/c_ch*.tif"]),  # as it is printed
        (["cells/c_ch1.tif", "cells/c_ch2.tif", "cells/d.tif"], ["cells/c_ch*.tif", "cells/d.tif"]),  # as a shell does
        (["cells/d.tif", "cells/*_ch2.tif"], ["cells/d.tif", "cells/c_ch*.tif"]),
        (["cells/e_ch1.tif"], ["cells/e_ch1.tif"]),  # which is not there
        (["alone/c_ch*.tif"], ["alone/c_ch1.tif", "alone/c_ch2.tif"]),
        (["others/c_w1.tif", "others/c_ch1.tif"], ["others/c_w*.tif", "others/c_ch1.tif"]),
    ],
)
def test_a_file_of_one_channel_stands_for_its_image(folder, named, found):
    for name in ("cells/c_ch1.tif", "cells/c_ch2.tif", "cells/d.tif", "alone/c_ch1.tif", "alone/c_ch2.tif"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "alone" / "bands.yaml").write_text('files: "{id}"\n')
    (folder / "others").mkdir()
    (folder / "others" / "bands.yaml").write_text('files: "{id}_w{channel}.tif"\n')
    for name in ("c_w1.tif", "c_w2.tif", "c_ch1.tif"):
        (folder / "others" / name).write_bytes(b"x")
    assert [path.as_posix() for path in find_images(named)] == found


def test_a_name_that_cannot_be_looked_up_stops_nothing(folder):
    long = f"{300 * 'a'}.jpg"
    for named in (long, f"{300 * 'a'}*.jpg"):
        assert find_images([named, "a/1.jpg"]) == [Path(named), Path("a/1.jpg")]
    assert folders_of([long, "a", "b/*"]) == {Path("a")}
    with pytest.raises(BrokenFileError, match="cannot be read: File name too long"):
        read_file(Path(long))
    with pytest.raises(ValueError, match="an image's name is empty"):
        find_images(["a/1.jpg", ""])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_what_cannot_be_read_says_why(folder, monkeypatch):
    os.mkfifo(folder / "pipe.jpg")
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 3)
    (folder / "long.jpg").write_bytes(b"four")
    assert read_file(folder / "a" / "1.jpg") == b"x"
    for name, kind in (
        ("none.jpg", "missing"),
        ("bare", "not-a-file"),
        ("pipe.jpg", "not-a-file"),
        ("long.jpg", "too-large"),
    ):
        with pytest.raises(BrokenFileError) as caught:
            read_file(folder / name)
        assert caught.value.kind == kind
    with pytest.raises(BrokenFileError, match="is missing"):
        read_file(folder / "a" / "1.jpg" / "below")


def test_a_folder_that_cannot_be_listed_stops_nothing(folder, monkeypatch):
    listed = os.scandir

    def scandir(path):
        if str(path).rstrip("/").endswith("deep"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    for name in ("a/cell_ch1.tif", "a/cell_ch2.tif"):
        (folder / name).write_bytes(b"x")
    monkeypatch.setattr(os, "scandir", scandir)
    assert [path.as_posix() for path in find_images(["a", "b"])] == ["a/1.jpg", "a/cell_ch*.tif", "a/deep", "b/3.tif"]
    assert find_images(["a/deep"]) == [Path("a/deep")]
    with pytest.raises(BrokenFileError, match="cannot be read: Permission denied"):
        read_file(Path("a/deep"))
