"""Three residual dense blocks: cost, depth, sizes, view."""

from __future__ import annotations

import pytest
import torch

from anychan.cost import count_macs, depth
from anychan.models.rrdb3 import rrdb3


def test_what_it_costs():
    model = rrdb3(num_classes=50)
    assert sum(p.numel() for p in model.parameters()) == 530_834
    assert count_macs(model, image_size=64).forward == 539_692_160
    assert depth(model, image_size=64) == 1 + 3 * 4 + 1
    assert depth(rrdb3(blocks=1), image_size=64) == 6


def test_images_of_any_size():
    model = rrdb3(num_classes=5, width=8, growth=4).eval()
    for size in ((32, 32), (45, 70)):
        assert model(torch.randn(1, 3, *size)).shape == (1, 5)


def test_a_place_sees_51_pixels():
    torch.manual_seed(0)
    model = rrdb3(width=4, growth=4).double()
    x = torch.randn(1, 3, 96, 96, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.blocks(model.stem(x))[0, :, 24, 24].sum(), x)
    seen = gradient[0].abs().sum(dim=0).nonzero()
    assert (seen.max(dim=0).values - seen.min(dim=0).values + 1).tolist() == [51, 51]


def test_the_input_is_added_as_it_is():
    torch.manual_seed(0)
    model = rrdb3(width=4, growth=4, blocks=1)
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(model.blocks(x), x + model.blocks[0].body(x))


@pytest.mark.parametrize("option", ["width", "growth", "blocks", "stride"])
def test_bad_options_are_refused(option):
    with pytest.raises(ValueError, match=f"{option} 0: must be 1"):
        rrdb3(**{option: 0})
