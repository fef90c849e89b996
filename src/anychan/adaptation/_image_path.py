"""What a model does to the image before its stems, and what else in it reads the image.

A subset can be asked for only where a plane comes to the stem in its own place, whichever others come with it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from anychan._errors import first_line
from anychan.adaptation._stem_wrappers import StemWeight
from anychan.adaptation.model import AnyChannelModel
from anychan.channels import ChannelSet

Shown = Callable[[Tensor], "Tensor | None"]  # what comes of an image to a stem

# Sides of images, tried where a model does not say its own: the usual ones, then others that a fixed head may ask for.
_USUAL_SIDES = (64, 224, 32, 256, 28, 128, 96, 112, 48, 160, 192, 16, 299, 384, 240, 288, 320, 448, 512)
_ALIKE = 1e-2  # as a share of the largest number, how far answers may be apart by chance
_NO_PLANES = ("shape", "size", "ndim", "dim", "dtype", "device")  # but what is asked about them


def check_planes_reach_the_stem(body: nn.Module, paths: Sequence[str], trained: int, wanted: int) -> None:
    """Refuse a body that treats planes by their position, or counts them, before its stem.

    A twin of it, without its hooks, is shown noise, up to the first of its stems that is reached; where none is
    reached, nothing can be told.

    Args:
        body: with the any-channel convolutions in place.
        paths: of these in it.
        trained: how many planes the body was made for.
        wanted: how many it shall take.
    """
    try:
        twin = _twin(body).eval()
        shown = _shown(twin, [twin.get_submodule(path) for path in paths])
        found = _seen(twin, shown, trained, wanted)
        if found is None:
            return
        x, before = found
        by_position = before is not None and _by_position(shown, x[:, :trained], before)
    except Exception:  # whatever a module raises that is copied, or run where it was not made for it
        return
    name, path = type(body).__name__, paths[0]
    if by_position:
        raise ValueError(
            f"{name} treats planes by their position before its stem {path!r}, as by a mean for each: take that "
            "out of the model, and do it to the images"
        )
    for planes in dict.fromkeys((max(trained - 1, 1), wanted, 1)):
        if planes == trained:
            continue
        try:
            reached = shown(x[:, :planes])
        except Exception as error:  # as above
            said = first_line(error)
            raise ValueError(f"{name} takes no {planes} planes, before its stem {path!r}: {said}") from error
        if reached is None or reached.shape[1] != planes:
            came = "none" if reached is None else reached.shape[1]
            raise ValueError(f"of {planes} planes given to {name}, {came} come to its stem {path!r}")


def check_no_plane_is_read_by_position(model: AnyChannelModel) -> None:
    """Refuse a body that reads planes of the image by their position behind or beside its stems.

    A twin of it in evaluation mode answers noise, and again with its planes in reverse order and moved on by one, named
    so. Where the answers differ, one with all of the image changed as little as its number format can tell says whether
    that is the body's own chance, or its sensitivity. Where it cannot be run on noise, nothing can be told; nor of
    models with further inputs.
    """
    try:
        twin = AnyChannelModel(_twin(model.body), tuple(model.stems), model.channels, model.strategy).eval()
        if not all(stem.promises.any_order and stem.promises.merges for stem in twin.stems.values()):
            return
        with torch.random.fork_rng(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            by_position = _answers_by_position(twin)
    except Exception:  # whatever a module raises that is copied, or run where it was not made for it
        return
    if by_position:
        raise ValueError(
            f"{type(model.body).__name__} answers otherwise when the planes {model.channels} come in another order, "
            "named so: it reads planes by their position behind or beside its stem, as by a weight for each, or adds "
            "them to what it gives; take that out of the model"
        )


def _answers_by_position(twin: AnyChannelModel) -> bool:
    for side in _sides(twin.body):
        x = _noise(len(twin.channels), side, twin.body)
        try:
            before = twin(x, twin.channels)
        except Exception:  # an image that it does not take
            continue
        if all(not own.any() for own in tree_leaves(before) if isinstance(own, Tensor)):
            _noise_for_zeros(twin.body)
        # Twice, as rounding that a deep network of random weights makes much of is no proof.
        return all(_turned_is_another(twin, noise) for noise in (x, x.flip(2).roll(1, 3)))
    return False


def _turned_is_another(twin: AnyChannelModel, x: Tensor) -> bool:
    """Whether an image's planes in another order, named so, are answered otherwise by more than by chance."""
    channels = twin.channels
    before = twin(x, channels)
    apart = max(
        _apart(before, twin(x.flip(1), ChannelSet(reversed(channels)))),
        _apart(before, twin(x.roll(-1, 1), ChannelSet([*channels[1:], channels[0]]))),
    )
    nearly = x * (1 + torch.finfo(x.dtype).eps)
    return apart > _ALIKE and apart > 10 * _apart(before, twin(nearly, channels))


def _noise_for_zeros(twin: nn.Module) -> None:
    """Noise in place of weights that are all zero, as a head's are that is to be trained: no answer tells anything."""
    chance = torch.Generator().manual_seed(1)
    for module in twin.modules():
        for name, own in list(module.named_parameters(recurse=False)):
            if own.is_floating_point() and not own.any():
                noise = torch.randn(own.shape, generator=chance, device="cpu").to(own.device, own.dtype)
                setattr(module, name, nn.Parameter(0.1 * noise, requires_grad=False))


