"""The residual attention network: cost beside the reported one, depth, what the attention adds."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from anychan.cost import count_macs, depth
from anychan.models.residual_attention import ResidualBlock, residual_attention3

REPORTED = 309_248_256  # by [001]


def as_its_source_counts(model: nn.Module, size: int) -> int:
    """Multiply-accumulates, and one for each number that a normalisation or the pool before the last layer gives."""
    numbers = 0

    def add(module: nn.Module, args: object, out: torch.Tensor) -> None:
        nonlocal numbers
        numbers += out.numel()

    with torch.device("meta"):
        x = torch.empty(1, 3, size, size)
        handles = [part.register_forward_hook(add) for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
        features = [part for part in model.modules() if isinstance(part, nn.Linear)][-1].in_features
        model.to("meta").eval()(x)
    for handle in handles:
        handle.remove()
    return count_macs(model, image_size=size).forward + numbers + features


def test_the_source_counts_at_84_pixels():
    """So the sizes of what it compares are not those of its part A."""
    assert as_its_source_counts(timm.create_model("resnet34", num_classes=50), 84) == 612_876_800
    assert as_its_source_counts(timm.create_model("resnet18", num_classes=50), 96) == 333_585_408


def test_what_it_costs():
    model = residual_attention3(num_classes=50)
    assert sum(p.numel() for p in model.parameters()) == 570_419
    assert count_macs(model, image_size=84).forward == 307_455_520
    assert depth(model, image_size=64) == 9
    assert depth(residual_attention3(attention=False), image_size=64) == 8
    counted = as_its_source_counts(model, 84)
    assert counted == 308_105_184
    assert counted == pytest.approx(REPORTED, rel=0.004)


def test_images_of_any_size():
    model = residual_attention3(num_classes=5, width=8).eval()
    for size in ((32, 32), (45, 70)):
        assert model(torch.randn(1, 3, *size)).shape == (1, 5)


def test_it_begins_as_the_network_without_attention_and_then_sees_far():
    torch.manual_seed(0)
    model = residual_attention3(num_classes=5, width=4).double().eval()
    plain = residual_attention3(num_classes=5, width=4, attention=False).double().eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(model(x), plain(x))

    def reach() -> torch.Tensor:
        """Which pixels the top left corner of the attention's output sees."""
        (gradient,) = torch.autograd.grad(model.attention(model.first(model.pool(model.stem(x))))[0, :, 0, 0].sum(), x)
        return gradient[0].abs().sum(dim=0) > 0

    assert not reach()[40:, 40:].any()
    with torch.no_grad():
        model.attention.gate.fill_(1)
    assert reach()[40:, 40:].all()


@torch.no_grad()
def test_a_residual_block_without_its_layers_is_its_shortcut():
    block = ResidualBlock(4, 4)
    block.layers[-1].weight.zero_()
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="width 0"):
        residual_attention3(width=0)
    with pytest.raises(ValueError, match="reduction 33: must be from 1 to 32"):
        residual_attention3(width=8, reduction=33)
