"""Checkpoints: whole or not there, the one before kept, damage named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anychan.training.checkpoint import LAST, PREVIOUS, load_checkpoint, remove_leftovers, save_checkpoint


def test_the_newest_is_read_and_the_one_before_is_kept(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    for step in range(3):
        save_checkpoint(tmp_path, {"step": step, "weights": torch.full((3,), float(step))})
    state = load_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 2
    assert torch.equal(state["weights"], torch.full((3,), 2.0))
    (tmp_path / LAST).unlink()  # as if killed between the two renames
    previous = load_checkpoint(tmp_path)
    assert previous is not None
    assert previous["step"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREVIOUS]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_one_is_named_and_the_way_out_too(tmp_path: Path, content: bytes | None) -> None:
    for step in range(2):
        save_checkpoint(tmp_path, {"step": step, "weights": torch.zeros(1000)})
    whole = (tmp_path / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ValueError, match=rf"{LAST} is damaged .*; delete it to go on from .*{PREVIOUS}"):
        load_checkpoint(tmp_path)


def test_one_that_would_execute_something_is_not_read(tmp_path: Path) -> None:
    torch.save({"format": 1, "path": tmp_path}, tmp_path / LAST)  # pickles a class
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(tmp_path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"format": 99}, tmp_path / LAST)
    with pytest.raises(ValueError, match="not of format 1"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("values", [25_000, 10])  # torch writes the first at once, the second when it closes the file
def test_a_full_disk_is_named_and_leaves_the_last_one(tmp_path: Path, full_disk: Any, values: int) -> None:
    save_checkpoint(tmp_path, {"step": 0})
    refused = pytest.raises(OSError, match=rf"{LAST} cannot be written \(is the disk full\?\): .+")
    with refused, full_disk(1000):
        save_checkpoint(tmp_path, {"step": 1, "weights": torch.zeros(values)})
    assert load_checkpoint(tmp_path) == {"format": 1, "step": 0}
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


def test_what_a_device_is_short_of_is_not_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(torch.OutOfMemoryError):
        save_checkpoint(tmp_path, {"step": 0})


def test_leftovers_are_removed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"step": 0})
    (tmp_path / f".{LAST}.123.partial").write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LAST]
