"""A small network with batch normalisation, and images whose channels differ."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anychan.adaptation import AnyChannelModel, adapt
from anychan.channels import ChannelSet

RGB = ChannelSet.parse("RGB")


class Small(nn.Module):
    """Two batch normalisations, one of them used twice, and a dropout."""

    def __init__(self, planes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(planes, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.block = nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6))
        self.again = self.block[3]
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again(self.block(self.norm(self.stem(x))).relu()).mean(dim=(2, 3)))


def small(planes: int = 3) -> AnyChannelModel:
    torch.manual_seed(0)
    channels = RGB if planes == 3 else [f"B{i}" for i in range(planes)]
    return adapt(Small(planes), channels, "sliced").eval()


def images(n: int = 4, planes: int = 3, seed: int = 0) -> Tensor:
    """Planes of different means and deviations, so that subsets' statistics differ."""
    x = torch.randn(n, planes, 8, 8, generator=torch.Generator().manual_seed(seed))
    scale = torch.arange(1.0, planes + 1)[:, None, None]
    return x * scale + scale


def of(x: Tensor, subset: str) -> Tensor:
    return x[:, list(RGB.indices(subset))]
