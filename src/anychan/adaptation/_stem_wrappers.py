"""What stands around an any-channel convolution where a model's stem was more than a convolution.

A wrapper has the convolution as ``conv``, and makes an ordinary module of it when that is folded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.nn import AnyChannelConv2d, conv_geometry


class StemWrapper(nn.Module, ABC):
    """A module around an any-channel convolution (abstract)."""

    def __init__(self, conv: AnyChannelConv2d) -> None:
        super().__init__()
        self.conv: nn.Module = conv  # the convolution, bound to a channel set, or folded

    @abstractmethod
    def ordinary(self) -> nn.Module:
        """The module without anything of anychan; ``conv`` is folded by then."""


class SamePadding(StemWrapper):
    """A convolution before which the image is padded as TensorFlow does: by as much as its size asks for.

    The output has ceil(H / stride) rows; of an odd number of rows of padding the one more is below.

    Args:
        conv: without padding of its own.
    """

    def __init__(self, conv: AnyChannelConv2d) -> None:
        super().__init__(conv)
        self._taps = tuple(zip(conv.kernel_size, conv.stride, conv.dilation, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        before_after = []
        for size, (taps, stride, dilation) in zip(x.shape[-1:-3:-1], reversed(self._taps), strict=True):
            missing = max((-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
            before_after += [missing // 2, missing - missing // 2]
        return self.conv(F.pad(x, before_after))

    def ordinary(self) -> nn.Module:
        from timm.layers import Conv2dSame  # who has such a stem has timm

        folded = self.conv
        assert isinstance(folded, nn.Conv2d)
        geometry = {key: value for key, value in conv_geometry(folded).items() if key != "padding_mode"}
        with torch.device("meta"):  # which older versions of timm do not take as an argument
            padded: nn.Conv2d = Conv2dSame(folded.in_channels, folded.out_channels, **geometry)
        padded.weight = folded.weight
        padded.register_parameter("bias", cast(nn.Parameter | None, folded.bias))
        return padded.train(self.training)


class PatchProjection(StemWrapper):
    """A convolution in the place of a linear layer on flattened patches: (N, L, kh kw S) to (N, L, O).

    Args:
        conv: its kernel and stride are a patch.
        channels_last: whether a patch's numbers come as (kh, kw, S) or as (S, kh, kw).
    """

    def __init__(self, conv: AnyChannelConv2d, channels_last: bool) -> None:
        super().__init__(conv)
        self.channels_last = channels_last
        self._patch = conv.kernel_size

    @property
    def weight(self) -> Tensor:
        """Empty, on the device and in the precision of the weights: bodies ask a linear layer for these."""
        like = next(self.conv.parameters())
        return torch.empty(0, device=like.device, dtype=like.dtype)

    def forward(self, x_NLP: Tensor) -> Tensor:
        height, width = self._patch
        n, patches = x_NLP.shape[:2]
        if self.channels_last:
            x = x_NLP.reshape(n, patches, height, width, -1).permute(0, 4, 1, 2, 3)
        else:
            x = x_NLP.reshape(n, patches, -1, height, width).transpose(1, 2)
        # The patches below one another are an image: a batch keeps its rows, which have channels of their own.
        x_NSHW = x.reshape(n, x.shape[1], patches * height, width)
        return self.conv(x_NSHW).flatten(2).transpose(1, 2)

    def ordinary(self) -> nn.Module:
        folded = self.conv
        assert isinstance(folded, nn.Conv2d)
        order = (0, 2, 3, 1) if self.channels_last else (0, 1, 2, 3)
        weight_OP = folded.weight.detach().permute(order).flatten(1)
        linear = nn.Linear(weight_OP.shape[1], len(weight_OP), bias=folded.bias is not None, device="meta")
        linear.weight = nn.Parameter(weight_OP.clone(), requires_grad=folded.weight.requires_grad)
        linear.register_parameter("bias", cast(nn.Parameter | None, folded.bias))
        return linear.train(self.training)
