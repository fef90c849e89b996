"""What every adapted classifier is held to, whichever library it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from anychan.adaptation import adapt, specialize

CORRELATION = torch.tensor([[1.0, 0.865, 0.709], [0.865, 1.0, 0.859], [0.709, 0.859, 1.0]])
STRATEGIES: dict[str, dict[str, Any]] = {"sliced": {}, "completed": {"statistics": CORRELATION}}


def as_if_adapted(model: nn.Module, x: Tensor) -> nn.Module:
    """A model in which all of the input reaches the output: nothing begins at zero, activations have size 1."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            first = parameter.flatten()[0]
            if abs(first) < 1e-2 and bool((parameter == first).all()):  # residual branches that are to begin closed
                parameter.normal_(std=0.1)
        for norm in (module for module in model.modules() if isinstance(module, _BatchNorm)):
            norm.training, norm.momentum = True, None  # the running statistics become those of the next batch
        model(x)
    return model.eval()


@torch.no_grad()
def assert_adapts(model: nn.Module, x: Tensor) -> None:
    """On all channels as before, on two of them another answer, and the same when specialised to them."""
    as_if_adapted(model, x)
    x = x[:1]
    expected = model(x)
    for strategy, needed in STRATEGIES.items():
        adapted = adapt(model, "RGB", strategy, **needed)
        assert_same(adapted(x), expected)
        two = adapted(x[:, [2, 0]], "BR")
        moved = max(_distance(a, b) for a, b in zip(tensors(two), tensors(expected), strict=True))
        assert moved > 1e-3, "a channel less changes nothing: this would not see a stem that hears no channel"
        ordinary = specialize(adapted, "BR")
        assert_same(ordinary(x[:, [2, 0]]), two)
        assert not any(type(part).__module__.startswith("anychan") for part in ordinary.modules())


def assert_same(got: Any, expected: Any) -> None:
    """Equal within 1e-4 of the largest number in each tensor of the output."""
    assert len(tensors(got)) == len(tensors(expected))
    for one, other in zip(tensors(got), tensors(expected), strict=True):
        assert torch.isfinite(other).all()
        assert other.any()
        assert one.shape == other.shape
        assert _distance(one, other) < 1e-4


def tensors(output: Any) -> list[Tensor]:
    """All tensors in an output, which may be a tuple or a dictionary of them."""
    if isinstance(output, Tensor):
        return [output]
    parts = output.values() if isinstance(output, Mapping) else output
    return [tensor for part in parts for tensor in tensors(part)]


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())
