"""Fine-tune weights that were trained on RGB on images with a band more, and keep an answer for every subset.

    python examples/fine_tune_new_bands.py
    python examples/fine_tune_new_bands.py --model resnet18 --weights resnet18.safetensors

Without ``--weights`` nothing is fetched: a small network is first trained on the R, G and B of built-in images, in the
place of pretrained weights. Six steps, on a CPU within a minute:

1. statistics of the new data's channels, by which planes are normalised and missing ones guessed;
2. the model and its RGB weights;
3. `adapt`: kernels for the new bands are made from their neighbours in wavelength, and on RGB the model stays what
   it was;
4. train with another subset of the channels in each step;
5. recompute the batch normalisations' statistics for each subset that is asked for;
6. `specialize`: an ordinary module for the channels that a camera has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import anychan
from anychan.channels import ChannelSet
from anychan.data import load_split, open_dataset, split_statistics

RGB = "R,G,B"


@dataclass(frozen=True)
class Split:
    """Images (N, C, H, W), each channel with mean 0 and deviation 1 over the training images, and labels (N,)."""

    images: Tensor
    labels: Tensor

    def batches(
        self, size: int, generator: torch.Generator | None = None, at_least: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches in a random order if there is a generator; one of fewer than ``at_least`` images is left out."""
        count = len(self.labels)
        rows = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
        for chosen in rows.split(size):
            if len(chosen) >= at_least:
                yield self.images[chosen], self.labels[chosen]


def main(arguments: Sequence[str] | None = None) -> dict[str, tuple[float, float]]:
    """Run the recipe; the accuracies on each subset before and after fine-tuning."""
    options = parse(arguments)
    torch.manual_seed(0)

    # 1. The data, and what its channels are like.
    dataset = open_dataset(options.data)
    arrays = {split: load_split(dataset, split, options.size) for split in ("train", "test")}
    channels: ChannelSet = dataset.channels
    statistics = split_statistics(arrays["train"])
    mean, std = (value.float()[:, None, None] for value in (statistics.mean, statistics.std))
    train, test = (
        Split(((array.values(array.images) - mean) / std).nan_to_num(0), array.labels)  # no value: the channel's mean
        for array in (arrays["train"], arrays["test"])
    )
    rgb = list(channels.indices(RGB))

    # 2. A model with weights for R, G and B, in this order.
    classes = len(dataset.classes)
    if options.weights is None:
        pretrained = timm.create_model(options.model, num_classes=classes)
        fit(pretrained, train, options.epochs, lambda x, y: F.cross_entropy(pretrained(x[:, rgb]), y))
    else:
        # They were trained with ImageNet's mean and deviation, and get used to those of this data.
        pretrained = timm.create_model(
            options.model, True, pretrained_cfg_overlay={"file": str(options.weights)}, num_classes=classes
        )
    pretrained.eval()

    # 3. Kernels for the new bands, by wavelength. On RGB, nothing changes.
    model = anychan.adapt(
        pretrained,
        channels,
        "completed",
        statistics.normalised(),
        trained_on=RGB,
        new_kernels="wavelength",
    )
    subsets = [",".join(channels.names), RGB, *(channel.name for channel in channels)]
    before = {subset: accuracy(model, channels, test, subset) for subset in subsets}
    assert abs(before[RGB] - accuracy_of(pretrained, test, rgb)) < 0.01

    # 4. Train: each step on another subset, small ones as often as large ones.
    generator = torch.Generator().manual_seed(0)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        subset = anychan.sample_channels(channels, "hierarchical", generator)
        return F.cross_entropy(model(x[:, list(channels.indices(subset))], subset), y)

    fit(model, train, options.epochs, loss)

    # 5. In training the batch normalisations' running statistics mixed all subsets: give each its own.
    model.eval()
    anychan.recalibrate(model, (x for x, _ in train.batches(128, at_least=2)), subsets)
    after = {subset: accuracy(model, channels, test, subset) for subset in subsets}

    # 6. An ordinary network, nothing of anychan in it, for a camera that has no infrared.
    camera = anychan.specialize(model, RGB)
    assert abs(after[RGB] - accuracy_of(camera, test, rgb)) < 0.01

    print(f"Accuracy on {len(test.labels)} test images; chance is {1 / classes:.3f}")
    print(f"{'channels':24} {'before':>7} {'after':>7}")
    for subset in subsets:
        print(f"{subset:24} {before[subset]:7.3f} {after[subset]:7.3f}")
    return {subset: (before[subset], after[subset]) for subset in subsets}


def fit(model: nn.Module, train: Split, epochs: int, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    shuffle = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(epochs):
        for x, y in train.batches(64, shuffle, at_least=2):  # batch normalisation cannot train on one image
            optimizer.zero_grad()
            loss(x, y).backward()
            optimizer.step()


@torch.inference_mode()
def accuracy_of(network: nn.Module, test: Split, planes: list[int]) -> float:
    right = [(network(x[:, planes]).argmax(1) == y).sum() for x, y in test.batches(256)]
    return float(sum(right)) / len(test.labels)


def accuracy(model: anychan.AnyChannelModel, channels: ChannelSet, test: Split, subset: str) -> float:
    return accuracy_of(model.bind(subset), test, list(channels.indices(subset)))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synthetic:bands=4,train=1500,test=500", help="with channels R, G and B")
    parser.add_argument("--model", default="test_resnet", help="a name of timm's")
    parser.add_argument("--weights", type=Path, help="a local file of timm's weights for the model")
    parser.add_argument("--size", type=int, default=32, help="side of an image in pixels")
    parser.add_argument("--epochs", type=int, default=5)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
