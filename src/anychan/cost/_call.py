"""How a model is called on one channel set, so that all measures call it alike."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from anychan._errors import first_line
from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet, ChannelsLike


@dataclass(frozen=True)
class Call:
    """``model(x)``, or ``model(x, channels=...)`` for an any-channel model.

    Args:
        channels: the channels of the input.
        image_size: height and width of the input in pixels.
        keywords: what the model is called with beside ``x``.
    """

    channels: ChannelSet
    image_size: int
    keywords: dict[str, Any] = field(default_factory=dict)

    def __call__(self, model: nn.Module, x: Tensor) -> Any:
        return model(x, **self.keywords)

    def batch(self, model: nn.Module, size: int, device: torch.device | str) -> Tensor:
        """(size, planes, H, W) of normal numbers, the same ones each time, of the type of the model's parameters."""
        shape = (size, len(self.channels), self.image_size, self.image_size)
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
        if torch.device(device).type == "meta":
            return torch.empty(shape, dtype=dtype, device="meta")
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)


def call_of(model: nn.Module, channels: ChannelsLike | None, image_size: int) -> Call:
    """How ``model`` is called on ``channels``.

    With None an any-channel model gets all its channels; another model as many planes as its first ``nn.Conv2d``
    takes, called R, G and B where they are three, else 0, 1, and so on.

    Raises:
        ValueError: for channels the model does not know, a size that is not positive, or None where there is no
            ``nn.Conv2d`` to tell the number of planes.
    """
    if not isinstance(image_size, Integral) or image_size < 1:
        raise ValueError(f"image_size {image_size} is not a positive whole number of pixels")
    if isinstance(model, AnyChannelModel):
        chosen = model.resolve(channels)
        return Call(chosen, image_size, {"channels": chosen})
    if channels is not None:
        return Call(ChannelSet.parse(channels), image_size)
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise ValueError(f"{type(model).__name__} has no nn.Conv2d that tells its input's planes; name the channels")
    planes = first.in_channels
    return Call(ChannelSet.parse("RGB" if planes == 3 else [str(i) for i in range(planes)]), image_size)


def on_meta(model: nn.Module) -> nn.Module:
    """A copy that computes shapes only, in evaluation mode; the flop counter needs parameters without gradient.

    Raises:
        ValueError: if the model cannot be copied.
    """
    try:
        return copy.deepcopy(model).eval().requires_grad_(False).to("meta")
    except (RuntimeError, NotImplementedError, TypeError) as error:  # a weight that is no parameter, a lock, a file
        said = first_line(error)
        raise ValueError(f"{type(model).__name__} cannot be copied, as measuring it needs: {said}") from error


@contextmanager
def shapes_only(model: nn.Module, image_size: int) -> Iterator[None]:
    """Run a model from ``on_meta``: tensors that it makes are shapes too, and no gradients are kept.

    Raises:
        ValueError: if the model asks for values, uses tensors that are neither parameters nor buffers, or takes no
            images of this size.
    """
    name, size = type(model).__name__, f"image_size {image_size}"
    try:
        with torch.device("meta"), torch.no_grad():
            yield
    except AssertionError as error:  # what timm's models of a fixed size raise for another
        raise ValueError(f"{name} refuses its input; another than {size} may do: {first_line(error)}") from error
    except (RuntimeError, NotImplementedError, TypeError) as error:  # what torch raises for a tensor without data
        message = f"{name} cannot be traced by shapes alone (meta device): {first_line(error)} ({size})"
        raise ValueError(message) from error
