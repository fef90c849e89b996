"""Why a run ends before its last epoch, other than by early stopping."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class TrainingStoppedError(RuntimeError):
    """A run that was stopped; its message says why, and where it can be taken up again."""


class NotFiniteError(TrainingStoppedError):
    """The loss or a gradient became infinite or not a number; the weights were not updated with it."""


class InterruptedRunError(TrainingStoppedError):
    """Ctrl-C or a request to terminate; a checkpoint was written, or after the last step the model."""


class StopRequest:
    """Whether somebody asked the run to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request that the loop sees after its step; a SIGINT after it acts at once.

    Further requests to terminate change nothing: whoever stops a job may ask each process twice, by itself and through
    its parent, and a checkpoint is being written.

    Outside the main thread, where Python delivers no signals, the request is never made.

    Example:
        >>> with listening() as request:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     print(request.signal.name)
        SIGTERM
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, _frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, ask)
    try:
        yield request
    finally:
        restore()
