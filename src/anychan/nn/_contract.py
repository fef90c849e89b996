"""The contract of every any-channel convolution: ``forward(x, channels=None, present=None)``.

Most strategies are a function from a channel set to a kernel (`KernelConv2d`):

    kernel : S  ->  (weight of shape (C_out, |S|, kh, kw),  bias of shape (C_out,))
    forward(x, channels) = conv2d(x, *kernel(channels))

They say how kernels are made (`kernel`) and how an ordinary convolution's weights are taken over
(`load_kernel`). Those that look at the image as well, attending over channels or mixing kernels by what is in it,
say how they convolve (`convolve`) instead. All else is here, once, and is not overridden.

Shape suffixes: N images, C all known channels, S the channels of a call, O output channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.channels import ChannelSet, ChannelsLike

Size = int | tuple[int, int]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


@dataclass(frozen=True, slots=True)
class Promises:
    """What a strategy promises; the contract tests check just this.

    They are those of the instance as it is, also of its mode where ``train`` and ``eval`` differ.

    Args:
        subsets: takes every subset of the channels it was made with, by name.
        any_order: planes in another order, named in that order, give the same output; where each channel keeps
            its own map, the same maps in that order.
        exact: with the kernel of an ordinary convolution loaded, equals it on the full channel set.
        foldable: for a fixed channel set it is an ordinary convolution.
        unseen: takes channels it was not made with, by their wavelengths.
        unnamed: takes any number of planes, whatever they are called.
        tells_zeros: a plane of zeros is not an absent plane.
        merges: the channels' planes become one map (N, O, H', W'); otherwise each keeps a map of its own, and
            they lie below one another, (N, O, S H', W'), for a body that takes any number of tokens.
    """

    subsets: bool = True
    any_order: bool = True
    exact: bool = True
    foldable: bool = True
    unseen: bool = False
    unnamed: bool = False
    tells_zeros: bool = True
    merges: bool = True


class AnyChannelConv2d(nn.Module, ABC):
    """A 2-d convolution that takes any of its channels (abstract; each strategy is one final class below it).

    The arguments are those of ``torch.nn.Conv2d``, and ``channels``.

    Args:
        in_channels: C, the number of all known channels.
        out_channels: O.
        kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype: as in ``torch.nn.Conv2d``.
        groups: 1; a grouped convolution ties its kernels to positions, not to names.
        channels: the C known channels; None: R, G and B where C is 3, and "0", "1", ... otherwise.

    Raises:
        ValueError: if ``channels`` are not ``in_channels`` many, or ``groups`` is not 1.
    """

    def __init__(  # noqa: PLR0917 # nn.Conv2d's own signature
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        channels: ChannelsLike | None = None,
    ) -> None:
        super().__init__()
        if channels is None:
            channels = "RGB" if in_channels == 3 else [str(i) for i in range(in_channels)]
        self.channels = ChannelSet.parse(channels)
        if len(self.channels) != in_channels:
            raise ValueError(f"in_channels is {in_channels}, but {len(self.channels)} channels are named: {channels}")
        if groups != 1:
            raise ValueError(f"groups is {groups}: an any-channel convolution has groups=1")
        # An ordinary convolution checks and keeps the geometry; its weights live in the strategy, not here.
        geometry = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 1, bias, padding_mode, "meta"
        )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, 1
        self.kernel_size, self.stride, self.dilation = geometry.kernel_size, geometry.stride, geometry.dilation
        self.padding, self.padding_mode = geometry.padding, padding_mode
        self._reversed_padding = geometry._reversed_padding_repeated_twice
        self._new: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}

    uses_statistics: ClassVar[bool] = False  # whether it is made with `covariance` and `mean` of its input

    @property
    @abstractmethod
    def promises(self) -> Promises:
        """What this convolution promises."""

    @abstractmethod
    def convolve(self, x: Tensor, channels: ChannelSet) -> Tensor:
        """Convolve planes (N, S, H, W) of these channels, all of them there; (N, O, H', W')."""

    @abstractmethod
    def load_kernel(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take over an ordinary convolution's weight (O, C, kh, kw) and bias (O,)."""

    def new_kernel(self) -> tuple[nn.Parameter, nn.Parameter | None]:
        """A weight (O, C, kh, kw) and bias (O,) of this shape, drawn as ``torch.nn.Conv2d`` draws its own."""
        ordinary = nn.Conv2d(self.in_channels, self.out_channels, **conv_geometry(self), **self._new)
        return ordinary.weight, ordinary.bias  # type: ignore[return-value] # parameters, though annotated as tensors

    @abstractmethod
    def fold(self, channels: ChannelsLike | None = None) -> nn.Conv2d:
        """An ordinary convolution for one channel set, equal to ``forward`` on it, sharing no memory with this.

        Raises:
            ValueError: if the strategy does not promise it.
        """

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay should leave alone: embeddings, positions, queries.

        By timm's convention an optimiser asks each module; the names are relative to the module.
        """
        return set()

    def prepare_body(self, body: nn.Module, path: str) -> None:
        """Make a body fit this convolution, in place; ``adapt`` calls it once this is the body's stem at ``path``.

        Most strategies ask nothing of the body.

        Raises:
            ValueError: if the body cannot work with this strategy.
        """

    def forward(self, x: Tensor, channels: ChannelsLike | None = None, present: Tensor | None = None) -> Tensor:
        """Convolve with the kernel of the channels that are there.

        Args:
            x: (N, S, H, W), the planes of ``channels`` in their order.
            channels: names of the planes; None: all.
            present: bool (N, S), where the images of a batch have different channels; the other planes are
                not read, so they may hold anything, NaN too.

        Returns:
            (N, O, H', W').

        Raises:
            ValueError: for planes that are not as many as ``channels``, a ``present`` of another shape or
                type, or an image without any channel.
        """
        return self.forward_resolved(x, self.resolve(channels, planes=x.shape[1] if x.ndim == 4 else None), present)

    def forward_resolved(self, x: Tensor, channels: ChannelSet, present: Tensor | None = None) -> Tensor:
        """``forward`` for a channel set that ``resolve`` gave, which is not looked up again."""
        if x.ndim != 4 or x.shape[1] != len(channels):
            raise ValueError(
                f"x must have the shape (N, {len(channels)}, H, W) for {','.join(channels.names)}, not {tuple(x.shape)}"
            )
        return self.convolve(x, channels) if present is None else self._convolve_present(x, channels, present)

    def resolve(self, channels: ChannelsLike | None = None, planes: int | None = None) -> ChannelSet:
        """The channels of a call, with what is known of them.

        Args:
            channels: as given to ``forward``.
            planes: how many planes there are, which count where no names are needed.

        Raises:
            ValueError: for a channel it does not take, one that stands twice, or none.
        """
        promises = self.promises
        return self.channels.resolve(channels, planes, unseen=promises.unseen, unnamed=promises.unnamed)

    def conv2d(self, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int = 1) -> Tensor:
        """``torch.nn.functional.conv2d`` with this convolution's stride, padding and dilation."""
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._reversed_padding, mode=self.padding_mode), (0, 0)
        return F.conv2d(x, weight, bias, self.stride, padding, self.dilation, groups)

    def _convolve_present(self, x_NSHW: Tensor, channels: ChannelSet, present_NS: Tensor) -> Tensor:
        # Images with the same channels go through together; each group reads only the planes it has.
        outputs, rows = [], []
        for row_N, planes, there in channel_groups(channels, x_NSHW, present_NS):
            outputs.append(self.convolve(cut(x_NSHW, row_N, planes), there))
            rows.append(row_N)
        if len({output.shape[1:] for output in outputs}) > 1:
            raise ValueError(
                f"the images of this batch have different numbers of channels, and so of tokens: {type(self).__name__} "
                "takes them one channel set at a time"
            )
        return torch.cat(outputs)[torch.argsort(torch.cat(rows))]

    def extra_repr(self) -> str:
        return (
            f"{self.channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}"
        )


