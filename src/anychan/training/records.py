"""The run folder's records: what was run (run.json, config.yaml), a line an epoch (records.jsonl), TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from anychan._files import replacing
from anychan._lock import LOCK
from anychan._records import RUN, write_record
from anychan.training.checkpoint import LEFTOVERS
from anychan.training.config import TrainConfig

CONFIG, RECORDS, CHECKPOINTS = "config.yaml", "records.jsonl", "checkpoints"

# What TensorBoard plots of an epoch's record.
_PLOTTED = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "images_per_second")


def check_folder(config: TrainConfig) -> None:
    """Refuse a run folder that the run must not write to.

    Raises:
        FileExistsError: if there is something in it, and the run is not to be resumed or it holds no run.
    """
    if not config.out.exists():
        return
    if not config.out.is_dir():
        raise FileExistsError(f"{config.out} is a file; out must be a folder, new or empty")
    # A run killed at its very start leaves nothing but its lock and a half-written first file.
    content = [path.name for path in config.out.iterdir() if path.name != LOCK and not path.match(LEFTOVERS)]
    if content and not config.resume:
        raise FileExistsError(f"run folder {config.out} is not empty; choose another, or go on there with --resume")
    if content and not {RUN, CONFIG} & set(content):
        raise FileExistsError(f"{config.out} is not empty and holds no run to resume; choose another folder")


class RunFolder:
    """Writes a run's records; one process of a run does.

    Args:
        path: the run folder, made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / CHECKPOINTS
        self._board: Any = None

    def start(self, config: TrainConfig, description: dict[str, Any], records: list[dict[str, Any]]) -> None:
        """Write what was given and the run's description, and the records so far: no more, no fewer.

        Lines that a killed run wrote after its last checkpoint are dropped, since their epoch is run again.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        settings = {**config.as_given(), "resume": False}
        with replacing(self.path / CONFIG) as temporary:
            # In ASCII, since `--config` reads it in the encoding of the locale.
            temporary.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="ascii")
        with replacing(self.path / RECORDS) as temporary:
            temporary.write_text("".join(map(_line, records)), encoding="utf-8")
        self.describe(description)
        self._board = _tensorboard(self.path / "tensorboard", len(records))

    def describe(self, description: dict[str, Any]) -> None:
        """Write run.json."""
        write_record(self.path / RUN, "run", description)

    def append(self, record: dict[str, Any]) -> None:
        """Add an epoch's line."""
        with (self.path / RECORDS).open("a", encoding="utf-8") as file:
            file.write(_line(record))
        if self._board is not None:
            for name in _PLOTTED:
                if record[name] is not None:
                    self._board.add_scalar(name.replace("_", "/", 1), record[name], record["epoch"])
            self._board.flush()

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _tensorboard(folder: Path, epochs_done: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # the extra "tracking" is not installed
        return None
    return SummaryWriter(folder, purge_step=epochs_done + 1)
