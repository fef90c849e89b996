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

from anychan._lock import LOCK
from anychan._plain import PLAIN
from anychan._records import read_run_record
from anychan.adaptation import AnyChannelModel, batch_norms
from anychan.channels import ChannelSet
from anychan.data import Dataset, ImageArray, hold_out, load_split, open_dataset
from anychan.environment import environment
from anychan.models import ModelInfo, load_model, save_model
from anychan.training.batches import Inputs
from anychan.training.initial import keeping, with_stem
from anychan.training.machine import Machine
from anychan.training.recalibration import recalibrate_on
from anychan.training.records import RunFolder

_IMAGES = 2560


def adapt_run(
    source: Path | str,
    out: Path | str,
    strategy: str | None = None,
    subsets: Sequence[str] | None = None,
    data: str | Path | None = None,
    *,
    bands: str | Path | None = None,
    images: int | None = None,
    seed: int | None = None,
    cache_dir: Path | None = None,
    progress: bool = False,
) -> Path:
    """Make a trained model take any channels, with batch statistics recomputed for each subset; no weight is trained.

    Args:
        source: a run folder. A plain one gets a stem; of an any-channel one only the statistics are recomputed.
        out: the run folder to make.
        strategy: for a plain model; None: completed. An any-channel model has one already.
        subsets: those to recompute statistics for; None: all, of up to 6 channels. A network without batch
            normalisation has none, and takes every subset as it is, so that neither these nor images are asked for.
        data: where the training images are; None: where the run had them.
        bands: what the planes of ``data`` are, as for ``open_dataset``; None: the data say it. What the run was trained
            on has the run's.
        images: how many of them are looked at, 2 or more; None: 2560.
        seed: which; None: 0.
        cache_dir: where decoded images are kept; None: the user's cache folder.
        progress: show a progress bar while images are decoded.

    Returns:
        The new run folder: the model, and a run.json that says what it was made from.

    Raises:
        FileNotFoundError: if the run or its data are not there.
        FileExistsError: if ``out`` is there and not empty.
        ValueError: for a strategy or subsets that do not fit, a strategy that is not exact, fewer than 2 images,
            bands without data, training data that have changed and are not named, or any of them for a network
            without batch normalisation.

    Example:
        >>> adapt_run("runs/plain", "runs/completed")  # doctest: +SKIP
        PosixPath('runs/completed')
    """
    source, out = Path(source), Path(out)
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    if out.exists() and (not out.is_dir() or any(path.name != LOCK for path in out.iterdir())):
        raise FileExistsError(f"{out} is there already; choose another folder")
    if images is not None and images < 2:
        raise ValueError(f"{images} images: statistics need 2 at least")
    if bands is not None and data is None:
        raise ValueError(f"bands {str(bands)!r} go with other data than the run's, whose bands are known: name --data")
    model, info = load_model(source)
    record = read_run_record(source)
    model, info = _adapted(model, info, strategy)
    config = {**record["config"], "out": str(out), "strategy": info.strategy}
    made_from = {"name": source.name, "commit": record.get("commit"), "strategy": record["config"]["strategy"]}
    options = {"strategy": strategy, "subsets": subsets, "data": data, "bands": bands, "images": images, "seed": seed}
    if any(True for _ in batch_norms(model.body)):
        images, seed = _IMAGES if images is None else images, 0 if seed is None else seed
        options |= {"images": images, "seed": seed}
        _keeping(info, subsets)  # what cannot be is said before the images are read, which takes longer
        dataset = _training_data(record, data, bands)
        skip = bool(record["config"].get("skip_broken", False))
        array = load_split(dataset, "train", info.image_size, cache_dir, skip_broken=skip, progress=progress)
        held_out = record["config"].get("held_out")
        seen = array if held_out is None else hold_out(array, held_out)[0]
        info = _recalibrated(model, info, subsets, seen, images=images, seed=seed)
        made_from |= {"images": min(images, len(seen)), "seed": seed, "fingerprint": array.fingerprint}
        if data is not None and dataset.description["fingerprints"]["train"] == record["data"]["fingerprints"]["train"]:
            config |= {"data": str(data)} | ({} if bands is None else {"bands": str(bands)})  # where they are now
    elif given := [f"--{name}" for name, value in options.items() if name != "strategy" and value is not None]:
        raise ValueError(
            f"{info.architecture} has no batch normalisation, and takes every subset as it is: leave out "
            f"{', '.join(given)}"
        )
    save_model(out, model, info)
    RunFolder(out).describe(
        {
            **record,
            "name": out.name,
            "status": "finished",
            "config": config,
            "command": _command(source, out, options),
            **environment(),
            "adapted_from": made_from,
            "started": started,
            "seconds": time.monotonic() - clock,
        }
    )
    return out


def _training_data(record: dict[str, Any], data: str | Path | None, bands: str | Path | None) -> Dataset:
    """What statistics are computed from: what the run was trained on, or other data that are named."""
    spec = record["config"]["data"] if data is None else data
    try:
        dataset = open_dataset(spec, record["config"].get("bands") if data is None else bands)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; the run was trained on {spec}: say with --data where it is") from error
    # Of all that is listed: an array leaves out what was skipped as broken.
    if data is None and dataset.description["fingerprints"]["train"] != record["data"]["fingerprints"]["train"]:
        raise ValueError(
            f"{spec} has changed since the run was trained on it; to use it all the same name it with --data"
        )
    return dataset


def _keeping(info: ModelInfo, subsets: Sequence[str] | None, there: Sequence[ChannelSet] | None = None) -> ModelInfo:
    if subsets is None and info.kept_subsets:
        return info
    chosen = keeping(info, subsets, info.kept_affine, option="--subsets", there=there)
    if info.kept_affine:
        trained = {frozenset(info.channels.resolve(subset, unnamed=True).names) for subset in info.kept_subsets}
        for subset in chosen.kept_subsets:
            if frozenset(info.channels.resolve(subset, unnamed=True).names) not in trained:
                raise ValueError(f"the model has no scale and shift for {subset}, which only training can give it")
    return chosen


def _adapted(model: AnyChannelModel, info: ModelInfo, strategy: str | None) -> tuple[AnyChannelModel, ModelInfo]:
    if model.strategy != PLAIN:
        if strategy not in (None, model.strategy):
            raise ValueError(f"the model's strategy is {model.strategy!r}; only a plain one can be given {strategy!r}")
        return model, info
    info = dataclasses.replace(info, strategy=strategy or "completed")
    return with_stem(model, info).eval(), info


def _recalibrated(
    model: AnyChannelModel, info: ModelInfo, subsets: Sequence[str] | None, array: ImageArray, *, images: int, seed: int
) -> ModelInfo:
    """Recompute a model's statistics for subsets on so many of the images; which it has then, earlier ones too."""
    chosen = _keeping(info, subsets, array.channel_sets(info.channels.names))
    inputs = Inputs(array, info.channels, torch.device("cpu"), Machine("cpu", "float32", True, 1))
    of_its_channels = [subset for subset in chosen.kept_subsets if isinstance(subset, str)]
    recalibrate_on(model, inputs, of_its_channels, images, seed)
    return dataclasses.replace(chosen, kept_subsets=tuple(model.subset_statistics.subsets))


def _command(source: Path, out: Path, options: dict[str, Any]) -> str:
    words = ["anychan", "adapt", str(source), "--out", str(out)]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", *(map(str, value) if isinstance(value, list | tuple) else [str(value)])]
    return shlex.join(words)
