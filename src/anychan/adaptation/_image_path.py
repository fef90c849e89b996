"""What a model does to the image before its stems, and who else reads it.

A subset can be asked for only where each plane comes to the stem by itself, whichever others come with it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

_USUAL_SIDES = (64, 224, 32, 256)  # of images, tried where a model does not say its own
_JOINS = (torch.cat, torch.concat, torch.concatenate)
_NO_PLANES = ("shape", "size", "ndim", "dim", "dtype", "device")  # but what is asked about them
_OF_THE_PLANES = (1, -3)  # the dimension of an image's planes, counted from either end


class _Reached(BaseException):
    """Ends a forward at the stem; no Exception, which the model might catch."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x


def check_planes_reach_the_stem(body: nn.Module, paths: Sequence[str], trained: int, wanted: int) -> None:
    """Refuse a body that treats planes by their position, or counts them, before its stem.

    It is shown noise, up to the first of its stems that is reached; where none is reached, nothing can be told.

    Args:
        body: with the any-channel convolutions in place.
        paths: of these in it.
        trained: how many planes the body was made for.
        wanted: how many it shall take.
    """
    stems = [body.get_submodule(path) for path in paths]
    modes = {module: module.training for module in body.modules()}
    for module in modes:
        module.training = False
    try:
        _check_planes(body, stems, paths[0], trained, wanted)
    finally:
        for module, mode in modes.items():
            module.training = mode


def _check_planes(body: nn.Module, stems: Sequence[nn.Module], path: str, trained: int, wanted: int) -> None:
    name = type(body).__name__
    for side in _sides(body):
        x = _noise(max(trained, wanted), side, stems[0])
        try:
            before, again = (_at_the_stem(body, stems, x[:, :trained]) for _ in range(2))
        except Exception:  # whatever a forward raises of an image that it does not take
            continue
        if before is None or again is None:
            return
        break
    else:
        return
    if not before.is_meta and torch.equal(before, again):
        turned = _at_the_stem(body, stems, x[:, :trained].flip(1))
        if turned is None or not torch.allclose(turned.flip(1), before, rtol=1e-2, atol=1e-3):
            raise ValueError(
                f"{name} treats planes by their position before its stem {path!r}, as by a mean for each: take that "
                "out of the model, and do it to the images"
            )
    for planes in sorted({max(trained - 1, 1), wanted} - {trained}):
        try:
            reached = _at_the_stem(body, stems, x[:, :planes])
        except Exception as error:  # as above
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{name} takes no {planes} planes, before its stem {path!r}: {said}") from error
        if reached is None or reached.shape[1] != planes:
            came = "none" if reached is None else reached.shape[1]
            raise ValueError(f"of {planes} planes given to {name}, {came} come to its stem {path!r}")


def _sides(body: nn.Module) -> Iterator[int]:
    """Sides of images that a body may take, those that it says of itself first."""
    config = getattr(body, "pretrained_cfg", None)
    told = [
        getattr(body, "image_size", None),
        getattr(body, "img_size", None),
        getattr(getattr(body, "patch_embed", None), "img_size", None),
        getattr(getattr(body, "config", None), "image_size", None),
        (config.get("input_size") or (None,))[-1] if isinstance(config, Mapping) else None,
    ]
    sides = [side[-1] if isinstance(side, Sequence) and side else side for side in told]
    yield from dict.fromkeys([*(side for side in sides if isinstance(side, int)), *_USUAL_SIDES])


def _noise(planes: int, side: int, stem: nn.Module) -> Tensor:
    weight = next((own for own in stem.parameters() if own.is_floating_point()), torch.empty(0))
    chance = torch.Generator().manual_seed(0)
    return torch.randn(1, planes, side, side, generator=chance, device="cpu").to(weight.device, weight.dtype)


def _at_the_stem(body: nn.Module, stems: Sequence[nn.Module], x: Tensor) -> Tensor | None:
    """What comes to the first stem that is reached; None if none is."""

    def stop(stem: nn.Module, given: tuple[Any, ...]) -> None:
        raise _Reached(given[0])

    hooks = [stem.register_forward_pre_hook(stop, prepend=True) for stem in stems]
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body(x)
    except _Reached as reached:
        return reached.x
    finally:
        for hook in hooks:
            hook.remove()
    return None


def check_no_other_reads_the_image(model: nn.Module, stems: Sequence[str], planes: int) -> None:
    """Refuse a model of which something else than its stems takes the image too, as far as torch.fx can follow it.

    That is another convolution, or a join of its planes to what comes of the stem.
    """
    # A twin, since hooks would keep what the tracer passes through them; of the weights there is one copy only.
    weights = {id(weight): weight for weight in (*model.parameters(), *model.buffers())}
    model = copy.deepcopy(model, weights)
    modules = dict(model.named_modules(remove_duplicate=False))
    of_stems = {module for path in stems for module in modules[path].modules()}
    try:
        graph = fx.Tracer().trace(model)
    except Exception:  # whatever a forward raises that was not written to be followed
        return
    image, *_ = (node for node in graph.nodes if node.op == "placeholder")
    images = {image}
    for node in graph.nodes:
        if not images.intersection(node.all_input_nodes):
            continue
        module = modules[str(node.target)] if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d) and module.in_channels == planes and module not in of_stems:
            raise ValueError(
                f"the convolution {node.target!r} takes the image too: name all that do, "
                f"stem={[*stems, str(node.target)]}"
            )
        if _joins_planes(node) and not images.issuperset(node.all_input_nodes):
            raise ValueError(
                f"{type(model).__name__} joins the image's planes to what comes of its stem {stems[0]!r}, so that none "
                "of them can be missing"
            )
        if _gives_planes(node, module):
            images.add(node)


def _joins_planes(node: fx.Node) -> bool:
    if node.target not in _JOINS:
        return False
    by_place = node.args[1] if len(node.args) > 1 else 0
    return node.kwargs.get("dim", by_place) in _OF_THE_PLANES


def _gives_planes(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether image planes come out where they go in: not their shape, nor what weights make of them."""
    if module is not None:
        return not list(module.parameters())
    asks = node.args[1] if node.target is getattr else node.target
    return node.op in ("call_function", "call_method") and asks not in _NO_PLANES
