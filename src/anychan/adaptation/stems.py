"""Put any-channel convolutions into a model's stems, and take them out again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from anychan.adaptation.model import AnyChannelModel
from anychan.channels import ChannelSet, ChannelsLike
from anychan.nn import conv_geometry, get_strategy
from anychan.statistics import ChannelStatistics


def adapt(
    model: nn.Module,
    channels: ChannelsLike = "RGB",
    strategy: str = "completed",
    statistics: ChannelStatistics | Tensor | None = None,
    stem: str | Sequence[str] | None = None,
    **options: Any,
) -> AnyChannelModel:
    """Put an any-channel convolution into a model's stem; its weights stay, and on all channels so does its output.

    Args:
        model: any module with an ordinary first convolution; it is copied, not changed.
        channels: the C channels it takes, in the order of its planes.
        strategy: a name from ``anychan.nn.list_strategies()``.
        statistics: for *completed*: statistics of the planes as the stem sees them, after normalisation
            (``ChannelStatistics.normalised()``), or just their covariance (C, C).
        stem: path or paths of the first convolution; None: what timm says of the model, else the first
            ``nn.Conv2d`` in it.
        **options: the strategy's own.

    Raises:
        ValueError: if no ordinary convolution of C input planes is found there, saying what is; if the
            strategy is unknown, or needs statistics that are not given, or cannot use those that are.

    Example:
        >>> import timm, torch
        >>> correlation = torch.tensor([[1.0, 0.87, 0.71], [0.87, 1.0, 0.86], [0.71, 0.86, 1.0]])
        >>> model = adapt(timm.create_model("resnet18", num_classes=10), statistics=correlation).eval()
        >>> model(torch.rand(2, 2, 64, 64), channels="RG").shape
        torch.Size([2, 10])
    """
    known = ChannelSet.parse(channels)
    make = get_strategy(strategy)
    if make.uses_statistics:
        if statistics is None:
            raise ValueError(f"strategy {strategy!r} needs statistics=: the covariance of the channels {known}")
        options |= _moments(statistics, known)
    elif statistics is not None:
        raise ValueError(f"strategy {strategy!r} makes no use of statistics; leave them out")
    body = copy.deepcopy(model)
    paths = _stem_paths(body, stem)
    for path in paths:
        conv = _ordinary_conv(body, path, known)
        replacement = make(
            conv.in_channels,
            conv.out_channels,
            bias=conv.bias is not None,
            device=conv.weight.device,
            dtype=conv.weight.dtype,
            channels=known,
            **conv_geometry(conv),
            **options,
        )
        replacement.load_kernel(conv.weight, conv.bias)
        body.set_submodule(path, replacement.train(conv.training))
    return AnyChannelModel(body, paths, known, strategy).train(model.training)


def specialize(model: AnyChannelModel, channels: ChannelsLike | None = None) -> nn.Module:
    """An ordinary module for one channel set: the body with its stems folded, nothing of anychan left in it.

    Args:
        model: an adapted model; it is copied, not changed.
        channels: the planes the new module takes, in this order; None: all.

    Raises:
        ValueError: if a stem does not fold, or a plain model is asked for other than all its channels.

    Example:
        >>> import timm
        >>> model = adapt(timm.create_model("resnet18", num_classes=10), strategy="sliced").eval()
        >>> specialize(model, "RG").conv1
        Conv2d(2, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)
    """
    chosen = model.channels.subset(channels)
    folded = {path: stem.fold(chosen) for path, stem in model.stems.items()}
    body = copy.deepcopy(model.bind(chosen) if not folded else model.body)
    for path, module in {**folded, **model.subset_statistics.bound(body, chosen)}.items():
        body.set_submodule(path, copy.deepcopy(module))
    return body


def _moments(statistics: ChannelStatistics | Tensor, known: ChannelSet) -> dict[str, Tensor]:
    if isinstance(statistics, Tensor):
        return {"covariance": statistics}
    chosen = statistics.subset(known.names)
    return {"covariance": chosen.covariance, "mean": chosen.mean}


def _stem_paths(model: nn.Module, stem: str | Sequence[str] | None) -> tuple[str, ...]:
    if stem is None:
        config = getattr(model, "pretrained_cfg", None)  # timm's own knowledge of the model
        stem = config.get("first_conv") if isinstance(config, Mapping) else None
    if stem is None:
        stem = next((path for path, module in model.named_modules() if isinstance(module, nn.Conv2d)), None)
    if stem is None:
        raise ValueError(f"{type(model).__name__} has no nn.Conv2d to adapt; name its stem with stem=")
    return (stem,) if isinstance(stem, str) else tuple(stem)


def _ordinary_conv(model: nn.Module, path: str, known: ChannelSet) -> nn.Conv2d:
    try:
        conv = model.get_submodule(path)
    except AttributeError as error:
        raise ValueError(f"{type(model).__name__} has no module at {path!r}") from error
    if not isinstance(conv, nn.Conv2d) or type(conv).forward is not nn.Conv2d.forward:
        raise ValueError(f"the stem {path!r} is a {type(conv).__name__}, not an ordinary nn.Conv2d")
    if conv.in_channels != len(known) or conv.groups != 1:
        raise ValueError(
            f"the stem {path!r} takes {conv.in_channels} planes in {conv.groups} group(s), "
            f"which does not fit the {len(known)} channels {known}"
        )
    return conv
