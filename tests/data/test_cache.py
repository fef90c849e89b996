"""Processes that build one cache at once do not harm each other."""

from __future__ import annotations

import errno
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import psutil
import pytest

from anychan import _lock
from anychan.data import cache, cache_file
from anychan.data.cache import decode_split
from anychan.data.cache_dir import default_cache_dir
from anychan.data.cache_file import _mapped, read_cache, write_cache
from anychan.data.layouts import open_dataset

OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")  # 0: Linux weighs what is asked for against what there is
Pack = Callable[[dict[str, bytes]], Path]


def _decode_when_told(path: Path, cache: Path, together: Barrier, sums: Queue) -> None:
    dataset = open_dataset(path)
    together.wait()
    sums.put([int(decode_split(dataset, "train", size, cache).pixels.sum()) for size in range(8, 28)])


def test_two_processes_build_one_cache_at_once(pack: Pack, image_bytes: Callable[..., bytes], tmp_path: Path) -> None:
    files = {f"a/{i}.png": image_bytes(seed=i, size=(60, 50)) for i in range(40)}
    files["train.txt"] = "".join(f"{path} 0\n" for path in files).encode()
    path = pack(files)
    context = multiprocessing.get_context("spawn")
    together, sums = context.Barrier(2), context.Queue()
    arguments = (path, tmp_path / "both", together, sums)
    processes = [context.Process(target=_decode_when_told, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    told = [sums.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    alone = [int(decode_split(open_dataset(path), "train", n, tmp_path / "alone").pixels.sum()) for n in range(8, 28)]
    assert told == [alone, alone]
    kept = sorted(file.name for file in (tmp_path / "both").iterdir())
    assert kept == sorted(file.name for file in (tmp_path / "alone").iterdir())
    for name in kept:
        found = read_cache(tmp_path / "both" / Path(name).stem)
        assert found is not None
        assert len(found.pixels) == 40


def test_what_another_process_builds_is_waited_for_and_not_built_again(
    pack: Pack, photographs: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, built = open_dataset(pack(photographs)), []

    @contextmanager
    def after_another(folder: Path, name: str, *, wait: bool = False) -> Iterator[None]:
        if not wait:
            raise FileExistsError(name)
        monkeypatch.undo()
        monkeypatch.setattr(cache, "write_cache", lambda path, *rest: built.append(path) or write_cache(path, *rest))
        decode_split(dataset, "train", 16, folder)
        yield

    monkeypatch.setattr(cache, "alone", after_another)
    found = decode_split(dataset, "train", 16, tmp_path / "cache")
    assert len(found.pixels) == 4
    assert built == [found.path]
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".images", ".json"}


@pytest.mark.parametrize("locks", [True, False])
def test_what_a_killed_process_left_half_built_is_removed(
    pack: Pack, photographs: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    def without_locks(_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    dataset = open_dataset(pack(photographs))
    path = decode_split(dataset, "train", 16, tmp_path / "cache").path
    assert path is not None
    path.with_name(f"{path.name}.json").unlink()
    half = path.with_name(f".{path.name}.images.17-0123abcd.partial")
    half.write_bytes(b"half")
    other = path.with_name(f".other-{path.name}.images.17-0123abcd.partial")
    other.write_bytes(b"of another cache, which is not held")
    if not locks:  # where another process may be writing it
        monkeypatch.setattr(_lock, "_lock", without_locks)
    decode_split(dataset, "train", 16, tmp_path / "cache")
    assert (half.exists(), other.exists()) == (not locks, True)


def test_a_lock_that_cannot_be_made_is_done_without(
    pack: Pack, photographs: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, name: str) -> None:
        raise PermissionError(13, "Permission denied", str(folder / name))  # of another user

    monkeypatch.setattr(cache, "alone", refuse)
    assert len(decode_split(open_dataset(pack(photographs)), "train", 16, tmp_path / "cache").pixels) == 4


@pytest.mark.skipif(
    not cache_file._NO_RESERVE or not OVERCOMMIT.is_file() or OVERCOMMIT.read_text().strip() != "0",
    reason="what may be written to is counted otherwise here",
)
def test_a_file_larger_than_memory_is_mapped(tmp_path: Path) -> None:
    size = psutil.virtual_memory().total + psutil.swap_memory().total + 2**30
    with (tmp_path / "a.images").open("wb") as file:
        file.truncate(size)  # takes no room on the disk
    mapped = _mapped(tmp_path / "a.images", "uint8")
    mapped[size - 1] = 7
    assert (len(mapped), mapped[size - 1], mapped[0]) == (size, 7, 0)
    del mapped
    assert _mapped(tmp_path / "a.images", "uint8")[size - 1] == 0


def test_nothing_is_found_where_nothing_was_written(tmp_path: Path) -> None:
    assert read_cache(tmp_path / "nothing") is None


def test_the_default_folder_is_the_users_unless_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANYCHAN_CACHE", raising=False)
    assert default_cache_dir().name == "anychan"
    monkeypatch.setenv("ANYCHAN_CACHE", "elsewhere")
    assert default_cache_dir() == Path("elsewhere")
