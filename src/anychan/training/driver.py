"""Drives a trainer to its end: checkpoints when they are due, and the ways to stop before."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable
from typing import Any

from anychan.training.checkpoint import save_checkpoint
from anychan.training.loop import Trainer
from anychan.training.machine import raised_anywhere
from anychan.training.progress import Progress
from anychan.training.records import CONFIG, RunFolder
from anychan.training.stopping import InterruptedRunError, NotFiniteError, StopRequest

# Steps between two looks at the device; a CPU need not be waited for.
_LOOK_EVERY = {"cpu": 1}
_LOOK_EVERY_ELSEWHERE = 16


class Driver:
    """Takes a trainer from where it is to the end of the run.

    Args:
        trainer: fresh, or with a checkpoint's state.
        folder: where checkpoints and records go; one process writes them.
        progress: what is shown.
        request: whether somebody asked to stop.
        origin: gives what a checkpoint holds beside the trainer's state.
        after_epoch: called in the writing process after each epoch.
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        folder: RunFolder,
        progress: Progress,
        request: StopRequest,
        origin: Callable[[], dict[str, Any]],
        after_epoch: Callable[[], None],
    ) -> None:
        self._trainer, self._folder, self._progress = trainer, folder, progress
        self._request, self._origin, self._after_epoch = request, origin, after_epoch
        self._writes = trainer.accelerator.is_main_process
        self._look_every = _LOOK_EVERY.get(trainer.machine.device, _LOOK_EVERY_ELSEWHERE)
        self._saved = time.monotonic()

    def run(self) -> None:
        """Train until the last epoch or early stopping.

        Raises:
            NotFiniteError: when a loss or gradient is not finite; the last checkpoint stays as it is.
            InterruptedRunError: when somebody asked to stop before the last step was done, after a checkpoint.
        """
        trainer, told = self._trainer, False
        while not trainer.finished:
            trainer.totals.start_clock()
            while trainer.step < trainer.batches.steps:
                trainer.train_step()
                self._progress.step(trainer.epoch + 1, trainer.totals.means)
                self._look()
            record = trainer.finish_epoch()
            if record["val_loss"] is not None and not math.isfinite(record["val_loss"]):
                raise NotFiniteError(f"the validation loss is {record['val_loss']} after epoch {record['epoch']}")
            self._checkpoint()
            if self._writes:
                self._folder.append(record)
                self._after_epoch()
            self._progress.epoch(record)
            refused = None if trainer.graphs is None else trainer.graphs.refused
            if refused and not told:
                self._progress.say(f"{refused}, so not all steps are recorded (cuda_graphs)")
                told = True

    def _look(self) -> None:
        trainer, config = self._trainer, self._trainer.config
        every = config.checkpoint_every_steps
        due = every is not None and trainer.steps_done % every == 0
        if not (due or trainer.steps_done % self._look_every == 0 or trainer.step == trainer.batches.steps):
            return
        bad_step = trainer.guard.first_bad_step()
        seconds = config.checkpoint_every_seconds
        late = seconds is not None and time.monotonic() - self._saved >= seconds
        bad, stop, save = raised_anywhere(trainer.accelerator, bad_step is not None, bool(self._request), due or late)
        if bad:
            raise NotFiniteError(self._explain(trainer.steps_done - 1 if bad_step is None else bad_step))
        if stop:
            self._checkpoint()
            raise InterruptedRunError(
                f"interrupted in epoch {trainer.epoch + 1} after step {trainer.step}; {self._how_to_go_on()}"
            )
        if save:
            self._checkpoint()

    def _checkpoint(self) -> None:
        trainer = self._trainer
        trainer.totals.stop_clock()
        state = trainer.state_dict()
        if self._writes:
            save_checkpoint(self._folder.checkpoints, {**self._origin(), "trainer": state})
        self._saved = time.monotonic()
        trainer.totals.start_clock()

    def _explain(self, step: int) -> str:
        epoch, in_epoch = divmod(step, self._trainer.batches.steps)
        kept = any(self._folder.checkpoints.glob("*.pt"))
        state = (
            f"and the last checkpoint in {self._folder.checkpoints} is the last good state"
            if kept
            else ("and no checkpoint was written yet")
        )
        return (
            f"{self._trainer.guard.describe()} in epoch {epoch + 1}, step {in_epoch + 1}; the weights were not updated "
            f"with it, {state}. Try a lower learning rate or a longer warm-up"
        )

    def _how_to_go_on(self) -> str:
        processes = self._trainer.machine.processes
        started = "anychan" if processes == 1 else f"torchrun --standalone --nproc-per-node {processes} -m anychan"
        return f"go on with: {started} train --config {shlex.quote(str(self._folder.path / CONFIG))} --resume"
