"""Evaluate a run: its model on every channel subset of a split, written into the run folder.

``predictions/<split>.parquet`` holds each answer, ``evaluation/<split>.json`` what follows from them. Both speak of
one model on one data set: asking again replaces the rows of the same subset and fill and keeps the others. So each row
says on which machine it was answered and timed, and by which commit and versions, if these are not the file's; its cost
says so for itself, and may be measured later, on another (`record_costs`). What a row had and is not asked for again
stays: its cost, and that it is answered with flips too.
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from anychan._files import replacing
from anychan._records import RUN, read_run_record
from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet
from anychan.cost import profile
from anychan.data import Dataset, ImageArray, hold_out, load_split, open_dataset
from anychan.data.dataset import same_images
from anychan.environment import checked_device, environment
from anychan.evaluation._folder import (
    PICTURES,
    drawing,
    predictions_path,
    read_record,
    record_path,
    sha256,
    write_record,
    writing,
)
from anychan.evaluation.metrics import metrics
from anychan.evaluation.pictures import write_pictures
from anychan.evaluation.predict import predict_subset
from anychan.evaluation.predictions import Key, Predictions, pack_right, read_predictions, write_predictions
from anychan.evaluation.questions import Question, list_questions, own_subsets, rank
from anychan.evaluation.untold import untold
from anychan.models.files import WEIGHTS, ModelInfo, load_model
from anychan.sensors import find, match

HELD_OUT = "held-out"
_WHERE = ("device", "autocast", "batch_size", "hardware")
_BY = ("versions", "commit", "dirty")


def evaluate_run(
    run: Path | str,
    channels: str | Sequence[str] | None = None,
    split: str = "test",
    fills: str | Sequence[str] | None = None,
    data: str | Path | None = None,
    *,
    bands: str | Path | None = None,
    batch_size: int = 128,
    device: str | None = None,
    autocast: torch.dtype | None = None,
    cache_dir: Path | None = None,
    cost: bool = True,
    flips: bool = False,
    pictures: bool = True,
    replace: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Ask a run's model about a split, once for each subset and fill, and write down what it answers.

    Images that cannot be read are never skipped or replaced: they stop the evaluation. Where images have different
    channels, those with none of a subset's are left out of that subset, and its row says how many they are, and how
    many have only some.

    Args:
        run: the run folder.
        channels: "all" for every subset that is not empty, "some" for the full set, every channel alone and a few of
            each size between, or a channel set, or a list of them; None: every subset that the model has statistics
            for, else "all", of more than 8 channels "some"; of a plain one without fills all its channels.
        split: train, val, test, or "held-out" for the training images that the run was validated on and not trained
            on (`TrainConfig.held_out`).
        fills: keys of ``FILLS``, with which to answer proper subsets as well, or "all" that make sense of the
            channels. A plain model answers its full channel set by itself and proper subsets with fills only.
        data: what to read the split from; None: what the run was trained on. Its classes must be the run's.
        bands: what the planes of ``data`` are, as for ``open_dataset``; None: the data say it. What the run was trained
            on has the bands that it was trained with.
        batch_size, device, autocast: see ``predict_subset``; device None: cuda where it is there, else cpu.
        cache_dir: where decoded images are kept; None: the user's cache folder.
        cost: measure parameters, MACs, latency and memory for each subset the model answers by itself; not of one
            that it has no statistics for, since no image has all of its channels.
        flips: also answer from the mean of each image's logits and its mirror image's: an accuracy of its own beside
            the row's, under "flips".
        pictures: keep thumbnails of some images with their answers in ``pictures/``.
        replace: drop rows of another model or other data that are there, and damaged ones; otherwise they are refused.
            Rows of the same model and the same data stay.
        progress: show progress bars.

    Returns:
        The record, as ``evaluation/<split>.json`` holds it. Retention, the accuracy over that on the full set for the
        same images, is None until the full set is evaluated.

    Raises:
        FileNotFoundError: if the run or its data are not there.
        ValueError: for channels that the model or the data do not have, more than 8 channels with "all", a plain
            model asked for a proper subset without fills, an unknown fill or split, other classes than the run's,
            an image that cannot be read, or rows there of another model or other data.
        OSError: if the run folder cannot be written to.
    """
    run = Path(run)
    if not run.is_dir():  # a model file or a packaged model is no place to write to
        raise FileNotFoundError(f"{run} is no run folder")
    model, info = load_model(run)
    if channels is None:
        channels = own_subsets(info, filled=bool(fills))
    questions = list_questions(info.channels, info.strategy, channels, fills)
    dataset = _open(run, info, data, bands)
    _check_channels(dataset, questions)
    array = _images(run, dataset, split, info.image_size, cache_dir=cache_dir, progress=progress)
    _check_statistics(model, info, array, questions)
    images = {**dataset.description, "fingerprints": {**dataset.description["fingerprints"], split: array.fingerprint}}
    model_hash = sha256(run / WEIGHTS)
    earlier, _ = _earlier(run, split, model_hash, images, replace)
    device = str(checked_device(device))
    made = {
        **environment(device),
        "device": device,
        "autocast": None if autocast is None else str(autocast).removeprefix("torch."),
        "batch_size": batch_size,
    }
    where = {key: made[key] for key in _WHERE}
    with writing(run, split):  # a folder that cannot be written to is told before the first question
        pass
    answer = partial(
        predict_subset, model, array, batch_size=batch_size, device=device, autocast=autocast, progress=progress
    )
    rows, answers = {}, {}
    for subset, fill in questions:
        given = answer(subset, fill=fill)
        timed = cost and not fill and (not model.subset_statistics or subset in model.subset_statistics)
        of_one = _cost(model, info, subset, device) if timed else None
        mirrored = flips or "flips" in earlier.get(given.key, {})
        both = answer(subset, fill=fill, flips=True) if mirrored else None
        answers[given.key] = given
        counts = {"left_out": len(array) - len(given.paths), "lacking": _lacking(array, subset)}
        rows[given.key] = {**_row(given, both, counts, info, of_one), **where}
    with writing(run, split):  # rows that another process has written meanwhile are kept
        others, answered = _earlier(run, split, model_hash, images, replace)
        rows, answers = _beside(others, rows), {**answered, **answers}
        order = sorted(rows, key=lambda key: rank(info.channels, *key))
        record = {
            "schema": 1,
            "kind": "evaluation",
            "split": split,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **made,
            "data": images,
            "model_sha256": model_hash,
            "classes": list(info.classes),
            "channels": info.channels.to_dict(),
            "untold": untold(array, info.channels) if (str(info.channels), "") in rows else {},
            "results": _with_retention({key: _less(rows[key], made) for key in order}, answers, str(info.channels)),
        }
        answers = {key: answers[key] for key in order}
        _write(run, split, record, answers.values())
        if pictures:
            of = (dataset.description["name"], split)
            with drawing(run):
                write_pictures(run / PICTURES, of, array, answers, info.classes, model=model)
    return record


