"""How much faster is a training step on a CPU by what ``anychan.train`` does for it there?

    python benchmarks/cpu_step.py
    python benchmarks/cpu_step.py --model resnet34 --threads 1 --save

Forward pass, loss, backward pass and fused update, in the number format that ``anychan.train`` chooses for the machine,
on random images that lie in memory: with nothing of it, with the faster ways of `FasterOnCpu` (small maps tap by tap,
depthwise convolutions, means), with freed memory kept as well, and with updates in memory order as well, which is all.
Each figure is of a process of its own, since a C library that was told to keep memory goes on to do so. ``--save``
replaces no record of other images, threads or number format.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from _ratios import RESULTS, finish, interleaved, new_parser
from _steps import new_step
from inference import CLASSES, RGB

from anychan.models import create_model
from anychan.training import TrainConfig
from anychan.training.machine import Machine, choose, freed_memory_kept

CPU = torch.device("cpu")
WAYS = ("nothing", "faster ways", "and kept memory", "and updates in memory order")  # each with those before


def chosen(options: argparse.Namespace) -> tuple[TrainConfig, Machine]:
    config = TrainConfig(data="synthetic", out=Path("unused"), image_size=options.image_size, device="cpu")
    return config, choose(config, CPU)


def images_per_second(options: argparse.Namespace, way: str) -> float:
    """Of all steps but two at the beginning."""
    torch.set_num_threads(options.threads)
    config, machine = chosen(options)
    torch.manual_seed(0)
    x = torch.randn(options.batch_size, len(RGB), options.image_size, options.image_size)
    x, y = x.contiguous(memory_format=machine.memory_format), torch.randint(CLASSES, (options.batch_size,))
    faster, kept_memory, in_order = (WAYS.index(way) > i for i in range(3))
    model = create_model(options.model, RGB, CLASSES)
    step = new_step(model, config, machine, faster=faster, in_order=in_order)
    with freed_memory_kept(CPU) if kept_memory else nullcontext():
        for _ in range(2):
            step(x, y)
        started = time.perf_counter()
        for _ in range(options.steps):
            step(x, y)
        return options.steps * options.batch_size / (time.perf_counter() - started)


def main() -> None:
    parser = new_parser(__doc__, "cpu_step-MODEL", image_size=64, batch_size=64, repeats=5)
    parser.add_argument("--steps", type=int, default=24, help="steps a figure is the mean of")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    options.precision = chosen(options)[1].precision
    name = f"cpu_step-{options.model}"
    kept = RESULTS / f"{name}.json"
    if options.save and kept.is_file():
        settings = json.loads(kept.read_text(encoding="utf-8"))["settings"]
        for key in ("image_size", "batch_size", "threads", "precision"):
            if settings[key] != getattr(options, key):
                parser.error(f"{key} {getattr(options, key)} is not that of {kept.name}, {settings[key]}: move it away")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        measures = {way: partial(pool.apply, images_per_second, (options, way)) for way in WAYS}
        figures = interleaved(measures, options.repeats, "images/s")
    pairs = {way: (way, WAYS[0]) for way in WAYS[1:]}
    finish(options, name, "images_per_second", figures, pairs)


if __name__ == "__main__":
    main()
