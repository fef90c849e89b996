"""A run in one of two processes, for test_processes.py: trains, and leaves what this process ended with.

torchrun --standalone --nproc_per_node 2 two_processes.py FOLDER [steady | whitened | interrupted]
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from anychan.data.augment_config import AugmentationConfig
from anychan.training import InterruptedRunError, TrainConfig, run, train
from anychan.training.config import NormalisationConfig, OptimizerConfig
from anychan.training.loop import Trainer


class Observed(Trainer):
    """Notes the channels and the images of each step."""

    last: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seen: list[tuple[str, float]] = []
        Observed.last = self

    def _backward(self, batch: Any) -> Any:
        names = " ".join(str(subset) for subset in (batch.channels, *batch.subsets))
        self.seen.append((names, float(batch.images.sum())))
        return super()._backward(batch)


class Interrupted(Trainer):
    """In the second process asked to stop after the last step."""

    def finish_epoch(self) -> dict[str, Any]:
        if self.epoch + 1 == self.config.epochs and not self.accelerator.is_main_process:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().finish_epoch()


def settings(folder: Path, kind: str = "") -> TrainConfig:
    """A run.

    Args:
        folder: where it goes.
        kind: "steady": without what differs between one process and two, augmentation and batch normalisation;
            "whitened": of a stem that is wider than there are directions to whiten; others as they come.
    """
    options: dict[str, Any] = {
        "data": "synthetic:bands=3,train=64,val=10,test=8,size=16,classes=4",
        "out": folder / "run",
        "cache_dir": folder / "cache",
        "image_size": 16,
        "model": "wide6",
        "model_options": {"width": 4},
        "strategy": "sliced",
        "epochs": 2,
        "batch_size": 16,
        "ema_decay": 0.5,
        "device": "cpu",
    }
    if kind == "whitened":
        stem = {"width": 32, "stem_kernel_size": 2, "whitened": True}
        return TrainConfig(**{**options, "model": "wide2", "model_options": stem})
    if kind == "steady":
        options |= {"augmentation": AugmentationConfig(), "optimizer": OptimizerConfig("sgd")}
        return TrainConfig(**options, normalisation=NormalisationConfig("group"))
    # A scale and shift for each subset are parameters that one of a step's passes uses alone.
    return TrainConfig(**options, normalisation=NormalisationConfig(affine=True))


def main(folder: Path, kind: str = "") -> None:
    torch.set_num_threads(1)
    rank = os.environ["RANK"]
    ended = folder / f"rank{rank}.ended"  # written after what `train` leaves to be done at the end
    atexit.register(lambda: ended.write_text("in a group" if torch.distributed.is_initialized() else "alone"))
    run.Trainer = Interrupted if kind == "interrupted" else Observed  # type: ignore[misc, attr-defined] # to look inside
    try:
        train(settings(folder, kind))
    except FileExistsError as error:
        (folder / f"rank{rank}.refused").write_text(str(error))
        raise
    except InterruptedRunError as error:
        (folder / f"rank{rank}.interrupted").write_text(str(error))
        return
    assert (folder / "run" / "model.safetensors").is_file(), "no process goes on before the model is written"
    trainer = Observed.last
    result = {"seen": trainer.seen, "weights": trainer.raw.state_dict(), "averages": trainer.averages.state_dict()}
    torch.save(result, folder / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
