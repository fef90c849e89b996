"""Networks of timm and of a few layers, and pictures for them."""

from __future__ import annotations

import timm
import torch
from torch import nn

from anychan.channels import ChannelSet

RGB = ChannelSet.parse("RGB")
CORRELATION = torch.tensor([[1.0, 0.865, 0.709], [0.865, 1.0, 0.859], [0.709, 0.859, 1.0]])  # of 50 animals' pixels


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=7)
    for module in model.modules():  # as if trained: normalisation that does something
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def picture(name: str) -> torch.Tensor:
    size = 224 if name.startswith("vit") else 64
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


class Named(nn.Module):
    """A forward that finds its convolutions where the test says."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        if how == "branches":
            self.second = nn.Conv2d(3, 4, 5, padding=1)
        elif how == "shared":
            self.second = self.first
        elif how == "tied":
            self.second = nn.ConvTranspose2d(4, 3, 3)
            self.second.weight = self.first.weight
        self.listed = [self.first, self.norm]
        self.stored = self.one_after_another
        self.how = how

    def one_after_another(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.first(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "stored":
            return self.stored(x)
        if self.how == "listed":
            return self.listed[1](self.listed[0](x))
        x, other = self.one_after_another(x), x.flip(3)
        return x if self.how == "ordinary" else x.mean((2, 3)) + self.second(other).mean((2, 3))
