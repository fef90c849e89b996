"""The training loop: one step after another, and what goes on between them.

Nothing in a step waits for the device. What has to be known on the host (is all finite, did somebody press
Ctrl-C, is a checkpoint due) is asked for together, every step on a CPU and every few steps elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from anychan.adaptation.annealing import annealed_modules
from anychan.channels import ChannelSet
from anychan.training.averaging import moving_average
from anychan.training.batches import Batch, Inputs, TrainingBatches
from anychan.training.config import TrainConfig
from anychan.training.early_stopping import EarlyStopping
from anychan.training.finite import FiniteGuard
from anychan.training.machine import Machine
from anychan.training.objectives import Part, cross_entropy, sandwich, taught
from anychan.training.optimisers import make_optimizer
from anychan.training.randomness import random_states, restore_random_states
from anychan.training.schedule import learning_rate_factor
from anychan.training.step_graphs import StepGraphs
from anychan.training.validation import validate

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass
class Totals:
    """Running sums of the epoch under way: of this process's images, and of its time."""

    sums: Tensor  # float32 on the device: losses times images, right answers
    images: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._mark = time.perf_counter()

    def start_clock(self) -> None:
        """What has passed since ``stop_clock`` was no training."""
        self._mark = time.perf_counter()

    def stop_clock(self) -> None:
        """Count the time since the clock was started; to be called where the device has been waited for."""
        now = time.perf_counter()
        self.seconds += now - self._mark
        self._mark = now

    def means(self) -> tuple[float, float, float]:
        """Loss, accuracy and images a second; waits for the device."""
        loss, right = self.sums.tolist()
        self.stop_clock()
        return loss / self.images, right / self.images, self.images / self.seconds


