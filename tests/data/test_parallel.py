"""Work on threads keeps its order, its bounds and its errors."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from anychan.data import parallel
from anychan.data.parallel import ordered_map, usable_cores


def test_results_are_in_order_though_work_ends_out_of_order() -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i % 64 == 0 else 0)
        return i * i

    assert list(ordered_map(slow_first, range(300), workers=4)) == [i * i for i in range(300)]


def test_work_runs_on_several_threads() -> None:
    both = threading.Barrier(2, timeout=20)

    def wait(i: int) -> int:
        if i in (0, 32):  # of two tasks
            both.wait()
        return i

    assert len(list(ordered_map(wait, range(64), workers=2))) == 64


def test_no_more_is_taken_than_will_soon_be_wanted() -> None:
    numbers = iter(range(100_000))
    results = ordered_map(lambda i: i, numbers, workers=2)
    assert next(results) == 0
    assert next(numbers) < 1000
    results.close()


def test_many_cores_do_not_take_more() -> None:
    numbers = iter(range(100_000))
    results = ordered_map(lambda i: i, numbers, workers=64)
    assert next(results) == 0
    assert next(numbers) <= 512
    results.close()


def test_errors_come_in_their_turn() -> None:
    results = ordered_map(lambda i: 1 // (i - 100), range(200), workers=2)
    assert [next(results) for _ in range(96)] == [1 // (i - 100) for i in range(96)]  # of the tasks before
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_at_least_one_core() -> None:
    assert usable_cores() >= 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("150000 100000", 2), ("50000 100000", 1), ("6400000 100000", 8), ("max 100000", 8), ("", 8)],
)
def test_a_containers_share_of_time_counts(
    limit: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    monkeypatch.setattr(parallel, "_CPU_MAX", tmp_path / "cpu.max")
    assert usable_cores() == expected