def _open(run: Path, info: ModelInfo, data: str | Path | None, bands: str | Path | None) -> Dataset:
    if data is not None:
        dataset = open_dataset(data, bands)
    elif bands is not None:
        raise ValueError(f"bands {str(bands)!r} go with other data than the run's, whose bands are known: name --data")
    else:
        config = _run_record(run)["config"]
        spec = config["data"]
        try:
            dataset = open_dataset(spec, config.get("bands"))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}; the run was trained on {spec}: say with --data where it is") from error
    dataset.warn_of_overlap()
    if tuple(dataset.classes) != info.classes:
        differing = sorted(set(dataset.classes) ^ set(info.classes))
        what = f"{', '.join(differing[:3])} in one of them only" if differing else "the same ones in another order"
        raise ValueError(
            f"{dataset.name} has {len(dataset.classes)} classes and the run {len(info.classes)}, {what}: "
            "a run is evaluated on the classes it was trained for"
        )
    return dataset


def _images(
    run: Path, dataset: Dataset, split: str, image_size: int, *, cache_dir: Path | None, progress: bool
) -> ImageArray:
    """Those of a split of the data set, or those of its training images that the run was not trained on."""
    if split != HELD_OUT:
        return load_split(dataset, split, image_size, cache_dir, progress=progress)
    record = _run_record(run)
    config = record["config"]
    if config.get("held_out") is None:
        raise ValueError(f"{run} was trained on all training images: none is held out")
    skip = bool(config.get("skip_broken", False))  # as in training, so that the same images are held out
    array = load_split(dataset, "train", image_size, cache_dir, skip_broken=skip, progress=progress)
    # of all that is listed: the array leaves out what was skipped as broken
    if not same_images(dataset.description, record["data"], "train"):
        raise ValueError(f"the training images have changed since {run}, so what it was not trained on is not known")
    return hold_out(array, config["held_out"])[1]


def _check_channels(dataset: Dataset, questions: Iterable[Question]) -> None:
    for subset, _ in questions:
        found = match(subset, dataset.channels)
        missing = [channel.name for channel in subset if channel.name not in found]
        if missing:
            raise ValueError(
                f"{dataset.name} has no channel {missing[0]!r}, so nothing can be evaluated on {subset}; "
                f"there are {','.join(dataset.channels.names)}: name channel sets of these"
            )


