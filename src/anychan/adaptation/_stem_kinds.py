"""The kinds of stems that models have: each is read as one ordinary convolution of the image's planes.

How a module computes is decided by the class whose ``forward`` it runs, so the kinds are looked up by that class's
name, and a library is not imported to ask whether a model is one of its own. A new kind is one function here; the
module that has to stand around the convolution afterwards, if any, is in ``_stem_wrappers.py``.

Shape suffixes: O output channels, C planes of the image, Q planes of a stem after space-to-depth.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from anychan.adaptation._stem_wrappers import PatchProjection, SamePadding, StemWrapper
from anychan.channels import ChannelSet
from anychan.nn import AnyChannelConv2d, conv_geometry
from anychan.nn._contract import float64


@dataclass(frozen=True)
class ReadStem:
    """A model's stem, read.

    Args:
        conv: the ordinary convolution of the image's planes that computes what the stem does.
        wrap: what has to stand around the any-channel convolution; None: nothing.
        bypassed: path of a module before the stem that is part of ``conv`` now.
    """

    conv: nn.Conv2d
    wrap: Callable[[AnyChannelConv2d], StemWrapper] | None = None
    bypassed: str | None = None

    @property
    def pads_itself(self) -> bool:
        """Whether zeros are put around the image before the convolution sees it."""
        return self.wrap is SamePadding


Reader = Callable[[nn.Module, str, int], ReadStem]
_READERS: dict[str, Reader] = {}
_COMPUTING = {"forward", "_conv_forward"}  # the second is what a convolution's forward calls


def reads(*classes: str) -> Callable[[Reader], Reader]:
    """Decorator: this function reads stems that run the ``forward`` of these classes, named with their modules.

    The function is given the model, the stem's path and the number of the image's planes.
    """

    def register(reader: Reader) -> Reader:
        for name in classes:
            if name in _READERS:
                raise ValueError(f"stems of {name} are read already, by {_READERS[name].__qualname__}")
            _READERS[name] = reader
        return reader

    return register


def computing_class(module: nn.Module) -> str:
    """The name, with its module's, of the class whose ``forward``, or whose part of a convolution's, a module runs."""
    decides = next(cls for cls in type(module).__mro__ if not vars(cls).keys().isdisjoint(_COMPUTING))
    return f"{decides.__module__}.{decides.__qualname__}"


def may_be_stem(module: nn.Module) -> bool:
    """Whether a module is looked for where no stem is named: a convolution, which may be refused, or of a known kind.

    Linear layers are not.
    """
    known = computing_class(module) in _READERS and not isinstance(module, nn.Linear)
    return known or isinstance(module, nn.Conv2d)


def read_stem(model: nn.Module, path: str, trained: ChannelSet, said: bool) -> ReadStem:
    """Read the stem at a path.

    Args:
        model: that has it.
        path: of it.
        trained: the channels of the image's planes.
        said: whether it was said of the weights, or is taken from the channels wanted.

    Raises:
        ValueError: if it is of no kind that is known, or does not fit the image's planes, saying what it is.
    """
    planes = len(trained)
    if not path:
        raise ValueError(f"the model is itself a convolution, {model}: put it into a module, or use a strategy's own")
    module = _module_at(model, path)
    reader = _READERS.get(computing_class(module))
    if reader is None:
        raise ValueError(
            f"the stem {path!r} is a {type(module).__name__}, not an ordinary nn.Conv2d "
            f"or another of the kinds that are read as one: {', '.join(sorted(_READERS))}; what it computes may differ"
        )
    _check_nothing_is_lost(module, path)
    read = reader(model, path, planes)
    if read.conv.in_channels != planes or read.conv.groups != 1:
        raise ValueError(
            f"the stem {path!r} takes {read.conv.in_channels} planes in {read.conv.groups} group(s), "
            f"which does not fit {planes} channels, {trained}{_instead(read.conv, trained, said)}"
        )
    read.conv.train(module.training)
    return read


def _instead(conv: nn.Conv2d, trained: ChannelSet, said: bool) -> str:
    """What was meant, perhaps, by channels that are not as many as a convolution's planes."""
    one_name = len(trained) == 1 and len(trained.names[0]) > 1
    parted = " (names are parted by commas)" if one_name else ""
    other = "" if said or conv.groups != 1 else "; if the weights are of other channels, say which: trained_on="
    return parted + other