@dataclass
class Trainer:
    """A model in training: all its state, and the way from one step to the next.

    Args:
        config: the run's settings.
        machine: what was chosen for this machine.
        accelerator: the processes.
        raw: the model, on the CPU.
        batches: training batches of this process.
        validation: images to validate on after each epoch, or None.
        validated_channels: what the model gets to see of them.
        teacher: of a run that has one: gives logits of all planes of a batch.
        epoch, step, records: where it stands.
    """

    config: TrainConfig
    machine: Machine
    accelerator: Accelerator
    raw: nn.Module
    batches: TrainingBatches
    validation: Inputs | None
    validated_channels: ChannelSet
    teacher: nn.Module | None = None
    epoch: int = 0  # complete ones
    step: int = 0  # done in the epoch under way
    records: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        device = self.accelerator.device
        self.raw = self.raw.to(device).to(memory_format=self.machine.memory_format)
        self.model = self.accelerator.prepare_model(self.raw)
        self.optimizer = make_optimizer(self.raw, self.config.optimizer)
        self.guard = FiniteGuard(self.optimizer, device)
        self._number = torch.zeros((), dtype=torch.int64, device=device)  # of the step, for the guard
        self.early_stopping = EarlyStopping(self.config.early_stopping)
        decay = self.config.ema_decay
        self.averages = moving_average(self.raw, decay) if decay > 0 else None
        self._annealed = annealed_modules(self.raw)
        self._penalties: list[Callable[[], Tensor]] = [m.penalty for m in self.raw.modules() if hasattr(m, "penalty")]  # type: ignore[misc] # a method
        if self.config.objective.penalty and not self._penalties:
            raise ValueError(
                f"objective.penalty {self.config.objective.penalty!r}: strategy {self.config.strategy!r} has no penalty"
            )
        if self.teacher is not None:
            self.teacher.to(device).to(memory_format=self.machine.memory_format).eval()
        self.graphs = self._make_graphs()
        self._place_rates()
        self.totals = self._no_totals()

    @property
    def selected(self) -> nn.Module:
        """The model that is validated and saved: the moving average where there is one."""
        return self.raw if self.averages is None else self.averages.module

    @property
    def steps_done(self) -> int:
        return self.epoch * self.batches.steps + self.step

    @property
    def progress(self) -> float:
        """The fraction of the run that is done."""
        return self.steps_done / (self.config.epochs * self.batches.steps)

    @property
    def finished(self) -> bool:
        return self.epoch >= self.config.epochs or self.early_stopping.over(self.epoch)

    def train_step(self) -> None:
        """One update, unless something was not finite: then the weights stay as they are from here on."""
        batch = self.batches.batch(self.epoch, self.step)
        for module in self._annealed:
            module.anneal(self.progress)
        self._number.fill_(self.steps_done)
        self._set_rates(self.learning_rate(self.steps_done))
        loss, right = self._update(batch) if self.graphs is None else self.graphs(batch)
        if self.averages is not None:
            self.averages.update_parameters(self.raw)
        images = len(batch.labels)
        self.totals.sums += torch.stack([loss * images, right])
        self.totals.images += images
        self.step += 1

    def learning_rate(self, step: int) -> float:
        """Of the update after ``step`` others."""
        config = self.config
        return config.optimizer.rate * learning_rate_factor(config.schedule, step, self.batches.steps, config.epochs)

    def _update(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Gradients and one step of the optimiser; the loss, and the right answers. Nothing in it is of the host."""
        self.optimizer.zero_grad(set_to_none=True)
        loss, right = self._backward(batch)
        self.guard.watch(loss, self._number)
        with self.machine.update_context():
            self.optimizer.step()
        return loss.detach(), right

    def _make_graphs(self) -> StepGraphs | None:
        """What records steps; None where they are launched one by one.

        Raises:
            ValueError: if they are to be recorded and cannot be.
        """
        asked = self.config.cuda_graphs
        against = {
            f"device {self.machine.device!r}": self.machine.device != "cuda",
            f"{self.machine.processes} processes": self.machine.processes > 1,
            "deterministic true": self.config.deterministic,
        }
        found = [name for name, is_so in against.items() if is_so]
        if asked is True and found:
            raise ValueError(f"cuda_graphs true does not go with {found[0]}; say auto or false")
        return None if found or asked is False else StepGraphs(self._update, self.optimizer, required=asked is True)

    def _place_rates(self) -> None:
        """Learning rates where a recorded update reads them, or as numbers."""
        for group in self.optimizer.param_groups:
            rate = float(group["lr"])
            group["lr"] = rate if self.graphs is None else torch.tensor(rate, device=self.accelerator.device)

    def _set_rates(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The gradients of all parts of the objective; the sum of their losses, and the right answers of the first."""
        self.model.train()
        parts = self._parts(batch)
        count = 1 + (len(batch.subsets) if self.config.objective.name == "sandwich" else 0)
        loss, right = torch.zeros((), device=batch.labels.device), torch.zeros((), device=batch.labels.device)
        for part in range(count):
            # Processes exchange gradients once, with the last part.
            apart = self.accelerator.no_sync(self.model) if part < count - 1 else nullcontext()
            with apart:
                with self.machine.context():
                    part_loss, logits = next(parts)
                    if part == 0:
                        part_loss = part_loss + self._penalty()
                        right = (logits.detach().argmax(dim=1) == batch.labels).sum()
                self.accelerator.backward(part_loss)
            loss = loss + part_loss.detach()
        return loss, right

    def _parts(self, batch: Batch) -> Iterator[Part]:
        config, objective = self.config, self.config.objective
        if objective.name == "labels":
            return cross_entropy(
                self.model,
                batch.images,
                batch.labels,
                batch.channels,
                present=batch.present,
                label_smoothing=config.label_smoothing,
            )
        options: dict[str, Any] = {
            "channels": batch.channels,
            "label_smoothing": config.label_smoothing,
            "temperature": objective.temperature,
            "label_share": objective.label_share,
        }
        if objective.name == "sandwich":
            full_share = None if objective.full_share == "equal" else objective.full_share
            return sandwich(
                self.model,
                batch.images,
                batch.labels,
                batch.subsets,
                teacher=self.teacher,
                full_share=full_share,
                **options,
            )
        assert self.teacher is not None  # the run has loaded it
        return taught(self.model, batch.images, batch.labels, batch.subsets[0], self.teacher, **options)

    def _penalty(self) -> Tensor | float:
        weight = self.config.objective.penalty
        return sum((weight * penalty() for penalty in self._penalties), start=0.0) if weight else 0.0

    def finish_epoch(self) -> dict[str, Any]:
        """Anneal as far as the epoch came, validate, note how it went, and go on to the next; the epoch's record."""
        processes = self.accelerator.num_processes
        sums = self.accelerator.reduce(self.totals.sums.clone()).tolist()
        self.totals.stop_clock()
        images, seconds = self.totals.images * processes, self.totals.seconds
        started = time.perf_counter()
        for model in {self.raw, self.selected}:  # an average of temperatures is none
            for module in annealed_modules(model):
                module.anneal(self.progress)
        val_loss, val_accuracy = self._validate()
        record = {
            "schema": 1,
            "kind": "epoch",
            "epoch": self.epoch + 1,
            "step": self.steps_done,
            "train_loss": sums[0] / images,
            "train_accuracy": sums[1] / images,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "learning_rate": self.learning_rate(self.steps_done - 1),
            "images_per_second": images / seconds,
            "seconds": seconds + time.perf_counter() - started,
        }
        self.epoch, self.step = self.epoch + 1, 0
        self.records.append(record)
        self.totals = self._no_totals()
        return record

    def _validate(self) -> tuple[float | None, float | None]:
        if self.validation is None:
            return None, None
        self._share_buffers()
        loss, accuracy = validate(
            self.selected, self.validation, self.validated_channels, self.machine, self.accelerator
        )
        self.early_stopping.update(self.epoch + 1, loss, accuracy, self.selected.state_dict())
        return loss, accuracy

    def _share_buffers(self) -> None:
        # Each process has running statistics of its own share of the batches; those of the first are everyone's.
        if self.accelerator.num_processes > 1:
            for module in (self.raw, self.selected):
                for buffer in module.buffers():
                    torch.distributed.broadcast(buffer, src=0)

    def _no_totals(self) -> Totals:
        return Totals(torch.zeros(2, device=self.accelerator.device))

    def state_dict(self) -> dict[str, Any]:
        """Everything that the steps to come depend on; all processes must call it together."""
        from accelerate.utils import gather_object

        self._share_buffers()
        totals = self.totals
        return {
            "epoch": self.epoch,
            "step": self.step,
            "model": self.raw.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"steps_done": self.steps_done},
            "annealing": {"progress": self.progress},
            "averages": None if self.averages is None else self.averages.state_dict(),
            "early_stopping": self.early_stopping.state_dict(),
            "random": gather_object([random_states(self.accelerator.device)]),
            "totals": gather_object(
                [{"sums": totals.sums.tolist(), "images": totals.images, "seconds": totals.seconds}]
            ),
            "records": self.records,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave, in as many processes."""
        rank = self.accelerator.process_index
        self.epoch, self.step = state["epoch"], state["step"]
        self.raw.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._place_rates()
        if self.averages is not None:
            self.averages.load_state_dict(state["averages"])
        self.early_stopping.load_state_dict(state["early_stopping"])
        self.records = state["records"]
        totals = state["totals"][rank]
        sums = torch.tensor(totals["sums"], device=self.accelerator.device)
        self.totals = Totals(sums, totals["images"], totals["seconds"])
        restore_random_states(state["random"][rank], self.accelerator.device)