class KernelConv2d(AnyChannelConv2d):
    """An any-channel convolution whose kernel depends on the channel set alone (abstract), so that it folds."""

    # The kernel (O, 1, kh, kw) of an implied plane of ones, for a strategy whose constant must not reach
    # the zero padding, where the bias would carry it; None for all others.
    ones_kernel: Callable[[ChannelsLike | None], Tensor] | None = None

    @abstractmethod
    def kernel(self, channels: ChannelsLike | None = None) -> tuple[Tensor, Tensor | None]:
        """The kernel for a channel set: weight (O, |S|, kh, kw) and bias (O,), or None without a bias."""

    def convolve(self, x: Tensor, channels: ChannelSet) -> Tensor:
        with full_precision(x.device.type):
            weight, bias = self.kernel(channels)
            ones_kernel = None if self.ones_kernel is None else self.ones_kernel(channels)
        if ones_kernel is not None:
            x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
            weight = torch.cat([weight, ones_kernel], dim=1)
        return self.conv2d(x, weight, bias)

    def fold(self, channels: ChannelsLike | None = None) -> nn.Conv2d:
        if not self.promises.foldable:
            refuse_to_fold(self)
        with full_precision(next(self.parameters()).device.type):
            return folded(self, *self.kernel(channels))


def folded(stem: AnyChannelConv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """An ordinary convolution of a stem's geometry with a copy of this kernel, in the stem's mode."""
    with torch.no_grad():
        conv = nn.Conv2d(
            weight.shape[1],
            stem.out_channels,
            bias=bias is not None,
            device=weight.device,
            dtype=weight.dtype,
            **conv_geometry(stem),
        )
        copy_kernel(conv.weight, conv.bias, weight, bias)
    return conv.train(stem.training)


def refuse_to_fold(stem: AnyChannelConv2d) -> NoReturn:
    """Say that a stem is not an ordinary convolution for any channel set; always a ValueError."""
    raise ValueError(f"{stem} does not fold: its output is not that of one kernel for a channel set")


def channel_groups(
    channels: ChannelSet, x_NSHW: Tensor, present_NS: Tensor
) -> Iterator[tuple[Tensor, Tensor, ChannelSet]]:
    """The images of a batch by the channels they have: rows (n,), planes (s,) and the channel set of these.

    Raises:
        ValueError: for a ``present`` of another shape or type, or an image without any channel.
    """
    is_tensor = isinstance(present_NS, Tensor)
    if not is_tensor or present_NS.dtype != torch.bool or present_NS.shape != x_NSHW.shape[:2]:
        given = f"{present_NS.dtype} of shape {tuple(present_NS.shape)}" if is_tensor else type(present_NS).__name__
        raise ValueError(f"present must be bool of shape {tuple(x_NSHW.shape[:2])}, not {given}")
    if not present_NS.any(dim=1).all():
        empty = int((~present_NS.any(dim=1)).nonzero()[0])
        raise ValueError(f"image {empty} of the batch has no channel; choose from {','.join(channels.names)}")
    if not len(present_NS):  # a batch without images is one group of all channels
        none = torch.empty(0, dtype=torch.long, device=x_NSHW.device)
        yield none, torch.arange(len(channels), device=x_NSHW.device), channels
        return
    patterns, group_N = torch.unique(present_NS, dim=0, return_inverse=True)
    for group, pattern in enumerate(patterns.tolist()):
        there = [i for i, is_there in enumerate(pattern) if is_there]
        planes = torch.tensor(there, device=x_NSHW.device)
        yield (group_N == group).nonzero().squeeze(1), planes, ChannelSet(channels[i] for i in there)


def cut(x_NSHW: Tensor, rows: Tensor, planes: Tensor) -> Tensor:
    """Some planes of some images, laid out in memory as all are: one plane's layout is open, and would be lost."""
    last = x_NSHW.is_contiguous(memory_format=torch.channels_last) and not x_NSHW.is_contiguous()
    part = x_NSHW[rows][:, planes]
    return part.to(memory_format=torch.channels_last) if last else part


def full_precision(device: str) -> AbstractContextManager[Any]:
    """Kernels are made in full precision also under autocast, which some devices ("meta") do not have."""
    unasked = torch.__version__ < "2.12" and torch.compiler.is_compiling()  # which could not compile the question
    if unasked or torch.amp.is_autocast_available(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def positions(indices: Sequence[int], device: torch.device) -> Tensor:
    """Indices as a tensor, int64, on a device. A GPU would be waited for to copy them, so it counts them itself."""
    if device.type != "cuda":
        return torch.tensor(indices, dtype=torch.int64, device=device)
    counted = torch.arange(max(indices) + 1, device=device)
    return torch.cat([counted[i : i + 1] for i in indices])


def conv_geometry(conv: nn.Conv2d | AnyChannelConv2d) -> dict[str, Any]:
    """The arguments that say how a convolution moves over the image, as ``torch.nn.Conv2d`` takes them."""
    return {
        "kernel_size": conv.kernel_size,
        "stride": conv.stride,
        "padding": conv.padding,
        "dilation": conv.dilation,
        "padding_mode": conv.padding_mode,
    }


def float64(tensor: Tensor) -> Tensor:
    """In double precision; on the CPU where the device has none."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def copy_kernel(target: Tensor, target_bias: Tensor | None, weight: Tensor, bias: Tensor | None) -> None:
    """Copy a kernel into a strategy's own bank, in place.

    Raises:
        ValueError: if the shapes differ, or only one of the two has a bias.
    """
    if weight.shape != target.shape or (bias is None) != (target_bias is None):
        raise ValueError(
            f"cannot load a kernel of shape {tuple(weight.shape)} {'without' if bias is None else 'with'} bias "
            f"into one of shape {tuple(target.shape)} {'without' if target_bias is None else 'with'} bias"
        )
    with torch.no_grad():
        target.copy_(weight)
        if target_bias is not None and bias is not None:
            target_bias.copy_(bias)
