"""Networks written as a function, for tests that count their layers."""

from __future__ import annotations

import math
from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn

from anychan.cost import depth


class Net(nn.Module):
    """A network from modules and a function of them and the inputs."""

    def __init__(self, run: Callable[..., Tensor], **modules: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.run = run
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.run(self, *inputs)


def depth_of(run: Callable[..., Tensor], **modules: nn.Module | nn.Parameter) -> int:
    return depth(Net(run, **modules), "RGB", image_size=8)


def on_meta(name: str) -> nn.Module:
    """A network of timm without numbers."""
    with torch.device("meta"):
        return timm.create_model(name)


def attention_by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v
