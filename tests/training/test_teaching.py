"""Whole runs that are taught: by the full set, which has its share of the loss, and by a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anychan.training import loop, train
from anychan.training.config import ObjectiveConfig, OptimizerConfig

from ._runs import SETTINGS, recorded, weights


@pytest.mark.parametrize(("share", "given"), [("equal", None), (0.3, 0.3)])
def test_the_full_sets_share_reaches_the_loss(
    make: Any, monkeypatch: pytest.MonkeyPatch, share: Any, given: float | None
) -> None:
    seen, original = [], loop.sandwich

    def sandwich(*given: Any, **options: Any) -> Any:
        seen.append(options["full_share"])
        return original(*given, **options)

    monkeypatch.setattr(loop, "sandwich", sandwich)
    train(make(strategy="sliced", epochs=1, objective=ObjectiveConfig(full_share=share)))
    assert set(seen) == {given}


def test_a_plain_network_is_taught_on_all_its_channels(make: Any, plain_run: Path, tmp_path: Path) -> None:
    """At a learning rate of almost nothing the loss is that of a fresh network's answers with the teacher's."""
    still = {"optimizer": OptimizerConfig(learning_rate=1e-9), "epochs": 1, "label_smoothing": 0.0}
    losses = {
        share: recorded(
            train(
                make(
                    out=tmp_path / f"share{share}",
                    objective=ObjectiveConfig("teacher", teacher=plain_run, label_share=share),
                    **still,
                )
            )
        )[0]["train_loss"]
        for share in (0.0, 0.5, 1.0)
    }
    labels = recorded(train(make(out=tmp_path / "labels", **still)))[0]["train_loss"]
    assert losses[1.0] == pytest.approx(labels, abs=1e-5)
    assert losses[0.5] == pytest.approx((losses[0.0] + labels) / 2, abs=1e-5)
    assert losses[0.0] != pytest.approx(labels, abs=1e-3)


def test_a_teacher_teaches_the_classes_and_channels_it_knows(
    make: Any, plain_run: Path, sliced_run: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"strategy": "sliced", "objective": ObjectiveConfig("teacher", teacher=plain_run)}
    taught = weights(train(make(out=tmp_path / "taught", **settings)))
    alone = weights(train(make(out=tmp_path / "alone", strategy="sliced", objective=ObjectiveConfig("labels"))))
    assert any(not torch.equal(taught[name], alone[name]) for name in taught)
    by_a_teacher = ObjectiveConfig("sandwich", teacher=plain_run)
    sandwich = weights(train(make(out=tmp_path / "sandwich", strategy="sliced", objective=by_a_teacher)))
    in_place = weights(sliced_run)
    assert any(not torch.equal(sandwich[name], in_place[name]) for name in taught)
    with pytest.raises(ValueError, match=r"other classes \(4 and 3\): .* is in one of them only"):
        train(make(out=tmp_path / "other", data=SETTINGS["data"].replace("classes=4", "classes=3"), **settings))
