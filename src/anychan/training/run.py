"""``train``: from a configuration to a finished run folder."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anychan._lock import alone
from anychan._records import RUN, read_run_record
from anychan.adaptation import AnyChannelModel
from anychan.adaptation.normalisation import batches_to_arrive
from anychan.blocks import FoldableConv2d
from anychan.data import split_statistics
from anychan.environment import environment
from anychan.evaluation._folder import remove_half_drawn
from anychan.models import ModelInfo, save_model
from anychan.models.files import DESCRIPTION, WEIGHTS
from anychan.training import checkpoint
from anychan.training.batches import Inputs, TrainingBatches, unaugmented
from anychan.training.command import command_line
from anychan.training.config import TrainConfig
from anychan.training.driver import Driver
from anychan.training.held_out import refuse_seen
from anychan.training.images import Images, check_channels, load_images
from anychan.training.initial import (
    Start,
    check_weights_are_there,
    load_teacher,
    make_model,
    read_weights,
    weights_taken,
)
from anychan.training.loop import Trainer
from anychan.training.machine import (
    algorithms,
    choose,
    finish_together,
    freed_memory_kept,
    place,
    raised_anywhere,
    start_accelerator,
    tell_all,
)
from anychan.training.progress import Progress
from anychan.training.randomness import seed_everything
from anychan.training.recalibration import recalibrate_on
from anychan.training.records import RunFolder, check_folder
from anychan.training.resumed import changes, earlier_parts, other_images, told
from anychan.training.stopping import InterruptedRunError, TrainingStoppedError, listening

if TYPE_CHECKING:
    from accelerate import Accelerator

_IMAGES_TO_PREPARE = 2560


def train(config: TrainConfig) -> Path:
    """Train a model and leave a run folder: configuration, records, checkpoints, and the model.

    Started by ``torchrun``, the processes share every batch and agree on its channels.

    Args:
        config: the run's settings.

    Returns:
        The run folder.

    Raises:
        ValueError: for data, channels or options that do not fit; a CheckpointError for a damaged checkpoint, or one of
            another run.
        FileExistsError: if the run folder is not empty and the run is not to be resumed, or another process is at it.
        FileNotFoundError: if the data, or weights to start from, are not there.
        WeightsUnavailableError: if pretrained weights cannot be downloaded.
        TrainingStoppedError: if the run ended early: not finite, or interrupted. `InterruptedRunError` also where it
            was interrupted after its last step and is finished.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> config = TrainConfig(
        ...     data="synthetic:train=8,val=4,test=4,size=16", out=Path(folder.name) / "run", image_size=16,
        ...     model="wide6", model_options={"width": 2}, epochs=1, batch_size=4, cache_dir=Path(folder.name),
        ... )  # fmt: skip
        >>> sorted(path.name for path in train(config).iterdir() if path.suffix)
        ['config.yaml', 'model.json', 'model.safetensors', 'records.jsonl', 'run.json']
        >>> folder.cleanup()
    """
    accelerator = start_accelerator(config)
    check_folder(config)
    accelerator.wait_for_everyone()  # all have looked before one makes the folder
    with algorithms(config.deterministic), freed_memory_kept(accelerator.device):
        with accelerator.main_process_first():  # what cannot be had is said before images are decoded
            check_weights_are_there(config)
            weights = read_weights(config)
        data = load_images(config, accelerator)
        refuse_seen(config, data)
        there = data.train.channel_sets(config.channels)
        start = make_model(config, split_statistics(data.train), data.train.classes, weights, there)
        check_channels(config, data, start.model)
        _check_deepened(config, start.model)
        trainer = _make_trainer(config, data, start.model, start.info, accelerator)
        try:
            folder = _Run(config, data, start, trainer).complete()
        except InterruptedRunError:  # in all processes
            finish_together(accelerator)
            raise
    finish_together(accelerator)  # the model is there for all when one goes on
    return folder


def _make_trainer(
    config: TrainConfig, data: Images, model: AnyChannelModel, info: ModelInfo, accelerator: Accelerator
) -> Trainer:
    device, rank, processes = accelerator.device, accelerator.process_index, accelerator.num_processes
    machine = choose(config, device, processes)
    channels, statistics = info.channels, info.statistics
    assert statistics is not None  # of the training split, always
    images = Inputs(place(data.train, device), channels, device, machine, config.augmentation)
    correlation = statistics.normalised().covariance
    batches = TrainingBatches(images, config, device, rank, processes, correlation=correlation)
    validation = None
    if data.validation is not None:
        validation = Inputs(place(data.validation, device), channels, device, machine)
    seed_everything(config.seed, 1)  # what is drawn before training is the same in all processes
    teacher = load_teacher(config, info, data.train.channel_sets(channels.names))
    _prepare(config, model.to(device), images)
    if rank > 0:
        seed_everything(config.seed, rank + 1)  # dropout differs between processes
    seen = channels.subset(config.fixed_subset)
    return Trainer(config, machine, accelerator, model, batches, validation, seen, teacher)


def _check_deepened(config: TrainConfig, model: AnyChannelModel) -> None:
    """A network that is deeper while it trains must train to the end, or it would be saved as a deep one."""
    deep = any(isinstance(module, FoldableConv2d) and not module.linear_now for module in model.modules())
    if deep and config.early_stopping.patience is not None:
        raise ValueError(
            f"early_stopping.patience {config.early_stopping.patience} could keep an epoch in which the activations "
            "between 'deepened' layers are not linear yet; train such a network without it"
        )


def _prepare(config: TrainConfig, model: AnyChannelModel, images: Inputs) -> None:
    """Let a network that has `prepare` see training images before the first step, the same in each process."""
    prepare = getattr(model.body, "prepare", None)
    if prepare is not None and config.initial is None and config.pretrained is False:
        prepare(unaugmented(images, _IMAGES_TO_PREPARE, config.seed))


class _Run:
    """A run's folder, its records and its model files around the training itself."""

    def __init__(self, config: TrainConfig, data: Images, start: Start, trainer: Trainer) -> None:
        self._config, self._data, self._trainer = config, data, trainer
        numbers = {name: its for name, its in data.dataset.numbers.items() if name in start.info.channels.names}
        self._info = replace(start.info, numbers=numbers)
        self._pretrained = start.pretrained
        self._folder = RunFolder(config.out)
        self._writes = trainer.accelerator.is_main_process
        self._environment = environment()
        self._parts: list[dict[str, Any]] = []
        self._recalibrated: list[str] = []
        self._weights = weights_taken(config)  # now, since other weights may come to lie there
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._clock, self._earlier = time.monotonic(), 0.0

    def complete(self) -> Path:
        """Train to the end and write the model; whatever ends the run early is noted in run.json."""
        with ExitStack() as held:
            refused = None
            if self._writes:
                try:
                    held.enter_context(alone(self._config.out))
                    check_folder(self._config)  # again: another process may just have finished there
                except FileExistsError as error:
                    refused = error
            if refused := tell_all(self._trainer.accelerator, refused):
                raise refused
            return self._complete()

    def _complete(self) -> Path:
        resumed = self._resume()
        trainer, config = self._trainer, self._config
        progress = Progress(trainer.batches.steps * config.epochs, trainer.steps_done, config.epochs, self._writes)
        if self._is_whole():
            progress.say(resumed)
            progress.close()
            return config.out
        if self._writes:
            self._folder.start(config, self._description("running"), trainer.records)
        taken = self._pretrained or {}
        starts_from = "; ".join(taken[name] for name in ("source", "head", "planes") if name in taken)
        weights_from = starts_from and f"weights from {starts_from}"
        elsewhere = told(self._parts, self._environment)
        unseen = self._data.unseen_classes()
        for line in (resumed, elsewhere, weights_from, taken.get("warning"), unseen, self._skipped()):
            if line:
                progress.say(line)
        try:
            with listening() as request:
                Driver(
                    trainer,
                    folder=self._folder,
                    progress=progress,
                    request=request,
                    origin=self._origin,
                    after_epoch=lambda: self._note("running"),
                ).run()
                self._write_model()
        except TrainingStoppedError as stopped:
            self._note(f"stopped: {stopped}")
            raise
        except BaseException as error:  # a second interruption is a KeyboardInterrupt
            self._note(f"stopped: {type(error).__name__}: {error}")
            raise
        finally:
            progress.close()
            self._folder.close()
        if any(raised_anywhere(trainer.accelerator, bool(request))):  # so that what follows the run is not begun
            raise InterruptedRunError(f"interrupted after the last step; {config.out} is finished")
        return config.out

    def _resume(self) -> str:
        """Take up the last checkpoint, if the run is to be resumed; what to say of it."""
        trainer, config = self._trainer, self._config
        if self._writes:
            for folder in (config.out, self._folder.checkpoints):
                checkpoint.remove_leftovers(folder)
            remove_half_drawn(config.out)
        if not config.resume:
            return ""
        state = checkpoint.load_checkpoint(self._folder.checkpoints)
        if state is None:
            return f"{config.out} has no checkpoint yet: starting from the beginning"
        self._check_origin(state)
        self._started, self._earlier = state["started"], state["seconds"]
        trainer.load_state_dict(state["trainer"])
        if self._writes:
            self._parts = earlier_parts(self._record(), (trainer.epoch, trainer.step), self._environment)
        if trainer.finished:
            return f"{config.out} is finished already, after {trainer.epoch} epoch{'' if trainer.epoch == 1 else 's'}"
        return f"going on in epoch {trainer.epoch + 1} after step {trainer.step}"

    def _record(self) -> dict[str, Any]:
        """What run.json says so far, empty where there is none."""
        return read_run_record(self._config.out) if (self._config.out / RUN).is_file() else {}

    def _is_whole(self) -> bool:
        """Whether the run was finished before, and its model is there: what it was made with stays as it is noted."""
        if not self._trainer.finished:
            return False
        files = all((self._config.out / name).is_file() for name in (WEIGHTS, DESCRIPTION))
        whole = self._writes and files and self._record().get("status") == "finished"
        return any(raised_anywhere(self._trainer.accelerator, whole))

    def _origin(self) -> dict[str, Any]:
        """What a checkpoint says of the run it belongs to."""
        return {
            "config": self._config.to_dict(),
            "machine": self._trainer.machine.to_dict(),
            "data": self._data.origin,
            "weights": self._weights,
            "started": self._started,
            "seconds": self._seconds,
        }

    def _check_origin(self, state: dict[str, Any]) -> None:
        """Refuse a checkpoint that this run's steps would not follow from."""
        changed = changes(state, self._config, self._weights, "another model")
        machine, data = (  # by name before and now; earlier versions noted less
            {name: (state[group][name], now[name]) for name in now if name in state[group]}
            for group, now in (("machine", self._trainer.machine.to_dict()), ("data", self._data.origin))
        )
        changed += [f"machine.{name}: {before} -> {now}" for name, (before, now) in machine.items() if before != now]
        read_alike = len(set(data.pop("decoding", ("",)))) == 1
        for split, (before, now) in data.items():
            if before != now or (now and not read_alike):
                changed.append(other_images(split))
        if changed:
            raise checkpoint.CheckpointError(
                f"{self._config.out} cannot be resumed with other settings ({'; '.join(changed)}); "
                "take the old ones, or start another run"
            )

    @property
    def _seconds(self) -> float:
        return self._earlier + time.monotonic() - self._clock

    def _note(self, status: str) -> None:
        if self._writes:
            self._folder.describe(self._description(status))

    def _description(self, status: str) -> dict[str, Any]:
        stopping = self._trainer.early_stopping
        assert self._info.statistics is not None  # of the training split, always
        return {
            "name": self._config.out.name,
            "status": status,
            "config": self._config.to_dict(),
            "command": command_line(self._config),
            **self._environment,
            **({"resumed_from": self._parts} if self._parts else {}),
            "seed": self._config.seed,
            "machine": self._trainer.machine.to_dict(),
            "recorded_steps": self._recorded_steps,
            "data": self._data.dataset.description,
            "training_images": len(self._data.train),
            "weights": self._weights,
            **({} if self._pretrained is None else {"pretrained": self._pretrained}),
            "started": self._started,
            "seconds": self._seconds,
            "epochs": self._trainer.epoch,
            "best_epoch": stopping.best_epoch,
            "selected": "last" if stopping.best_epoch is None else "best",
            "statistics": self._info.statistics.to_dict(),
            "skipped": [list(entry) for entry in self._data.train.skipped],
            "recalibrated": self._recalibrated,
        }

    @property
    def _recorded_steps(self) -> dict[str, Any] | None:
        """How many kinds of steps were recorded as CUDA graphs, and why others were not; None where none was to be."""
        graphs = self._trainer.graphs
        return None if graphs is None else {"kinds": len(graphs), "refused": graphs.refused}

    def _skipped(self) -> str:
        count = len(self._data.train.skipped)
        return f"{count} broken training image(s) left out; run.json lists them" if count else ""

    def _write_model(self) -> None:
        trainer = self._trainer
        model = trainer.selected
        if trainer.early_stopping.best_epoch is not None:
            model.load_state_dict(trainer.early_stopping.weights)
        assert isinstance(model, AnyChannelModel)  # a moving average is a copy of one
        self._recalibrate(model)
        if self._writes:
            save_model(self._config.out, model, self._info)
            self._note("finished")

    def _recalibrate(self, model: AnyChannelModel) -> None:
        """Statistics for the subsets that have none of their own yet, or too few batches for an average."""
        config, trainer = self._config, self._trainer
        if config.normalisation.statistics == "recalibrated":
            subsets = [str(subset) for subset in self._info.kept_subsets]
        else:
            seen, enough = model.subset_statistics.batches_seen(), batches_to_arrive(model.body)
            subsets = [subset for subset, batches in seen.items() if batches < enough]
        if subsets:
            recalibrate_on(model, trainer.batches.inputs, subsets, config.normalisation.images, config.seed)
            self._recalibrated = subsets
