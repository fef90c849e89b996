"""How long is an epoch, beside timm's own training script on the same photographs?

    python benchmarks/epoch.py --timm-script train.py
    python benchmarks/epoch.py --timm-script train.py --data photographs.zip --images 4096 --save

``train.py`` is the script at the root of timm's repository (its wheel does not have it). Both train as programs of
their own, on the same JPEGs (unpacked into a folder a class, which both read), with the same network, optimiser,
batch, precision, memory layout and threads, and with crop and flip; timm also without any augmentation, which is the
cheapest that it can do, and in the memory layout that it has where nothing is said. The number format is what
``anychan train`` chooses for the machine. On a GPU, timm's loader has a worker a core and pinned memory. ``--save``
writes ``epoch.json``, on a GPU ``epoch-cuda.json``, and on a CPU that trains in bfloat16 ``epoch-bfloat16.json``.

A program's figure is the images a second of its second epoch, without validation: by then ours has its cache.
Repetitions are interleaved. Ratios are those of a repetition's figures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from _photographs import photographs
from _ratios import finish, interleaved, new_parser

from anychan.training import TrainConfig
from anychan.training.machine import choose

TIMM = {
    "timm": ["--scale", "0.8", "1.0", "--ratio", "1", "1", "--color-jitter", "0", "--channels-last"],
    "timm, no augmentation": ["--no-aug", "--channels-last"],
    "timm, its own memory layout": ["--scale", "0.8", "1.0", "--ratio", "1", "1", "--color-jitter", "0"],
}
# Of the lines of an epoch, the last holds the epoch's mean speed in brackets.
TIMM_SPEED = re.compile(r"Train: 1 \[.*\(100%\)\].*\(\d+\.\d+s, +(\d+\.\d+)/s\)")


def program(arguments: list[str], threads: int) -> str:
    """What a program prints, on both streams; it has as many threads as told.

    Raises:
        SystemExit: where it fails, with the end of what it said.
    """
    settings = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    ran = subprocess.run(arguments, check=False, env=settings, **streams)
    if ran.returncode:
        raise SystemExit(f"{' '.join(arguments)}\n{ran.stdout[-2000:]}")
    return ran.stdout


def measure(options: argparse.Namespace, folder: Path, precision: str) -> dict[str, list[float]]:
    """Images a second of each program's second epoch in each repetition."""
    images = photographs(options.data, folder / "photographs", options.images, options.image_size)
    classes = len(list((images / "train").iterdir()))
    size, threads = str(options.image_size), torch.get_num_threads()
    number = itertools.count()
    device = folder / "device.yaml"  # older scripts have no option for the device, but take this
    device.write_text(f"device: {options.device}\n", encoding="utf-8")
    # Its log has one update in so many, from the first on; batches that are not full it leaves out. So: first and last.
    interval = max(len(list((images / "train").glob("*/*"))) // options.batch_size - 1, 1)

    def ours() -> float:
        out = folder / f"ours{next(number)}"
        asked = ["--model", options.model, "--image-size", size, "--batch-size", str(options.batch_size)]
        asked += ["--epochs", "2", "--device", options.device, "--cache-dir", str(folder / "cache")]
        program([sys.executable, "-m", "anychan", "train", "--data", str(images), "--out", str(out), *asked], threads)
        return json.loads((out / "records.jsonl").read_text(encoding="utf-8").splitlines()[1])["images_per_second"]

    def timm(extra: list[str]) -> float:
        asked = ["--config", str(device), "--model", options.model, "--num-classes", str(classes)]
        asked += ["--input-size", "3", size, size]
        asked += ["--batch-size", str(options.batch_size), "--epochs", "2", "--opt", "adamw", "--lr", "1e-3"]
        asked += ["--weight-decay", "0.05", "--smoothing", "0.1", "--warmup-epochs", "0", "--val-split", "val"]
        asked += ["--workers", str(options.workers), "--log-interval", str(interval)]
        asked += ["--pin-mem"] if options.device == "cuda" else []
        asked += ["--amp", "--amp-dtype", "bfloat16"] if precision == "bfloat16" else []
        asked += ["--output", str(folder / f"timm{next(number)}"), *extra]
        said = program([sys.executable, str(options.timm_script), str(images), *asked], threads)
        return float(TIMM_SPEED.findall(said)[-1])

    programs: dict[str, Callable[[], float]] = {"anychan": ours}
    programs |= {name: partial(timm, extra) for name, extra in TIMM.items()}
    return interleaved(programs, options.repeats, "images/s")


def main() -> None:
    parser = new_parser(__doc__, "epoch[-cuda|-bfloat16]", image_size=64, batch_size=64, repeats=3)
    parser.add_argument("--timm-script", type=Path, metavar="FILE", help="timm's train.py")
    parser.add_argument("--data", help="photographs to take, instead of made ones")
    parser.add_argument("--images", type=int, default=2048, help="how many to train on")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--workers", type=int, help="of timm's loader; not given: a core each on a GPU, else a thread each"
    )
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    if options.workers is None:
        options.workers = os.cpu_count() if on_gpu else torch.get_num_threads()
    if options.timm_script is None:
        print("nothing measured: give --timm-script, the train.py of timm's repository")
        return
    options.timm_script = options.timm_script.resolve(strict=True)
    config = TrainConfig(data="", out=Path(), image_size=options.image_size, device=options.device)
    precision = choose(config, torch.device(options.device)).precision
    with tempfile.TemporaryDirectory() as folder:
        speeds = measure(options, Path(folder), precision)
    options.timm_script = options.timm_script.name
    pairs = {name: ("anychan", name) for name in speeds if name != "anychan"}
    name = "epoch-cuda" if on_gpu else "epoch" if precision == "float32" else f"epoch-{precision}"
    finish(options, name, "images_per_second", speeds, pairs)


if __name__ == "__main__":
    main()
