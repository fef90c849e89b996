"""Weights trained elsewhere, such as on ImageNet, for a network of timm's or ours: by timm's download, or from a file.

A file holds a state dict by the network's own names, as safetensors or as ``torch.save`` wrote it. Nothing in it is
executed. Only the head may differ, in the number of its classes: it is a new one then.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from anychan._plain import PLAIN
from anychan.models._registry import list_models
from anychan.models.files import ModelInfo

_COUNTER = "num_batches_tracked"  # of a batch normalisation; older files have none, and nothing is computed from it


class WeightsUnavailableError(OSError):
    """Weights that would have to be downloaded could not be."""


@dataclass(frozen=True)
class PretrainedWeights:
    """A network's weights, read.

    Args:
        tensors: by name, as in the network's state dict; what of them is no tensor is refused when they are taken.
        source: where they are from, for people: a path, or timm's name of them.
    """

    tensors: Mapping[str, Any]
    source: str


def pretrained_name(network: str) -> str:
    """What timm calls the weights that it has for a network of its own.

    Raises:
        ValueError: if it has none.

    Example:
        >>> pretrained_name("mobilenetv3_small_100")
        'timm/mobilenetv3_small_100.lamb_in1k'
    """
    import timm
    from timm.models import get_pretrained_cfg

    if network in list_models() or not timm.is_model_pretrained(network):
        raise ValueError(f"there are no pretrained weights of {network!r} to download: name a file of them")
    known = get_pretrained_cfg(network)
    return f"timm/{known.architecture}.{known.tag}"


def read_pretrained(network: str, weights: Path | Literal[True]) -> PretrainedWeights:
    """Read weights from a file, or have timm download them.

    Args:
        network: the network's name.
        weights: a file, safetensors by its ending or else as ``torch.save`` writes it; True: timm's own.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, or timm has no weights of this network.
        WeightsUnavailableError: if they cannot be downloaded.
    """
    if weights is True:
        return _downloaded(network)
    from safetensors import SafetensorError
    from timm.models import load_state_dict

    if not weights.is_file():
        raise FileNotFoundError(f"{weights}, where pretrained weights are to be read, is no file")
    damaged = (SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, EOFError, LookupError)
    not_a_dictionary = (TypeError, AttributeError)
    try:
        return PretrainedWeights(load_state_dict(str(weights), weights_only=True), str(weights))
    except (*damaged, *not_a_dictionary) as error:
        raise ValueError(
            f"{weights} holds no weights that can be read ({type(error).__name__}): it should be safetensors, or a "
            "state dict written by torch.save, with tensors and nothing else in it"
        ) from error


def _downloaded(network: str) -> PretrainedWeights:
    import timm

    name = pretrained_name(network)
    try:
        trained = timm.create_model(network, pretrained=True)
    except Exception as error:  # of several libraries, one for each way weights are fetched
        raise WeightsUnavailableError(
            f"the weights {name} cannot be downloaded ({type(error).__name__}); download them elsewhere and name the "
            "file, or train from random weights"
        ) from error
    return PretrainedWeights(trained.state_dict(), name)


def pretrained_network(info: ModelInfo, weights: PretrainedWeights) -> tuple[nn.Module, str]:
    """The ordinary network that a description names, with weights in it.

    Args:
        info: its architecture, options, channels and classes; strategy and normalisation play no part.
        weights: all of it but the head must fit.

    Returns:
        The network, its stem with as many planes as there are channels, and what became of the head, in words.

    Raises:
        ValueError: if there is a tensor too many or too few, or one of another shape, naming it.
    """
    plain = replace(info, strategy=PLAIN, normalisation="batch", kept_subsets=())
    if info.strategy != PLAIN:
        plain = replace(plain, strategy_options={})
    body = plain.create().body
    wanted: dict[str, Tensor] = body.state_dict()
    one_more = replace(plain, num_classes=info.num_classes + 1, classes=(*info.classes, "one more")).create().body
    # The head's are those whose shape goes by the number of classes, each with the axis that does.
    head = {
        key: next(i for i, size in enumerate(tensor.shape) if size != wanted[key].shape[i])
        for key, tensor in one_more.state_dict().items()
        if tensor.shape != wanted[key].shape
    }
    given = weights.tensors
    _check_fits(f"{weights.source} does not fit {info.architecture}", given, wanted, head)
    same = all(key in given and given[key].shape == wanted[key].shape for key in head)
    body.load_state_dict({**wanted, **{key: given[key] for key in given if same or key not in head}})
    if same:
        return body, f"its head for {info.num_classes} classes is taken too"
    classes = next((given[key].shape[axis] for key, axis in head.items() if key in given), None)
    before = "it has no head" if classes is None else f"its head is for {classes} classes"
    return body, f"{before}, so that for {info.num_classes} is new"


def _check_fits(what: str, given: Mapping[str, Any], wanted: Mapping[str, Tensor], head: Mapping[str, int]) -> None:
    for key, value in given.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{what}: {key!r} is no tensor but {type(value).__name__}")
        if key not in wanted:
            raise ValueError(f"{what}: the network has no {key!r}")
    for key, tensor in wanted.items():
        if key not in given:
            if key not in head and not key.endswith(_COUNTER):
                raise ValueError(f"{what}: it lacks {key!r}")
        elif _but(given[key], head.get(key)) != _but(tensor, head.get(key)):
            raise ValueError(f"{what}: {key!r} has shape {tuple(given[key].shape)}, not {tuple(tensor.shape)}")


def _but(tensor: Tensor, axis: int | None) -> list[int]:
    """A shape without one axis; None: all of it."""
    return [0 if i == axis else size for i, size in enumerate(tensor.shape)]
