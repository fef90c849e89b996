"""Batches: each is a pure function of the seed, the epoch and the step, so a run can go on from any of them.

Shape suffixes: N images of a batch, S its channels, C all channels of the array.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.data.augment import augment
from anychan.data.augment_config import AugmentationConfig
from anychan.training.config import TrainConfig
from anychan.training.machine import Machine
from anychan.training.randomness import counter_seed
from anychan.training.sampling import sample_channels


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalised images (N, S, H, W) float32, their labels (N,), and the names of their planes."""

    images: Tensor
    labels: Tensor
    channels: ChannelSet


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

    Raises:
        ValueError: if the processes cannot have equal shares of a batch.
    """

    def __init__(
        self, inputs: Inputs, config: TrainConfig, device: torch.device, rank: int = 0, processes: int = 1
    ) -> None:
        size = min(config.batch_size, len(inputs))
        if size % processes:
            raise ValueError(
                f"a batch of {size} images cannot be shared equally by {processes} processes; "
                f"batch_size {config.batch_size} must be a multiple of {processes}, and there must be as many images"
            )
        self.steps = len(inputs) // size
        self._size, self._share, self._rank = size, size // processes, rank
        self._inputs, self._config = inputs, config
        self._augmentation_generator = torch.Generator(device)
        self._channel_generator = torch.Generator()
        self._order: tuple[int, Tensor] | None = None

    def batch(self, epoch: int, step: int) -> Batch:
        """This process's share of a step, both counted from 0."""
        first = step * self._size + self._rank * self._share
        rows = self._epoch_order(epoch)[first : first + self._share]
        self._augmentation_generator.manual_seed(
            counter_seed("augmentation", self._config.seed, epoch, step, self._rank)
        )
        return self._inputs.batch(rows, self.channels(epoch, step), self._augmentation_generator)

    def channels(self, epoch: int, step: int) -> ChannelSet:
        """The channels of a step: the same in every process."""
        config = self._config
        self._channel_generator.manual_seed(counter_seed("channels", config.seed, epoch, step))
        return sample_channels(
            self._inputs.channels,
            config.channel_sampling,
            self._channel_generator,
            probability=config.channel_probability,
            fixed=config.fixed_subset,
        )

    def _epoch_order(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(counter_seed("order", self._config.seed, epoch))
            order = torch.randperm(len(self._inputs), generator=generator)
            self._order = (epoch, order.to(self._inputs.array.images.device))
        return self._order[1]
