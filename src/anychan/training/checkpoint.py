"""Checkpoints: written beside the last one, made durable, then renamed; the one before it is kept too.

Whenever a process dies, the folder holds a whole ``last.pt`` or, in the instant between two renames, a whole
``previous.pt``. Read with ``weights_only=True``: nothing in a checkpoint is executed.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from anychan._errors import first_line, unwritten
from anychan._files import move, replacing

FORMAT = 1
LAST, PREVIOUS = "last.pt", "previous.pt"
LEFTOVERS = ".*.partial"  # what a killed process leaves of the file that it was writing


class CheckpointError(ValueError):
    """A checkpoint that a run cannot go on from here: damaged, of another format, or of other settings or machines."""


def save_checkpoint(folder: Path, state: dict[str, Any]) -> Path:
    """Write a checkpoint, whole or not at all.

    Args:
        folder: made if it is not there.
        state: tensors, numbers, text, None, and lists and dictionaries of them.

    Raises:
        OSError: if it cannot be written, as on a full disk.
    """
    last = folder / LAST
    with replacing(last) as temporary:
        try:
            torch.save({"format": FORMAT, **state}, temporary)
        except RuntimeError as error:
            if type(error) is not RuntimeError:  # a device's, on the way from it
                raise
            raise unwritten(last, error) from error
        if last.exists():
            move(last, folder / PREVIOUS)
    return last


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint, on the CPU, or None where there is none.

    Raises:
        CheckpointError: if it is damaged, saying what to do, or of another format.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    path = last if last.exists() else previous  # killed between the two renames
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        advice = f"; delete it to go on from {previous}" if path == last and previous.exists() else ""
        raise CheckpointError(f"checkpoint {path} is damaged ({first_line(error)}){advice}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"checkpoint {path} is not of format {FORMAT}, the one this version reads")
    return state


def remove_leftovers(folder: Path) -> None:
    """Remove the files that a killed process left half-written; folders, which are pictures, are not of training."""
    for leftover in folder.glob(LEFTOVERS):
        if not leftover.is_dir():
            leftover.unlink(missing_ok=True)
