"""Template: each channel's slice of the kernel is a learned mixture of templates that all channels share.

    weight(S)_c = sum over t of a_ct template_t * |C| / |S|        for the channels c in S

An ordinary kernel is loaded by a singular value decomposition of its slices, the (C, O kh kw) matrix
A D B^T: the templates become the rows of D B^T / sqrt(C), from what most channels share to what tells them apart,
and the coefficients the columns of sqrt(C) A. With as many templates as the matrix can have ranks this is exact;
with T fewer it is the nearest matrix of rank T (Eckart and Young, 1936). Templates beyond min(C, O kh kw) keep their
random start, with coefficient zero; where the kernel has a lower rank, the rest are zero and have coefficients.

Source: TemplateMixing in CHAMMI (Chen et al., NeurIPS 2023, arXiv 2310.19224), after Savarese and Maire, "Learning
implicitly recurrent CNNs through parameter sharing", ICLR 2019, arXiv 1902.09701. Loading a kernel is ours.

Assumes that the channels' kernels are alike, so that a few templates hold most of them.
Cost: the MACs of an ordinary convolution of |S| planes. Some T O kh kw parameters instead of C O kh kw, and
|S| T O kh kw MACs to make a kernel, once a call (docs/theory/template.md has all terms). It folds.
Fails where a missing channel mattered: nothing stands in for it. With T < C, also where the channels' kernels have
more to tell than T templates can.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from anychan.channels import ChannelsLike
from anychan.nn._contract import KernelConv2d, Promises, positions
from anychan.nn._registry import register_strategy
from anychan.nn._slices import at_least, kernel_of_slices, kernel_slices


@register_strategy("template")
class TemplateConv2d(KernelConv2d):
    """A convolution whose kernel for a channel is a learned mixture of templates shared by all channels.

    Args:
        *conv2d_args, **conv2d_options: those of `AnyChannelConv2d`, which are those of ``torch.nn.Conv2d``.
        templates: T; None: C. Below C (and O kh kw) a loaded kernel is only met as nearly as it can be,
            and ``promises.exact`` is False.

    Raises:
        ValueError: for fewer than 1 template.

    Example:
        >>> conv = TemplateConv2d(3, 8, kernel_size=3, padding=1, channels="RGB")
        >>> conv(torch.rand(2, 2, 16, 16), channels="RB").shape
        torch.Size([2, 8, 16, 16])
    """

    def __init__(self, *conv2d_args: Any, templates: int | None = None, **conv2d_options: Any) -> None:
        super().__init__(*conv2d_args, **conv2d_options)
        templates = self.in_channels if templates is None else at_least("templates", templates)
        weight, self.bias = self.new_kernel()
        taps = self.kernel_size[0] * self.kernel_size[1]
        bound = (self.in_channels * taps) ** -0.5  # as nn.Conv2d draws
        self.templates = nn.Parameter(weight.new_empty(templates, self.out_channels * taps).uniform_(-bound, bound))
        self.coefficients = nn.Parameter(weight.new_zeros(self.in_channels, templates))
        self._decompose(kernel_slices(self, weight, self.bias, self.bias))

    @property
    def promises(self) -> Promises:
        templates, width = self.templates.shape
        return Promises(exact=templates >= min(self.in_channels, width))

    def kernel(self, channels: ChannelsLike | None = None) -> tuple[Tensor, Tensor | None]:
        present = positions(self.channels.indices(channels), self.templates.device)
        return kernel_of_slices(self, self.coefficients.index_select(0, present) @ self.templates), self.bias

    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take over an ordinary kernel in new coefficients and templates; templates it has no use for stay."""
        self._decompose(kernel_slices(self, weight, bias, self.bias))
        if self.bias is not None and bias is not None:
            with torch.no_grad():
                self.bias.copy_(bias)

    @torch.no_grad()
    def _decompose(self, slices_CX: Tensor) -> None:
        if slices_CX.is_meta or self.templates.is_meta:
            return  # shapes without values: there is nothing to decompose
        left_CR, values_R, right_RX = torch.linalg.svd(slices_CX, full_matrices=False)
        used = min(len(values_R), len(self.templates))
        scale = self.in_channels**0.5  # coefficients of the order of 1, templates of that of the slices
        self.coefficients.zero_()
        self.coefficients[:, :used] = (left_CR[:, :used] * scale).to(self.coefficients)
        self.templates[:used] = (values_R[:used, None] * right_RX[:used] / scale).to(self.templates)
