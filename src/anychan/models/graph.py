"""Graph convolution on patches, of six and of four weighted layers: a small Vision GNN.

Patches of the image are the nodes of a graph; each is joined with those that are most like it, near or far, and the
graph is drawn anew in each block. So the receptive field is the whole image from the first block on, and what a node
looks at depends on the image: like attention, but a hard choice of k.

Source: [003] suggests graph convolution; ViG (Han et al. 2022, arXiv 2206.00272).
Ours differs: one convolution over overlapping patches as stem, where ViG has several; a block is the graph
convolution and one linear layer, with a residual, where ViG has linear layers before and after, and a two-layer MLP
behind: five weighted layers a block, so that six would be spent on one. Positions are sines (any image size), not
learned. No dilation, no grouped weights.
Depth: `graph6` 6 (a stem, two blocks of two, a linear layer), `graph4` 4. ViG's authors count blocks: two and one.
Cost: `graph6` at 64x64 0.26 GMACs and 0.94 M parameters with 50 classes; the choice of neighbours grows with the
square of the number of patches.
Limits: needs as many patches as neighbours (9: images of 12x12); it knows nothing of edges and textures within a
patch but what the stem saw. Half precision chooses other neighbours where similarities are close.

Shapes in comments: N images of 64x64, width w, M = 16 x 16 nodes, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from anychan.blocks.graph import MaxRelativeConv
from anychan.models._registry import register_model


class GraphBlock(nn.Module):
    """Graph convolution to ``expansion`` times the width, linear layer back, residual."""

    def __init__(self, width: int, neighbours: int, expansion: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            MaxRelativeConv(width, expansion * width, neighbours, bias=False),  # (N, 4w, M)
            nn.BatchNorm1d(expansion * width),
            nn.GELU(),
            nn.Conv1d(expansion * width, width, 1, bias=False),  # (N, w, M)
            nn.BatchNorm1d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class GraphNetwork(nn.Module):
    """A convolution over patches, positions, graph blocks, the mean over nodes, a linear layer."""

    def __init__(
        self,
        in_chans: int,
        num_classes: int,
        *,
        width: int,
        patch_size: int,
        neighbours: int,
        expansion: int,
        blocks: int,
    ) -> None:
        from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed

        super().__init__()
        if width < 4 or width % 4:
            raise ValueError(f"width {width}: must be a positive multiple of 4 (sines and cosines of two coordinates)")
        if patch_size < 2 or patch_size % 2:
            raise ValueError(f"patch_size {patch_size}: must be a positive even number of pixels")
        if expansion < 1:
            raise ValueError(f"expansion {expansion}: must be 1 or more")
        self.width = width
        self.positions = build_sincos2d_pos_embed
        self.stem = nn.Conv2d(in_chans, width, 2 * patch_size, patch_size, patch_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(*(GraphBlock(width, neighbours, expansion) for _ in range(blocks)))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))  # (N, w, 16, 16)
        positions = self.positions(x.shape[2:], self.width, device=x.device, dtype=x.dtype)  # (M, w)
        x = self.blocks(x.flatten(2) + positions.T)  # (N, w, M)
        return self.head(x.mean(dim=2))  # (N, K)


@register_model
def graph6(
    in_chans: int = 3,
    num_classes: int = 1000,
    *,
    width: int = 192,
    patch_size: int = 4,
    neighbours: int = 9,
    expansion: int = 4,
) -> nn.Module:
    """Depth 6: a convolution over patches, two graph blocks of two layers, a linear layer.

    Args:
        in_chans, num_classes: as in timm.
        width: features of a node.
        patch_size: pixels from patch to patch; a patch is twice as wide.
        neighbours: of a node, itself included.
        expansion: width inside a block over ``width``.
    """
    options = {"width": width, "patch_size": patch_size, "neighbours": neighbours, "expansion": expansion}
    return GraphNetwork(in_chans, num_classes, blocks=2, **options)


@register_model
def graph4(
    in_chans: int = 3,
    num_classes: int = 1000,
    *,
    width: int = 192,
    patch_size: int = 4,
    neighbours: int = 9,
    expansion: int = 4,
) -> nn.Module:
    """Depth 4: `graph6` with one graph block."""
    options = {"width": width, "patch_size": patch_size, "neighbours": neighbours, "expansion": expansion}
    return GraphNetwork(in_chans, num_classes, blocks=1, **options)
