"""A recurrent network that sweeps over the patches of an image, along its rows and then along its columns.

Each row of patches is read from both ends, then each column of what came of that. So after the two sweeps of one
layer each place has heard of every other, by way of the corner between them, at a cost that grows with the number of
patches only, not with its square; and it sees where something was, as sums over an image do not.

Source: [003] allows a "CNN, Transformer or RNN" of 2-4 layers. The network is ReNet (Visin et al. 2015, arXiv
1505.00393), with gated recurrent units as there. Ours differs: a convolution makes features of the patches, where
ReNet gives their pixels to the units; rows come before columns; batch normalisation after each layer; the mean over
places and one linear layer at the end, where ReNet has wide fully connected layers before its last.
Depth: 6 with ``layers=1`` (patches; rows: from input to state, from state to state; columns: the same; the logits),
4 more for each further layer. Weights of a sweep count once, however long it is. ReNet's authors count pairs of
sweeps: one here.
Cost: at 64x64 0.15 GMACs and 0.62 M parameters with 50 classes, in 2 x 16 steps one after another.
Limits: slow for its MACs, since the steps of a sweep cannot be taken at once; what lies far back in a sweep fades; one
layer passes messages between two places along one corner only. Pixels behind the last whole patch are not seen.

Shapes in comments: N images of 64x64, width w, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from anychan.models._registry import register_model


class Sweep(nn.Module):
    """Reads maps along their rows from both ends; half of the features come from each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        rows, _ = self.recurrent(x.flatten(0, 1))  # (N h, w, C)
        return rows.unflatten(0, x.shape[:2])  # (N, h, w, C)


class RecurrentLayer(nn.Module):
    """A sweep along rows, a sweep along columns, and batch normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rows = Sweep(width)
        self.columns = Sweep(width)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.rows(x.permute(0, 2, 3, 1))  # (N, h, w, C)
        x = self.columns(x.transpose(1, 2))  # (N, w, h, C)
        return self.norm(x.permute(0, 3, 2, 1))  # (N, C, h, w)


class PatchRecurrent(nn.Module):
    """A convolution to patches, recurrent layers, the mean over places, a linear layer."""

    def __init__(self, in_chans: int, num_classes: int, layers: int, width: int, patch_size: int) -> None:
        super().__init__()
        self.patches = nn.Sequential(
            nn.Conv2d(in_chans, width, patch_size, patch_size, bias=False), nn.BatchNorm2d(width), nn.GELU()
        )
        self.layers = nn.Sequential(*(RecurrentLayer(width) for _ in range(layers)))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.patches(x))  # (N, w, 16, 16)
        return self.head(x.mean(dim=(2, 3)))  # (N, K)


@register_model
def patch_recurrent(
    in_chans: int = 3, num_classes: int = 1000, layers: int = 1, width: int = 256, patch_size: int = 4
) -> nn.Module:
    """Depth 2 + 4 ``layers``.

    Args:
        in_chans, num_classes: as in timm.
        layers: of two sweeps each.
        width: features of a place, half of them from each direction.
        patch_size: width and height of a patch in pixels.

    Raises:
        ValueError: for no layer, or an odd width.
    """
    if layers < 1:
        raise ValueError(f"layers {layers}: must be 1 or more")
    if width < 2 or width % 2:
        raise ValueError(f"width {width}: must be positive and even (half from each direction)")
    if patch_size < 1:
        raise ValueError(f"patch_size {patch_size}: must be a positive number of pixels")
    return PatchRecurrent(in_chans, num_classes, layers, width, patch_size)
