"""The network of parallel streams: depth whatever their number, folding, cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from anychan.adaptation import specialize
from anychan.blocks import fold_branches
from anychan.cost import count_macs, depth
from anychan.models import create_model

from .._trained import as_if_trained


@pytest.mark.parametrize("activation", ["silu", "geglu"])
@pytest.mark.parametrize(("streams", "layers"), [(1, 4), (3, 4), (4, 2)])
def test_streams_stand_side_by_side_and_fold(streams: int, layers: int, activation: str) -> None:
    options = {"width": 6, "streams": streams, "layers": layers, "branches": [1, [1, 3]], "activation": activation}
    model = create_model("parallel6", num_classes=5, model_options=options)
    assert depth(model, image_size=64) == layers + 2
    x = torch.randn(2, 3, 64, 48, dtype=torch.float64)
    folded = fold_branches(as_if_trained(model).double())
    assert_close(folded(x), model(x))
    assert sum(isinstance(module, nn.Conv2d) for module in folded.modules()) == 1 + streams * layers


def test_costs_are_those_stated() -> None:
    """As docs/theory/parallel.md has them, of the folded network; a layer costs the same in each stream."""
    model = create_model("parallel6", num_classes=50).eval()
    folded = specialize(model)
    assert depth(folded, image_size=64) == 6
    assert round(count_macs(folded, image_size=64).forward / 1e6) == 268
    assert round(sum(p.numel() for p in folded.parameters()) / 1e4) == 617
    costs = []
    for stream, size in zip(model.body.streams, (32, 16, 8), strict=True):
        deeper = fold_branches(stream).layers[3:]  # behind the first layer and its pool
        costs.append(count_macs(deeper, image_size=size // 2).forward)
    assert max(costs) < 1.01 * min(costs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"streams": 0}, "streams 0 and layers 4: at least 1 of each"),
        ({"layers": 0}, "streams 3 and layers 0"),
        ({"layers": 5}, "streams 3 and layers 5: at least 1 of each, and at most 4 layers"),
        ({"activation": "tanh"}, "activation is 'tanh'"),
        ({"branches": [2]}, "all odd or all even"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        create_model("parallel6", model_options=options)
