"""All that a model costs on one channel set, as one record."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from anychan.channels import ChannelsLike
from anychan.cost._call import call_of
from anychan.cost._folded import as_shipped, shipped_parameters
from anychan.cost.latency import Latency, measure_latency
from anychan.cost.macs import count_macs
from anychan.cost.memory import Memory, measure_memory
from anychan.cost.weighted_layers import depth
from anychan.environment import checked_device, hardware


@dataclass(frozen=True)
class Profile:
    """What a model costs: at inference with the blocks folded that equal one convolution, in training as it is.

    Args:
        channels: the channels of the input, as ``ChannelSet.parse`` reads them.
        image_size: height and width of the input in pixels.
        parameters: numbers in the model's parameters, those that it keeps for other channel sets too.
        macs: multiply-accumulate operations of one image, once the kernels are made.
        kernel_macs: those of making the kernels, at each call; once if specialised.
        depth: weighted layers on the longest path from input to output.
        latency_ms: of a batch, by its size, in milliseconds.
        memory: peaks in bytes, for the largest of the batches.
        device: where latency and memory were measured.
        hardware: the machine, see ``anychan.environment.hardware``.
        threads: CPU threads that PyTorch used.
    """

    channels: str
    image_size: int
    parameters: int
    macs: int
    kernel_macs: int
    depth: int
    latency_ms: Mapping[int, Latency]
    memory: Memory
    device: str
    hardware: Mapping[str, Any]
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON can hold; batch sizes are text."""
        record = asdict(self)
        record["latency_ms"] = {str(size): latency for size, latency in record["latency_ms"].items()}
        return record

    def table(self) -> str:
        """The same as aligned lines for people."""
        rows = [
            ("channels", self.channels),
            ("image size", f"{self.image_size} x {self.image_size}"),
            ("parameters", _scaled(self.parameters)),
            ("MACs, one image", _scaled(self.macs)),
            ("MACs, making kernels", f"{_scaled(self.kernel_macs)}, once a call"),
            ("depth", f"{self.depth} weighted layers"),
            *(
                (f"latency, batch of {size}", f"{t.median:.2f} ms (quartiles {t.q25:.2f} to {t.q75:.2f})")
                for size, t in self.latency_ms.items()
            ),
            ("memory, inference", f"{self.memory.inference_bytes / 2**20:.1f} MiB, batch of {max(self.latency_ms)}"),
            ("memory, training step", f"{self.memory.training_bytes / 2**20:.1f} MiB, batch of {max(self.latency_ms)}"),
            ("device", self._device_name()),
        ]
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)

    def _device_name(self) -> str:
        if self.device.startswith("cuda"):
            return f"{self.device} ({self.hardware['gpu']})"
        return f"{self.device} ({self.hardware['cpu']}, threads: {self.threads})"


def profile(  # noqa: PLR0917 # all but the first are named in practice
    model: nn.Module,
    channels: ChannelsLike | None = None,
    image_size: int = 224,
    batch_size: int = 32,
    repeats: int = 10,
    device: str | torch.device = "cpu",
) -> Profile:
    """Measure what a model costs on a channel set; the model is left as it is and where it is.

    What trains as several convolutions and becomes one (`anychan.blocks.fold_branches`) counts as one, but for the
    memory of a training step.

    Args:
        model: any module called ``model(x)``, or an any-channel model.
        channels: of the input; None: all of an any-channel model, the planes of another model's first convolution.
        image_size: height and width in pixels.
        batch_size: of the second latency (the first is of one image) and of the memory.
        repeats: forward passes timed for each latency.
        device: where to measure latency and memory.

    Raises:
        ValueError: for channels the model does not take, numbers that are not positive, a device there is not, or a
            model that cannot be traced.

    Example:
        >>> found = profile(nn.Conv2d(3, 8, 3, padding=1), "RGB", image_size=10, batch_size=2)
        >>> found.parameters, found.macs, found.kernel_macs, found.depth
        (224, 21600, 0, 1)
    """
    place = checked_device(device)
    call = call_of(model, channels, image_size)
    shipped = as_shipped(model, channels)
    macs = count_macs(shipped, channels, image_size)
    trained, moved = (copy.deepcopy(form).to(place) for form in (model, shipped))
    return Profile(
        channels=str(call.channels),
        image_size=image_size,
        parameters=shipped_parameters(model, channels),
        macs=macs.forward,
        kernel_macs=macs.kernel,
        depth=depth(shipped, channels, image_size),
        latency_ms={
            size: measure_latency(moved, channels, image_size, size, repeats) for size in sorted({1, batch_size})
        },
        memory=measure_memory(moved, channels, image_size, batch_size, trained=trained),
        device=str(place),
        hardware=hardware(place),
        threads=torch.get_num_threads(),
    )


def _scaled(number: int) -> str:
    """Four digits and a unit: 1.814 G."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.4g} {unit}"
    return str(number)