def _check_nothing_is_lost(module: nn.Module, path: str) -> None:
    """ValueError for what somebody has attached to a stem."""
    for part in module.modules():
        for name in sorted(_COMPUTING & vars(part).keys()):
            raise ValueError(
                f"the stem {path!r} has a {name} of its own, put on the instance, which would be lost: remove it, or "
                "do in the model's forward what it does"
            )
        if parametrize.is_parametrized(part):
            raise ValueError(
                f"the stem {path!r} has a parametrisation, which would be lost: take its result for good with "
                "torch.nn.utils.parametrize.remove_parametrizations first"
            )
        for kind, hooks in (
            ("forward", part._forward_hooks or part._forward_pre_hooks),
            ("backward", part._backward_hooks or part._backward_pre_hooks),
        ):
            if hooks:
                raise ValueError(f"the stem {path!r} has {kind} hooks, which would be lost: remove them first")


@reads("torch.nn.modules.conv.Conv2d")
def _ordinary(model: nn.Module, path: str, planes: int) -> ReadStem:
    conv = _module_at(model, path)
    assert isinstance(conv, nn.Conv2d)
    before = _space_to_depth_before(model, path)
    return ReadStem(conv) if before is None else _without_space_to_depth(conv, before, model, planes)


@reads("timm.layers.conv2d_same.Conv2dSame")
def _same_padded(model: nn.Module, path: str, planes: int) -> ReadStem:
    """As TensorFlow pads, by the image's size."""
    conv = _module_at(model, path)
    assert isinstance(conv, nn.Conv2d)
    return ReadStem(_convolution(conv, conv.weight, conv.bias), SamePadding)


@reads(
    "timm.layers.std_conv.StdConv2d",
    "timm.layers.std_conv.StdConv2dSame",
    "timm.layers.std_conv.ScaledStdConv2d",
    "timm.layers.std_conv.ScaledStdConv2dSame",
)
def _standardised(model: nn.Module, path: str, planes: int) -> ReadStem:
    """With weights that are standardised at each call: the kernel that comes of it is taken over.

    From there on it is trained as it is, no longer standardised: an output's weights over all channels are what has
    mean 0 there, so a subset's would be other weights for the same channel.

    Source: Qiao et al., "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization", arXiv
    1903.10520; with a gain, Brock et al., "Characterizing signal propagation to close the performance gap in
    unnormalized ResNets", arXiv 2101.08692, section 3.
    """
    conv = _module_at(model, path)
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        exact = float64(conv.weight)
        variance, mean = torch.var_mean(exact, dim=(1, 2, 3), correction=0, keepdim=True)
        weight = (exact - mean) / (variance + cast(float, conv.eps)).sqrt()
        if hasattr(conv, "gain"):
            weight = weight * float64(cast(Tensor, conv.gain)) * cast(float, conv.scale)
    padded = SamePadding if getattr(conv, "same_pad", False) else None
    return ReadStem(_convolution(conv, weight.to(conv.weight), conv.bias), padded)


# How a module that cuts patches lays out a patch's numbers: channel last (row, column, channel), or channel first.
_CHANNELS_LAST: dict[str, Callable[[nn.Module], bool]] = {
    "timm.models.naflexvit.NaFlexEmbeds": lambda parent: bool(getattr(parent, "channels_last", True)),
    "timm.models.gemma4_vit.Gemma4PatchEmbed": lambda parent: False,
}


