"""Make any model with an ordinary first convolution take any channels, and turn it back into an ordinary one.

How a call's channels reach the stem: a model's own ``forward(x)`` knows nothing of channels. So a call binds
them first: the modules on the path from the model to its stems are copied (the modules only, a few dictionaries;
parameters, buffers and all other modules are shared) and in the copy each stem carries its channel set. Nothing
global is set, so threads with different channels do not meet, and a channel set has its own module
for ``torch.compile`` to specialise on.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from anychan.channels import ChannelSet, ChannelsLike
from anychan.nn import AnyChannelConv2d, conv_geometry, get_strategy
from anychan.statistics import ChannelStatistics

PLAIN = "plain"


class BoundStem(nn.Module):
    """A stem with the channels of one call."""

    def __init__(self, stem: nn.Module, channels: ChannelSet, present: Tensor | None) -> None:
        super().__init__()
        self.stem, self.channels, self.present = stem, channels, present

    def forward(self, x: Tensor) -> Tensor:
        return self.stem(x, self.channels, self.present)


class AnyChannelModel(nn.Module):
    """A model that is called with the channels its input has: ``model(x, channels="RG")``.

    Args:
        body: the ordinary network, with its stems already in place.
        stems: paths of the stems in ``body``; none for a plain network, which takes its full channel set only.
        channels: the channels it knows.
        strategy: the name of the stems' strategy; "plain" without stems.
    """

    def __init__(self, body: nn.Module, stems: Sequence[str], channels: ChannelSet, strategy: str) -> None:
        super().__init__()
        self.body = body
        self.channels = channels
        self.strategy = strategy
        self._stem_paths = tuple(stems)
        self._clones: dict[tuple[str, ...], dict[str, nn.Module]] = {}  # of each channel set, by path in the body

    @property
    def stems(self) -> dict[str, AnyChannelConv2d]:
        """The any-channel convolutions by their paths in ``body``."""
        return {path: self.body.get_submodule(path) for path in self._stem_paths}  # type: ignore[misc] # by construction

    def forward(self, x: Tensor, channels: ChannelsLike | None = None, present: Tensor | None = None) -> Tensor:
        """Run the network on some of its channels.

        Args:
            x: (N, S, H, W), the planes of ``channels`` in their order.
            channels: names of the planes; None: all the model knows.
            present: bool (N, S), where the images of a batch have different channels.

        Returns:
            What the body returns, logits (N, K) for a classifier.

        Raises:
            ValueError: for channels the model does not know, or a plain model given less than all.
        """
        if not self._stem_paths:
            return self.body(self._all_planes(x, channels, present))
        return self.bind(channels, present)(x)

    def bind(self, channels: ChannelsLike | None = None, present: Tensor | None = None) -> nn.Module:
        """The body as a module for one channel set, called ``(x)``: parameters and buffers are the model's own.

        Args:
            channels: names of the planes it will be given; None: all.
            present: bool (N, S) for the one batch it will be given, or None.
        """
        chosen = self.channels.subset(channels)
        if not self._stem_paths:
            if chosen.names != self.channels.names or present is not None:
                raise ValueError(self._plain_refusal(chosen))
            return self.body
        clones = self._clones.setdefault(chosen.names, {}) if present is None else {}
        stems = {path: BoundStem(stem, chosen, present) for path, stem in self.stems.items()}
        return _clone_path(self.body, "", stems, clones)

    def _all_planes(self, x: Tensor, channels: ChannelsLike | None, present: Tensor | None) -> Tensor:
        chosen = self.channels.subset(channels)
        if len(chosen) < len(self.channels) or (present is not None and not bool(present.all())):
            raise ValueError(self._plain_refusal(chosen))
        if x.ndim != 4 or x.shape[1] != len(chosen):
            raise ValueError(f"x must have the shape (N, {len(chosen)}, H, W) for {chosen}, not {tuple(x.shape)}")
        in_order = chosen.names == self.channels.names
        return x if in_order else x[:, list(chosen.indices(self.channels.names))]

    def _plain_refusal(self, chosen: ChannelSet) -> str:
        return f"a plain model takes all of {self.channels}, not {chosen}: adapt it, or fill the missing planes"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_clones": {}}  # a copy binds its own body


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
    for path, conv in folded.items():
        body.set_submodule(path, conv)
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


def _clone_path(
    module: nn.Module, path: str, stems: Mapping[str, nn.Module], clones: dict[str, nn.Module]
) -> nn.Module:
    """A copy of ``module`` that differs in its stems and shares all else, brought up to date if there is one.

    Each attribute is replaced in one assignment by an equivalent, so a thread that runs an older copy's forward
    meets nothing half-made.
    """
    children = dict(module._modules)
    prefix = f"{path}." if path else ""
    for name, child in module._modules.items():
        child_path = prefix + name
        if child_path in stems:
            children[name] = stems[child_path]
        elif child is not None and any(stem.startswith(f"{child_path}.") for stem in stems):
            children[name] = _clone_path(child, child_path, stems, clones)
    clone = clones.get(path)
    if clone is None or type(clone) is not type(module):
        clone = clones[path] = object.__new__(type(module))
    clone.__dict__.update({**module.__dict__, "_modules": children})
    return clone
