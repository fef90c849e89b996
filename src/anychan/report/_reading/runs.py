"""A run folder, read: no model is run, no data set is needed.

What is there and cannot be read is a ``ValueError`` that names the file and the field.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anychan.channels import ChannelSet
from anychan.report._reading.comparisons import named_apart, without_outdated_specialists
from anychan.report._reading.fields import Fields, read_json, read_lines
from anychan.report._reading.pairs import read_comparisons, read_specialists
from anychan.report._reading.records import (
    Bin,
    ClassScore,
    Cost,
    Epoch,
    Evaluation,
    Kernels,
    Picture,
    Result,
    Run,
    Spread,
)
from anychan.report._reading.settings import groups


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Args:
        folder: what ``anychan train`` wrote and ``anychan evaluate`` added to.

    Raises:
        FileNotFoundError: if there is no such folder, or no run.json in it.
        ValueError: for a file in it that is broken, of another kind, or of another schema than 1.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such run folder")
    if not (folder / "run.json").is_file():
        raise FileNotFoundError(f"{folder}: not a run folder, it has no run.json")
    record = _run_record(folder / "run.json")
    config = folder / "config.yaml"
    pictures_of, pictures, kernels = _pictures(folder / "pictures")
    evaluations = {path.stem: _evaluation(path) for path in sorted((folder / "evaluation").glob("*.json"))}
    specialists = [
        read_specialists(read_json(path, kind="specialists"), evaluations)
        for path in sorted((folder / "specialists").glob("*.json"))
    ]
    outdated = {
        found.split
        for found in specialists
        if found.split in evaluations and not evaluations[found.split].answered(found.model, found.images)
    }
    return Run(
        folder=folder,
        name=record.text("name"),
        status=record.text("status"),
        record=record.values,
        model=_read_model(folder / "model.json"),
        config=config.read_text("utf-8", errors="replace") if config.is_file() else "",
        epochs=tuple(_epoch(line) for line in read_lines(folder / "records.jsonl", kind="epoch")),
        evaluations=evaluations,
        pictures=pictures,
        pictures_of=pictures_of,
        kernels=kernels,
        seconds=record.maybe("seconds"),
        comparisons=tuple(
            comparison
            for path in sorted((folder / "comparisons").glob("*.json"))
            for comparison in read_comparisons(folder, read_json(path, kind="comparison"))
        ),
        specialists=tuple(found for found in specialists if found.split not in outdated),
        outdated=tuple(sorted(outdated)),
    )


def _run_record(path: Path) -> Fields:
    """run.json, its optional fields checked: what is there is of the kind that the page expects."""
    record = read_json(path, kind="run")
    for key in ("statistics", "pretrained", "machine"):
        record.maybe_child(key)
    for key in ("seed", "best_epoch"):
        record.maybe_integer(key)
    record.maybe_child("adapted_from").maybe_integer("images")
    _check_settings(record.maybe_child("config"))
    _check_data(record.maybe_child("data"))
    parts = record.children("resumed_from") if record.values.get("resumed_from") else []
    for part in parts:
        part.integer("epochs")
        part.integer("step")
    for part in (*parts, record):
        part.maybe_child("hardware")
        part.maybe_child("versions")
    skipped = record.values.get("skipped") or []
    if not isinstance(skipped, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in skipped):
        raise ValueError(f"{path}: 'skipped' should be a list of paths with their reasons, not {skipped!r:.60}")
    return record


def _check_settings(config: Fields) -> None:
    for group in groups():
        config.maybe_child(group)
    for key in ("epochs", "held_out"):
        config.maybe_integer(key)


def _check_data(data: Fields) -> None:
    data.maybe_child("fingerprints")
    if data.values.get("channels") is not None:
        data.array("channels")


def _read_model(path: Path) -> Mapping[str, Any]:
    """model.json, empty where there is none; what is there of channels and options is of the kind that it should be."""
    if not path.is_file():
        return {}
    model = read_json(path, kind="model")
    for channel in model.children("channels") if model.values.get("channels") is not None else ():
        channel.text("name")
    for key in ("model_options", "strategy_options"):
        model.maybe_child(key)
    return model.values


def _epoch(line: Fields) -> Epoch:
    return Epoch(
        epoch=line.integer("epoch"),
        train_loss=line.maybe("train_loss"),
        train_accuracy=line.maybe("train_accuracy"),
        val_loss=line.maybe("val_loss"),
        val_accuracy=line.maybe("val_accuracy"),
        images_per_second=line.maybe("images_per_second"),
        seconds=line.maybe("seconds"),
    )


def _evaluation(path: Path) -> Evaluation:
    record = read_json(path, kind="evaluation")
    try:
        split, data = record.text("split"), record.maybe_child("data")
        evaluation = Evaluation(
            split=split,
            channels=ChannelSet.from_dict(record.child("channels").values),
            classes=tuple(str(name) for name in record.array("classes")),
            images=str(data.maybe_child("fingerprints").values.get(split) or data.values),
            data=data.values,
            results=tuple(_result(result, record) for result in record.children("results")),
            untold=_untold(record.maybe_child("untold"), len(record.array("classes"))),
            model=str(record.values.get("model_sha256") or ""),
        )
        for result in evaluation.results:
            _check_result(evaluation, result)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _naming(path, error) from error
    return evaluation


def _untold(shares: Fields, classes: int) -> Mapping[str, tuple[float | None, ...]]:
    found = {name: tuple(shares.array(name)) for name in shares.values}
    for name, of_classes in found.items():
        if len(of_classes) != classes or not all(x is None or 0 <= x < math.inf for x in of_classes):
            raise ValueError(f"untold {name}: there must be a number from 0 for each of {classes} classes, or null")
    return found


def _check_result(evaluation: Evaluation, result: Result) -> None:
    """Refuse a subset of other channels, answers to other images, scores and a matrix of other classes or no images."""
    from anychan.evaluation.predictions import unpack_right

    evaluation.size(result)
    try:
        if result.right:
            unpack_right(result.right, result.n)
    except ValueError as error:
        raise ValueError(f"'right' of {result.subset} is not readable ({error})") from error
    rows, count = result.confusion, len(evaluation.classes)
    scored = count if any(one.per_class for one in evaluation.results) else 0
    if len(result.per_class) != scored:
        raise ValueError(f"'per_class' of {result.subset} has {len(result.per_class)} of the {scored} classes")
    if rows and not (len(rows) == count and all(len(row) == count for row in rows)):
        raise ValueError(f"the confusion matrix of {result.subset} is not {count} by {count}")
    if any(times < 0 for row in rows for times in row):
        raise ValueError(f"the confusion matrix of {result.subset} holds a negative count")
    if rows and not any(map(any, rows)):
        raise ValueError(f"the confusion matrix of {result.subset} holds no image")


def _naming(path: Path, error: Exception) -> ValueError:
    return ValueError(str(error) if str(path) in str(error) else f"{path}: {error}")


def _result(result: Fields, record: Fields) -> Result:
    cost = result.values.get("cost")
    place = result if result.values.get("hardware") else record  # rows of older records do not say it themselves
    flips = result.maybe_child("flips")
    return Result(
        subset=result.text("subset"),
        fill=result.text("fill"),
        n=result.integer("n"),
        accuracy=result.number("accuracy"),
        interval=result.interval("accuracy_interval"),
        top5=result.maybe("top5"),
        precision=result.maybe("precision_macro"),
        recall=result.maybe("recall_macro"),
        f1=result.maybe("f1_macro"),
        calibration_error=result.maybe("expected_calibration_error"),
        inference_ms=result.maybe("inference_ms"),
        retention=result.maybe("retention"),
        calibration=tuple(
            Bin(b.number("confidence"), b.number("accuracy"), b.integer("count"))
            for b in result.children("calibration")
            if b.maybe("count")
        ),
        per_class=tuple(map(_class_score, result.children("per_class"))),
        confusion=tuple(array("i", map(int, row)) for row in result.array("confusion")),
        cost=_cost(result.child("cost")) if cost else None,
        flips=flips.maybe("accuracy"),
        flips_interval=flips.interval("accuracy_interval") if flips.values else None,
        left_out=result.maybe_integer("left_out") or 0,
        lacking=result.maybe_integer("lacking") or 0,
        right=result.text("right") if result.values.get("right") is not None else "",
        device=str(place.values.get("device") or "cpu"),
        hardware=place.maybe_child("hardware").values,
    )


def _class_score(score: Fields) -> ClassScore:
    """A class's scores: without an image of it there is no recall, and no F1."""
    support = score.integer("support")
    recall, f1 = (score.maybe("recall"), score.maybe("f1")) if support else (None, None)
    return ClassScore(score.text("class"), support, score.maybe("precision"), recall, f1)


