"""Two processes under torchrun train one model: equal weights, the same channels, one run folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch


def test_two_processes_agree(tmp_path: Path) -> None:
    program = Path(__file__).with_name("two_processes.py")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, str(program), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
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
