"""Small synthetic run folders, written by hand in the formats that training and evaluation write."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anychan.channels import ChannelSet

FILLS = ("zeros", "zeros-rescaled", "mean", "mean-of-present")
_HARDWARE = {
    "cpu": "Test CPU",
    "cores": 2,
    "threads": 2,
    "memory_bytes": 2**34,
    "gpu": None,
    "platform": "Linux x86_64",
}
_VERSIONS = {"anychan": "0.1.0", "python": "3.11.9", "torch": "2.15.0", "timm": "1.0.31"}


def write_run(  # noqa: PLR0917
    folder: Path,
    channels: str = "RGB",
    classes: Sequence[str] = ("goldfish", "tabby cat", "red fox", "king penguin"),
    fills: Sequence[str] = (),
    strategy: str = "completed",
    accuracy: float = 0.6,
    epochs: int = 5,
    pictures: int = 4,
    **record: Any,
) -> Path:
    """Write a finished, evaluated run; keywords replace fields of run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "run.json", run_record(folder.name, channels, strategy, epochs) | record)
    _write(folder / "model.json", {"schema": 1, "kind": "model", "architecture": "resnet18", "strategy": strategy})
    (folder / "config.yaml").write_text("model: resnet18\nepochs: 5\n", "utf-8")
    lines = [json.dumps(epoch_record(epoch)) for epoch in range(1, epochs + 1)]
    (folder / "records.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    _write(folder / "evaluation" / "test.json", evaluation_record(channels, classes, fills, strategy, accuracy))
    if pictures:
        write_pictures(folder / "pictures", channels, classes, pictures)
    return folder


def run_record(name: str, channels: str, strategy: str, epochs: int) -> dict[str, Any]:
    known = ChannelSet.parse(channels)
    size = len(known)
    return {
        "schema": 1,
        "kind": "run",
        "name": name,
        "status": "finished",
        "config": {"model": "resnet18", "strategy": strategy, "epochs": epochs},
        "command": f"anychan train --data animals.zip --strategy {strategy} --out runs/{name}",
        "versions": _VERSIONS,
        "commit": "0123456789abcdef",
        "dirty": False,
        "seed": 0,
        "hardware": _HARDWARE,
        "data": {
            "name": "animals",
            "layout": "lists",
            "channels": list(known.names),
            "classes": 4,
            "splits": {"train": 24000},
        },
        "started": "2026-11-21T04:00:00+00:00",
        "seconds": 812.5,
        "epochs": epochs,
        "best_epoch": None,
        "selected": "last",
        "statistics": {
            **known.to_dict(),
            "mean": [0.5] * size,
            "covariance": [[0.04 if i == j else 0.03 for j in range(size)] for i in range(size)],
            "count": 98304,
        },
        "skipped": [],
    }


def epoch_record(epoch: int) -> dict[str, Any]:
    return {
        "schema": 1,
        "kind": "epoch",
        "epoch": epoch,
        "step": 375 * epoch,
        "train_loss": 3.9 * math.exp(-epoch / 6),
        "train_accuracy": 0.6 - 0.5 * math.exp(-epoch / 4),
        "val_loss": 0.6 + 3.3 * math.exp(-epoch / 4),
        "val_accuracy": 0.55 - 0.45 * math.exp(-epoch / 3),
        "learning_rate": 0.001,
        "images_per_second": 300.0 + epoch,
        "seconds": 80.0 + epoch,
    }


def evaluation_record(
    channels: str = "RGB",
    classes: Sequence[str] = ("goldfish", "tabby cat", "red fox", "king penguin"),
    fills: Sequence[str] = (),
    strategy: str = "completed",
    accuracy: float = 0.6,
) -> dict[str, Any]:
    known = ChannelSet.parse(channels)
    results = []
    for subset in known.subsets():
        share = len(subset) / len(known)
        whole = len(subset) == len(known)
        if whole or strategy != "plain":
            results.append(result_record(str(subset), "", accuracy * (0.55 + 0.45 * share), accuracy, classes))
        for i, fill in enumerate(() if whole else fills):
            results.append(result_record(str(subset), fill, accuracy * share * (0.5 + 0.1 * i), accuracy, classes))
    return {
        "schema": 1,
        "kind": "evaluation",
        "split": "test",
        "created": "2026-11-21T05:00:00+00:00",
        "commit": "0123456789abcdef",
        "versions": _VERSIONS,
        "hardware": _HARDWARE,
        "data": {"name": "animals", "splits": {"train": 24000}, "fingerprints": {"test": "b"}},
        "classes": list(classes),
        "channels": known.to_dict(),
        "results": results,
    }


def result_record(subset: str, fill: str, accuracy: float, whole: float, classes: Sequence[str]) -> dict[str, Any]:
    each, count = 100, len(classes)
    n = each * count
    confusion = [[_times(i, j, count, each, accuracy) for j in range(count)] for i in range(count)]
    return {
        "subset": subset,
        "fill": fill,
        "n": n,
        "accuracy": accuracy,
        "accuracy_interval": [accuracy - 0.02, accuracy + 0.019],
        "top5": min(1.0, accuracy + 0.3),
        "precision_macro": accuracy + 0.01,
        "recall_macro": accuracy,
        "f1_macro": accuracy - 0.01,
        "precision_weighted": accuracy + 0.01,
        "recall_weighted": accuracy,
        "f1_weighted": accuracy - 0.01,
        "expected_calibration_error": 0.043,
        "calibration": [
            {"confidence": c / 15 + 0.03, "accuracy": min(1.0, c / 14), "count": 5 + 4 * c} for c in range(15)
        ],
        "inference_ms": 1.234,
        "retention": accuracy / whole,
        "per_class": [
            {"class": name, "support": each, "precision": 0.5, "recall": 0.4, "f1": 0.9 - 0.1 * (i % 8)}
            for i, name in enumerate(classes)
        ],
        "confusion": confusion,
        "cost": None if fill else cost_record(subset),
    }


def cost_record(subset: str) -> dict[str, Any]:
    return {
        "channels": subset,
        "image_size": 64,
        "parameters": 11_202_162,
        "macs": 148_340_000,
        "kernel_macs": 28_224,
        "depth": 18,
        "latency_ms": {
            "1": {"median": 9.81, "q25": 9.7, "q75": 10.2},
            "32": {"median": 101.0, "q25": 99.0, "q75": 104.0},
        },
        "memory": {"inference_bytes": 45_000_000, "training_bytes": 512_000_000},
        "device": "cpu",
        "hardware": _HARDWARE,
        "threads": 2,
    }


def write_pictures(folder: Path, channels: str, classes: Sequence[str], count: int) -> None:
    from PIL import Image

    entries = []
    for number in range(count):
        file = io.BytesIO()
        Image.new("RGB", (16, 16), (40 * (number % 6), 90, 200 - 30 * (number % 6))).save(file, "PNG")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03d}.png").write_bytes(file.getvalue())
        truth = classes[number % len(classes)]
        answers = {
            str(subset): [[name, 0.8 / (k + 1)] for k, name in enumerate(_ordered(classes, number + i * (number % 2)))]
            for i, subset in enumerate(ChannelSet.parse(channels).subsets())
        }
        label = classes.index(truth)
        entries.append(
            {"file": f"{number:03d}.png", "path": f"a/{number}.jpg", "label": label, "class": truth, "answers": answers}
        )
    _write(folder / "pictures.json", {"data": "zoo.zip", "split": "test", "pictures": entries})


