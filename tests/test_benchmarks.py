"""That benchmarks measure the step that training takes, and keep the records that they have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from anychan.training import TrainConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_a_measured_step_is_spared_on_a_cpu_what_training_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    new_step = import_module("_steps").new_step
    entered = []

    @contextmanager
    def noted(what: str) -> Iterator[None]:
        entered.append(what)
        yield

    machine = SimpleNamespace(device="cpu", precision="float32", memory_format=torch.channels_last)
    machine.context, machine.update_context = partial(noted, "forward"), partial(noted, "update")
    model, config = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten()), TrainConfig(data="", out=Path("unused"))
    for spared in ({}, {"faster": False}, {"in_order": False}):
        entered.append(str(spared))
        new_step(model, config, machine, **spared)(torch.ones(1, 3, 2, 2), torch.tensor([1]))
    assert entered == ["{}", "forward", "update", "{'faster': False}", "update", "{'in_order': False}", "forward"]


def test_a_record_of_other_settings_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", ["cpu_step.py", "--threads", "3", "--save"])
    with pytest.raises(SystemExit):
        import_module("cpu_step").main()
    assert "threads 3 is not that of cpu_step-resnet18.json, 2: move it away" in capsys.readouterr().err
