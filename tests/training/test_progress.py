"""What is shown: a line an epoch for files, a bar with the numbers and the time left for people."""

from __future__ import annotations

import io
import sys

import pytest

from anychan.training import progress as module
from anychan.training.progress import Progress

RECORD = {
    "epoch": 2,
    "train_loss": 1.25,
    "train_accuracy": 0.5,
    "val_loss": 2.0,
    "val_accuracy": 0.25,
    "images_per_second": 300.4,
    "seconds": 12.0,
}


def measure() -> tuple[float, float, float]:
    return 1.5, 0.421, 297.0


def test_a_file_gets_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(steps=4, done=0, epochs=2, shown=True)
    shown.step(1, lambda: pytest.fail("the device was waited for"))
    shown.epoch(RECORD)
    shown.close()
    line = "epoch 2/2: loss 1.2500, accuracy 50.0%; validation loss 2.0000, accuracy 25.0%; 300 images/s, 12.0 s\n"
    assert capsys.readouterr().err == line


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(module, "_REFRESH", 0.0)
    shown = Progress(steps=4, done=1, epochs=2, shown=True)
    shown.step(1, measure)
    shown.close()
    text = terminal.getvalue()
    assert "epoch 1/2" in text
    assert "2/4 steps" in text
    assert "left" in text
    assert "loss 1.500, accuracy 42.1%, 297 images/s" in text


def test_the_other_processes_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = Progress(steps=4, done=0, epochs=2, shown=False)
    hidden.step(1, measure)
    hidden.epoch(RECORD)
    hidden.close()
    assert capsys.readouterr().err == ""