def _check_statistics(
    model: AnyChannelModel, info: ModelInfo, array: ImageArray, questions: Iterable[Question]
) -> None:
    """Refuse what a model has no statistics for before the first question is answered."""
    if model.subset_statistics:
        for subset, fill in questions:
            for there in array.channel_sets((info.channels if fill else subset).names):
                model.subset_statistics.of(there)


def _lacking(array: ImageArray, subset: ChannelSet) -> int:
    """How many images have some of the channels and not all."""
    if array.present is None:
        return 0
    there_NS = array.present[:, find(subset, array.channels)]
    return int((there_NS.any(dim=1) & ~there_NS.all(dim=1)).sum())


def _run_record(run: Path) -> dict[str, Any]:
    path = run / RUN
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there, which says what the run was trained on: name --data")
    return read_run_record(run)


def _earlier(
    run: Path, split: str, model_hash: str, images: Mapping[str, Any], replace: bool
) -> tuple[dict[Key, dict[str, Any]], dict[Key, Predictions]]:
    """Rows and answers of earlier evaluations of the same model on the same images; others are refused or replaced."""
    path = record_path(run, split)
    if not path.is_file():
        return {}, {}
    try:
        record = read_record(run, split)
        answers = read_predictions(predictions_path(run, split))
    except (OSError, ValueError):  # not there or damaged
        if not replace:
            raise
        return {}, {}
    of_all = {key: record[key] for key in (*_WHERE, *_BY) if key in record}  # of rows that do not say it themselves
    rows = {(row["subset"], row["fill"]): {**of_all, **row} for row in record["results"]}
    for same, what in (
        (record["model_sha256"] == model_hash, "is about another model"),
        (same_images(record["data"], images, split), "is about other images, or such as were read otherwise"),
        (rows.keys() <= answers.keys(), "does not fit its table of predictions"),
    ):
        if not same and replace:
            return {}, {}
        if not same:
            raise ValueError(f"{path} {what}: say --replace to write a new one")
    return rows, {key: answers[key] for key in rows}


def _less(row: dict[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """A row that says which commit and versions answered it, only if they are not its file's."""
    same = all(row.get(key) == made[key] for key in _BY)
    return {key: value for key, value in row.items() if not (same and key in _BY)}


def _row(
    answers: Predictions,
    mirrored: Predictions | None,
    counts: Mapping[str, int],
    info: ModelInfo,
    cost: dict[str, Any] | None,
) -> dict[str, Any]:
    row = {
        "subset": answers.subset,
        "fill": answers.fill,
        **counts,
        **metrics(answers, info.classes),
        "inference_ms": answers.milliseconds,
        "retention": None,
        "right": pack_right(answers),
        "cost": cost,
    }
    if mirrored is not None:
        found = metrics(mirrored, info.classes)
        row["flips"] = {name: found[name] for name in ("accuracy", "accuracy_interval")}
    return row


def _beside(others: Mapping[Key, dict[str, Any]], rows: Mapping[Key, dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Rows beside those that were there; of one that was answered anew, what was not asked for again stays."""
    found = {**others, **rows}
    for key in rows.keys() & others.keys():
        told = others[key]
        kept = {name: told[name] for name in ("cost", "flips") if told.get(name) and not rows[key].get(name)}
        found[key] = {**rows[key], **kept}
    return found


def _cost(model: AnyChannelModel, info: ModelInfo, subset: ChannelSet, device: str) -> dict[str, Any]:
    # Answering has laid its weights out as channels_last; cost is that of a model as it is loaded, as elsewhere.
    loaded = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    return profile(loaded, channels=subset, image_size=info.image_size, device=device).to_dict()


def _with_retention(
    rows: Mapping[Key, dict[str, Any]], answers: Mapping[Key, Predictions], whole: str
) -> list[dict[str, Any]]:
    full = answers.get((whole, "")) if (whole, "") in rows else None
    right = None if full is None else dict(zip(full.paths, full.correct.tolist(), strict=True))
    found = []
    for key, row in rows.items():
        seen = [] if right is None else [right[path] for path in answers[key].paths]
        accuracy = sum(seen) / max(1, len(seen))  # on the full set, of the images that this row is about
        found.append({**row, "retention": row["accuracy"] / accuracy if accuracy else None})
    return found


def _write(run: Path, split: str, record: dict[str, Any], answers: Iterable[Predictions]) -> None:
    """Both files or neither: each is written whole beside its place before either takes it."""
    with replacing(record_path(run, split)) as new_record, replacing(predictions_path(run, split)) as new_table:
        write_predictions(answers, new_table)
        write_record(record, new_record)
