"""A function over many items on all cores, with the results in order and few of them waiting.

Threads suffice: Pillow, simplejpeg and zlib let go of the interpreter while they work.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_BATCH = 32  # items a task at most, so that handing them out costs nothing beside them
_BATCHES_AHEAD = 3  # tasks for each worker that may be under way or wait to be collected
_AHEAD = 512  # items of all tasks together, or one a task: on many cores more would fill the memory
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # of a container


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """``map(function, items)`` on threads; an error is raised when the turn of its task, of up to 32 items, comes.

    Example:
        >>> list(ordered_map(abs, range(-3, 3), workers=2))
        [3, 2, 1, 0, 1, 2]
    """
    workers = workers or usable_cores()
    size = min(_BATCH, max(1, _AHEAD // (_BATCHES_AHEAD * workers)))
    remaining = iter(items)
    pending: deque[Future[list[Result]]] = deque()

    def run(batch: Sequence[Item]) -> list[Result]:
        return [function(item) for item in batch]

    with ThreadPoolExecutor(workers) as pool:
        try:
            while batch := tuple(islice(remaining, size)):
                pending.append(pool.submit(run, batch))
                if len(pending) >= _BATCHES_AHEAD * workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def usable_cores() -> int:
    """The cores this process may run on, and no more than its container's share of time is worth."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        share, of = map(int, _CPU_MAX.read_text().split())
    except (OSError, ValueError):  # no container, or none with a limit
        return cores
    return max(1, min(cores, math.ceil(share / of)))
