"""Graph convolution on the patches of an image, after Vision GNN (Han et al. 2022, arXiv 2206.00272).

Patches are nodes. A node's neighbours are the k nodes that are nearest to it in features, wherever in the image they
are, so that one layer joins what belongs together across any distance. The max-relative graph convolution (Li et al.
2019, arXiv 1904.03751) tells a node, for each feature, how far its neighbours exceed it at most:

    x_i  ->  W [x_i, max over neighbours j of (x_j - x_i)]

As in the paper's own code distances are between features of length 1, no gradient goes through the choice of
neighbours, and a node is its own nearest neighbour (so that the maximum is not below 0). The maximum is taken before
x_i is subtracted, which is the same and needs half the memory. Not here: dilated neighbourhoods, grouped weights, a
bias of the distance by position.

Shapes: N images, C features, M nodes, k neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def nearest_nodes(x: Tensor, neighbours: int) -> Tensor:
    """Of each node the nodes that are nearest in direction, itself among them: (N, C, M) to indices (N, M, k).

    Between features of length 1 the squared distance is 2 - 2 cos, so that the nearest have the largest product.

    Args:
        x: features of nodes.
        neighbours: k, their number, the node itself included.

    Raises:
        ValueError: if there are fewer nodes than that. Fewer neighbours would be another function than was asked for.

    Example:
        >>> x = torch.tensor([[[1.0, 0.9, -1.0], [0.0, 0.1, 0.1]]])  # nodes 0 and 1 point the same way
        >>> nearest_nodes(x, 2)
        tensor([[[0, 1],
                 [1, 0],
                 [2, 1]]])
    """
    nodes = x.shape[2]
    if not 1 <= neighbours <= nodes:
        raise ValueError(f"{neighbours} neighbours of {nodes} nodes: must be 1 to {nodes}; take larger images")
    x = F.normalize(x.detach(), dim=1)
    itself = torch.eye(nodes, dtype=torch.bool, device=x.device)  # also where all its features are 0
    return (x.transpose(1, 2) @ x).masked_fill(itself, torch.inf).topk(neighbours, dim=2).indices


def max_relative(x: Tensor, index: Tensor) -> Tensor:
    """For each feature the largest difference from a node to its neighbours.

    Args:
        x: (N, C, M) features of nodes.
        index: (N, M, k) neighbours of each node.

    Returns:
        (N, C, M)

    Example:
        >>> max_relative(torch.tensor([[[1.0, 5.0, 3.0]]]), torch.tensor([[[0, 2], [1, 2], [2, 1]]]))
        tensor([[[2., 0., 2.]]])
    """
    of_neighbours = x.gather(2, index.flatten(1)[:, None].expand(-1, x.shape[1], -1))  # (N, C, M k)
    return of_neighbours.unflatten(2, index.shape[1:]).max(dim=3).values - x


class MaxRelativeConv(nn.Module):
    """Max-relative graph convolution: one weighted layer, a linear map of a node and of what exceeds it.

    Args:
        in_channels, out_channels: features of a node before and after.
        neighbours: k, the node itself included.
        bias: whether the map has a bias.

    Shape:
        (N, in_channels, M) to (N, out_channels, M) for M >= k nodes.

    Raises:
        ValueError: when it is called with fewer nodes than neighbours.

    Example:
        >>> MaxRelativeConv(8, 16, neighbours=3)(torch.rand(2, 8, 25)).shape
        torch.Size([2, 16, 25])
    """

    def __init__(self, in_channels: int, out_channels: int, neighbours: int = 9, *, bias: bool = True) -> None:
        super().__init__()
        if neighbours < 1:
            raise ValueError(f"neighbours {neighbours}: must be 1 (the node alone) or more")
        self.neighbours = neighbours
        self.update = nn.Conv1d(2 * in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        relative = max_relative(x, nearest_nodes(x, self.neighbours))  # (N, C, M)
        return self.update(torch.cat([x, relative], dim=1))