def _ordered(classes: Sequence[str], start: int) -> list[str]:
    return [classes[(start + k) % len(classes)] for k in range(min(5, len(classes)))]


def _times(row: int, column: int, count: int, each: int, accuracy: float) -> int:
    """A hundred answers a row: the right ones, most of the others on the next class, some on the seventh after."""
    right, wrong = round(each * accuracy), each - round(each * accuracy)
    next_one = wrong * 2 // 3
    times = {row: right, (row + 1) % count: next_one}
    seventh = (row + 7) % count
    times[seventh] = times.get(seventh, 0) + wrong - next_one
    return times.get(column, 0)


def _write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record), "utf-8")


def seeded_run(
    folder: Path, seed: int, accuracy: float, model: str = "resnet18", epochs: int = 5, **written: Any
) -> Path:
    """A run whose answers are recorded image by image, so that it can be paired and pooled."""
    import base64

    import numpy as np

    config = {"model": model, "strategy": "completed", "epochs": 5}
    write_run(folder, accuracy=accuracy, epochs=epochs, seed=seed, config=config, **written)
    run = json.loads((folder / "run.json").read_text("utf-8"))
    run["data"]["fingerprints"] = {"train": "a"}
    _write(folder / "run.json", run)
    description = json.loads((folder / "model.json").read_text("utf-8"))
    _write(folder / "model.json", {**description, "architecture": model})
    record = json.loads((folder / "evaluation" / "test.json").read_text("utf-8"))
    for i, row in enumerate(record["results"]):
        right = np.random.default_rng([seed, i]).random(row["n"]) < row["accuracy"]
        row |= {"accuracy": float(right.mean()), "right": base64.b64encode(np.packbits(right).tobytes()).decode()}
        row["accuracy_interval"] = [row["accuracy"] - 0.02, row["accuracy"] + 0.02]
        row["retention"] = row["accuracy"] / record["results"][0]["accuracy"]
    _write(folder / "evaluation" / "test.json", record)
    return folder


