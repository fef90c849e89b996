"""Batches: each is a pure function of the seed, the epoch and the step, so a run can go on from any of them.

Shape suffixes: N images of a batch, S its channels, C all channels of the array.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.data.augment import augment
from anychan.data.augment_config import AugmentationConfig
from anychan.training.config import TrainConfig
from anychan.training.machine import Machine
from anychan.training.randomness import counter_seed
from anychan.training.sampling import sample_channels, sample_smaller


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalised images (N, S, H, W) float32, their labels (N,), and the names of their planes.

    ``present`` (N, S) says which planes each image has, where they differ; ``subsets`` are those that the same
    images are to be seen through beside their full set.
    """

    images: Tensor
    labels: Tensor
    channels: ChannelSet
    present: Tensor | None = None
    subsets: tuple[ChannelSet, ...] = ()


class Inputs:
    """Turns rows of an image array into what a model is fed: planes by name, augmented, normalised by name.

    Args:
        array: uint8 images (in memory, on a disk, or on the device).
        channels: those of the model, with mean and standard deviation.
        device: where batches go.
        machine: for the memory layout.
        augmentation: None leaves images as they are.
    """

    def __init__(
        self,
        array: ImageArray,
        channels: ChannelSet,
        device: torch.device,
        machine: Machine,
        augmentation: AugmentationConfig | None = None,
    ) -> None:
        self.array = array
        self.channels = channels
        self._device = device
        self._memory_format = machine.memory_format
        self._augmentation = None if augmentation is None or augmentation.off else augmentation
        self._pixels_NHWC = array.images.permute(0, 2, 3, 1)
        self._chosen: dict[tuple[str, ...], tuple[Tensor, Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.array.labels)

    def batch(self, rows: Tensor, channels: ChannelSet, generator: torch.Generator | None = None) -> Batch:
        """The images of some rows (int64, on the array's device), seen through some of the model's channels."""
        planes, scale, shift = self._of(channels)
        # Rows of N, H, W, C are whole in memory, so they are gathered before the layout is looked at otherwise.
        pixels_NHWC = self._pixels_NHWC.index_select(0, rows)
        if channels.names != self.array.channels.names:
            pixels_NHWC = pixels_NHWC.index_select(3, planes)
        pixels_NSHW = pixels_NHWC.permute(0, 3, 1, 2).to(self._device, non_blocking=True)
        if self._augmentation is not None and generator is not None:
            pixels_NSHW = augment(pixels_NSHW, self._augmentation, generator)
        x_NSHW = pixels_NSHW.float().mul_(scale).add_(shift).contiguous(memory_format=self._memory_format)
        return Batch(x_NSHW, self.array.labels[rows].to(self._device, non_blocking=True), channels)

    def _of(self, channels: ChannelSet) -> tuple[Tensor, Tensor, Tensor]:
        """Positions of channels in the array (S,), and what their pixels are multiplied by and added to, (S, 1, 1).

        They are kept, since copying them to a GPU anew for each batch would wait for it.
        """
        if channels.names not in self._chosen:
            known = self.channels.subset(channels)
            mean = torch.tensor([channel.mean for channel in known], dtype=torch.float64)[:, None, None]
            std = torch.tensor([channel.std for channel in known], dtype=torch.float64)[:, None, None]
            # Pixels are 0..255: (x / 255 - mean) / std = x * scale + shift.
            scale, shift = (1 / (255 * std)).float(), (-mean / std).float()
            planes = torch.tensor(self.array.channels.indices(channels.names), device=self.array.images.device)
            self._chosen[channels.names] = (planes, scale.to(self._device), shift.to(self._device))
        return self._chosen[channels.names]


def unaugmented(inputs: Inputs, images: int, seed: int, size: int = 64) -> Iterator[Tensor]:
    """Some images as the model's input, all its channels, drawn at random: (size, C, H, W), the last one smaller.

    An image that would be a batch of its own is left out, since it has no statistics.
    """
    generator = torch.Generator().manual_seed(counter_seed("recalibration", seed))
    rows = torch.randperm(len(inputs), generator=generator)[:images].to(inputs.array.images.device)
    for some in rows.split(size):
        if len(some) > 1:
            yield inputs.batch(some, inputs.channels).images


class TrainingBatches:
    """The batches of a run, for one of its processes.

    An epoch is a permutation of the images cut into steps; what does not fill the last step is left out of that
    epoch. A step's images are shared out among the processes, which all see the same channels.

    Args:
        inputs: the training images.
        config: batch size (over all processes), seed, channel sampling.
        device: where augmentation draws its random numbers.
        rank: of this process among ``processes``.
        processes: how many there are.
        correlation: of the channels, (C, C), for diverse sampling.

    Raises:
        ValueError: if the processes cannot have equal shares of a batch, or for subsets left out that are none of
            the channels' or leave nothing below the full set to draw.
    """

    def __init__(
        self,
        inputs: Inputs,
        config: TrainConfig,
        device: torch.device,
        rank: int = 0,
        processes: int = 1,
        *,
        correlation: Tensor | None = None,
    ) -> None:
        size = min(config.batch_size, len(inputs))
        if size % processes:
            raise ValueError(
                f"a batch of {size} images cannot be shared equally by {processes} processes; "
                f"batch_size {config.batch_size} must be a multiple of {processes}, and there must be as many images"
            )
        self.steps = len(inputs) // size
        self._size, self._share, self._rank = size, size // processes, rank
        self._inputs, self._config, self._correlation = inputs, config, correlation
        self._augmentation_generator = torch.Generator(device)
        self._channel_generator = torch.Generator()
        self._order: tuple[int, Tensor] | None = None
        self._unseen = _left_out(inputs.channels, config.unseen_subsets or ())

    def batch(self, epoch: int, step: int) -> Batch:
        """This process's share of a step, both counted from 0."""
        first = step * self._size + self._rank * self._share
        rows = self._epoch_order(epoch)[first : first + self._share]
        self._augmentation_generator.manual_seed(
            counter_seed("augmentation", self._config.seed, epoch, step, self._rank)
        )
        batch = self._inputs.batch(rows, self.channels(epoch, step), self._augmentation_generator)
        present = self.present(epoch, step, len(rows))
        if present is not None:
            present = present.to(batch.images.device, non_blocking=True)
        return replace(batch, present=present, subsets=self.subsets(epoch, step))

    def as_they_are(self, images: int) -> Iterator[Tensor]:
        """Some of the training images, not augmented, all channels, batch by batch; see `unaugmented`."""
        return unaugmented(self._inputs, images, self._config.seed, self._size)

    def channels(self, epoch: int, step: int) -> ChannelSet:
        """The channels of a step's images: the same in every process."""
        whole = self._config.objective.name != "labels" or self._config.sampling_unit == "image"
        return self._inputs.channels if whole else self._sample(self._seeded(epoch, step))

    def subsets(self, epoch: int, step: int) -> tuple[ChannelSet, ...]:
        """The subsets that a step's images are seen through beside the full set: the same in every process."""
        objective, generator = self._config.objective, self._seeded(epoch, step)
        if objective.name == "sandwich" and self._config.channel_sampling == "hierarchical" and not self._unseen:
            return tuple(sample_smaller(self._inputs.channels, objective.subsets, generator))
        if objective.name == "sandwich":
            return tuple(self._sample_smaller(generator) for _ in range(objective.subsets))
        return (self._sample(generator),) if objective.name == "teacher" else ()

    def present(self, epoch: int, step: int, images: int) -> Tensor | None:
        """Which channels each of this process's images has, bool (N, C), where each has its own."""
        if self._config.sampling_unit == "batch":
            return None
        generator = self._seeded(epoch, step, self._rank)
        drawn = [self._sample(generator) for _ in range(images)]
        return torch.tensor([[channel in channels for channel in self._inputs.channels] for channels in drawn])

    def _seeded(self, *counters: int) -> torch.Generator:
        return self._channel_generator.manual_seed(counter_seed("channels", self._config.seed, *counters))

    def _sample_smaller(self, generator: torch.Generator) -> ChannelSet:
        """A draw below the full set, which has nothing to learn from itself."""
        while len(drawn := self._sample(generator)) == len(self._inputs.channels):
            pass
        return drawn

    def _sample(self, generator: torch.Generator) -> ChannelSet:
        config = self._config
        while True:
            drawn = sample_channels(
                self._inputs.channels,
                config.channel_sampling,  # type: ignore[arg-type] # settled, no longer "auto"
                generator,
                probability=config.channel_probability,
                fixed=config.fixed_subset,
                correlation=self._correlation,
            )
            if frozenset(drawn.names) not in self._unseen:
                return drawn

    def _epoch_order(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(counter_seed("order", self._config.seed, epoch))
            order = torch.randperm(len(self._inputs), generator=generator)
            self._order = (epoch, order.to(self._inputs.array.images.device))
        return self._order[1]


def _left_out(channels: ChannelSet, subsets: Iterable[str]) -> set[frozenset[str]]:
    """The subsets that are never drawn, whatever the order of their channels; something else must be left."""
    left_out = {frozenset(channels.subset(subset).names) for subset in subsets}
    if frozenset(channels.names) in left_out:
        raise ValueError(f"unseen_subsets names {channels}, which is all channels; it must name some of them")
    if left_out and len(left_out) == 2 ** len(channels) - 2:
        raise ValueError(f"unseen_subsets names every subset below {channels}, so that none is left to draw")
    return left_out