def _apart(answer: Any, other: Any) -> float:
    """How far apart two answers are, as a share of the largest number; not a number where that cannot be told."""
    pairs = list(zip(tree_leaves(answer), tree_leaves(other), strict=True))
    tensors = [(a, b) for a, b in pairs if isinstance(a, Tensor) and a.is_floating_point() and a.numel()]
    return max((float((a - b).abs().max() / a.abs().max()) for a, b in tensors if not a.is_meta), default=0.0)


def _seen(twin: nn.Module, shown: Shown, trained: int, wanted: int) -> tuple[Tensor, Tensor | None] | None:
    """Noise of a size that the twin takes, and what comes of it to the stem, None if that cannot be compared.

    None if no stem is reached, or not by planes as they are given.
    """
    for side in _sides(twin):
        x = _noise(max(trained, wanted), side, twin)
        try:
            before, again = (shown(x[:, :trained]) for _ in range(2))
        except Exception:  # an image that it does not take
            continue
        if before is None or again is None or before.ndim != 4 or before.shape[1] != trained:
            return None
        no_numbers = before.is_meta or type(before) is not Tensor
        return x, None if no_numbers or not torch.equal(before, again) else before
    return None


def _by_position(shown: Shown, x: Tensor, before: Tensor) -> bool:
    for turn in (lambda planes: planes.flip(1), lambda planes: planes.roll(1, 1)):
        turned = shown(turn(x))
        if turned is None or not torch.allclose(turned, turn(before), rtol=1e-2, atol=1e-3):
            return True
    moved = shown(torch.cat([x[:, :1].flip(2, 3), x[:, 1:]], dim=1))  # the first plane's place, too, is the first
    return moved is None or int((moved - before).abs().amax((0, 2, 3)).argmax()) != 0


def _twin(body: nn.Module) -> nn.Module:
    """A copy that has the weights in common and no hooks, which would keep what they see."""
    twin = copy.deepcopy(body, {id(weight): weight for weight in body.parameters()})
    for module in twin.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return twin


def _sides(body: nn.Module) -> Iterator[int]:
    """Sides of images that a body may take, those that it says of itself first."""
    yield from dict.fromkeys([*told_sides(body), *_USUAL_SIDES])


def told_sides(body: nn.Module) -> list[int]:
    """Sides of images in pixels that a body says of itself, as timm's, torchvision's and transformers' do."""
    config = getattr(body, "pretrained_cfg", None) or getattr(body, "default_cfg", None)
    told = [
        getattr(body, "image_size", None),
        getattr(body, "img_size", None),
        getattr(getattr(body, "patch_embed", None), "img_size", None),
        getattr(getattr(body, "config", None), "image_size", None),
        config.get("input_size") if isinstance(config, Mapping) else None,
    ]
    sides = [side[-1] if isinstance(side, Sequence) and side else side for side in told]
    return [side for side in sides if isinstance(side, int)]


def _noise(planes: int, side: int, body: nn.Module) -> Tensor:
    weight = next((own for own in body.parameters() if own.is_floating_point()), torch.empty(0))
    chance = torch.Generator().manual_seed(0)
    return torch.randn(1, planes, side, side, generator=chance, device="cpu").to(weight.device, weight.dtype)


class _Reached(BaseException):
    """Ends a forward at the stem; no Exception, which the model might catch."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x


def _shown(twin: nn.Module, stems: Sequence[nn.Module]) -> Shown:
    """A function that gives what comes of an image to the first stem that is reached; None if none is."""

    def stop(stem: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        raise _Reached((*given, *named.values())[0])

    for stem in stems:
        stem.register_forward_pre_hook(stop, with_kwargs=True)
        vars(stem)["weight"] = StemWeight(next(stem.parameters()))  # as in a call

    def shown(x: Tensor) -> Tensor | None:
        for stem in stems:
            vars(stem)["in_channels"] = x.shape[1]
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                twin(x.clone())  # which the model may change
        except _Reached as reached:
            return reached.x.clone()
        return None

    return shown


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


def check_no_other_reads_the_image(model: nn.Module, stems: Sequence[str], planes: int) -> None:
    """Refuse a model of which another convolution takes the image too, as far as torch.fx can follow it."""
    of_stems = {module for path in stems for module in model.get_submodule(path).modules()}
    others = {
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and module.in_channels == planes and module not in of_stems
    }
    if not others:
        return
    try:
        twin = _twin(model)
        graph = _Tracer().trace(twin)
    except Exception:  # whatever a module raises that cannot be copied so, or followed
        return
    modules = dict(twin.named_modules(remove_duplicate=False))
    image, *_ = (node for node in graph.nodes if node.op == "placeholder")
    images = {image}
    readers: list[str] = []
    behind: set[str] = set()
    for node in graph.nodes:
        reads = bool(node.args) and isinstance(node.args[0], fx.Node) and node.args[0] in images
        if node.op == "call_module" and node.target in (*stems, *others):
            (readers.append if reads else behind.add)(str(node.target))
        elif reads and _gives_planes(node, modules):
            images.add(node)
    if more := list(dict.fromkeys(path for path in readers if path in others)):
        named = [path for path in stems if path in readers or path not in behind]
        raise ValueError(f"the convolution {more[0]!r} takes the image too: name all that do, stem={[*named, *more]}")


def _gives_planes(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether planes come out where they go in: not their shape, nor what weights make of them."""
    if node.op == "call_module":
        return not list(modules[str(node.target)].parameters())
    asks = node.args[1] if node.target is getattr else node.target
    return node.op in ("call_function", "call_method") and asks not in _NO_PLANES
