"""What a set of runs still lacks: trained where it was left, evaluated where it was not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch

from anychan._records import read_run_record
from anychan.channels import ChannelSet
from anychan.data import load_split, open_dataset
from anychan.data.dataset import same_images
from anychan.evaluation import HELD_OUT, evaluate_run
from anychan.evaluation._folder import read_record, record_path, sha256
from anychan.evaluation.questions import own_subsets
from anychan.models import WeightsUnavailableError, create_model
from anychan.models.files import DESCRIPTION, WEIGHTS, read_info
from anychan.statistics import ChannelStatistics
from anychan.training import InterruptedRunError, TrainConfig, train
from anychan.training.initial import read_weights, weight_files, weights_taken
from anychan.training.resumed import changes, other_images

# Of which channel sets a run's cost is measured: none; the largest, which is all channels if they were asked for; all.
Costs = Literal["none", "full", "all"]


def attempt(config: TrainConfig, split: str, *, cost: Costs = "none", flips: bool = False) -> str | None:
    """`complete`, with whatever fails as a sentence: the other runs are to go on.

    Raises:
        InterruptedRunError: if it was interrupted.
        OSError: for files that are not there or cannot be written, which the other runs would meet too.
    """
    try:
        complete(config, split, cost=cost, flips=flips)
    except (ValueError, WeightsUnavailableError, FileExistsError) as error:  # the last two other runs need not meet
        return str(error)
    except (InterruptedRunError, OSError):
        raise
    except Exception as error:  # such as a GPU's memory that does not suffice
        return f"{type(error).__name__}: {error}"
    return None


def complete(config: TrainConfig, split: str, *, cost: Costs = "none", flips: bool = False) -> None:
    """Train and evaluate what is not there yet; a finished run is held against the settings and data asked for.

    Args:
        config: the run.
        split: what it is evaluated on.
        cost: of which channel sets the cost is measured.
        flips: also answer with test-time flips.

    Raises:
        ValueError: if the folder holds a run with other settings, data or initial weights, or with answers of another
            model or about other images, or if weights that the run takes are not there, or its own, where it has not
            been evaluated; and see `train` and `evaluate_run`.
    """
    for name, file in weight_files(config).items():
        if not file.is_file():  # other runs take other weights, or none: this is no file that they would miss too
            raise ValueError(f"{name}: {file}, whose weights the run takes, is not there")
    if not is_finished(config):
        config.resume = config.out.is_dir() and any(config.out.iterdir())
        train(config)
    check_answers(config, split)
    if not (config.out / DESCRIPTION).is_file():  # nor is this one that they would miss
        raise ValueError(f"{config.out / DESCRIPTION} is not there: the run cannot be evaluated")
    asked = own_subsets(read_info(config.out))  # not of the model: its weights may be elsewhere
    measured = {"none": [], "full": asked[:1], "all": asked}[cost]
    for subsets, costs in ((measured, True), ([subset for subset in asked if subset not in measured], False)):
        if subsets and not _evaluated(config.out, split, subsets, costs, flips):
            if not (config.out / WEIGHTS).is_file():
                raise ValueError(f"{config.out / WEIGHTS} is not there: the run cannot be evaluated on {split}")
            evaluate_run(
                config.out, subsets, split, data=config.data, bands=config.bands, cache_dir=config.cache_dir,
                device=None if config.device == "auto" else config.device, cost=costs, flips=flips, pictures=False,
            )  # fmt: skip


def is_finished(config: TrainConfig) -> bool:
    """Whether the run is there and trained to its end.

    Raises:
        ValueError: if the folder holds a run with other settings, data or initial weights, or in another number
            format than is asked for.
    """
    if not (config.out / "run.json").is_file():
        return False
    known = read_run_record(config.out)
    changed = changes(known, config, weights_taken(config), "other weights")
    now = open_dataset(config.data, config.bands).description
    for split in ("train", "val"):
        if not same_images(known["data"], now, split):
            changed.append(other_images(split))
    precision = known.get("machine", {}).get("precision")  # of auto it is what was chosen
    if config.precision != "auto" and precision not in (None, config.precision):
        changed.append(f"precision: {precision} -> {config.precision}")
    if changed:
        raise ValueError(f"{config.out} holds a run with other settings ({'; '.join(changed)})")
    return bool(known["status"] == "finished")


def check_answers(config: TrainConfig, split: str) -> None:
    """That a run's answers, if it has some, are of its model and about the images that there are now.

    Of training images that is known; of a model only where its weights are there.

    Raises:
        ValueError: if they are of another model, or about other images.
    """
    path, weights = record_path(config.out, split), config.out / WEIGHTS
    if not path.is_file():
        return
    record, others = read_record(config.out, split), []
    if weights.is_file() and record["model_sha256"] != sha256(weights):
        others.append(f"another model than {weights}")
    if split != HELD_OUT:
        now = open_dataset(config.data, config.bands).description
        if not same_images(record["data"], now, split):
            others.append(f"other {split} images than {config.data} has, or such as were read otherwise")
    if others:
        raise ValueError(
            f"{path} is about {' and '.join(others)}: evaluate the run with `anychan evaluate --replace`, or choose "
            "another folder"
        )


def check_split(config: TrainConfig, split: str) -> None:
    """That a run of these settings will have images to be compared on; they are decoded into the cache.

    Raises:
        ValueError: if there are none, or one is broken, which would end the evaluation of a trained run.
    """
    held_out = split == HELD_OUT
    if held_out and config.held_out is None:
        raise ValueError(f"split {split!r} needs held_out, which says how many training images")
    dataset = open_dataset(config.data, config.bands)
    there = [name for name, samples in dataset.splits.items() if samples]
    read = "train" if held_out else split
    if read not in there:
        raise ValueError(f"{config.data} has no split {read!r}; it has {', '.join(there)}")
    skip = held_out and config.skip_broken  # as the evaluation
    load_split(dataset, read, config.image_size, config.cache_dir, skip_broken=skip)


def check_splits(configs: Iterable[tuple[str, TrainConfig]], split: str) -> None:
    """`check_split` of each by name, of the same images once: to look at many takes seconds.

    Raises:
        ValueError: see there; it begins with the name.
    """
    known = set()
    for name, config in configs:
        images = (config.data, config.bands, config.image_size, config.cache_dir, config.held_out, config.skip_broken)
        if images in known:
            continue
        try:
            check_split(config, split)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        known.add(images)


def check_networks(configs: Iterable[tuple[str, TrainConfig]]) -> None:
    """That each run's network takes its options, for channels of which no statistics are known yet; each is made once.

    Raises:
        ValueError: if one does not; it begins with the name.
    """
    known: list[tuple[Any, ...]] = []
    for name, config in configs:
        stem = (config.strategy, config.strategy_options, config.channels, config.normalisation.kind)
        asked = (config.data, config.bands, config.model, config.model_options, *stem)
        if asked in known:
            continue
        known.append(asked)
        data = open_dataset(config.data, config.bands)
        try:
            with torch.random.fork_rng(devices=()):
                channels = data.channels.subset(config.channels)
                count = len(channels)
                create_model(
                    config.model,
                    channels,
                    len(data.classes),
                    config.strategy,
                    ChannelStatistics(channels, torch.zeros(count), torch.eye(count), 1),
                    config.strategy_options,
                    config.model_options,
                    config.normalisation.kind,
                )
        except Exception as error:  # whatever a network's constructor raises
            said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"{name}: {said}") from error


def check_pretrained(configs: Iterable[tuple[str, TrainConfig]]) -> None:
    """That files of pretrained weights can be read; what is to be downloaded fails its own run only.

    Raises:
        FileNotFoundError: if one is not there.
        ValueError: if one cannot be read; it begins with the name.
    """
    known = set()
    for name, config in configs:
        if config.pretrained in known or not isinstance(config.pretrained, Path):
            continue
        try:
            read_weights(config)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        known.add(config.pretrained)


def weights_missing(config: TrainConfig) -> str:
    """Why a run cannot start from the pretrained weights that are to be downloaded for it; empty if it can.

    Raises:
        ValueError: for weights that cannot be read, or that there are none of.
        FileNotFoundError: if a file of them is not there.
    """
    try:
        read_weights(config)
    except WeightsUnavailableError as error:
        return str(error)
    return ""


def _evaluated(run: Path, split: str, asked: list[str], cost: bool, flips: bool) -> bool:
    if not record_path(run, split).is_file():
        return False
    record = read_record(run, split)
    known = ChannelSet.from_dict(record["channels"])
    there = {
        frozenset(known.subset(row["subset"]).names)
        for row in record["results"]
        if not row["fill"] and (row["cost"] or not cost) and ("flips" in row or not flips)
    }
    return all(frozenset(known.subset(subset).names) in there for subset in asked)
