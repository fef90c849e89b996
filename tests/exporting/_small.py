"""A small network with what a body can have, and every strategy in it, with and without statistics for subsets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from anychan.adaptation import AnyChannelModel, adapt, keep_statistics
from anychan.channels import Channel, ChannelSet
from anychan.models import ModelInfo
from anychan.nn import get_strategy, list_strategies

BANDS = ChannelSet([Channel("R", 0.665, 0.4, 0.2), Channel("G", 0.56, 0.5, 0.3), Channel("NIR", 0.842, 0.3, 0.1)])
COVARIANCE = torch.tensor([[1.0, 0.8, 0.3], [0.8, 1.0, 0.5], [0.3, 0.5, 1.0]])
CLASSES = ("cat", "dog", "fox", "owl")
INFO = ModelInfo("small", len(CLASSES), "any", BANDS, CLASSES, 16)
MEAN = torch.tensor([0.3, -0.1, 0.2])
# Each strategy, and its options that change what a graph has to hold.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in list_strategies()),
    ("completed", {"mean": MEAN}),
    ("mixed", {"attentions": "omni"}),
    ("pooled", {"pooling": "attention"}),
    ("attentive", {"embedding": "wavelength"}),
    ("sliced", {"selection": "random"}),
]
MAPS = [variant for variant in VARIANTS if variant[0] != "tokens"]  # which is for vision transformers alone


class Small(nn.Module):
    """Two batch normalisations, one of them used twice."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(planes, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.block = nn.Sequential(nn.ReLU(), nn.Conv2d(6, 6, 3, stride=2), nn.BatchNorm2d(6))
        self.again = self.block[2]
        self.head = nn.Linear(6, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again(self.block(self.norm(self.stem(x))).relu()).mean(dim=(2, 3)))


def small(
    strategy: str = "sliced", options: dict[str, Any] | None = None, kept: bool = False, affine: bool = False
) -> AnyChannelModel:
    """A model as training might leave it: nothing is zero, and all that can differ between subsets does."""
    torch.manual_seed(0)
    needed = {"statistics": COVARIANCE} if get_strategy(strategy).uses_statistics else {}
    model = adapt(Small(len(BANDS)), BANDS, strategy, trained_on=BANDS, **needed, **(options or {})).eval()
    if kept:
        keep_statistics(model, affine=affine)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if "running_" in name:
                buffer.uniform_(0.5, 1.5)
            elif name.endswith("temperature"):
                buffer.fill_(2.0)
    return model


def images(n: int, planes: int, size: tuple[int, int] = (16, 16)) -> Tensor:
    return torch.randn(n, planes, *size, generator=torch.Generator().manual_seed(10 * n + planes))


def places(names: str) -> Tensor:
    return torch.tensor(BANDS.indices(names))


def ids(variant: tuple[str, dict[str, Any]]) -> str:
    return ",".join([variant[0], *(f"{key}={value}" for key, value in variant[1].items() if key != "mean")])
