"""Several pieces of work at once on one machine, each in a process of its own, in order of priority.

A small network leaves most of a GPU idle, so that runs side by side take little longer than one. A process that dies
takes nothing with it, and one that is asked to stop writes its checkpoint first.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from anychan.data.parallel import usable_cores
from anychan.models import WeightsUnavailableError
from anychan.training import InterruptedRunError
from anychan.training.stopping import StopRequest, listening

# Imported once, before the processes are made.
_BEFOREHAND = ["anychan.experiments.completing", "torchvision", "timm", "accelerate", "torchmetrics.classification"]
_STOPPED = "was stopped and goes on when it is asked for again"
_KILLED = -9  # by SIGKILL
_GRACE_S = 600.0  # for a checkpoint, on a slow disk too


@dataclass(frozen=True)
class Task:
    """A piece of work.

    Args:
        name: that others may wait for.
        work: does it, and returns what went wrong as a sentence, or None; it travels to another process.
        log: where what it prints goes.
        after: tasks before it in the list that must have succeeded.
    """

    name: str
    work: Callable[[], str | None]
    log: Path
    after: tuple[str, ...] = ()


@dataclass
class _Running:
    task: Task
    process: Any
    said: Connection
    since: float


def work_through(
    tasks: Sequence[Task],
    workers: int,
    *,
    seconds: float | None = None,
    tell: Callable[[str, float, str | None], None] | None = None,
) -> dict[str, str | None]:
    """Do the tasks, the first ones first, as many at once as there are workers.

    One that raises an OSError is the last that is begun: files that are not there or cannot be written the others would
    meet too. But for a FileExistsError, and for pretrained weights that cannot be had, which need not be theirs.

    Args:
        tasks: in order of priority; one that waits for others lets later ones pass.
        workers: processes at once.
        seconds: after which what runs is asked to stop, and nothing is begun any more; None: no limit.
        tell: called with each task's name, its seconds and what went wrong, when it has ended.

    Returns:
        By name what went wrong as a sentence, or None; of those that were not begun too.

    Raises:
        ValueError: for fewer than one worker, or a task that waits for one that does not stand before it.
        InterruptedRunError: if it was interrupted; what ran has stopped.
    """
    if workers < 1:
        raise ValueError(f"workers {workers} must be 1 or more")
    names = [task.name for task in tasks]
    for number, task in enumerate(tasks):  # so nothing can wait for itself
        if unknown := [name for name in task.after if name not in names[:number]]:
            raise ValueError(f"{task.name} waits for {unknown[0]!r}, which does not stand before it")
    with listening() as request:
        pool = _Pool(workers, None if seconds is None else time.monotonic() + seconds, request, tell)
        pool.work(list(tasks))
        if request:
            raise InterruptedRunError("interrupted; asked again, the runs go on")
    return {name: pool.ended[name] for name in names}


class _Pool:
    def __init__(
        self,
        workers: int,
        until: float | None,
        request: StopRequest,
        tell: Callable[[str, float, str | None], None] | None,
    ) -> None:
        self._workers, self._until, self._request, self._tell = workers, until, request, tell
        self._context = _processes()
        self._running: list[_Running] = []
        self._met: str | None = None  # which task met what the others would too
        self.ended: dict[str, str | None] = {}

    def work(self, waiting: list[Task]) -> None:
        """Do all that is waiting; whatever ends it early, no process is left behind."""
        try:
            while (waiting or self._running) and not self._over:
                self._begin_what_can(waiting)
                self._look()
        finally:
            self._stop()
        for task in waiting:
            self._end(task, 0.0, "was not begun: the time was up")

    def _begin_what_can(self, waiting: list[Task]) -> None:
        for task in list(waiting):
            failed = next((name for name in task.after if self.ended.get(name)), None)
            if self._met is not None:
                waiting.remove(task)
                self._end(task, 0.0, f"was not begun, since {self._met} failed by files, as this would")
            elif failed is not None:
                waiting.remove(task)
                self._end(task, 0.0, f"was not begun, since {failed} failed")
            elif len(self._running) < self._workers and all(name in self.ended for name in task.after):
                waiting.remove(task)
                self._begin(task)

    @property
    def _over(self) -> bool:
        return bool(self._request) or (self._until is not None and time.monotonic() >= self._until)

    def _begin(self, task: Task) -> None:
        task.log.parent.mkdir(parents=True, exist_ok=True)
        said, told = self._context.Pipe()
        # No more than torch would take here, which may have been told to take few: threads beyond cores wait in a loop.
        threads = max(min(usable_cores() // self._workers, torch.get_num_threads()), 1)
        process = self._context.Process(target=_in_process, args=(task.work, str(task.log), told, threads))
        process.start()
        told.close()  # only the process holds it now, so that its death is heard
        self._running.append(_Running(task, process, said, time.monotonic()))

    def _look(self) -> None:
        """Take up what has ended; waits a little for it."""
        # A process that dies before it holds its end of the pipe leaves it open in this one on Windows.
        ready = wait([end for one in self._running for end in (one.said, one.process.sentinel)], 0.2)
        for one in [one for one in self._running if one.said in ready or one.process.sentinel in ready]:
            failed = self._heard(one)
            _wait_for_end(one.process)
            one.said.close()
            self._running.remove(one)
            self._end(one.task, time.monotonic() - one.since, failed)

    def _heard(self, one: _Running) -> str | None:
        with contextlib.suppress(EOFError, BrokenPipeError):
            if one.said.poll():
                failed: str | None
                failed, by_files = one.said.recv()
                if by_files:
                    self._met = one.task.name
                return failed
        _wait_for_end(one.process)
        if self._over:
            return _STOPPED
        code = one.process.exitcode
        why = ", as the system ends one where memory is short (fewer --workers need less)" if code == _KILLED else ""
        return f"its process died with code {code}{why}; what it said is in {one.task.log}"

    def _stop(self) -> None:
        for one in self._running:
            one.process.terminate()  # a run writes its checkpoint first
        until = time.monotonic() + _GRACE_S
        while self._running:
            if time.monotonic() >= until:
                for one in self._running:
                    one.process.kill()
            self._look()

    def _end(self, task: Task, seconds: float, failed: str | None) -> None:
        self.ended[task.name] = failed
        if self._tell is not None:
            self._tell(task.name, seconds, failed)


def _wait_for_end(process: Any) -> None:
    """Of a process that has said what it had to say, or has closed its ears: one that does not end is killed."""
    process.join(_GRACE_S)
    if process.exitcode is None:
        process.kill()
        process.join(_GRACE_S)


def _processes() -> Any:
    """How processes are made: by a server that has imported what all need, where the system has that."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # a server that had started CUDA could not be copied
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_BEFOREHAND)
    return context


def _in_process(work: Callable[[], str | None], log: str, told: Connection, threads: int) -> None:
    """What a process does: its work, with its output in a file."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the parent alone, which then asks each process once
    _redirect(log)
    threading.Thread(target=_die_with_parent, args=(told,), daemon=True).start()
    torch.set_num_threads(threads)
    by_files = False
    try:
        failed = work()
    except InterruptedRunError:
        failed = _STOPPED
    except Exception as error:
        by_files = isinstance(error, OSError) and not isinstance(error, FileExistsError | WeightsUnavailableError)
        failed = f"{type(error).__name__}: {' '.join(str(error).split())}"
    with contextlib.suppress(OSError):  # nobody listens any more
        told.send((failed, by_files))


def _redirect(log: str) -> None:
    """Output and errors go into a file, those of libraries too."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)


def _die_with_parent(told: Connection) -> None:
    """Ask the work to stop when the other end is gone."""
    with contextlib.suppress(EOFError, OSError):
        told.recv()
    os.kill(os.getpid(), signal.SIGTERM)
