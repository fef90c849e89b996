"""A transformer of two to four layers over the patches of an image.

Self-attention lets each patch look at all others from the first layer on; a deep convolutional network needs its depth
for that. With a second layer, what a patch looks for can depend on what others have found.

Source: [003] allows a "CNN, Transformer or RNN" of 2-4 layers. The network is SimpleViT (Beyer et al. 2022, arXiv
2205.01580), a plain ViT with fixed sinusoidal positions in two dimensions, pre-norm blocks, the mean over tokens and
a linear layer. Ours is smaller, 2 layers where it has 12, with patches of 4x4 pixels for small images, and has
timm's frequencies of positions.
Depth: 10 with ``layers=2``, 14 with 3, 18 with 4. Its author counts transformer layers; each has four weighted layers
on the path (query-key-value, projection, two of the MLP), and the patches and the logits take one each.
Cost: at 64x64 0.47 GMACs and 1.61 M parameters with 50 classes; attention grows with the square of the number of
patches, 3,136 at 224x224.
Limits: nothing in it favours neighbours: such networks need more images or more augmentation than convolutional
ones (Dosovitskiy et al. 2021). Pixels behind the last whole patch (one to three columns or rows) are not
seen. Positions reach sizes that training did not show, but what was learned there need not hold.

Shapes in comments: N images of 64x64, width w, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from anychan.models._registry import register_model

_LAYERS = (2, 3, 4)


class PatchTransformer(nn.Module):
    """A convolution to patches, positions, transformer layers, the mean over tokens, a linear layer."""

    def __init__(
        self,
        in_chans: int,
        num_classes: int,
        *,
        layers: int,
        width: int,
        heads: int,
        mlp_ratio: float,
        patch_size: int,
    ) -> None:
        from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
        from timm.models.vision_transformer import Block

        super().__init__()
        self.width = width
        self.positions = build_sincos2d_pos_embed
        self.patches = nn.Conv2d(in_chans, width, patch_size, patch_size)
        self.layers = nn.Sequential(*(Block(width, heads, mlp_ratio, qkv_bias=True) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):  # as in the authors' code
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)  # (N, w, 16, 16)
        positions = self.positions(x.shape[2:], self.width, device=x.device, dtype=x.dtype)  # (256, w)
        x = self.layers(x.flatten(2).transpose(1, 2) + positions)  # (N, 256, w)
        return self.head(self.norm(x).mean(dim=1))  # (N, K)


@register_model
def patch_transformer(
    in_chans: int = 3,
    num_classes: int = 1000,
    *,
    layers: int = 2,
    width: int = 256,
    heads: int = 4,
    mlp_ratio: float = 4.0,
    patch_size: int = 4,
) -> nn.Module:
    """Depth 2 + 4 ``layers``.

    Args:
        in_chans, num_classes: as in timm.
        layers: transformer layers, 2, 3 or 4.
        width: of a token.
        heads: of the attention.
        mlp_ratio: width inside the MLP over ``width``.
        patch_size: width and height of a patch in pixels.

    Raises:
        ValueError: for another number of layers, or a width that 4 or ``heads`` do not divide.
    """
    if layers not in _LAYERS:
        raise ValueError(f"layers {layers}: must be 2, 3 or 4 (transformer layers)")
    if width < 4 or width % 4:
        raise ValueError(f"width {width}: must be a positive multiple of 4 (sines and cosines of two coordinates)")
    if heads < 1 or width % heads:
        raise ValueError(f"heads {heads}: must be positive and divide the width {width}")
    if mlp_ratio * width < 1:
        raise ValueError(f"mlp_ratio {mlp_ratio}: leaves no unit in the MLP of width {width}")
    if patch_size < 1:
        raise ValueError(f"patch_size {patch_size}: must be a positive number of pixels")
    return PatchTransformer(
        in_chans, num_classes, layers=layers, width=width, heads=heads, mlp_ratio=mlp_ratio, patch_size=patch_size
    )
