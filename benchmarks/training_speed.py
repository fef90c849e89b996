"""How fast is training, against a bare PyTorch loop and against decoding in every epoch?

    python benchmarks/training_speed.py
    python benchmarks/training_speed.py --data photographs.zip --images 2048 --repeats 7 --save

Four loops train the same network with the same optimiser, autocast, memory layout and batch:

* anychan: ``anychan.training.train`` as it is, with crop and flip, records, and the guard against what is not finite;
* bare: the shortest loop over a resident tensor that is already normalised; no augmentation, no measurement;
* bare, default update: the same with torch's default AdamW in place of the fused one;
* decoding: torchvision's transforms in a DataLoader with a worker a core, files decoded in every epoch.

All on the same photographs: those of ``--data`` are unpacked into a folder a class.

Repetitions are interleaved, so that a machine that slows down slows all of them. Each trains one epoch to warm
up and times the next. Ratios are those of a repetition's speeds: their median, and their range.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from _photographs import photographs
from _ratios import finish, interleaved, new_parser
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.data import load_split, open_dataset, split_statistics
from anychan.models import create_model
from anychan.training import TrainConfig, train
from anychan.training.machine import Machine, choose


def anychan_loop(config: TrainConfig) -> float:
    """Images a second of the second epoch of a real run."""
    run = train(config)
    return json.loads((run / "records.jsonl").read_text().splitlines()[1])["images_per_second"]


def bare_loop(
    model: nn.Module, batches: Callable[[], Iterable[tuple[Tensor, Tensor]]], machine: Machine, fused: bool
) -> float:
    """Images a second of the second epoch of the shortest loop that trains."""
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, fused=fused)
    speed = 0.0
    for _ in range(2):
        images, started = 0, time.perf_counter()
        for x, y in batches():
            with torch.autocast(machine.device, torch.bfloat16, enabled=machine.precision == "bfloat16"):
                loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            images += len(y)
        speed = images / (time.perf_counter() - started)
    return speed


def resident_batches(x: Tensor, y: Tensor, size: int) -> Callable[[], Iterable[tuple[Tensor, Tensor]]]:
    """Batches of a resident tensor, in a new order each epoch."""

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(y))
        for first in range(0, len(y) - size + 1, size):
            rows = order[first : first + size]
            yield x[rows].contiguous(memory_format=torch.channels_last), y[rows]

    return batches


def decoding_batches(
    folder: Path, size: int, batch: int, workers: int
) -> Callable[[], Iterable[tuple[Tensor, Tensor]]]:
    """A DataLoader over JPEGs, decoded and augmented by torchvision in every epoch."""
    from torchvision import datasets, transforms

    transform = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomCrop(size, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    loader = torch.utils.data.DataLoader(
        datasets.ImageFolder(str(folder), transform),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=True,
    )

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        for x, y in loader:
            yield x.contiguous(memory_format=torch.channels_last), y

    return batches


def measure(options: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Images a second of each loop in each repetition."""
    images = photographs(options.data, folder / "photographs", options.images, options.image_size)
    settings: dict[str, Any] = {
        "data": str(images),
        "model": options.model,
        "image_size": options.image_size,
        "batch_size": options.batch_size,
        "epochs": 2,
        "cache_dir": folder / "cache",
        "device": "cpu",
    }
    machine = choose(TrainConfig(out=folder, **settings), torch.device("cpu"))
    dataset = open_dataset(settings["data"])
    array = load_split(dataset, "train", options.image_size, settings["cache_dir"])
    known = split_statistics(array).described
    mean, std = (torch.tensor(values)[:, None, None] for values in zip(*((c.mean, c.std) for c in known), strict=True))
    x = ((array.images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
    resident = resident_batches(x, array.labels, options.batch_size)

    def model() -> nn.Module:
        return create_model(options.model, known, len(array.classes)).body

    decoding = decoding_batches(images / "train", options.image_size, options.batch_size, options.workers)
    runs = iter(range(1_000_000))
    loops: dict[str, Callable[[], float]] = {
        "anychan": lambda: anychan_loop(TrainConfig(out=folder / f"run{next(runs)}", **settings)),
        "bare": lambda: bare_loop(model(), resident, machine, fused=True),
        "bare, default update": lambda: bare_loop(model(), resident, machine, fused=False),
        "decoding": lambda: bare_loop(model(), decoding, machine, fused=True),
    }
    return interleaved(loops, options.repeats, "images/s")


def main() -> None:
    parser = new_parser(__doc__, "training_speed", image_size=64, batch_size=64, repeats=5)
    parser.add_argument("--data", help="photographs to take, instead of made ones")
    parser.add_argument("--images", type=int, default=1024, help="how many to train on")
    parser.add_argument("--workers", type=int, default=torch.get_num_threads(), help="of the DataLoader")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speeds = measure(options, Path(folder))
    pairs = {name: ("anychan", name) for name in speeds if name != "anychan"}
    finish(options, "training_speed", "images_per_second", speeds, pairs)


if __name__ == "__main__":
    main()
