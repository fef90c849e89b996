"""Parameters counted."""

from __future__ import annotations

import timm
import torch
from torch import nn

from anychan.cost import count_parameters


def test_parameters_of_resnet18() -> None:
    with torch.device("meta"):
        assert count_parameters(timm.create_model("resnet18")) == 11_689_512


def test_shared_once_frozen_too_and_no_buffers() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4))
    model.append(model[0])
    model[0].requires_grad_(False)
    assert count_parameters(model) == 16 + 8
