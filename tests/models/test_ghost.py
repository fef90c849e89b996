"""The Ghost networks: two bottlenecks, and the stock network that was run in their place."""

from __future__ import annotations

import pytest
import torch

from anychan.cost import count_macs, depth
from anychan.models import create_model
from anychan.models.ghost import ghost2


def test_what_it_costs():
    model = ghost2(num_classes=50)
    assert sum(p.numel() for p in model.parameters()) == 256_162
    assert count_macs(model, image_size=64).forward == 27_376_128
    assert depth(model, image_size=64) == 16
    assert depth(ghost2(se_ratio=0), image_size=64) == 12


def test_images_of_any_size():
    model = ghost2(num_classes=5, width=5).eval()
    for size in ((32, 32), (45, 70)):
        assert model(torch.randn(1, 3, *size)).shape == (1, 5)


def test_what_was_run_is_the_stock_network_and_not_two_layers_deep():
    model = create_model("ghostnet_100", num_classes=50)
    assert sum(p.numel() for p in model.parameters()) == 3_965_558  # reported: 3.97 M
    assert depth(model, image_size=64) == 86


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="width 0"):
        ghost2(width=0)