def _cost(cost: Fields) -> Cost:
    memory, latency = cost.maybe_child("memory"), cost.maybe_child("latency_ms")
    return Cost(
        image_size=cost.maybe_integer("image_size"),
        parameters=cost.maybe_integer("parameters"),
        macs=cost.maybe_integer("macs"),
        kernel_macs=cost.maybe_integer("kernel_macs"),
        depth=cost.maybe_integer("depth"),
        latency={
            int(batch): spread for batch in latency.values if (spread := spread_of(latency.child(batch))) is not None
        },
        inference_bytes=memory.maybe_integer("inference_bytes"),
        training_bytes=memory.maybe_integer("training_bytes"),
        device=str(cost.values.get("device") or "cpu"),
        threads=cost.maybe_integer("threads"),
        hardware=cost.maybe_child("hardware").values,
    )


def _pictures(folder: Path) -> tuple[str, tuple[Picture, ...], tuple[Kernels, ...]]:
    if not (folder / "pictures.json").is_file():
        return "", (), ()
    record = read_json(folder / "pictures.json", kind=None)
    try:
        pictures = tuple(_picture(folder, picture) for picture in record.children("pictures"))
        drawn = record.children("kernels") if record.values.get("kernels") is not None else []
        files = [(kernel.text("subset"), _pixels(folder, kernel.text("file"))) for kernel in drawn]
        data = record.values.get("data")
        of = f"the {record.text('split')} split" + (f" of {data}" if data else "")
        return of, pictures, tuple(Kernels(subset, pixels) for subset, pixels in files if pixels)
    except (TypeError, ValueError) as error:
        raise _naming(folder / "pictures.json", error) from error


