"""The layers of a network with their sizes, in the order in which they run: what a drawing of it needs.

A layer is a module that holds a parameter of two dimensions or more by itself: convolutions, linear layers, recurrent
units, positions that are learned. Normalisations and activations are none. All that are called are listed, those of
side branches too, so that there may be more of them than ``depth`` counts on the longest path. Not listed are modules
of which others take the weights without a call, such as the last projection of ``nn.MultiheadAttention``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from anychan._plain import PLAIN
from anychan.adaptation import specialize
from anychan.channels import ChannelsLike
from anychan.cost._call import call_of, on_meta, shapes_only


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer.

    Args:
        name: the module's path in the network.
        kind: the module's class.
        weight: the shape of its largest parameter; of a convolution (planes out, planes in, height, width).
        output: the shape of what it gives for one image.
    """

    name: str
    kind: str
    weight: tuple[int, ...]
    output: tuple[int, ...]


def list_layers(model: nn.Module, channels: ChannelsLike | None = None, image_size: int = 224) -> tuple[Layer, ...]:
    """The layers of a model in the order in which they first run, found by shapes alone; the model is left as it is.

    Args:
        model: any module called ``model(x)``, or an any-channel model.
        channels: of the input; None: all of an any-channel model, the planes of another model's first convolution.
        image_size: height and width in pixels.

    Raises:
        ValueError: for channels or an image size that the model does not take, or a model that cannot be copied or run
            on the meta device.

    Example:
        >>> block = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
        >>> [(layer.kind, layer.weight, layer.output) for layer in list_layers(block, image_size=8)]
        [('Conv2d', (8, 3, 3, 3), (8, 6, 6)), ('Linear', (5, 288), (5,))]
    """
    call = call_of(model, channels, image_size)
    model = on_meta(model)
    found: dict[str, Layer] = {}

    def note(name: str, weight: tuple[int, ...]) -> Any:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            first = next(leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor))
            shape = tuple(first.shape)  # rows of the image may be a batch to a recurrent unit
            found.setdefault(name, Layer(name, type(module).__name__, weight, shape[1:] if shape[0] == 1 else shape))

        return hook

    for name, module in model.named_modules():
        weights = [p for p in module.parameters(recurse=False) if p.dim() > 1]
        if weights:
            module.register_forward_hook(note(name, tuple(max(weights, key=lambda p: p.numel()).shape)))
    with shapes_only(model, image_size):
        call(model, call.batch(model, 1, "meta"))
    return tuple(found.values())


def recorded_layers(record: Mapping[str, Any]) -> tuple[Layer, ...]:
    """The layers of the network that a ``model.json`` describes, with an ordinary stem, branches folded.

    The network is made anew with random weights. Those of timm are not listed: they are drawn well elsewhere, and none
    of them is shallow.

    Args:
        record: what ``model.json`` holds.

    Returns:
        The layers; none for a network of timm, or of a name that is not registered here.

    Raises:
        ValueError: if the record is damaged, or the network does not take its options.
    """
    from anychan.models import ModelInfo, list_models

    if record.get("architecture") not in list_models():
        return ()
    try:
        info = ModelInfo.from_dict(dict(record))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"the description of {record['architecture']!r} is damaged: {error!r}") from error
    plain = dataclasses.replace(info, strategy=PLAIN, strategy_options={}, kept_subsets=(), kept_affine=False)
    return list_layers(specialize(plain.create_annealed().eval()), info.channels, info.image_size)
