"""How long a forward pass takes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import nn

from anychan.adaptation.normalisation import evaluating
from anychan.channels import ChannelsLike
from anychan.cost._call import call_of

_WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Latency:
    """Median and quartiles of the wall time of a batch, in milliseconds."""

    median: float
    q25: float
    q75: float


def measure_latency(
    model: nn.Module,
    channels: ChannelsLike | None = None,
    image_size: int = 224,
    batch_size: int = 1,
    repeats: int = 10,
) -> Latency:
    """Time forward passes of one batch where the model is, as it is called: kernels are made anew each time.

    (``specialize`` a model first to have its kernels made once.) Data are on the device already; two passes warm
    up and are not counted; a GPU is waited for. The model is set to evaluation for the time being.

    Args:
        model: any module called ``model(x)``, or an any-channel model.
        channels: of the input; None: all of an any-channel model, the planes of another model's first convolution.
        image_size: height and width in pixels.
        batch_size: images a pass.
        repeats: passes that are timed.

    Raises:
        ValueError: for a number that is not positive, or channels the model does not take.

    Example:
        >>> latency = measure_latency(nn.Conv2d(3, 8, 3), image_size=16, batch_size=4)
        >>> latency.q25 <= latency.median <= latency.q75
        True
    """
    for name, number in (("batch_size", batch_size), ("repeats", repeats)):
        if number < 1:
            raise ValueError(f"{name} {number} is not a positive number")
    call = call_of(model, channels, image_size)
    device = device_of(model)
    x = call.batch(model, batch_size, device)
    seconds = []
    with evaluating(model), torch.inference_mode():
        for _ in range(_WARM_UP + repeats):
            start = now(device)
            call(model, x)
            seconds.append(now(device) - start)
    q25, median, q75 = (1e3 * torch.tensor(seconds[_WARM_UP:], dtype=torch.float64)).quantile(
        torch.tensor((0.25, 0.5, 0.75), dtype=torch.float64)
    )
    return Latency(float(median), float(q25), float(q75))


def now(device: torch.device) -> float:
    """The clock, in seconds, when all that was asked of a device so far is done."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def device_of(model: nn.Module) -> torch.device:
    """Where a model is: the device of its first parameter, the CPU for a model without any."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