def _picture(folder: Path, picture: Fields) -> Picture:
    pixels = _pixels(folder, picture.text("file"))
    answers, maps = picture.child("answers"), picture.maybe_child("activation")
    drawn = {subset: _pixels(folder, maps.text(subset)) for subset in maps.values}
    return Picture(
        pixels=pixels,
        activation={subset: found for subset, found in drawn.items() if found},
        path=picture.text("path"),
        truth=picture.text("class"),
        disputed=picture.values.get("chosen") == "by disagreement",
        answers={
            subset: tuple((str(name), float(share)) for name, share in answers.array(subset))
            for subset in answers.values
        },
    )


def _pixels(folder: Path, file: str) -> bytes | None:
    """A drawing in a folder; None if the file is gone."""
    if Path(file).name != file:
        raise ValueError(f"{folder / 'pictures.json'}: picture {file!r} does not lie in this folder")
    return (folder / file).read_bytes() if (folder / file).is_file() else None


def spread_of(latency: Fields) -> Spread | None:
    """A recorded latency; None where nothing was timed."""
    if not latency.values:
        return None
    return Spread(latency.number("median"), latency.number("q25"), latency.number("q75"))


def read_runs(folders: Sequence[Path | str], none: bool = False) -> list[Run]:
    """Read run folders, refusing one twice, and none at all if not ``none``; each run gets a name of its own.

    Raises:
        FileNotFoundError, ValueError: see ``write_report``.
    """
    paths = [Path(folder) for folder in folders]
    if not paths and not none:
        raise ValueError("no run given; name at least one run folder")
    for i, path in enumerate(paths):
        if path.resolve() in [earlier.resolve() for earlier in paths[:i]]:
            raise ValueError(f"{path}: this run is given twice")
    runs = named_apart([read_run(path) for path in paths])
    return [without_outdated_specialists(run, runs) for run in runs]


def main_split(runs: Sequence[Run]) -> str | None:
    """The split that is reported: test where any run has it, else val, else another; None: nothing was evaluated."""
    splits = {split for run in runs for split in run.evaluations}
    return next((split for split in ("test", "val") if split in splits), min(splits, default=None))
