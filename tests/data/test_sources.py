"""Files are read from below the root only, whole and unharmed, by many threads and processes."""

from __future__ import annotations

import errno
import os
import socket
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anychan.data import sources
from anychan.data.findings import BrokenFileError, ReadError
from anychan.data.sources import open_source, safe_path

Pack = Callable[[dict[str, bytes]], Path]


def kind_of(path: Path, name: str) -> str:
    with pytest.raises(BrokenFileError) as caught:
        open_source(path).read(name)
    assert caught.value.reason
    return caught.value.kind


def test_reads_lists_and_finds(pack: Pack) -> None:
    source = open_source(pack({"a/b c.bin": b"1" * 5000, "a/d/e.bin": b"2", ".hidden/x": b"3", "f": b"4"}))
    assert source.files() == ["a/b c.bin", "a/d/e.bin", "f"]
    assert source.files("a/d") == ["a/d/e.bin"]
    assert source.folders() == ["a"]
    assert source.folders("a") == ["d"]
    assert source.exists("f")
    assert not source.exists("g")
    assert source.read("./a//b c.bin") == b"1" * 5000


@pytest.mark.parametrize("path", ["../f", "a/../../f", "/etc/passwd", "C:/f", "C:f", "..\\f", "a\\b", "a\0b"])
def test_paths_that_leave_the_root_are_refused(pack: Pack, path: str) -> None:
    root = pack({"a/b": b"1"})
    (root.parent / "f").write_bytes(b"secret")
    assert kind_of(root, path) == "outside"
    with pytest.raises(BrokenFileError):
        safe_path(path)


def test_names_with_two_dots_within_a_part_are_no_way_out(pack: Pack) -> None:
    assert open_source(pack({"a..b/..c": b"1"})).read("a..b/..c") == b"1"


def test_missing_files_and_folders(pack: Pack) -> None:
    root = pack({"a/b": b"1"})
    assert kind_of(root, "c") == "missing"
    assert kind_of(root, "a/b/c") == "missing"
    assert kind_of(root, "a") == "not-a-file"


def test_links_are_followed_within_the_folder_only(folder: Pack) -> None:
    root = folder({"a/b": b"1"})
    (root.parent / "outside").mkdir()
    (root.parent / "outside" / "f").write_bytes(b"secret")
    (root / "inner").symlink_to("a/b")
    (root / "file").symlink_to("../outside/f")
    (root / "folder").symlink_to("../outside", target_is_directory=True)
    (root / "nowhere").symlink_to("nothing")
    assert open_source(root).read("inner") == b"1"
    assert kind_of(root, "file") == "outside"
    assert kind_of(root, "folder/f") == "outside"
    assert kind_of(root, "nowhere") == "missing"
    assert open_source(root).folders() == ["a"]
    assert "folder/" in open_source(root).files()


def test_a_link_to_itself_is_one_file_that_cannot_be_read(folder: Pack) -> None:
    root = folder({"a/b": b"1"})
    (root / "a" / "loop").symlink_to("loop")
    assert open_source(root).files() == ["a/b", "a/loop"]
    assert kind_of(root, "a/loop") == "unreadable"
    assert open_source(root).stamp("a/loop") == "unreadable"


