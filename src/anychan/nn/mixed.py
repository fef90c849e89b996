"""Mixed: K kernels, mixed for each image by an attention that looks at it.

Squeeze and excitation: the planes' means over the image, with the mask of the channels that are there, go through
two layers to K numbers z, and

    pi = softmax(z / temperature),      weight(x, S) = sum over k of pi_k W_k[:, S] * |C| / |S|,      bias = pi b.

An absent channel has mean 0 in the pooled values, which in normalised units is the data set's mean. The temperature
falls from 30 to 1 over the first part of the training (`anneal`): at first all kernels learn alike.

``attentions="omni"`` adds three attentions to that over kernels: over the kernel's taps, the input channels and the
output filters. Each multiplies the mixed kernel by 2 sigmoid(z / temperature), and all kernels share them.

A loaded kernel becomes the mean of the K kernels, whose differences stay, and the attentions' last layers are set to
zero: then each image gets the mean, whatever the temperature, and still each kernel has a gradient of its own as
soon as the attention moves. (K equal kernels would give the attention no gradient.) A new stem starts like this too.

Source: Chen et al., "Dynamic convolution: attention over convolution kernels", CVPR 2020, arXiv 1912.03458, as
in source documents [002] and [004] (third stem). Li, Zhou and Yao, "Omni-dimensional dynamic convolution",
ICLR 2022, arXiv 2209.07947. Ours: the mask, |C| / |S|, the start, the factor 2 (so that the start is neutral), and
no batch normalisation inside the attention (the statistics of subsets would mix).

Assumes that a few statistics of the whole image, its mean colour, tell which kernel it wants.
Cost: K times the parameters of an ordinary convolution, its MACs for |S| planes, and K O |S| kh kw MACs an image to mix
(docs/theory/mixed.md has all terms).
Fails to fold, as each image has its own kernel. Nothing stands in for a missing channel but the choice of kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.channels import ChannelSet, ChannelsLike
from anychan.nn._contract import AnyChannelConv2d, Promises, copy_kernel, full_precision, positions, refuse_to_fold
from anychan.nn._registry import register_strategy
from anychan.nn._slices import at_least


@register_strategy("mixed")
class MixedConv2d(AnyChannelConv2d):
    """A convolution with K kernels, mixed for each image by an attention on the image.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``.
        kernels: K.
        hidden: width of the attention; None: max(16, C // 4).
        attentions: "kernel": over the K kernels; "omni": over taps, input channels and output filters too.
        temperature: of a softmax before training; after annealing it is 1.
        annealing: the fraction of a run that the temperature takes to fall to 1. The paper takes 10 epochs;
            the default is that of a run of 30.

    Raises:
        ValueError: for ``kernels`` or ``hidden`` below 1, unknown ``attentions``, a temperature below 1, or
            an ``annealing`` that is not above 0 and at most 1.

    Example:
        >>> conv = MixedConv2d(3, 8, kernel_size=3, padding=1, channels="RGB")
        >>> conv(torch.rand(2, 2, 16, 16), channels="RB").shape
        torch.Size([2, 8, 16, 16])
        >>> conv.anneal(0.5)
        >>> conv.temperature
        tensor(1.)
    """

    temperature: Tensor

    def __init__(
        self,
        *conv2d_args: Any,
        kernels: int = 4,
        hidden: int | None = None,
        attentions: Literal["kernel", "omni"] = "kernel",
        temperature: float = 30.0,
        annealing: float = 1 / 3,
        **conv2d_options: Any,
    ) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        at_least("kernels", kernels)
        hidden = max(16, self.in_channels // 4) if hidden is None else at_least("hidden", hidden)
        if attentions not in ("kernel", "omni"):
            raise ValueError(f"attentions is {attentions!r}; choose from 'kernel', 'omni'")
        if not 1 <= temperature < float("inf"):
            raise ValueError(f"temperature is {temperature}; it must be finite and at least 1, where it ends")
        if not 0 < annealing <= 1:
            raise ValueError(f"annealing is {annealing}; it must be above 0 and at most 1")
        self.attentions, self.annealing, self.first_temperature = attentions, annealing, float(temperature)
        own: dict[str, Any] = {"device": self._new["device"], "dtype": self._new["dtype"]}
        drawn = [self.new_kernel() for _ in range(kernels)]
        # The K kernels below one another, (K O, C, kh, kw): torch's channels_last takes four dimensions.
        self.weight = nn.Parameter(torch.cat([weight.detach() for weight, _ in drawn]))
        biases = [bias.detach() for _, bias in drawn if bias is not None]
        self.bias = nn.Parameter(torch.cat(biases)) if biases else None
        self.squeeze = nn.Linear(2 * self.in_channels, hidden, **own)
        # The numbers of each attention: kernels, and with "omni" input channels, output filters and taps.
        taps = self.kernel_size[0] * self.kernel_size[1]
        self._sizes = (kernels, *((self.in_channels, self.out_channels, taps) if attentions == "omni" else ()))
        self.excite = nn.Linear(hidden, sum(self._sizes), **own)
        self.register_buffer("temperature", torch.tensor(self.first_temperature, **own))
        self.load_kernel(*drawn[0])  # the mean of several draws would be smaller than an ordinary kernel

    @property
    def promises(self) -> Promises:
        return Promises(foldable=False)

    def anneal(self, progress: float) -> None:
        """Set the temperature that belongs to a fraction of the run.

        Args:
            progress: from 0 (the first step) up to 1 (after the last).

        Raises:
            ValueError: for a progress outside of this.
        """
        if not 0 <= progress <= 1:
            raise ValueError(f"progress is {progress}; it goes from 0 to 1")
        done = min(progress / self.annealing, 1.0)
        self.temperature.fill_(self.first_temperature + done * (1.0 - self.first_temperature))

    def convolve(self, x: Tensor, channels: ChannelSet) -> Tensor:
        images, planes = x.shape[:2]
        if images == 0:  # no kernels to mix, and a convolution has at least one group
            return self.conv2d(x, self.weight[: self.out_channels, :planes], None)
        with full_precision(x.device.type):
            weight_NOSKK, bias_NO = self._mixed(x, channels)
        # One grouped convolution for all images: each is a group with kernels of its own.
        y = self.conv2d(
            x.reshape(1, images * planes, *x.shape[2:]),
            weight_NOSKK.flatten(0, 1),
            None if bias_NO is None else bias_NO.flatten(),
            groups=images,
        )
        return y.reshape(images, self.out_channels, *y.shape[2:])

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take over an ordinary kernel as the mean of the K kernels; the attentions become neutral."""
        kernels_KOCKK = self._apart(self.weight.detach())
        mean_OCKK = kernels_KOCKK.mean(dim=0)
        biases_KO = None if self.bias is None else self._apart(self.bias.detach())
        mean_O = None if biases_KO is None else biases_KO.mean(dim=0)
        new_OCKK, new_O = mean_OCKK.clone(), None if mean_O is None else mean_O.clone()
        copy_kernel(new_OCKK, new_O, weight, bias)
        with torch.no_grad():
            kernels_KOCKK.add_(new_OCKK - mean_OCKK)
            if biases_KO is not None and new_O is not None and mean_O is not None:
                biases_KO.add_(new_O - mean_O)
        self._neutralise()

    def fold(self, channels: ChannelsLike | None = None) -> nn.Conv2d:
        return refuse_to_fold(self)

    def _apart(self, stacked: Tensor) -> Tensor:
        """What lies below one another for all kernels (K O, ...), as a view (K, O, ...)."""
        return stacked.unflatten(0, (-1, self.out_channels))

    def _neutralise(self) -> None:
        nn.init.zeros_(self.excite.weight)
        nn.init.zeros_(self.excite.bias)

    def _attend(self, x: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        """The attentions (N, K) of the images, and with "omni" (N, C), (N, O) and (N, kh kw)."""
        pooled_NS = x.mean(dim=(2, 3), dtype=self.weight.dtype)
        seen_NC = pooled_NS.new_zeros(len(x), self.in_channels).index_copy(1, present, pooled_NS)
        mask_C = pooled_NS.new_zeros(self.in_channels).index_fill(0, present, 1.0)
        mask_NC = mask_C.expand_as(seen_NC)
        return attentions(seen_NC, mask_NC, self.squeeze, self.excite, temperature=self.temperature, sizes=self._sizes)

    def _mixed(self, x: Tensor, channels: ChannelSet) -> tuple[Tensor, Tensor | None]:
        """For each image a weight (N, O, S, kh, kw) and a bias (N, O)."""
        present = positions(self.channels.indices(channels), self.weight.device)
        over_kernels_NK, *others = self._attend(x, present)
        slices_KOSKK = self._apart(self.weight.index_select(1, present)) * (self.in_channels / len(present))
        weight_NOSKK = (over_kernels_NK @ slices_KOSKK.flatten(1)).unflatten(1, slices_KOSKK.shape[1:])
        if others:
            over_inputs_NC, over_filters_NO, over_taps_NT = others
            weight_NOSKK = (
                weight_NOSKK
                * over_inputs_NC.index_select(1, present)[:, None, :, None, None]
                * over_filters_NO[:, :, None, None, None]
                * over_taps_NT.view(-1, 1, 1, *self.kernel_size)
            )
        return weight_NOSKK, None if self.bias is None else over_kernels_NK @ self._apart(self.bias)


def attentions(
    seen_NC: Tensor,
    mask_NC: Tensor,
    squeeze: nn.Module,
    excite: nn.Module,
    *,
    temperature: Tensor,
    sizes: Sequence[int],
) -> tuple[Tensor, ...]:
    """What the attention says of images: shares of the kernels (N, K), and factors of what else there is, 1 at first.

    Args:
        seen_NC: the planes' means, 0 where a channel is absent.
        mask_NC: 1 where a channel is there, else 0.
        squeeze, excite: the two layers.
        temperature: what the second one's numbers are divided by.
        sizes: how many numbers each attention has, that over the kernels first.
    """
    hidden_NH = F.relu(squeeze(torch.cat([seen_NC, mask_NC], dim=1)))
    over_kernels, *others = (excite(hidden_NH) / temperature).split(list(sizes), dim=1)
    return over_kernels.softmax(dim=1), *(2 * other.sigmoid() for other in others)
