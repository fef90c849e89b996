"""Batches: each is a pure function of the seed, the epoch and the step, so a run can go on from any of them.

Shape suffixes: N images of a batch, S its channels, C all channels of the array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.data.arrays import check_units, send, take
from anychan.data.augment import augment
from anychan.data.augment_config import AugmentationConfig
from anychan.data.dataset import BYTES
from anychan.training.buckets import BucketOrder, make_buckets
from anychan.training.config import TrainConfig
from anychan.training.machine import Machine
from anychan.training.randomness import counter_seed
from anychan.training.sampling import sample_channels, sample_smaller

_MOST_CHOSEN = 256  # channel sets, of which 13 bands have 8,191, whose positions and factors are kept


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
        array: images (in memory, on a disk, or on the device).
        channels: those of the model, with mean and standard deviation in the array's units.
        device: where batches go.
        machine: for the memory layout.
        augmentation: None leaves images as they are.

    Raises:
        ValueError: for a channel that the array does not have or counts in other units, or an image without any.
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
        check_units(channels, array.channels.subset(channels.names))
        self.present_NC = present_of(array, channels)
        self._pixels_NHWC = array.images.permute(0, 2, 3, 1)
        self._chosen: dict[tuple[str, ...], tuple[Tensor, Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.array.labels)

    def having(self, channels: ChannelSet) -> Tensor:
        """Which of the images have all of some channels, bool (N,) on the CPU."""
        if self.present_NC is None:
            return torch.ones(len(self), dtype=torch.bool)
        return self.present_NC[:, list(self.channels.indices(channels.names))].all(dim=1)

    def batch(self, rows: Tensor, channels: ChannelSet, generator: torch.Generator | None = None) -> Batch:
        """The images of some rows (int64, on the array's device), seen through some of the model's channels."""
        planes, scale, shift = self._of(channels)
        # Rows of N, H, W, C are whole in memory, so they are gathered before the layout is looked at otherwise.
        pixels_NHWC = take(self._pixels_NHWC, rows)
        if channels.names != self.array.channels.names:
            pixels_NHWC = take(pixels_NHWC, planes, axis=3)
        pixels_NSHW = send(pixels_NHWC.permute(0, 3, 1, 2), self._device)
        if self.array.encoding != BYTES:  # normalised first: what augmentation leaves empty is 0, the mean and no value
            pixels_NSHW = pixels_NSHW.float().mul_(scale).add_(shift).nan_to_num_(nan=0.0)
        if self._augmentation is not None and generator is not None:
            pixels_NSHW = augment(pixels_NSHW, self._augmentation, generator)
        if self.array.encoding == BYTES:
            pixels_NSHW = pixels_NSHW.float().mul_(scale).add_(shift)
        x_NSHW = pixels_NSHW.contiguous(memory_format=self._memory_format)
        labels = send(self.array.labels[rows], self._device)
        return Batch(x_NSHW, labels, channels, self._present(rows, channels))

    def _present(self, rows: Tensor, channels: ChannelSet) -> Tensor | None:
        """Which of the channels each of some images has, (N, S); None: all have all."""
        if self.present_NC is None:
            return None
        present_NS = self.present_NC[rows.cpu()][:, list(self.channels.indices(channels.names))]
        return None if present_NS.all() else send(present_NS, self._device)

    def _of(self, channels: ChannelSet) -> tuple[Tensor, Tensor, Tensor]:
        """Positions of channels in the array (S,), and what their pixels are multiplied by and added to, (S, 1, 1).

        The last are kept, since copying them to a GPU anew for each batch would wait for it.
        """
        if channels.names not in self._chosen:
            if len(self._chosen) >= _MOST_CHOSEN:
                del self._chosen[next(iter(self._chosen))]  # the oldest
            known = self.channels.subset(channels)
            mean = torch.tensor([channel.mean for channel in known], dtype=torch.float64)[:, None, None]
            std = torch.tensor([channel.std for channel in known], dtype=torch.float64)[:, None, None]
            scale, shift = self._to_normalised(known, mean, std)
            planes = torch.tensor(self.array.channels.indices(channels.names), device=self.array.images.device)
            self._chosen[channels.names] = (planes, scale.to(self._device), shift.to(self._device))
        return self._chosen[channels.names]

    def _to_normalised(self, known: ChannelSet, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """What stored numbers are multiplied by and added to, float32 (S, 1, 1)."""
        encoding = self.array.encoding
        if encoding == BYTES:  # pixels are 0..255: (x / 255 - mean) / std = x * scale + shift
            return (1 / (255 * std)).float(), (-mean / std).float()
        planes = list(self.array.channels.indices(known.names))
        factor, offset = (
            torch.tensor(of_all, dtype=torch.float64).expand(len(self.array.channels))[planes][:, None, None]
            for of_all in (encoding.scale, encoding.offset)
        )
        return (factor / std).float(), ((offset - mean) / std).float()


def present_of(array: ImageArray, channels: ChannelSet) -> Tensor | None:
    """Which of the channels each image has, bool (N, C) on the CPU; None: all have all. ValueError if one has none."""
    if array.present is None:
        return None
    present_NC = array.present[:, list(array.channels.indices(channels.names))]
    empty = (~present_NC.any(dim=1)).nonzero()
    if len(empty):
        raise ValueError(f"{array.paths[int(empty[0])]} has none of the channels {','.join(channels.names)}")
    return None if present_NC.all() else present_NC


def unaugmented(
    inputs: Inputs, images: int, seed: int, channels: ChannelSet | None = None, size: int = 64
) -> Iterator[Tensor]:
    """Some of the images that have certain channels, drawn at random, as a model's input: (size, S, H, W) each.

    The last batch is smaller; an image that would be a batch of its own is left out, since it has no statistics.

    Args:
        inputs: the images.
        images: how many, at most.
        seed: which.
        channels: those they must have, and are seen through; None: all.
        size: images of a batch, 2 or more.

    Raises:
        ValueError: if fewer than two images have the channels.
    """
    channels = inputs.channels if channels is None else channels
    generator = torch.Generator().manual_seed(counter_seed("recalibration", seed))
    rows = torch.randperm(len(inputs), generator=generator)
    rows = rows[inputs.having(channels)[rows]]
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} images have all of {channels}: statistics of them need 2 at least")
    rows = rows[:images].to(inputs.array.images.device)
    for some in rows.tensor_split(math.ceil(len(rows) / size)):  # as equal as they go: each counts alike in a mean
        if len(some) > 1:
            yield inputs.batch(some, channels).images


class TrainingBatches:
    """The batches of a run, for one of its processes.

    An epoch is a permutation of the images cut into steps; what does not fill the last step is left out of that
    epoch. A step's images are shared out among the processes, which all see the same channels. Images of different
    channels are in different steps (``anychan.training.buckets``).

    Args:
        inputs: the training images.
        config: batch size (over all processes), seed, channel sampling.
        device: where augmentation draws its random numbers.
        rank: of this process among ``processes``.
        processes: how many there are.
        correlation: of the channels, (C, C), for diverse sampling.

    Raises:
        ValueError: if the processes cannot have equal shares of a batch, images have too rare a channel set or lack
            channels of the fixed subset, or for subsets left out that are none of the channels', leave a sandwich
            nothing below the full set to draw, or stand beside images with channels of their own.
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
        self._buckets: BucketOrder | None = None
        if inputs.present_NC is not None:
            _check_fixed(inputs, config)
            buckets = make_buckets(inputs.present_NC, inputs.channels, inputs.array.paths, size, processes)
            self._buckets = BucketOrder(buckets, config.seed)
        self.steps = len(inputs) // size if self._buckets is None else self._buckets.steps
        self._size, self._processes, self._rank = size, processes, rank
        self.inputs, self._config, self._correlation = inputs, config, correlation
        self._augmentation_generator = torch.Generator(device)
        self._channel_generator = torch.Generator()
        self._order: tuple[int, Tensor] | None = None
        self._unseen = _left_out(inputs, config)

    def batch(self, epoch: int, step: int) -> Batch:
        """This process's share of a step, both counted from 0."""
        rows = self._rows(epoch, step)
        self._augmentation_generator.manual_seed(
            counter_seed("augmentation", self._config.seed, epoch, step, self._rank)
        )
        batch = self.inputs.batch(rows, self.channels(epoch, step), self._augmentation_generator)
        present = self.present(epoch, step, len(rows))
        if present is not None:
            batch = replace(batch, present=send(present, batch.images.device))
        return replace(batch, subsets=self.subsets(epoch, step))

    def _rows(self, epoch: int, step: int) -> Tensor:
        """This process's rows of a step."""
        if self._buckets is None:
            whole = self._epoch_order(epoch)[step * self._size : (step + 1) * self._size]
        else:
            whole = self._buckets.step(epoch, step)[1].to(self.inputs.array.images.device)
        share = len(whole) // self._processes
        return whole[self._rank * share : (self._rank + 1) * share]

    def _all(self, epoch: int, step: int) -> ChannelSet:
        """The channels that all images of a step have."""
        return self.inputs.channels if self._buckets is None else self._buckets.step(epoch, step)[0]

    def channels(self, epoch: int, step: int) -> ChannelSet:
        """The channels of a step's images: the same in every process."""
        whole = self._config.objective.name != "labels" or self._config.sampling_unit == "image"
        there = self._all(epoch, step)
        return there if whole else self._sample(there, self._seeded(epoch, step))

    def subsets(self, epoch: int, step: int) -> tuple[ChannelSet, ...]:
        """The subsets that a step's images are seen through beside their full set: the same in every process."""
        objective, generator, there = self._config.objective, self._seeded(epoch, step), self._all(epoch, step)
        if objective.name == "sandwich" and len(there) == 1:
            return ()  # images of one channel have no smaller subset
        if objective.name == "sandwich" and self._config.channel_sampling == "hierarchical":
            return tuple(sample_smaller(there, objective.subsets, generator, self._unseen))
        if objective.name == "sandwich":
            return tuple(self._sample_smaller(there, generator) for _ in range(objective.subsets))
        return (self._sample(there, generator),) if objective.name == "teacher" else ()

    def present(self, epoch: int, step: int, images: int) -> Tensor | None:
        """Which of a step's channels each of this process's images is given, bool (N, S), where each draws its own."""
        if self._config.sampling_unit == "batch":
            return None
        generator, there = self._seeded(epoch, step, self._rank), self._all(epoch, step)
        drawn = [self._sample(there, generator) for _ in range(images)]
        return torch.tensor([[channel in channels for channel in there] for channels in drawn])

    def _seeded(self, *counters: int) -> torch.Generator:
        return self._channel_generator.manual_seed(counter_seed("channels", self._config.seed, *counters))

    def _sample_smaller(self, there: ChannelSet, generator: torch.Generator) -> ChannelSet:
        """A draw below the full set, which has nothing to learn from itself."""
        while len(drawn := self._sample(there, generator)) == len(there):
            pass
        return drawn

    def _sample(self, there: ChannelSet, generator: torch.Generator) -> ChannelSet:
        config, correlation = self._config, self._correlation
        if correlation is not None and len(there) < len(correlation):
            planes = list(self.inputs.channels.indices(there.names))
            correlation = correlation[planes][:, planes]
        while True:
            drawn = sample_channels(
                there,
                config.channel_sampling,  # type: ignore[arg-type] # settled, no longer "auto"
                generator,
                probability=config.channel_probability,
                fixed=config.fixed_subset,
                correlation=correlation,
            )
            if frozenset(drawn.names) not in self._unseen:
                return drawn

    def _epoch_order(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(counter_seed("order", self._config.seed, epoch))
            order = torch.randperm(len(self.inputs), generator=generator)
            self._order = (epoch, order.to(self.inputs.array.images.device))
        return self._order[1]


def _left_out(inputs: Inputs, config: TrainConfig) -> set[frozenset[str]]:
    """The subsets that are never drawn, whatever the order of their channels; something else must be left."""
    channels = inputs.channels
    left_out = {frozenset(channels.subset(subset).names) for subset in config.unseen_subsets or ()}
    if frozenset(channels.names) in left_out:
        raise ValueError(f"unseen_subsets names {channels}, which is all channels; it must name some of them")
    # A sandwich has the full set besides, others draw it among the rest.
    if config.objective.name == "sandwich" and left_out and len(left_out) == 2 ** len(channels) - 2:
        raise ValueError(f"unseen_subsets names every subset below {channels}, so that none is left to draw")
    if left_out and inputs.present_NC is not None:
        raise ValueError("unseen_subsets goes with images that all have the same channels only")
    return left_out


def _check_fixed(inputs: Inputs, config: TrainConfig) -> None:
    if config.fixed_subset is None:
        return
    lacking = (~inputs.having(inputs.channels.subset(config.fixed_subset))).nonzero()
    if len(lacking):
        raise ValueError(
            f"{inputs.array.paths[int(lacking[0])]} lacks channels of the fixed subset {config.fixed_subset}"
        )
