"""Three residual dense blocks of four convolutions: dense connections for a shallow network, by its makers' count.

Each convolution sees all that was made before it in its block, and each block adds to its input, so that gradients have
short ways; kernels of 3x3 one behind another widen the view by two pixels of the map each.

Source: part B of [002], "two layers": three RRDBs of four convolutions each (the last is the block's output layer; the
input added at the end), global average pooling, linear layer. RRDB is ESRGAN's word (Wang et al. 2018, arXiv
1809.00219) for three dense blocks within one more residual; what is described is one dense block, and is that here.
Not said there: widths, growth, slope, size of the maps. Ours: a stem (blocks that add their input need one
to have more than three planes) of stride 2, ESRGAN's growth and slope, and no normalisation, as ESRGAN has none. Input
and output are added as they are; ESRGAN's scale is 0.2, an option here.
Depth: 14, the "layers" of its source 2: the stem, 4 for each block, the linear layer.
Cost: 0.54 GMACs at 64x64 and 0.53 M parameters with 50 classes.
Limits: reported there at 10.22 % where ResNet34 has 41.78 % (validation, 20 epochs). No stride after the stem: the view
ends at 51 x 51 pixels, and every layer works on large maps. It has no normalisation; how sensitive that makes it to the
learning rate was not tested.

Shapes in comments: N images of 64x64, width w, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from anychan.blocks.dense import residual_dense_block
from anychan.models._registry import register_model


class DenseNetwork(nn.Module):
    """A convolution, residual dense blocks, a global mean and a linear layer."""

    def __init__(self, stem: nn.Conv2d, blocks: nn.Sequential, num_classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = blocks
        self.head = nn.Linear(stem.out_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, w, 32, 32)
        x = self.blocks(x)  # (N, w, 32, 32)
        return self.head(x.mean(dim=(2, 3)))  # (N, K)


@register_model
def rrdb3(
    in_chans: int = 3,
    num_classes: int = 1000,
    *,
    width: int = 64,
    growth: int = 32,
    blocks: int = 3,
    residual_scale: float = 1.0,
    stride: int = 2,
) -> nn.Module:
    """Depth 14, three blocks.

    Args:
        in_chans, num_classes: planes in, logits out.
        width: w, of the stem and between blocks.
        growth: channels that each convolution within a block adds.
        blocks: their number; each adds 4 to the depth.
        residual_scale: what a block's output is multiplied by before its input is added.
        stride: of the stem.

    Raises:
        ValueError: for a width, growth, number of blocks or stride below 1.
    """
    for name, value in (("width", width), ("growth", growth), ("blocks", blocks), ("stride", stride)):
        if value < 1:
            raise ValueError(f"{name} {value}: must be 1 or more")
    dense = (residual_dense_block(width, growth, 4, residual_scale=residual_scale) for _ in range(blocks))
    return DenseNetwork(nn.Conv2d(in_chans, width, 3, stride, padding=1), nn.Sequential(*dense), num_classes)
