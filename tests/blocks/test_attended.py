"""Attention beside a convolution."""

from __future__ import annotations

import torch
from torch import nn
from torch.testing import assert_close

from anychan.blocks import Attended
from anychan.cost import depth


def test_attention_stands_beside_the_convolution_and_begins_with_none() -> None:
    torch.manual_seed(0)
    attended = Attended(nn.Conv2d(3, 4, 1), 3, 4)
    x = torch.randn(2, 3, 5, 5)
    assert_close(attended(x), attended.convolution(x))
    nn.init.normal_(attended.weigh.weight)
    weights = 2 / (1 + (-(x.mean(dim=(2, 3)) @ attended.weigh.weight.T)).exp())
    assert_close(attended(x), attended.convolution(x) * weights[:, :, None, None])
    assert depth(nn.Sequential(nn.Conv2d(3, 3, 1), attended), image_size=8) == 2
