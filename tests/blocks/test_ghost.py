"""The Ghost bottleneck against plain loops, and against timm's whole one."""

from __future__ import annotations

import pytest
import torch
from timm.models.ghostnet import GhostBottleneck as Timms
from torch import Tensor, nn

from anychan.blocks.ghost import GhostBottleneck
from anychan.cost import depth


def trained(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.running_mean, part.weight, part.bias):
                nn.init.normal_(values)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return module.double().eval()


def slow_pointwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    y = torch.stack([sum(w * plane for w, plane in zip(row, x, strict=True)) for row in conv.weight[:, :, 0, 0]])
    return y if conv.bias is None else y + conv.bias[:, None, None]


def slow_depthwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    step = conv.stride[0]
    rows, columns = (-(-extent // step) for extent in x.shape[1:])
    y = torch.zeros(len(x), rows, columns, dtype=x.dtype)
    for c, i, j, a, b in torch.cartesian_prod(*(torch.arange(n) for n in (len(x), rows, columns, 3, 3))).tolist():
        row, column = i * step + a - 1, j * step + b - 1
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            y[c, i, j] += conv.weight[c, 0, a, b] * x[c, row, column]
    return y


def slow_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale[:, None, None] * (x - norm.running_mean[:, None, None]) + norm.bias[:, None, None]


def slow_ghost(x: Tensor, ghost: nn.Module, relu: bool) -> Tensor:
    (dear, dear_norm, _), (cheap, cheap_norm, _) = ghost.primary_conv, ghost.cheap_operation
    first = slow_norm(slow_pointwise(x, dear), dear_norm)
    first = first.clamp(min=0) if relu else first
    second = slow_norm(slow_depthwise(first, cheap), cheap_norm)
    return torch.cat([first, second.clamp(min=0) if relu else second])


def slow(block: GhostBottleneck, x: Tensor) -> Tensor:
    """One image (C, H, W)."""
    y = slow_ghost(x, block.expand, relu=True)
    if isinstance(block.down, nn.Sequential):
        y = slow_norm(slow_depthwise(y, block.down[0]), block.down[1])
    attention = block.attention
    if not isinstance(attention, nn.Identity):
        hidden = slow_pointwise(y.mean(dim=(1, 2), keepdim=True), attention.fc1).clamp(min=0)
        y = y * ((slow_pointwise(hidden, attention.fc2) + 3) / 6).clamp(0, 1)
    if isinstance(block.shortcut, nn.Sequential):
        depthwise, norm, pointwise, last_norm = block.shortcut
        x = slow_norm(slow_pointwise(slow_norm(slow_depthwise(x, depthwise), norm), pointwise), last_norm)
    return slow_ghost(y, block.project, relu=False) + x


CASES = [(4, 8, 4, 1, 0.25), (4, 8, 6, 2, 0.25), (4, 8, 6, 1, 0.0)]


@pytest.mark.parametrize("arguments", CASES)
@torch.no_grad()
def test_it_is_its_definition(arguments):
    block = trained(GhostBottleneck(*arguments))
    x = torch.randn(2, 4, 5, 4, dtype=torch.float64)
    expected = torch.stack([slow(block, image) for image in x])
    torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("arguments", CASES)
@torch.no_grad()
def test_it_is_timms_bottleneck(arguments):
    inputs, hidden, outputs, stride, ratio = arguments
    ours = trained(GhostBottleneck(*arguments))
    timms = Timms(inputs, hidden, outputs, stride=stride, se_ratio=ratio).double().eval()
    names = {"ghost1": "expand", "conv_dw": "down.0", "bn_dw": "down.1", "se": "attention", "ghost2": "project"}
    own = ours.state_dict()
    timms.load_state_dict(
        {
            key: own[key.replace(first := key.split(".")[0], names.get(first, first), 1)
                     .replace("conv_reduce", "fc1").replace("conv_expand", "fc2")]
            for key in timms.state_dict()
        }
    )  # fmt: skip
    x = torch.randn(2, inputs, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(ours(x), timms(x))


@pytest.mark.parametrize(("options", "layers"), [({"se_ratio": 0}, 4), ({}, 6), ({"stride": 2}, 7)])
def test_depth(options, layers):
    assert depth(nn.Sequential(nn.Conv2d(3, 8, 1), GhostBottleneck(8, 16, 8, **options)), image_size=8) == 1 + layers


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="stride 0: must be 1"):
        GhostBottleneck(4, 8, 4, stride=0)
    with pytest.raises(ValueError, match=r"se_ratio -0.5: must be 0"):
        GhostBottleneck(4, 8, 4, se_ratio=-0.5)
