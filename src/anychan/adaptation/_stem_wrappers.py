"""What stands around an any-channel convolution where a model's stem was more than a convolution.

A wrapper has the convolution as ``conv``, and makes an ordinary module of it when that is folded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from anychan.nn import AnyChannelConv2d, conv_geometry


class StemWeight:
    """In the place of a stem's weight, which there is for a channel set only.

    Bodies ask for its precision and device, to bring an image to them. There is nothing to compute with.
    """

    def __init__(self, like: Tensor) -> None:
        self.dtype, self.device = like.dtype, like.device

    @classmethod
    def __torch_function__(cls, function: Any, *call: Any) -> NoReturn:
        raise ValueError(
            f"{getattr(function, '__name__', function)} is given the weight of an any-channel stem, which can be asked "
            "for its dtype and device only, as each channel set has another: call the stem itself, or take what "
            "anychan.specialize makes of the model"
        )


def tell_geometry(module: nn.Module, conv: AnyChannelConv2d) -> None:
    """Let a module in the place of a convolution be asked how that moves over the image, and what comes of it."""
    for name, value in {**conv_geometry(conv), "out_channels": conv.out_channels, "groups": conv.groups}.items():
        setattr(module, name, value)


class StemStandIn(nn.Module):
    """A module in the place of a stem: a body may ask of it what bodies ask of a convolution.

    Args:
        stem: that it stands for, of which it has the geometry.
    """

    def __init__(self, stem: AnyChannelConv2d) -> None:
        super().__init__()
        tell_geometry(self, stem)
        self._biased = getattr(stem, "bias", None) is not None

    @property
    def weight(self) -> StemWeight:
        """What may be asked of a convolution's weight; as it stands now, since the module may have been moved."""
        return StemWeight(next(held for held in (*self.parameters(), *self.buffers()) if held.is_floating_point()))

    @property
    def bias(self) -> StemWeight | None:
        """The same of its bias."""
        return self.weight if self._biased else None


class StemWrapper(nn.Module, ABC):
    """A module around an any-channel convolution (abstract)."""

    def __init__(self, conv: AnyChannelConv2d) -> None:
        super().__init__()
        self.conv: nn.Module = conv  # the convolution, bound to a channel set, or folded

    @property
    def weight(self) -> StemWeight:
        """What bodies may ask of the weight that the stem had."""
        return StemWeight(self.conv.weight)  # type: ignore[arg-type] # a tensor, or what stands in its place

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
        tell_geometry(self, conv)
        self._geometry = (conv.kernel_size, conv.stride, conv.dilation)

    def forward(self, x: Tensor) -> Tensor:
        from timm.layers import pad_same  # who has such a stem has timm

        return self.conv(pad_same(x, *self._geometry))

    def ordinary(self) -> nn.Module:
        from timm.layers import Conv2dSame

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
