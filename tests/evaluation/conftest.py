"""A few small images and models to be evaluated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from anychan.adaptation import AnyChannelModel, adapt
from anychan.channels import ChannelSet
from anychan.data import ImageArray

CLASSES = ("cat", "dog", "eel", "fox", "gnu", "hen")


@pytest.fixture
def known() -> ChannelSet:
    """R, G and B with the statistics that a model was trained with."""
    return ChannelSet.parse("RGB").with_statistics([0.48, 0.45, 0.4], [0.27, 0.26, 0.28])


@pytest.fixture
def array() -> ImageArray:
    """Eleven random images of 12 x 10 pixels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (11, 12, 10, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    labels = torch.randint(0, len(CLASSES), (11,), generator=generator)
    paths = tuple(f"test/{i}.png" for i in range(11))
    return ImageArray(images, labels, paths, ChannelSet.parse("RGB"), CLASSES, (), "a fingerprint")


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, len(CLASSES))
    )


@pytest.fixture
def plain(known: ChannelSet) -> AnyChannelModel:
    return AnyChannelModel(network(), (), known, "plain").eval()


@pytest.fixture
def sliced(known: ChannelSet) -> AnyChannelModel:
    return adapt(network(), known, strategy="sliced").eval()


@pytest.fixture
def drawing(known: ChannelSet) -> AnyChannelModel:
    """One that draws its kernels at test time too."""
    return adapt(network(), known, strategy="sliced", selection="random", at_test="random").eval()