def test_a_sibling_with_the_same_beginning_is_outside(folder: Pack) -> None:
    root = folder({"a": b"1"})
    sibling = root.with_name(f"{root.name}-private")
    sibling.write_bytes(b"secret")
    (root / "link").symlink_to(sibling)
    assert kind_of(root, "link") == "outside"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_pipes_and_sockets_are_not_waited_for(folder: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({"a": b"1"})
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        assert kind_of(root, "pipe") == "not-a-file"
        assert kind_of(root, "socket") == "not-a-file"


def test_a_file_that_may_not_be_read(folder: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))  # root, who may run this, is never refused

    root = folder({"a": b"1"})
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert kind_of(root, "a") == "unreadable"


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ESTALE])
def test_what_the_machine_lacks_is_no_fault_of_a_file(pack: Pack, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(path: Path, *_: object) -> None:
        raise OSError(number, os.strerror(number))

    source = open_source(pack({"a": b"1"}))
    monkeypatch.setattr(Path, "read_bytes", fail)
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(ReadError, match=os.strerror(number)) as caught:
        source.read("a")
    assert (caught.value.errno, Path(caught.value.filename).is_file()) == (number, True)  # and says where


def test_names_too_long(folder: Pack) -> None:
    assert kind_of(folder({}), "a" * 5000) == "unreadable"


def test_files_too_large(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    root = pack({"a": b"0" * 100_000})
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 1000)
    assert kind_of(root, "a") == "too-large"


def archive_of(path: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a", content)
    return path


def test_stored_members_and_archives_behind_other_bytes(tmp_path: Path) -> None:
    plain = archive_of(tmp_path / "a.zip", b"content", zipfile.ZIP_STORED)
    behind = tmp_path / "b.zip"
    behind.write_bytes(b"#!/bin/sh\n" + plain.read_bytes())
    assert open_source(plain).read("a") == b"content"
    assert open_source(behind).read("a") == b"content"


def test_an_archive_without_its_beginning(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip", b"content", zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes()[5:])
    assert kind_of(path, "a") == "unreadable"


def test_other_packing_is_named(tmp_path: Path) -> None:
    assert kind_of(archive_of(tmp_path / "a.zip", b"content", zipfile.ZIP_BZIP2), "a") == "unreadable"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_is_damaged(tmp_path: Path, method: int) -> None:
    path = archive_of(tmp_path / "a.zip", os.urandom(1000), method)
    damaged = bytearray(path.read_bytes())
    damaged[300:310] = bytes(byte ^ 0xFF for byte in damaged[300:310])
    path.write_bytes(damaged)
    assert kind_of(path, "a") == "unreadable"


@pytest.mark.parametrize("lie", ["version", "flag"])
def test_an_archive_that_cannot_be_opened_is_named(tmp_path: Path, lie: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("#.png", b"content")
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    directory = raw.index(b"PK\1\2")
    if lie == "version":
        raw[directory + 6] = 99
    else:  # that names are in UTF-8
        raw[directory + 9] |= 0x08
        raw[raw.index(b"#", directory)] = 0xFF
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.zip is not a zip archive that can be read: "):
        open_source(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("name", "read"), [("a" * 4096, True), ("a" * 4097, False), ("a/" * 100 + "b", True), ("a/" * 101 + "b", False)]
)
def test_long_and_deep_names_are_refused(tmp_path: Path, name: str, read: bool) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"content")
    if read:
        assert open_source(tmp_path / "a.zip").files() == [name]
        return
    with pytest.raises(
        ValueError, match=r"a\.zip has a name of [\d,]+ characters in \d+ folders \(a.*\.\.\.\); up to 4,096"
    ):
        open_source(tmp_path / "a.zip")


def test_opening_an_archive_takes_room_by_its_names_only(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/" * 8000 + "x.png", b"content")
    tracemalloc.start()
    with pytest.raises(ValueError, match="in 8,000 folders"):
        open_source(tmp_path / "a.zip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_names_that_are_no_paths_are_not_listed_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("/rooted/x", "a//x", "a/.hidden/x", "__MACOSX/a/x", "a/b/x", "./c/x", "c"):
            archive.writestr(name, b"content")
    source = open_source(tmp_path / "a.zip")
    assert source.files() == ["a/b/x", "c", "c/x"]
    assert (source.folders(), source.folders("a"), source.folders("none")) == (["a", "c"], ["b"], [])
    assert (source.files("a"), source.files("a/b"), source.files("none")) == (["a/b/x"], ["a/b/x"], [])


def test_listing_the_folders_of_an_archive_does_not_go_through_all_names_each_time(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(300):
            archive.writestr(f"{i}/x", b"")
    source, seen = open_source(tmp_path / "a.zip"), 0

    def count(frame: object, event: str, _: object) -> None:
        nonlocal seen
        seen += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for i in range(300):
            source.files(str(i))
            source.folders(str(i))
    finally:
        sys.setprofile(None)
    assert seen < 300 * 60


def test_a_member_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip", bytes(20_000_000))
    lying = path.read_bytes().replace((20_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(lying)
    tracemalloc.start()
    assert kind_of(path, "a") == "unreadable"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_encrypted_ambiguous_and_linked_members(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip", b"content")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "encrypted.zip").write_bytes(raw)
    assert kind_of(tmp_path / "encrypted.zip", "a") == "unreadable"

    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a", b"other content")
    assert kind_of(path, "link") == "outside"
    assert kind_of(path, "a") == "unreadable"


def test_what_is_no_archive(tmp_path: Path) -> None:
    whole = archive_of(tmp_path / "a.zip", os.urandom(1000)).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-100])
    for path in (tmp_path / "cut.zip", Path(__file__)):
        with pytest.raises(ValueError, match="not a zip archive"):
            open_source(path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.zip"):
        open_source(tmp_path / "nowhere.zip")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("name", ["Café/1.png", "Füchse/ä.png"])
def test_names_in_utf8_that_the_archive_does_not_call_so(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"content")
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    for mark, flags in ((b"PK\3\4", 7), (b"PK\1\2", 9)):  # the second byte of the flags, in both headers
        raw[raw.index(mark) + flags] &= ~0x08
    (tmp_path / "a.zip").write_bytes(raw)
    source = open_source(tmp_path / "a.zip")
    assert source.files() == [name]
    assert source.read(name) == b"content"


def test_names_in_an_older_encoding_stay_as_they_are(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("Caf#.png", b"content")
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes().replace(b"Caf#", b"Caf\x82"))
    assert open_source(tmp_path / "a.zip").files() == ["Café.png"]


def test_a_pipe_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="neither"):
        open_source(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # of a process that has threads
def test_threads_and_forked_processes_share_a_source(pack: Pack) -> None:
    contents = {f"{i}.bin": os.urandom(20_000) for i in range(40)}
    source = open_source(pack(contents))

    def all_right(_: int) -> bool:
        return all(source.read(name) == content for name, content in contents.items())

    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if all_right(0) else 1)
        children.append(child)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(all_right, range(4)))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]


def test_stamp_and_content_follow_the_files(pack: Pack) -> None:
    source = open_source(root := pack({"a": b"1", "b": b"22"}))
    contents = source.contents(["a", "b", "gone"])
    assert contents == {"a": "83dcefb7:1", "b": "647e170e:2", "gone": "missing"}  # of a folder and of an archive
    assert source.stamp("gone") == "missing"
    if root.is_dir():
        before, status = source.stamp("a"), (root / "a").stat()
        (root / "a").write_bytes(b"9")
        os.utime(root / "a", ns=(status.st_atime_ns, status.st_mtime_ns))  # as some copying programs do
        assert source.stamp("a") != before
        assert source.contents(["a"]) != {"a": contents["a"]}
