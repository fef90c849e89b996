"""Two processes under torchrun train one model: equal weights, the same channels, one run folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from anychan._lock import alone
from anychan.models import load_model
from anychan.training import train

from .two_processes import settings


def launch(folder: Path, *words: str) -> None:
    program = Path(__file__).with_name("two_processes.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, str(program), str(folder), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # A process that leaves its group to the end of the interpreter aborts now and then.
    assert [(folder / f"rank{rank}.ended").read_text() for rank in range(2)] == ["alone", "alone"]


def test_what_another_program_holds_is_refused_by_both(tmp_path: Path) -> None:
    with alone(tmp_path / "run"), pytest.raises(AssertionError, match="in use by another process"):
        launch(tmp_path)
    said = [(tmp_path / f"rank{rank}.refused").read_text() for rank in range(2)]
    assert (
        said
        == [f"{tmp_path / 'run'} is in use by another process: wait until it has ended, or choose another folder"] * 2
    )


def test_two_processes_agree(tmp_path: Path) -> None:
    launch(tmp_path)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    for group in ("weights", "averages"):
        assert all(torch.equal(first[group][name], second[group][name]) for name in first[group])
    channels, images = zip(*first["seen"], strict=True)
    others, other_images = zip(*second["seen"], strict=True)
    assert len(channels) == 8  # 64 images, 16 a step in both together, 2 epochs
    assert channels == others
    assert len(set(channels)) > 1
    assert all(seen.startswith("RGB ") and len(seen.split()) == 3 for seen in channels)  # the full set and two others
    assert all(mine != theirs for mine, theirs in zip(images, other_images, strict=True))
    records = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2]
    assert all(0 < record["train_loss"] < 10 and 0 <= record["val_accuracy"] <= 1 for record in records)
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (description["status"], description["machine"]["processes"]) == ("finished", 2)
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)
    assert len(checkpoint["trainer"]["random"]) == 2
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    # The gradients of all passes of a step count, though processes exchange them once.
    launch(tmp_path, "steady")
    alone = train(settings(tmp_path / "alone", "steady"))
    together, _ = load_model(tmp_path / "run")
    fresh = load_model(alone)[1].create().state_dict()
    moved = 0.0
    for name, expected in load_model(alone)[0].state_dict().items():
        torch.testing.assert_close(together.state_dict()[name], expected, rtol=0, atol=2e-4)  # sums in another order
        moved = max(moved, float((expected - fresh[name]).abs().max()))
    assert moved > 0.02


def test_two_processes_prepare_the_same_stem(tmp_path: Path) -> None:
    launch(tmp_path, "whitened")
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)["weights"] for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_both_stop_where_one_was_asked_to_after_the_last_step(tmp_path: Path) -> None:
    launch(tmp_path, "interrupted")
    said = [(tmp_path / f"rank{rank}.interrupted").read_text() for rank in range(2)]
    assert said == [f"interrupted after the last step; {tmp_path / 'run'} is finished"] * 2
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
