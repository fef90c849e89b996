"""The graph networks: size, depth, options."""

from __future__ import annotations

import pytest
import torch

from anychan.cost import count_macs, depth
from anychan.models import create_model
from anychan.models.graph import graph4, graph6


@pytest.mark.parametrize(
    ("construct", "layers", "parameters", "macs"),
    [(graph6, 6, 935_474, 261_105_024), (graph4, 4, 491_186, 135_275_904)],
)
def test_what_they_cost(construct, layers, parameters, macs):
    with torch.device("meta"):
        model = construct(num_classes=50)
    assert depth(model, image_size=64) == layers
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert count_macs(model, image_size=64).forward == macs


def test_images_of_any_size():
    model = graph6(num_classes=5, width=16).eval()
    for size in ((32, 32), (45, 70)):
        assert model(torch.randn(2, 3, *size)).shape == (2, 5)
    with pytest.raises(ValueError, match="9 neighbours of 4 nodes"):
        model(torch.randn(2, 3, 8, 8))


def test_places_are_told_apart():
    """Without positions the mean over nodes would be the same wherever the patches are."""
    torch.manual_seed(0)
    model = graph4(num_classes=5, width=16).double().eval()
    maps = []
    model.norm.register_forward_hook(lambda module, args, output: output.flip(2) if maps else None)
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    plain = model(x)
    maps.append("flip")
    assert (model(x) - plain).abs().max() > 1e-6


def test_exported_it_gives_the_same():
    torch.manual_seed(0)
    model = graph6(num_classes=5, width=16).eval()
    batch = torch.export.Dim("batch", min=1)
    exported = torch.export.export(model, (torch.randn(2, 3, 32, 32),), dynamic_shapes=({0: batch},)).module()
    x = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(exported(x), model(x))


@pytest.mark.parametrize("option", [{"width": 18}, {"patch_size": 3}, {"expansion": 0}, {"neighbours": 0}])
def test_bad_options_are_refused(option):
    name = next(iter(option))
    with pytest.raises(ValueError, match=f"{name} {option[name]}: must be"):
        create_model("graph6", num_classes=5, model_options=option)