@reads("torch.nn.modules.linear.Linear")
def _linear(model: nn.Module, path: str, planes: int) -> ReadStem:
    """On flattened patches, whose layout is the parent's to say."""
    linear, parent = _module_at(model, path), _module_at(model, path.rpartition(".")[0])
    assert isinstance(linear, nn.Linear)
    layout = _CHANNELS_LAST.get(computing_class(parent))
    if layout is None:
        raise ValueError(
            f"the stem {path!r} is a Linear in a {type(parent).__name__}, and how that lays out the channels of a "
            f"patch is not known; it is of {', '.join(_CHANNELS_LAST)}"
        )
    if getattr(parent, "norm_input", None) is not None:
        raise ValueError(f"before the stem {path!r} a patch is normalised over all its channels together")
    height, width = parent.patch_size  # type: ignore[misc] # the classes above have it
    channels_last = layout(parent)
    weight_OP = linear.weight.detach()
    if channels_last:
        weight = weight_OP.unflatten(1, (height, width, -1)).permute(0, 3, 1, 2)
    else:
        weight = weight_OP.unflatten(1, (-1, height, width))
    conv = nn.Conv2d(
        weight.shape[1], len(weight), (height, width), (height, width), bias=linear.bias is not None, device="meta"
    )
    return ReadStem(_convolution(conv, weight, linear.bias), lambda stem: PatchProjection(stem, channels_last))


@reads("timm.models.csatv2.LearnableDct2d")
def _affine_patches(model: nn.Module, path: str, planes: int) -> ReadStem:
    """Several steps, each affine, on patches that do not overlap: together they are one convolution.

    CSATv2's are the change from RGB to luma and chroma, a cosine transform, scaling, and 1x1 convolutions of each of
    the three. The convolution is found by what comes of one number of a patch at a time, in float64. It has weights
    of its own for all, where luma and chroma had theirs apart.
    """
    module = _module_at(model, path)
    side = int(module.k)  # type: ignore[arg-type]
    original = next(module.parameters())
    device = float64(original).device
    twin = copy.deepcopy(module).to(device).double().eval()
    if planes != 3:
        raise ValueError(f"the stem {path!r} takes R, G and B apart into luma and chroma, not {planes} channels")
    numbers = planes * side * side
    units = torch.eye(numbers, dtype=torch.float64, device=device).unflatten(1, (planes, side, side))
    with torch.no_grad():
        bias_O = twin(torch.zeros_like(units[:1])).flatten()
        weight = (twin(units).flatten(1) - bias_O).T.unflatten(1, (planes, side, side))
    conv = nn.Conv2d(planes, len(weight), side, side, device="meta")
    return ReadStem(_convolution(conv, weight.to(original), bias_O.to(original)))


def _space_to_depth_before(model: nn.Module, path: str) -> str | None:
    """The path of a space-to-depth rearrangement that the stem's planes come from."""
    before = None
    for other, module in model.named_modules():
        if other == path:
            return before
        if computing_class(module) == "timm.layers.space_to_depth.SpaceToDepth":
            before = other
    return None


def _without_space_to_depth(conv: nn.Conv2d, before: str, model: nn.Module, planes: int) -> ReadStem:
    """The convolution of the image's own planes that space-to-depth and a convolution make together.

    With blocks of b x b pixels a tap becomes b x b taps, and steps and padding b times as many pixels. Plane q of
    the Q = b b C planes is pixel (row, column) of a block and channel c, in this order.
    """
    block = int(_module_at(model, before).bs)  # type: ignore[arg-type]
    if conv.in_channels != planes * block**2 or conv.dilation != (1, 1) or isinstance(conv.padding, str):
        raise ValueError(
            f"the stem takes {conv.in_channels} planes from {before!r}, which does not fit {planes} channels in blocks "
            f"of {block} x {block}"
        )
    weight_OQ = conv.weight.detach().unflatten(1, (block, block, planes))  # O, row, column, C, kh, kw
    weight = weight_OQ.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)  # O, C, kh row, kw column
    whole = nn.Conv2d(
        planes,
        conv.out_channels,
        (weight.shape[2], weight.shape[3]),
        (conv.stride[0] * block, conv.stride[1] * block),
        (conv.padding[0] * block, conv.padding[1] * block),
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
        device="meta",
    )
    return replace(ReadStem(_convolution(whole, weight, conv.bias)), bypassed=before)


def _convolution(like: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """An ordinary convolution of this geometry with a copy of this kernel."""
    shape = (like.in_channels, like.out_channels)
    conv = nn.Conv2d(*shape, groups=like.groups, bias=bias is not None, device="meta", **conv_geometry(like))
    conv.weight = nn.Parameter(weight.detach().clone())
    conv.bias = None if bias is None else nn.Parameter(bias.detach().clone())
    return conv


def _module_at(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        raise ValueError(f"{type(model).__name__} has no module at {path!r}") from error