def write_ablation(folder: Path, title: str = "Does width help?") -> Path:
    """The folder of an ablation with a change for each verdict, and one that failed."""

    def row(name: str, difference: float, verdict: str) -> dict[str, Any]:
        told = {"difference": difference, "interval": [difference - 0.02, difference + 0.02], "verdict": verdict}
        row = {"name": name, "seeds": [0, 1], "errors": {}, "full": 0.5, "mean": 0.4, "difference_mean": told}
        return row | {"n": 2400, "trained": [{"precision": "float32", "processor": "Some CPU"}] * 2}

    rows = [
        {"name": "base", "seeds": [0, 1], "errors": {}, "full": 0.48, "mean": 0.39},
        row("wide", 0.05, "better"),
        row("narrow", -0.06, "worse"),
        row("no flips", 0.01, "not distinguishable"),
        {"name": "odd", "seeds": [], "errors": {"0": "width is 3, but must be even"}},
    ]
    record = {"schema": 1, "kind": "ablation", "title": title, "changes": {}, "seeds": [0, 1]}
    record["base"] = {"model": "wide6", "model_options": {"width": 32}, "strategy": "sliced", "epochs": 3}
    record |= {"split": "val", "draws": 10000, "rows": rows, "hardware": {"cpu": "Some Processor", "gpu": None}}
    _write(folder / "ablation.json", record)
    return folder


def write_search(folder: Path, **record: Any) -> Path:
    """The folder of a search of three trials, one of which failed; keywords replace fields of its record."""

    def trial(number: int, rate: float, widths: list[int], accuracy: float | None, error: str | None) -> dict[str, Any]:
        settings = {"optimizer.learning_rate": rate, "model_options.multiples": widths}
        state = "complete" if error is None else "fail"
        return {"number": number, "state": state, "settings": settings, "val_accuracy": accuracy, "error": error}

    trials = [
        trial(0, 0.002, [1, 2], 0.301, None),
        trial(1, 0.0035714, [2, 2], 0.3125, None),
        trial(2, 0.001, [9, 9], None, "out of memory"),
    ]
    config = {"model": "wide6", "model_options": {"width": 32}, "epochs": 3, "seed": 0, "held_out": 2400}
    told = {"schema": 1, "kind": "sweep", "config": config, "space": {}, "trials": trials, "best": trials[1]}
    _write(folder / "sweep.json", told | {"hardware": {"cpu": "Some Processor", "gpu": None}} | record)
    return folder


def write_reproduction(path: Path, recipe: str = "000-A", seed: int = 0, **record: Any) -> Path:
    """A reproduction's record: a run that was measured, two that could not be had; keywords replace its fields."""

    def row(run: str, figure: str, n: int | None, measured: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"run": run, "figure": figure, "n": n, "reported": {}, "measured": measured} | more

    rows = [
        row("plain", "accuracy", 2500, {"RGB": 37.4, "R": 9.0}, reported={"RGB": 41.25}),
        row("plain", "accuracy (validation)", 1000, {"RGB": 36.0}),
        row("plain", "epochs", None, {"RGB": 10}, reported={"RGB": 12}),
        row("plain", "inference_s", 450, {"RGB": None}, reported={"RGB": 0.0083}, machine="A CPU (threads: 1)"),
        row("plain", "memory_mb (training batch of 64)", None, {}, reported={"RGB": 2086}, missing="out of memory"),
        row("pretrained", "f1", None, {}, reported={"RGB": 65.37}, warning="they have seen the test images"),
        row("other", "f1", None, {}, reported={"RGB": 60.5}),
    ]
    rows[-1]["missing"] = rows[-2]["missing"] = "the weights cannot be downloaded"
    rows[0]["intervals"] = {"RGB": [35.52, 39.31]}
    told = {"schema": 1, "kind": "reproduction", "recipe": recipe, "fair": False, "seed": seed, "rows": rows}
    told |= {"changes": {"data": "a/folder/animals.zip", "seed": seed}, "errors": {"wide": "no memory"}}
    run = {"seconds": 60.0, "epochs": 10, "data": "animals.zip", "commit": "abc"}
    places = {"plain": "float32", "other": "bfloat16"}
    told["runs"] = {
        name: run | {"trained": {"precision": precision, "processor": "Some CPU"}} for name, precision in places.items()
    }
    _write(path, told | {"hardware": {"cpu": "Some Processor", "gpu": None}} | record)
    return path
