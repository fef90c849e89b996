"""MACs against numbers that were published and counts by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from anychan import ChannelSet, adapt
from anychan.cost import MACs, count_macs

from ._nets import Net

_CORRELATION = torch.tensor([[1.0, 0.8, 0.6], [0.8, 1.0, 0.7], [0.6, 0.7, 1.0]])


def _resnet18(planes: int = 3, classes: int = 1000) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model("resnet18", in_chans=planes, num_classes=classes)


def test_resnet18_at_224() -> None:
    assert count_macs(_resnet18()) == MACs(forward=1_814_073_344, kernel=0)


@pytest.mark.parametrize(("planes", "reported"), [(3, 333_585_408), (2, 326_360_064), (1, 319_134_720)])
def test_resnet18_at_96_as_reported_elsewhere(planes: int, reported: int) -> None:
    """[001]'s figures are ours plus one for each output of batch normalisation and of the global pooling."""
    model = _resnet18(planes, classes=50)
    extra = []
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda _module, _inputs, output: extra.append(output.numel()))
    model.eval()(torch.empty(1, planes, 96, 96, device="meta"))
    normalised, pooled = sum(extra), 512
    assert count_macs(model, image_size=96).forward + normalised + pooled == reported


def test_attention_is_counted() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(2).transpose(1, 2)[:, None]
            return F.scaled_dot_product_attention(tokens, tokens, tokens)

    # 16 x 16 tokens of 3 numbers: queries with keys, then weights with values
    assert count_macs(Attention(), "RGB", image_size=16).forward == 2 * 256 * 256 * 3


def test_channels_that_an_adapted_model_is_called_with() -> None:
    model = adapt(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1)), statistics=_CORRELATION)
    assert count_macs(model, "RGB", 10).forward == 100 * 9 * 8 * 3
    assert count_macs(model, "GB", 10).forward == 100 * 9 * 8 * 2
    assert count_macs(model, None, 10) == count_macs(model, ChannelSet.parse("RGB"), 10)


def test_making_the_kernel_is_counted_apart() -> None:
    model = adapt(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1)), statistics=_CORRELATION)
    # the kernel of R takes in those of G and B: 8 outputs x 9 taps x 2 channels
    assert count_macs(model, "R", 10) == MACs(forward=100 * 9 * 8, kernel=8 * 9 * 2)


def test_generated_kernels_are_counted() -> None:
    class Generated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.make = nn.Linear(5, 4 * 3 * 9)
            self.register_buffer("code", torch.ones(1, 5))

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.make(self.code).reshape(4, 3, 3, 3))

    assert count_macs(Generated(), "RGB", 12).forward == 100 * 9 * 3 * 4 + 5 * 4 * 3 * 9


def test_a_completed_kernel_is_counted_also_where_one_channel_is_missing() -> None:
    model = adapt(nn.Sequential(nn.Conv2d(3, 4, 3)), strategy="completed", statistics=torch.eye(3))
    assert [count_macs(model, s, 8).kernel for s in ("RGB", "RG", "R")] == [0, 4 * 9 * 1 * 2, 4 * 9 * 2 * 1]


def test_model_is_left_as_it_is() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    before = copy.deepcopy(model.state_dict())
    count_macs(model, image_size=8)
    assert model.training
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_planes_of_an_ordinary_model() -> None:
    five = nn.Sequential(nn.ReLU(), nn.Conv2d(5, 2, 1))
    assert count_macs(five, image_size=10) == count_macs(five, ["a", "b", "c", "d", "e"], 10)
    with pytest.raises(ValueError, match=r"Flatten has no nn.Conv2d .* name the channels"):
        count_macs(nn.Flatten())
    with pytest.raises(ValueError, match="image_size 0"):
        count_macs(five, image_size=0)
    with pytest.raises(ValueError, match=r"image_size 32\.0 is not a positive whole number"):
        count_macs(five, image_size=32.0)
    with pytest.raises(ValueError, match=r"Sequential cannot be traced by shapes alone \(meta device\): \w+"):
        count_macs(five, "RGB", 10)


def test_a_stem_of_two_names_makes_its_kernel_once() -> None:
    class Aliased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
            self.stem = self.features[0]

        def forward(self, x: Tensor) -> Tensor:
            return self.features(x)

    model, alone = (adapt(body, "RGB", "template") for body in (Aliased(), Aliased().features))
    assert count_macs(model, "RG", 8) == count_macs(alone, "RG", 8)


def test_products_that_torch_has_no_formula_for() -> None:
    def counted(run: Callable[..., Tensor], **modules: nn.Module | nn.Parameter) -> int:
        return count_macs(Net(run, **modules), "RGB", 8).forward

    vector, points = nn.Parameter(torch.ones(192)), nn.Parameter(torch.ones(30, 192))
    assert counted(lambda net, x: x.flatten(1) @ net.w, w=vector) == 192
    assert counted(lambda net, x: torch.addmv(net.w[0], x.flatten(1), net.w), w=vector) == 192
    assert counted(lambda net, x: x[0].flatten() @ net.w, w=vector) == 192
    for some in (5, 30):  # of more than 25 torch has another operation
        assert counted(lambda net, x, some=some: torch.cdist(x.flatten(1), net.w[:some]), w=points) == some * 192
    assert counted(lambda net, x: torch.addbmm(x[0, 0], x[0], x[0]), w=vector) == 3 * 8**3
    tokens = 64
    bilinear = nn.Bilinear(3, 3, 5)
    assert counted(lambda net, x: net.b(*2 * (x.flatten(2).mT,)), b=bilinear) == tokens * 5 * 3 * 3
    offsets, deformed = nn.Conv2d(3, 18, 3), torchvision.ops.DeformConv2d(3, 4, 3)
    places = 36
    assert counted(lambda net, x: net.d(x, net.o(x)), o=offsets, d=deformed) == places * 27 * (18 + 4)
