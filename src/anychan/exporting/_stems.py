"""Any-channel convolutions as a graph can hold them: kernels as tables by subset, *mixed* as K convolutions.

What looks at the image besides is written out in a graph's operators, in the same numbers up to rounding.

A graph cannot look up names or solve for a kernel. So what a strategy makes for each subset is made here, once, and a
call picks a row of it. Which one, and which planes it has, are buffers of the module that the graph around it sets for
the call (``torch.func.functional_call``); where the channels are fixed they simply stay as they were made.

Each is made of a stem as it is in evaluation mode, and of the subsets, or the one subset of the call until another is
set. ``columns``, int64 (S,), says where the planes of the call stand among the C channels; ``row``, int64 (1,), which
subset that is.

Shape suffixes: N images, C all channels, S those of a call, R rows (subsets), K kernels, O output channels, T taps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.adaptation._stem_wrappers import StemStandIn
from anychan.channels import ChannelSet
from anychan.nn import AnyChannelConv2d, AttentiveConv2d, KernelConv2d, MixedConv2d
from anychan.nn.mixed import attentions

Kernel = tuple[Tensor, Tensor | None, Tensor | None]  # weight, bias, and the kernel of an implied plane of ones


class GraphStem(StemStandIn):
    """A stem as a graph holds it (abstract).

    Args:
        stem: that it stands for.
        known: the channels that ``columns`` counts in.
        subset: the call's, until another is set.
    """

    row: Tensor
    columns: Tensor

    def __init__(self, stem: AnyChannelConv2d, known: ChannelSet, subset: ChannelSet) -> None:
        super().__init__(stem)
        self._conv2d = stem.conv2d
        self.register_buffer("row", torch.zeros(1, dtype=torch.int64), persistent=False)
        self.register_buffer("columns", torch.tensor(known.indices(subset.names)), persistent=False)

    @property
    def in_channels(self) -> int:
        """How many planes the call has."""
        return self.columns.shape[0]


class KernelTable(GraphStem):
    """A stem that depends on the channel set alone: the kernel of each of R subsets is a row of a table."""

    weights: Tensor
    biases: Tensor | None
    ones: Tensor | None

    def __init__(self, stem: AnyChannelConv2d, subsets: Sequence[ChannelSet]) -> None:
        super().__init__(stem, stem.channels, subsets[0])
        kernels = [_kernel_of(stem, subset) for subset in subsets]
        first = kernels[0][0]
        weights_ROCkk = first.new_zeros(len(subsets), len(first), stem.in_channels, *first.shape[2:])
        for row, (subset, (weight, _, _)) in enumerate(zip(subsets, kernels, strict=True)):
            weights_ROCkk[row, :, list(stem.channels.indices(subset.names))] = weight
        self.register_buffer("weights", weights_ROCkk)
        self.register_buffer("biases", _stacked([bias for _, bias, _ in kernels]))
        self.register_buffer("ones", _stacked([ones for _, _, ones in kernels]))

    def forward(self, x: Tensor) -> Tensor:
        weight_OSkk = self._chosen(self.weights).index_select(1, self.columns)
        if self.ones is not None:
            x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
            weight_OSkk = torch.cat([weight_OSkk, self._chosen(self.ones)], dim=1)
        return self._conv2d(x, weight_OSkk, None if self.biases is None else self._chosen(self.biases))

    def _chosen(self, table: Tensor) -> Tensor:
        return table.index_select(0, self.row).squeeze(0)


class MixedKernels(GraphStem):
    """The stem of *mixed*: K convolutions, whose outputs the attention adds up.

    A mixture of kernels convolves as the mixture of what the kernels give, and needs no convolution in as many
    groups as there are images, which would fix their number in the graph.
    """

    weights: Tensor
    biases: Tensor | None
    temperature: Tensor

    def __init__(self, stem: MixedConv2d, subset: ChannelSet) -> None:
        super().__init__(stem, stem.channels, subset)
        self.squeeze, self.excite = stem.squeeze, stem.excite
        self.register_buffer("weights", stem.weight.detach().clone())  # (K O, C, kh, kw)
        self.register_buffer("biases", None if stem.bias is None else stem.bias.detach().clone())
        self.register_buffer("temperature", stem.temperature.clone())
        self._sizes = stem._sizes

    def forward(self, x: Tensor) -> Tensor:
        here_SC = (self.columns[:, None] == torch.arange(self.weights.shape[1])).to(x.dtype)
        over_kernels_NK, *others = self._attend(x, here_SC)
        # In place of |C| / |S| times the kernels, of which S is known when the graph runs.
        x = x * (self.weights.shape[1] / here_SC.sum())
        weight_QSkk = self.weights.index_select(1, self.columns)
        if others:
            over_inputs_NC, over_filters_NO, over_taps_NT = others
            x = x * over_inputs_NC.index_select(1, self.columns)[:, :, None, None]
            y_NQhw = self._by_taps(x, weight_QSkk, over_taps_NT)
        else:
            y_NQhw = self._conv2d(x, weight_QSkk, None)
        y_NKOhw = y_NQhw.unflatten(1, (-1, self.out_channels))
        y_NOhw = (y_NKOhw * over_kernels_NK[:, :, None, None, None]).sum(dim=1)
        if others:
            y_NOhw = y_NOhw * over_filters_NO[:, :, None, None]
        if self.biases is None:
            return y_NOhw
        return y_NOhw + (over_kernels_NK @ self.biases.unflatten(0, (-1, self.out_channels)))[:, :, None, None]

    def _attend(self, x: Tensor, here_SC: Tensor) -> tuple[Tensor, ...]:
        """The attentions (N, K) of the images, and with "omni" (N, C), (N, O) and (N, T)."""
        seen_NC = x.mean(dim=(2, 3)) @ here_SC
        mask_NC = here_SC.sum(dim=0).expand_as(seen_NC)
        return attentions(seen_NC, mask_NC, self.squeeze, self.excite, temperature=self.temperature, sizes=self._sizes)

    def _by_taps(self, x_NSHW: Tensor, weight_QSkk: Tensor, over_taps_NT: Tensor) -> Tensor:
        """A convolution in which each image weighs the taps of all kernels in its own way."""
        taps = weight_QSkk.shape[2] * weight_QSkk.shape[3]
        # A kernel a tap, with a one there: what each tap of a kernel would see.
        ones_T1kk = torch.eye(taps).unflatten(1, weight_QSkk.shape[2:]).unsqueeze(1)
        seen_NSThw = self._conv2d(x_NSHW.flatten(0, 1).unsqueeze(1), ones_T1kk, None).unflatten(0, x_NSHW.shape[:2])
        weighed_NXhw = (seen_NSThw * over_taps_NT[:, None, :, None, None]).flatten(1, 2)
        return F.conv2d(weighed_NXhw, weight_QSkk.flatten(1)[:, :, None, None])


class AttentiveMap(GraphStem):
    """The stem of *attentive*, with its attention written out and the channels' embeddings as a table.

    Torch's attention over all places at once is no operator of ONNX, and splits places by how many there are.
    """

    embedding: Tensor

    def __init__(self, stem: AttentiveConv2d, subset: ChannelSet) -> None:
        # By their wavelengths it takes channels that it was not made with.
        tabled = ChannelSet([*stem.channels, *(channel for channel in subset if channel not in stem.channels)])
        super().__init__(stem, tabled, subset)
        self.kernel, self.query, self.value, self.project = stem.weight, stem.query, stem.value, stem.project
        self.shift = stem.bias
        with torch.no_grad():
            self.register_buffer("embedding", stem._embed(tabled).clone())

    def forward(self, x: Tensor) -> Tensor:
        map_NSOhw = self._conv2d(x.flatten(0, 1).unsqueeze(1), self.kernel, None).unflatten(0, x.shape[:2])
        token_NhwSO = map_NSOhw.permute(0, 3, 4, 1, 2) + self.embedding.index_select(0, self.columns)
        score_NhwSH = token_NhwSO @ self.query.transpose(0, 1) / self.query.shape[1] ** 0.5
        pooled_NhwHO = score_NhwSH.softmax(dim=3).transpose(3, 4) @ token_NhwSO
        # Each head's sum goes through its own rows of V: (1, O) x (O, O / H).
        y_NhwO = (pooled_NhwHO.unsqueeze(4) @ self.value.transpose(1, 2)).flatten(3)
        y_NOhw = F.linear(y_NhwO, self.project).permute(0, 3, 1, 2)
        return y_NOhw if self.shift is None else y_NOhw + self.shift[:, None, None]


class Unnamed(GraphStem):
    """A stem that takes any number of planes, whatever they are called: it runs as it is."""

    def __init__(self, stem: AnyChannelConv2d, subset: ChannelSet) -> None:
        super().__init__(stem, subset, subset)
        self.stem = stem

    def forward(self, x: Tensor) -> Tensor:
        return self.stem.convolve(x, self.stem.channels)  # whose names play no part


def graph_stem(stem: AnyChannelConv2d, subsets: Sequence[ChannelSet]) -> nn.Module | None:
    """A stem as a graph can hold it for these subsets, or None for one that can only be traced as it runs.

    Raises:
        ValueError: for a stem that draws its kernels at random.
    """
    promises = stem.promises
    if not promises.any_order:
        raise ValueError(f"{stem} draws its kernels at random, so no file can answer as it does: train with names")
    if promises.foldable or getattr(stem, "ones_kernel", None) is not None:
        return KernelTable(stem, subsets)
    other = Unnamed if promises.unnamed else _OTHERS.get(type(stem))
    return None if other is None else other(stem, subsets[0])


# Strategies that are no table of kernels, and yet need not be traced for each channel set.
_OTHERS: dict[type, Callable[[Any, ChannelSet], nn.Module]] = {
    AttentiveConv2d: AttentiveMap,
    MixedConv2d: MixedKernels,
}


def _kernel_of(stem: AnyChannelConv2d, subset: ChannelSet) -> Kernel:
    if stem.promises.foldable:
        conv = stem.fold(subset)
        return conv.weight.detach(), None if conv.bias is None else conv.bias.detach(), None
    assert isinstance(stem, KernelConv2d)
    assert stem.ones_kernel is not None
    with torch.no_grad():
        weight, bias = stem.kernel(subset)
        return weight, bias, stem.ones_kernel(subset)


def _stacked(rows: Sequence[Tensor | None]) -> Tensor | None:
    there = [row.detach() for row in rows if row is not None]
    assert len(there) in (0, len(rows))
    return torch.stack(there) if there else None
