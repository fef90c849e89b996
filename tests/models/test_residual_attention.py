"""The residual attention network: cost beside the reported one, depth, what the attention adds."""

from __future__ import annotations

import pytest
import torch

from anychan.cost import count_macs, depth
from anychan.models.residual_attention import ResidualBlock, residual_attention3

REPORTED_MACS = 309_248_256  # at 96x96


def test_what_it_costs():
    model = residual_attention3(num_classes=50)
    assert sum(p.numel() for p in model.parameters()) == 1_145_779
    macs = count_macs(model, image_size=96).forward
    assert macs == 311_071_232
    assert macs == pytest.approx(REPORTED_MACS, rel=0.01)
    assert depth(model, image_size=64) == 7
    assert depth(residual_attention3(attention=False), image_size=64) == 6


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
        (gradient,) = torch.autograd.grad(model.attention(model.first(model.stem(x)))[0, :, 0, 0].sum(), x)
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
