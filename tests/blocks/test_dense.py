"""Dense blocks against the definition: channel after channel, pixel after pixel, each with its own list of inputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from anychan.blocks.dense import DenseConvs, residual_dense_block, rrdb
from anychan.cost import depth


def slow_conv(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """One image (C, H, W), 3x3, zeros around."""
    _, height, width = x.shape
    y = torch.zeros(conv.out_channels, height, width, dtype=x.dtype)
    for o in range(conv.out_channels):
        for i in range(height):
            for j in range(width):
                total = conv.bias[o]
                for a in (-1, 0, 1):
                    for b in (-1, 0, 1):
                        if 0 <= i + a < height and 0 <= j + b < width:
                            total = total + (conv.weight[o, :, a + 1, b + 1] * x[:, i + a, j + b]).sum()
                y[o, i, j] = total
    return y


def slow_dense(x: Tensor, convs: DenseConvs, slope: float) -> Tensor:
    made = [x]
    for k, conv in enumerate(convs.convs):
        seen = torch.cat(made) if convs.join == "concatenate" else sum(made)
        y = slow_conv(seen, conv)
        if k < len(convs.convs) - 1 or convs.last_activation:
            y = torch.where(y > 0, y, slope * y)
        made.append(y)
    return made[-1]


@pytest.mark.parametrize(("join", "growth"), [("concatenate", 2), ("sum", 3)])
@pytest.mark.parametrize("last_activation", [False, True])
@torch.no_grad()
def test_each_convolution_sees_all_before_it(join, growth, last_activation):
    torch.manual_seed(0)
    convs = DenseConvs(3, growth, 4, join=join, negative_slope=0.3, last_activation=last_activation).double()
    x = torch.randn(2, 3, 4, 3, dtype=torch.float64)
    expected = torch.stack([slow_dense(image, convs, 0.3) for image in x])
    torch.testing.assert_close(convs(x), expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_an_rrdb_is_residuals_in_a_residual():
    torch.manual_seed(0)
    block = rrdb(2, growth=1, convolutions=2, blocks=2, residual_scale=0.5).double()
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64)
    y = x[0]
    for inner in block.body:
        y = y + 0.5 * slow_dense(y, inner.body, 0.2)
    torch.testing.assert_close(block(x)[0], x[0] + 0.5 * y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("join", ["concatenate", "sum"])
def test_a_block_of_four_convolutions_has_depth_four(join):
    stem = nn.Conv2d(3, 8, 3)
    block = residual_dense_block(8, growth=8, convolutions=4, join=join)
    assert depth(nn.Sequential(stem, block), image_size=8) == 1 + 4
    assert depth(nn.Sequential(stem, rrdb(8, growth=4)), image_size=8) == 1 + 3 * 5


@pytest.mark.parametrize(("channels", "growth", "number", "kernel"), [(64, 32, 4, 3), (24, 5, 7, 1), (8, 8, 1, 5)])
def test_it_has_the_weights_that_its_formula_says(channels, growth, number, kernel):
    convs = DenseConvs(channels, growth, number, kernel_size=kernel, bias=False)
    c, g, n = channels, growth, number
    expected = (n - 1) * c * g + (n - 1) * (n - 2) // 2 * g * g + c * c + (n - 1) * g * c
    assert sum(p.numel() for p in convs.parameters()) == kernel**2 * expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"convolutions": 0}, "convolutions 0: must be 1"),
        ({"kernel_size": 4}, "kernel_size 4: must be odd"),
        ({"join": "product"}, "join is 'product'; choose from 'concatenate', 'sum'"),
        ({"join": "sum", "growth": 4}, "growth 4 with join 'sum': must be 8"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        DenseConvs(8, **options)
    with pytest.raises(ValueError, match="blocks 0"):
        rrdb(8, blocks=0)
