"""``adapt_run``: an any-channel model out of a trained one, without training."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from anychan.adaptation import PLAIN, AnyChannelModel, adapt, batch_norms, recalibrate
from anychan.data import load_split, open_dataset
from anychan.environment import environment
from anychan.models import ModelInfo, load_model, save_model
from anychan.nn import get_strategy
from anychan.training.batches import Inputs, unaugmented
from anychan.training.machine import Machine
from anychan.training.records import RunFolder, read_run_record
from anychan.training.run import keeping


def adapt_run(
    source: Path | str,
    out: Path | str,
    strategy: str | None = None,
    subsets: Sequence[str] | None = None,
    data: str | Path | None = None,
    *,
    images: int = 2560,
    seed: int = 0,
    cache_dir: Path | None = None,
    progress: bool = False,
) -> Path:
    """Make a trained model take any channels, with batch statistics recomputed for each subset; no weight is trained.

    Args:
        source: a run folder. A plain one gets a stem; of an any-channel one only the statistics are recomputed.
        out: the run folder to make.
        strategy: for a plain model; None: completed. An any-channel model has one already.
        subsets: those to recompute statistics for; None: all, of up to 6 channels. A network without batch
            normalisation has none, and takes every subset as it is.
        data: where the training images are; None: where the run had them.
        images: how many of them are looked at, 2 or more.
        seed: which.
        cache_dir: where decoded images are kept; None: the user's cache folder.
        progress: show a progress bar while images are decoded.

    Returns:
        The new run folder: the model, and a run.json that says what it was made from.

    Raises:
        FileNotFoundError: if the run or its data are not there.
        FileExistsError: if ``out`` is there and not empty.
        ValueError: for a strategy or subsets that do not fit, or fewer than 2 images.

    Example:
        >>> adapt_run("runs/plain", "runs/completed")  # doctest: +SKIP
        PosixPath('runs/completed')
    """
    source, out = Path(source), Path(out)
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already; choose another folder")
    if images < 2:
        raise ValueError(f"{images} images: statistics need 2 at least")
    model, info = load_model(source)
    record = read_run_record(source)
    model, info = _adapted(model, info, strategy)
    chosen = _keeping(info, subsets)  # before the images, which take longer
    if any(True for _ in batch_norms(model.body)):
        spec = record["config"]["data"] if data is None else data
        array = load_split(open_dataset(spec), "train", info.image_size, cache_dir, progress=progress)
        inputs = Inputs(array, info.channels, torch.device("cpu"), Machine("cpu", "float32", True, 1))
        recalibrate(model, unaugmented(inputs, images, seed), chosen.kept_subsets)
        kept = tuple(str(subset) for subset in model.subset_statistics.subsets)  # earlier ones stay
        info = dataclasses.replace(chosen, kept_subsets=kept)
    elif subsets is not None:
        raise ValueError(f"{info.architecture} has no batch normalisation, and takes every subset as it is")
    save_model(out, model, info)
    RunFolder(out).describe(
        {
            **record,
            "name": out.name,
            "status": "finished",
            "config": {**record["config"], "out": str(out), "strategy": info.strategy},
            "command": _command(
                source, out, {"strategy": strategy, "subsets": subsets, "data": data, "images": images, "seed": seed}
            ),
            **environment(),
            "adapted_from": {"name": source.name, "run": record.get("commit"), "images": images, "seed": seed},
            "started": started,
            "seconds": time.monotonic() - clock,
        }
    )
    return out


def _keeping(info: ModelInfo, subsets: Sequence[str] | None) -> ModelInfo:
    if not info.kept_affine:
        return keeping(info, None if subsets is None else list(subsets))
    chosen = info.kept_subsets if subsets is None else tuple(str(info.channels.subset(subset)) for subset in subsets)
    untrained = sorted(set(chosen) - set(info.kept_subsets))
    if untrained:
        raise ValueError(
            f"the model has a scale and shift of its own for each of {', '.join(info.kept_subsets)}, and none for "
            f"{untrained[0]}, which only training can give it"
        )
    return dataclasses.replace(info, kept_subsets=chosen)


def _adapted(model: AnyChannelModel, info: ModelInfo, strategy: str | None) -> tuple[AnyChannelModel, ModelInfo]:
    if model.strategy != PLAIN:
        if strategy not in (None, model.strategy):
            raise ValueError(f"the model's strategy is {model.strategy!r}; only a plain one can be given {strategy!r}")
        return model, info
    strategy = strategy or "completed"
    statistics = None
    if get_strategy(strategy).uses_statistics:
        if info.statistics is None:
            raise ValueError(f"strategy {strategy!r} needs the training pixels' statistics, which the model lacks")
        statistics = info.statistics.normalised()
    adapted = adapt(model.body, info.channels, strategy, statistics)
    return adapted.eval(), dataclasses.replace(info, strategy=strategy)


def _command(source: Path, out: Path, options: dict[str, Any]) -> str:
    words = ["anychan", "adapt", str(source), "--out", str(out)]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", *(map(str, value) if isinstance(value, list | tuple) else [str(value)])]
    return shlex.join(words)
