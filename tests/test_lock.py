"""A folder held by one process, by others' attempts to hold it too."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from anychan import _lock
from anychan._lock import LOCK, alone

HOLDING = "import sys\nfrom pathlib import Path\nfrom anychan._lock import alone\nwith alone(Path(sys.argv[1])):\n"


def test_who_waits_gets_it_when_it_is_let_go(tmp_path: Path) -> None:
    events: list[str] = []

    def second() -> None:
        with alone(tmp_path, wait=True):
            events.append("second")

    with alone(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        events.append("first")
    thread.join(timeout=60)
    assert events == ["first", "second"]


def test_of_two_names_each_is_held_for_itself(tmp_path: Path) -> None:
    with alone(tmp_path) as is_ours, alone(tmp_path, ".other.lock"):
        assert is_ours
        assert {path.name for path in tmp_path.iterdir()} == {LOCK, ".other.lock"}


def test_a_process_that_dies_lets_go(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLDING + "    print(flush=True)\n    sys.stdin.read()", str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with (
            pytest.raises(FileExistsError, match="in use by another process: wait until it has ended"),
            alone(tmp_path),
        ):
            pass
        process.kill()
    with alone(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def without_locks(_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_lock, "_lock", without_locks)
    with alone(tmp_path / "out") as is_ours:
        assert not is_ours
    (said,) = caplog.messages
    assert (
        said
        == f"{tmp_path / 'out'} cannot be locked (No locks available): see to it that no other process writes there"
    )
