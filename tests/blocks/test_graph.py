"""Graph convolution against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from anychan.blocks.graph import MaxRelativeConv, nearest_nodes


def _slow(layer: MaxRelativeConv, x: Tensor) -> Tensor:
    weight, bias = layer.update.weight[:, :, 0].tolist(), layer.update.bias.tolist()
    images = []
    for nodes in x.transpose(1, 2).tolist():
        unit = [[a / math.hypot(*node) for a in node] for node in nodes]
        rows = []
        for i, node in enumerate(nodes):
            nearest = sorted(range(len(nodes)), key=lambda j, i=i: math.dist(unit[i], unit[j]))[: layer.neighbours]
            relative = [max(nodes[j][c] - a for j in nearest) for c, a in enumerate(node)]
            seen = node + relative
            rows.append(
                [b + sum(w * a for w, a in zip(row, seen, strict=True)) for row, b in zip(weight, bias, strict=True)]
            )
        images.append(rows)
    return torch.tensor(images, dtype=torch.float64).transpose(1, 2)


@pytest.mark.parametrize("neighbours", [1, 3, 7])
def test_as_plain_loops(neighbours: int) -> None:
    torch.manual_seed(0)
    layer, x = MaxRelativeConv(4, 5, neighbours).double(), torch.randn(2, 4, 7, dtype=torch.float64)
    torch.testing.assert_close(layer(x), _slow(layer, x))


def test_order_of_nodes_plays_no_part() -> None:
    torch.manual_seed(0)
    layer, x, order = MaxRelativeConv(6, 4, 3), torch.randn(2, 6, 9), torch.randperm(9)
    torch.testing.assert_close(layer(x[:, :, order]), layer(x)[:, :, order])


def test_nodes_at_the_origin_have_neighbours_too() -> None:
    index = nearest_nodes(torch.zeros(1, 3, 40), 2)
    assert index.shape == (1, 40, 2)
    assert index[0, :, 0].tolist() == list(range(40))  # each itself first, though all products are alike


def test_fewer_nodes_than_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match="9 neighbours of 8 nodes: must be 1 to 8"):
        MaxRelativeConv(2, 2)(torch.rand(1, 2, 8))
    with pytest.raises(ValueError, match="neighbours 0"):
        MaxRelativeConv(2, 2, neighbours=0)
