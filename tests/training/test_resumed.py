"""Runs that go on with another commit, other versions or on another machine keep what trained them before."""

from __future__ import annotations

from typing import Any

import pytest

from anychan.experiments.records import validate_records
from anychan.training import InterruptedRunError, TrainConfig, train
from anychan.training import run as run_module
from anychan.training.resumed import earlier_parts

from ._runs import described
from .test_run_stops import Interrupting


def environment(commit: str) -> dict[str, Any]:
    return {"versions": {"torch": "3"}, "commit": commit, "dirty": False, "hardware": {"cpu": "Test CPU", "gpu": None}}


def test_a_run_that_goes_on_elsewhere_says_what_trained_it_before(
    make: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def trained(commit: str, config: TrainConfig) -> dict[str, Any]:
        monkeypatch.setattr(run_module, "environment", lambda: environment(commit))
        train(config)
        return described(config.out)

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "Trainer", Interrupting)
        with pytest.raises(InterruptedRunError):
            trained("a", make())
    assert "resumed_from" not in described(make().out)
    capsys.readouterr()
    made = trained("b", make(resume=True))
    assert (made["commit"], made["resumed_from"]) == ("b", [{**environment("a"), "epochs": 1, "step": 2}])
    assert validate_records([make().out])[1] == []
    said = "trained in another environment: epoch 1 and 2 steps (commit: a -> b)"
    assert said in capsys.readouterr().err
    assert trained("c", make(resume=True)) == made  # it was finished before


def test_what_no_checkpoint_kept_is_no_part() -> None:
    a, b, c = map(environment, "abc")
    of_a = {**a, "epochs": 2, "step": 0}
    assert earlier_parts(b | {"resumed_from": [of_a]}, (2, 0), c) == [of_a]  # b was killed before its first checkpoint
    assert earlier_parts(b | {"resumed_from": [of_a]}, (2, 0), a) == []
    assert earlier_parts(b | {"resumed_from": [of_a]}, (2, 7), c) == [of_a, {**b, "epochs": 2, "step": 7}]
    assert earlier_parts(b | {"resumed_from": [of_a]}, (1, 3), c) == [{**a, "epochs": 1, "step": 3}]
    assert earlier_parts(a, (0, 0), b) == []
    assert earlier_parts({}, (1, 0), a) == [{"epochs": 1, "step": 0}]  # run.json is gone
