"""How long is a training step on sampled channels, against a step of the plain network on all of them?

    python benchmarks/training_step.py
    python benchmarks/training_step.py --strategy sliced --steps 48 --save

Forward pass, loss, backward pass and update as ``anychan.train`` makes them on a CPU, on random images that lie in
memory. The any-channel network sees a subset drawn anew for each step (hierarchical
sampling), and gets its planes cut out of the images; with one set of normalisation statistics for all subsets, and
with statistics of their own. In all repetitions the steps see the same subsets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from _ratios import finish, interleaved, new_parser
from _steps import new_step
from inference import CLASSES, RGB, any_channel
from torch import Tensor

from anychan.adaptation import AnyChannelModel, keep_statistics
from anychan.channels import ChannelSet
from anychan.models import create_model
from anychan.training import TrainConfig
from anychan.training.machine import choose, freed_memory_kept
from anychan.training.sampling import sample_channels

CPU = torch.device("cpu")


def stepper(
    model: AnyChannelModel, config: TrainConfig, images: tuple[Tensor, Tensor], subsets: Sequence[ChannelSet]
) -> Callable[[], float]:
    """A function that trains a step on each of the subsets and returns the mean milliseconds of a step."""
    machine = choose(config, CPU)
    x, y = images[0].contiguous(memory_format=machine.memory_format), images[1]
    train = new_step(model, config, machine)

    def step(channels: ChannelSet) -> None:
        planes = x if len(channels) == len(RGB) else x[:, list(RGB.indices(channels))]
        train(planes, y, channels=channels)

    for channels in dict.fromkeys(subsets):  # each once, to warm up
        step(channels)

    def timed() -> float:
        started = time.perf_counter()
        for channels in subsets:
            step(channels)
        return 1e3 * (time.perf_counter() - started) / len(subsets)

    return timed


def main() -> None:
    parser = new_parser(__doc__, "training_step", image_size=64, batch_size=64, repeats=7)
    parser.add_argument("--strategy", default="completed")
    parser.add_argument("--steps", type=int, default=24, help="steps a figure is the mean of")
    options = parser.parse_args()
    config = TrainConfig(data="synthetic", out=Path("unused"), image_size=options.image_size, device="cpu")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(options.batch_size, len(RGB), options.image_size, options.image_size, generator=generator)
    y = torch.randint(CLASSES, (options.batch_size,), generator=generator)
    everything = [RGB] * options.steps
    sampled = [sample_channels(RGB, "hierarchical", generator) for _ in range(options.steps)]
    torch.manual_seed(0)
    shared, apart = (any_channel(options.model, options.strategy) for _ in range(2))
    keep_statistics(apart)
    models = {
        "plain": (create_model(options.model, RGB, CLASSES), everything),
        "sampled": (shared, sampled),
        "sampled, own statistics": (apart, sampled),
        "all channels": (any_channel(options.model, options.strategy), everything),
    }
    with freed_memory_kept(CPU):
        steppers = {name: stepper(model, config, (x, y), subsets) for name, (model, subsets) in models.items()}
        milliseconds = interleaved(steppers, options.repeats, "ms a step")
    pairs = {name: (name, "plain") for name in models if name != "plain"}
    finish(options, "training_step", "milliseconds", milliseconds, pairs)


if __name__ == "__main__":
    main()
