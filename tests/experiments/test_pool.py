"""Work in processes of its own: order, what fails, what dies, what is stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from anychan.experiments import pool
from anychan.experiments.pool import Task, work_through
from anychan.models import WeightsUnavailableError
from anychan.training import InterruptedRunError
from anychan.training.stopping import StopRequest, listening

_LONG_S = 80.0
KILLED = "died with code -9, as the system ends one where memory is short (fewer --workers need less)"


def note(path: Path, says: str | None = None, meets: Path | None = None) -> str | None:
    """Leaves a file, and may wait for that of another, which must be running meanwhile."""
    print("in the log", flush=True)
    began = time.monotonic()
    path.write_text("began")
    if meets is not None:
        _until(meets.exists)
    time.sleep(0.5)
    path.write_text(f"{began} {time.monotonic()}")
    return says


def note_threads(path: Path) -> None:
    path.write_text(str(torch.get_num_threads()))


def fail() -> None:
    raise KeyError("no such thing")


def refuse(error: OSError) -> None:
    raise error


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_to_be_stopped(path: Path) -> None:
    with listening() as request:
        path.write_text("began")
        while not request:
            time.sleep(0.01)
    path.write_text("checkpoint")
    raise InterruptedRunError("stopped")


def hear_nothing(path: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path.write_text("began")
    time.sleep(_LONG_S)


def stay() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=time.sleep, args=(_LONG_S,)).start()


def task(
    folder: Path, name: str, work: Callable[[], str | None] | None = None, after: tuple[str, ...] = (), meets: str = ""
) -> Task:
    work = work or partial(note, folder / name, meets=folder / meets if meets else None)
    return Task(name, work, folder / "logs" / f"{name}.log", after)


@pytest.mark.parametrize(("cores", "of_torch", "threads"), [(6, 8, 3), (6, 1, 1), (1, 8, 1)])
def test_two_processes_share_the_cores_and_take_no_more_threads_than_torch_has_here(
    cores: int, of_torch: int, threads: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pool, "usable_cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: of_torch)
    work_through([task(tmp_path, "a", partial(note_threads, tmp_path / "a"))], 2)
    assert (tmp_path / "a").read_text() == str(threads)


def test_as_many_run_at_once_as_there_are_workers_and_what_waits_lets_others_pass(tmp_path: Path) -> None:
    tasks = [task(tmp_path, "a", meets="b"), task(tmp_path, "needs-a", after=("a",)), task(tmp_path, "b", meets="a")]
    told: list[str] = []
    found = work_through(tasks, 2, tell=lambda name, seconds, failed: told.append(f"{name} {failed}"))
    assert found == {"a": None, "needs-a": None, "b": None}
    assert sorted(told) == ["a None", "b None", "needs-a None"]
    assert told.index("a None") < told.index("needs-a None")
    assert (tmp_path / "logs" / "a.log").read_text() == "in the log\n"


def test_one_worker_does_one_after_another_the_first_first(tmp_path: Path) -> None:
    names = ["c", "a", "b"]
    work_through([task(tmp_path, name) for name in names], 1)
    times = [tuple(map(float, (tmp_path / name).read_text().split())) for name in names]
    assert times[0][1] < times[1][0]
    assert times[1][1] < times[2][0]


def test_what_fails_or_dies_is_told_and_the_rest_is_done(tmp_path: Path) -> None:
    tasks = [
        task(tmp_path, "said", partial(note, tmp_path / "said", "ran out of memory")),
        task(tmp_path, "raised", fail),
        task(tmp_path, "died", die),
        task(tmp_path, "needs", after=("raised",)),
        task(tmp_path, "needs-that", after=("needs",)),
        task(tmp_path, "fine"),
    ]
    found = work_through(tasks, 2)
    assert found["said"] == "ran out of memory"
    assert found["raised"] == "KeyError: 'no such thing'"
    assert found["died"] == f"its process {KILLED}; what it said is in {tmp_path / 'logs' / 'died.log'}"
    assert found["needs"] == "was not begun, since raised failed"
    assert found["needs-that"] == "was not begun, since needs failed"
    assert found["fine"] is None
    assert not (tmp_path / "needs").exists()


def test_nothing_is_begun_after_files_have_failed(tmp_path: Path) -> None:
    exists = partial(refuse, FileExistsError(17, "another process is there"))
    gone = partial(refuse, WeightsUnavailableError("the weights cannot be downloaded"))
    full = partial(refuse, OSError(28, "No space left on device"))
    works = (("exists", exists), ("gone", gone), ("full", full), ("later", None))
    tasks = [task(tmp_path, name, work) for name, work in works]
    found = work_through([*tasks, task(tmp_path, "needs", after=("full",))], 1)
    assert found == {
        "exists": "FileExistsError: [Errno 17] another process is there",
        "gone": "WeightsUnavailableError: the weights cannot be downloaded",
        "full": "OSError: [Errno 28] No space left on device",
        "later": "was not begun, since full failed by files, as this would",
        "needs": "was not begun, since full failed by files, as this would",
    }
    assert not (tmp_path / "later").exists()


def test_a_death_is_heard_though_somebody_holds_the_pipe(tmp_path: Path) -> None:
    said, told = multiprocessing.Pipe()
    over, ends = multiprocessing.Pipe(duplex=False)
    died = SimpleNamespace(sentinel=over.fileno(), join=lambda _: None, exitcode=-9)
    at_work = pool._Pool(1, None, StopRequest(), None)
    at_work._running.append(pool._Running(task(tmp_path, "a"), died, said, 0.0))
    with told, over:
        at_work._look()
        assert at_work.ended == {}
        ends.close()
        at_work._look()
        assert at_work.ended["a"] == f"its process {KILLED}; what it said is in {tmp_path / 'logs' / 'a.log'}"


def test_when_the_time_is_up_what_runs_is_stopped_and_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, deaf = tmp_path / "long", tmp_path / "deaf"
    hour = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600 * (long.exists() and deaf.exists()))
    monkeypatch.setattr(pool, "time", hour)  # passes when both have begun
    tasks = [
        task(tmp_path, "long", partial(wait_to_be_stopped, long)),
        task(tmp_path, "deaf", meets="nobody"),
        task(tmp_path, "later"),
    ]
    found = work_through(tasks, 2, seconds=1800)
    assert long.read_text() == "checkpoint"
    assert deaf.read_text() == "began"
    assert found["long"] == found["deaf"] == "was stopped and goes on when it is asked for again"
    assert found["later"] == "was not begun: the time was up"


def test_what_does_not_heed_that_it_is_asked_to_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = tmp_path / "deaf"
    hour = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600 * deaf.exists())
    monkeypatch.setattr(pool, "time", hour)
    monkeypatch.setattr(pool, "_GRACE_S", 1.0, raising=False)
    began = time.monotonic()
    found = work_through([task(tmp_path, "deaf", partial(hear_nothing, deaf))], 1, seconds=1800)
    assert found == {"deaf": "was stopped and goes on when it is asked for again"}
    assert time.monotonic() - began < 60


def test_a_process_that_has_said_all_but_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_GRACE_S", 1.0, raising=False)
    began = time.monotonic()
    assert work_through([task(tmp_path, "a", stay)], 1) == {"a": None}
    assert time.monotonic() - began < 60


def test_an_interruption_stops_what_runs_once_and_raises(tmp_path: Path) -> None:
    long = tmp_path / "long"

    def interrupt() -> None:
        while not long.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(InterruptedRunError, match="asked again, the runs go on"):
        work_through([task(tmp_path, "long", partial(wait_to_be_stopped, long)), task(tmp_path, "later")], 1)
    assert long.read_text() == "checkpoint"
    assert not (tmp_path / "later").exists()


def test_processes_stop_when_their_parent_dies(tmp_path: Path) -> None:
    code = f"""
from functools import partial
from pathlib import Path
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_pool import Task, wait_to_be_stopped, work_through
if __name__ == "__main__":
    folder = Path({str(tmp_path)!r})
    work_through([Task("long", partial(wait_to_be_stopped, folder / "long"), folder / "long.log")], 1)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script)])
    _until((tmp_path / "long").exists)
    parent.kill()
    parent.wait()
    _until(lambda: (tmp_path / "long").read_text() == "checkpoint")


def _until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.05)


def test_bad_asks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers 0 must be 1 or more"):
        work_through([], 0)
    with pytest.raises(ValueError, match="b waits for 'a', which does not stand before it"):
        work_through([task(tmp_path, "b", after=("a",)), task(tmp_path, "a")], 1)
