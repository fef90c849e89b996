"""The networks by name: ours, and behind them every model of timm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from anychan._errors import first_line
from anychan._plain import PLAIN
from anychan._plugins import load_plugins
from anychan.adaptation import AnyChannelModel, adapt, replace_batch_norm
from anychan.adaptation.replacement import KINDS
from anychan.blocks import DeepenedConv2d
from anychan.channels import ChannelSet, ChannelsLike
from anychan.nn import get_strategy
from anychan.statistics import ChannelStatistics

_AS_IT_IS = "batch"  # the normalisation that a network has by itself
# Not options: create_model says the first three itself, and with the others timm would read or fetch weights, which a
# shared description must not make it do.
_OURS = (
    *("model_name", "in_chans", "num_classes"),
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
)
# A network's constructor takes in_chans and num_classes, as timm's do, and its own options.
_NETWORKS: dict[str, Callable[..., nn.Module]] = {}
Network = TypeVar("Network", bound=Callable[..., nn.Module])


def register_model(constructor: Network) -> Network:
    """Decorator that makes a network known by its function's name; ValueError if the name is taken."""
    name = constructor.__name__
    if name in _NETWORKS:
        raise ValueError(f"model {name!r} is registered already, in {_NETWORKS[name].__module__}")
    _NETWORKS[name] = constructor
    return constructor


def list_models(timm: bool = False) -> list[str]:
    """Names of our own networks and those of plug-ins (`anychan._plugins`), sorted; with ``timm`` also timm's."""
    load_plugins()
    names = sorted(_NETWORKS)
    if timm:
        import timm as library

        names += library.list_models()
    return names


def is_network(name: str) -> bool:
    """Whether ``create_model`` knows a network of this name, ours or timm's."""
    if name in _NETWORKS:
        return True
    import timm

    # Names with a prefix ("hf-hub:", "local-dir:") would fetch or read files; a model is made by its bare name.
    return bool(timm.is_model(name)) or name in list_models()


def create_model(  # noqa: PLR0917 # in the order in which a model file names them
    name: str,
    channels: ChannelsLike = "RGB",
    num_classes: int = 1000,
    strategy: str = PLAIN,
    statistics: ChannelStatistics | None = None,
    strategy_options: Mapping[str, Any] | None = None,
    model_options: Mapping[str, Any] | None = None,
    normalisation: str = "batch",
) -> AnyChannelModel:
    """A network with random weights that is called ``model(x, channels=...)``.

    Args:
        name: one of ours (``list_models()``) or of timm's.
        channels: the channels it takes.
        num_classes: the number of logits.
        strategy: how its stem makes kernels; "plain" leaves an ordinary convolution, which takes all channels only.
        statistics: of the pixels before normalisation; the stem is told what becomes of them after it.
            Only strategies that use them need them.
        strategy_options: the strategy's own options.
        model_options: the network's own options, such as timm's ``drop_path_rate``; none that name a network, its
            channels or classes, or weights to read or fetch.
        normalisation: "batch" leaves the network's; "group" or "renorm" puts another in place of each batch
            normalisation (`replace_batch_norm`).

    Raises:
        ValueError: for an unknown name, strategy or normalisation, options they do not take, or missing statistics.

    Example:
        >>> import torch
        >>> model = create_model("wide6", channels="RGB", num_classes=5, strategy="sliced", model_options={"width": 8})
        >>> model(torch.rand(2, 1, 32, 32), channels="G").shape
        torch.Size([2, 5])
    """
    if normalisation not in (_AS_IT_IS, *KINDS):
        raise ValueError(f"unknown normalisation {normalisation!r}; there are {', '.join((_AS_IT_IS, *KINDS))}")
    if refused := [option for option in _OURS if option in (model_options or {})]:
        raise ValueError(
            f"model_options {', '.join(refused)} not taken: {', '.join(_OURS)} are no options; others go to the network"
        )
    known = ChannelSet.parse(channels)
    body = _construct(name, in_chans=len(known), num_classes=num_classes, **(model_options or {}))
    if normalisation != _AS_IT_IS:
        if normalisation == "group" and any(isinstance(module, DeepenedConv2d) for module in body.modules()):
            raise ValueError("a 'deepened' network takes no group normalisation: its layers would never become one")
        replace_batch_norm(body, normalisation)
    if strategy == PLAIN:
        if strategy_options:
            raise ValueError(f"strategy 'plain' has no options, but was given {', '.join(strategy_options)}")
        return AnyChannelModel(body, (), known, PLAIN)
    used = statistics.normalised() if statistics is not None and get_strategy(strategy).uses_statistics else None
    try:
        # Its weights are random, so that their positions are those of the channels in whatever order.
        return adapt(body, known, strategy, used, trained_on=known, **(strategy_options or {}))
    except TypeError as error:
        raise ValueError(f"strategy {strategy!r} does not take these options: {error}") from error


def _construct(name: str, **options: Any) -> nn.Module:
    known = is_network(name)  # which also brings those of plug-ins
    construct = _NETWORKS.get(name)
    if construct is None:
        import timm

        if not known:
            close = timm.list_models(f"*{name}*")[:5]
            timms = f"timm has {', '.join(close)}" if close else "for timm's see `anychan list models`"
            ours = f"unknown model {name!r}; ours are {', '.join(list_models())}"
            raise ValueError("; ".join([ours, timms, *load_plugins()]))
        options = {**options, "model_name": name, "pretrained": False}
        construct = timm.create_model
    try:
        return construct(**options)
    except (ValueError, MemoryError):
        raise
    except TypeError as error:  # which names the option
        raise ValueError(f"model {name!r} does not take these options: {error}") from error
    except Exception as error:  # whatever else a constructor stumbles over
        given = ", ".join(f"{option}={value!r}" for option, value in options.items() if option not in _OURS)
        raise ValueError(f"model {name!r} does not take these options: {given}: {first_line(error)}") from error
