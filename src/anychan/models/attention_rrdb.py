"""Self-attention, attention over channels and a dense block with both: three ways to a wide view in a thin network.

Self-attention joins all places in one layer; squeeze-and-excitation lets the whole image say which channels count; the
dense block adds local detail. All stays 64 channels wide, so there are few weights, and nothing is pooled before
the global mean, so there is much arithmetic.

Source: part B of [004], six "layers" with the ends: convolution, BN, ReLU; self-attention (SAGAN, arXiv 1805.08318)
and SE (arXiv 1709.01507); RRDB of 3 convolutions with self-attention, SE and a scaled residual; transition convolution,
BN, ReLU; mean; linear layer. Version 1 begins with 3x3 stride 1, version 2 with 7x7 stride 2.
What is not said was found from what is reported, 205,204 and 212,884 parameters, 46.0907 and 11.6577 GFLOPs for 16
images of 84x84, by trying widths, growth, kernels, biases, normalisations, reductions and numbers of classes: all four
numbers come out exactly with
- 50 classes, biases in all convolutions, a transition of 3x3 to 128;
- dense convolutions of 64 to 64, each with a leaky ReLU: earlier outputs are added, or not used at all, which numbers
  cannot tell; side by side, as in ESRGAN, they would make wider kernels. Added here, as it says "densely connected";
- queries and keys of 8, one gate for each attention; 12 hidden units in the two SE blocks together, without biases
  (4 and 8 here; 6 and 6, or 8 and 4, count the same).
Such exact fits are evidence, not proof. Open: the residual's scale and the slope (0.2, as in ESRGAN).
The reported GFLOPs leave out attention's matrix products, which that tool does not see (``torch.bmm``). With
them version 1 costs 6.2 times and version 2 2.2 times what is left.
Depth: 12, the "layers" of its source 6: the stem, attention and SE (3), three convolutions, attention and SE again (3),
the transition, the linear layer.
Cost at 84x84: version 1 8.55 GMACs, of which 7.17 are attention's products, version 2 0.81, of which 0.45; 205,204 and
212,884 parameters with 50 classes.
Limits: attention over P places costs P^2 products: version 1 has 50,176 places at 224x224; up to 84x84 it is practical,
version 2 up to 224x224.

Shapes in comments: N images of 64x64 (version 2: maps half as large), K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from anychan.blocks.attention import SelfAttention2d
from anychan.blocks.dense import DenseConvs, ScaledResidual
from anychan.models._registry import register_model


class AttentionRRDBNetwork(nn.Module):
    """The network behind its first convolution, which is the one thing the versions differ in."""

    def __init__(self, stem: nn.Conv2d, num_classes: int, residual_scale: float, attention: bool) -> None:
        super().__init__()
        w = stem.out_channels
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(w), nn.ReLU())
        self.attention = _attentions(w, 4, attention)
        dense = DenseConvs(w, growth=w, convolutions=3, join="sum", last_activation=True)
        self.dense = ScaledResidual(nn.Sequential(dense, _attentions(w, 8, attention)), residual_scale)
        self.transition = nn.Sequential(nn.Conv2d(w, 2 * w, 3, padding=1), nn.BatchNorm2d(2 * w), nn.ReLU())
        self.head = nn.Linear(2 * w, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, 64, 64, 64)
        x = self.attention(x)  # (N, 64, 64, 64)
        x = self.dense(x)  # (N, 64, 64, 64)
        x = self.transition(x)  # (N, 128, 64, 64)
        return self.head(x.mean(dim=(2, 3)))  # (N, K)


def _attentions(channels: int, hidden: int, attention: bool) -> nn.Module:
    """Attention over places, then over channels with so many hidden units; or neither."""
    from timm.layers import SqueezeExcite

    if not attention:
        return nn.Identity()
    return nn.Sequential(SelfAttention2d(channels), SqueezeExcite(channels, rd_channels=hidden, bias=False))


def _checked(width: int) -> int:
    if width < 8:
        raise ValueError(f"width {width}: must be 8 or more, since queries have an eighth of it")
    return width


@register_model
def attention_rrdb_3x3(
    in_chans: int = 3,
    num_classes: int = 1000,
    width: int = 64,
    residual_scale: float = 0.2,
    attention: bool = True,
) -> nn.Module:
    """Version 1: depth 12, a first convolution of 3x3 with stride 1.

    Args:
        in_chans, num_classes: planes in, logits out.
        width: of all maps but the last, which is twice as wide.
        residual_scale: what the dense block's output is multiplied by before its input is added.
        attention: False leaves out both kinds, in both places, for an ablation: depth 6.

    Raises:
        ValueError: for a width below 8.
    """
    stem = nn.Conv2d(in_chans, _checked(width), 3, stride=1, padding=1)
    return AttentionRRDBNetwork(stem, num_classes, residual_scale, attention)


@register_model
def attention_rrdb_7x7(
    in_chans: int = 3,
    num_classes: int = 1000,
    width: int = 64,
    residual_scale: float = 0.2,
    attention: bool = True,
) -> nn.Module:
    """Version 2: depth 12, a first convolution of 7x7 with stride 2; otherwise as `attention_rrdb_3x3`."""
    stem = nn.Conv2d(in_chans, _checked(width), 7, stride=2, padding=3)
    return AttentionRRDBNetwork(stem, num_classes, residual_scale, attention)
