"""Runs that are killed with SIGKILL and resumed, for test_resume.py; a program of its own, since it forks.

    python killed_runs.py FOLDER RANDOM ATWRITE

A run that nobody disturbs is the reference. Then RANDOM runs are killed at random moments and ATWRITE while they
write a checkpoint; each is resumed and compared with the reference. One line of JSON for each goes to stdout.

Libraries are imported once, here; every run is a fork, so that one costs its training and no more. Nothing is
computed before the forks, so no thread is lost in them.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401 - imported before the forks
import torch
from torch import nn
from torch.utils import tensorboard  # noqa: F401 - the same

from anychan.models import register_model
from anychan.training import TrainConfig, train
from anychan.training.config import EarlyStoppingConfig
from anychan.training.records import CHECKPOINTS, RECORDS

# Dropout draws from the global generator, the moving average and early stopping have states of their own.
SETTINGS: dict[str, Any] = {
    "data": "synthetic:bands=3,train=96,val=16,test=8,size=32,classes=4",
    "image_size": 32,
    "model": "tiny_with_dropout",
    "strategy": "sliced",
    "channel_sampling": "bernoulli",
    "epochs": 3,
    "batch_size": 8,
    "ema_decay": 0.9,
    "early_stopping": EarlyStoppingConfig(patience=3),
    "checkpoint_every_steps": 3,
    "device": "cpu",
}


@register_model
def tiny_with_dropout(in_chans: int, num_classes: int) -> nn.Module:
    """(N, C, H, W) to (N, K)."""
    return nn.Sequential(
        nn.Conv2d(in_chans, 16, 3, stride=2, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32, num_classes),
    )


def forked(work: Callable[[], object]) -> int:
    """Run ``work`` in a fork; its process id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            torch.set_num_threads(1)
            work()
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid


def killed(pid: int) -> bool:
    """Wait for a fork; whether SIGKILL ended it (else it ran to its end)."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "a run failed"
    return False


def die_while_writing(how: int, chance: random.Random) -> None:
    """From here on, this process is killed while it writes one of its next checkpoints."""
    writes_left = chance.randrange(8)
    share = (0.0, chance.random(), 1.0, None, None)[how]
    save, replace = torch.save, Path.replace

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def save_or_die(state: Any, path: Path) -> None:
        nonlocal writes_left
        writes_left -= 1
        if writes_left >= 0 or share is None:
            return save(state, path)
        buffer = io.BytesIO()
        save(state, buffer)
        whole = buffer.getvalue()
        with path.open("wb") as file:
            file.write(whole[: int(share * len(whole))])
            file.flush()
            return die()

    def replace_or_die(path: Path, target: Path) -> Path:
        if share is None and writes_left < 0 and how == 4 and target.name == "last.pt":
            die()  # between the two renames
        done = replace(path, target)
        if share is None and writes_left < 0 and how == 3 and target.name == "last.pt":
            die()  # after both
        return done

    torch.save, Path.replace = save_or_die, replace_or_die  # type: ignore[assignment, method-assign] # to die in them


def contents(run: Path) -> dict[str, Any]:
    """What must not depend on being killed: the model file, the checkpoint's tensors, the records but for time."""
    checkpoint = torch.load(run / CHECKPOINTS / "last.pt", weights_only=True)["trainer"]
    records = [json.loads(line) for line in (run / RECORDS).read_text().splitlines()]
    for record in [*records, *checkpoint["records"]]:
        del record["images_per_second"], record["seconds"]
    del checkpoint["totals"][0]["seconds"]
    return {"model": (run / "model.safetensors").read_bytes(), "state": checkpoint, "records": records}


def same(a: Any, b: Any) -> bool:
    """Equality to the bit, through nested containers."""
    if isinstance(a, torch.Tensor):
        same_kind = (a.dtype, a.shape) == (b.dtype, b.shape)
        return same_kind and a.contiguous().numpy().tobytes() == b.contiguous().numpy().tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def main(folder: Path, at_random: int, at_write: int) -> None:
    chance = random.Random(0)
    torch.optim.SGD([nn.Parameter(torch.zeros(1))])  # the first one imports much of torch: once here, not in each fork

    def run(out: Path, resume: bool = False) -> int:
        return forked(lambda: train(TrainConfig(out=out, cache_dir=folder / "cache", resume=resume, **SETTINGS)))

    assert not killed(run(folder / "warm-up"))  # fills the cache of images
    started = time.monotonic()
    assert not killed(run(folder / "reference"))
    duration = time.monotonic() - started
    expected = contents(folder / "reference")

    for number in range(at_random + at_write):
        out = folder / f"run{number}"
        writing = number >= at_random
        while True:  # until the run was killed before its end
            shutil.rmtree(out, ignore_errors=True)
            if writing:
                how, seed = number - at_random, chance.random()

                def doomed(out: Path = out, how: int = how, seed: float = seed) -> None:
                    die_while_writing(how, random.Random(seed))
                    train(TrainConfig(out=out, cache_dir=folder / "cache", **SETTINGS))

                pid = forked(doomed)
            else:
                pid = run(out)
                time.sleep(chance.random() * duration)
                os.kill(pid, signal.SIGKILL)
            if killed(pid):
                break
        lines = (out / RECORDS).read_text().count("\n") if (out / RECORDS).exists() else None
        assert not killed(run(out, resume=True))
        found = contents(out)
        result = {
            "writing": writing,
            "epochs_before": lines,
            **{key: same(expected[key], found[key]) for key in expected},
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
