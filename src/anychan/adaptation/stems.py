"""Put any-channel convolutions into a model's stems, and take them out again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from anychan.adaptation._image_path import (
    check_no_other_reads_the_image,
    check_no_plane_is_read_by_position,
    check_planes_reach_the_stem,
)
from anychan.adaptation._new_channels import NewKernels, load_with_new_channels
from anychan.adaptation._stem_kinds import ReadStem, may_be_stem, read_stem
from anychan.adaptation._stem_wrappers import StemWrapper
from anychan.adaptation._trained_on import trained_channels
from anychan.adaptation.model import AnyChannelModel
from anychan.adaptation.replacement import fold_batch_renorm
from anychan.blocks import FoldableConv2d, fold_branches
from anychan.blocks.folding import kernel_layout
from anychan.channels import ChannelSet, ChannelsLike
from anychan.nn import AnyChannelConv2d, conv_geometry, get_strategy
from anychan.nn._registry import own_options
from anychan.statistics import ChannelStatistics


def adapt(
    model: nn.Module,
    channels: ChannelsLike = "RGB",
    strategy: str = "completed",
    statistics: ChannelStatistics | Tensor | None = None,
    stem: str | Sequence[str] | None = None,
    *,
    trained_on: ChannelsLike | None = None,
    new_kernels: NewKernels | None = None,
    **options: Any,
) -> AnyChannelModel:
    """Put an any-channel convolution into a model's stem; its weights stay, and on all channels so does its output.

    Where channels are wanted that the model was not trained on, say which it was (``trained_on``) and what their
    kernels are made from (``new_kernels``). With a strategy that promises to be exact, what stays then is the output on
    the channels it was trained on. For the rest, on all channels *completed* adds new channels by what the others do
    not tell of them, so that the best linear guess of the stem's output from the channels trained on is its output
    before; and other strategies weigh each kernel by |trained on| / C. Where some channels that it was trained on
    are not wanted, those that are stand for them: their kernels are weighed by |trained on| / |both|.

    Args:
        model: any module with an ordinary first convolution, or one of timm's kinds that can be written as one
            (``_stem_kinds.py``); also timm's ``features_only=True`` backbones. It is copied, not changed: modules stay
            in training or evaluation as each of them is, and what was frozen stays so, the stem too. Weights that
            it standardises at each call are taken over as they are, and are ordinary weights from then on.
        channels: the C channels it takes, in the order of its planes.
        strategy: a name from ``anychan.nn.list_strategies()``.
        statistics: for *completed*: statistics of the planes as the stem sees them, after normalisation
            (``ChannelStatistics.normalised()``), or just their covariance (C, C).
        stem: path or paths of the first convolution; None: what timm says of the model, else the first
            ``nn.Conv2d`` in it.
        trained_on: the channels of the model's own weights, in the order of its planes; None: ``channels``, which
            are then the names of the model's own planes in their order. It has to be said for three channels that
            have R, G or B among them and are not RGB, or whose wavelengths do not fall as theirs do.
        new_kernels: what the kernels of other channels are made from: "wavelength", the two neighbours in
            wavelength among ``trained_on``, on a straight line between them, and beyond the ends the last;
            "mean", all of them alike.
        **options: the strategy's own.

    Raises:
        ValueError: if ``model`` is no module, or no convolution of as many planes is found in it, saying what is; if
            another one reads the image too, as far as torch.fx can follow the model, or shares the stem's weight; if
            the model is compiled or adapted already, or keeps a tensor that is computed from others, which cannot be
            copied; if the strategy is unknown, has no such option, needs statistics that are not given, or cannot use
            those that are; if ``new_kernels`` is needed and not said, or wavelengths are missing; if channels trained
            on seem to be wanted under other names; if planes are treated by position, or counted, before the stem, or
            read by position behind or beside it, as far as noise shows that; if it has to be said what the model was
            trained on; if an option says what ``statistics`` says; or if the strategy's kernels do not stay on the
            channels trained on, though it promises to be exact.

    Example:
        >>> import timm, torch
        >>> correlation = torch.tensor([[1.0, 0.87, 0.71], [0.87, 1.0, 0.86], [0.71, 0.86, 1.0]])
        >>> model = adapt(timm.create_model("resnet18", num_classes=10), statistics=correlation).eval()
        >>> model(torch.rand(2, 2, 64, 64), channels="RG").shape
        torch.Size([2, 10])
        >>> from anychan import Channel
        >>> bands = [Channel("R", 0.665), Channel("G", 0.56), Channel("B", 0.49), Channel("NIR", 0.842)]
        >>> rgb = timm.create_model("resnet18", num_classes=10)
        >>> model = adapt(rgb, bands, "sliced", trained_on="RGB", new_kernels="wavelength").eval()
        >>> model(torch.rand(2, 4, 64, 64)).shape
        torch.Size([2, 10])
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, not {model!r:.60}: timm.create_model(name) makes one")
    known = ChannelSet.parse(channels)
    make = get_strategy(strategy)
    if make.uses_statistics:
        if statistics is None:
            raise ValueError(
                f"strategy {strategy!r} needs statistics=: the covariance of the channels {known}, which "
                "anychan.RunningStatistics gathers from images; strategy='sliced' needs none"
            )
        options = _with_moments(options, statistics, known)
    elif statistics is not None:
        raise ValueError(f"strategy {strategy!r} makes no use of statistics; leave them out")
    _check_options(strategy, options)
    trained = trained_channels(trained_on, known)
    if trained.names != known.names:
        _check_mean_is_zero(options, "channels that the model was not trained on")
    _check_body(model)
    body = copy.deepcopy(model)
    found = {path: read_stem(body, path, trained, trained_on is not None) for path in _stem_paths(body, stem)}
    check_no_other_reads_the_image(body, list(found), len(trained))
    paths: list[str] = []
    taken: list[str] = []
    for path, read in found.items():
        if path in taken:
            continue  # the same module as one before
        if read.pads_itself:
            _check_mean_is_zero(options, f"the stem {path!r}, which pads by the image's size")
        conv = read.conv
        replacement = make(
            len(known),
            conv.out_channels,
            bias=conv.bias is not None,
            device=conv.weight.device,
            dtype=conv.weight.dtype,
            channels=known,
            **conv_geometry(conv),
            **options,
        )
        load_with_new_channels(replacement, conv.weight, conv.bias, trained, new_kernels)
        before = body.get_submodule(path)
        places = [place for place, module in body.named_modules(remove_duplicate=False) if module is before]
        _check_untied(body, places)
        taken += places
        put = _put(body, path, places, read, replacement.train(conv.training))
        paths += put
        _freeze_as(before, replacement)
        replacement.prepare_body(body, put[0])  # what it takes from there stays trained or frozen as it was
    check_planes_reach_the_stem(body, paths, len(trained), len(known))
    adapted = AnyChannelModel(body, paths, known, strategy)
    check_no_plane_is_read_by_position(adapted)
    # The new modules only: some of the body's may be in another mode on purpose.
    adapted.training = adapted.subset_statistics.training = model.training
    return adapted


def specialize(model: AnyChannelModel, channels: ChannelsLike | None = None) -> nn.Module:
    """An ordinary module for one channel set: the body with its stems folded, nothing of anychan left in it.

    In evaluation mode branches are folded too (`anychan.blocks.fold_branches`); in training mode they are left, to be
    trained on.

    Args:
        model: an adapted model; it is copied, not changed.
        channels: the planes the new module takes, in this order; None: all.

    Raises:
        ValueError: if a stem does not fold, a plain model is asked for other than all its channels, or for another
            order of them and has no convolution that `adapt` finds, or there are no normalisation statistics for these.

    Example:
        >>> import timm
        >>> model = adapt(timm.create_model("resnet18", num_classes=10), strategy="sliced").eval()
        >>> specialize(model, "RG").conv1
        Conv2d(2, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)
    """
    chosen = model.resolve(channels)
    if not model.stems and len(chosen) == len(model.channels) and chosen.names != model.channels.names:
        model = adapt(model.body, model.channels, "sliced", trained_on=model.channels)  # kernels in any order
    layout = kernel_layout(model.body)
    convolutions = {stem: _folded(stem, chosen).to(memory_format=layout) for stem in model.stems.values()}
    folded = {path: convolutions[stem] for path, stem in model.stems.items()}
    copies: dict[int, Any] = {}  # what is used in two places stays one
    body = copy.deepcopy(model.bind(chosen) if not folded else model.body, copies)
    for path, module in {**folded, **model.subset_statistics.bound(model.body, chosen)}.items():
        body.set_submodule(path, copy.deepcopy(module, copies))
    ordinary: dict[nn.Module, nn.Module] = {}
    for path, module in list(body.named_modules(remove_duplicate=False)):
        if isinstance(module, StemWrapper):
            if module not in ordinary:
                ordinary[module] = module.ordinary()
            body.set_submodule(path, ordinary[module])
    body = fold_batch_renorm(body)
    branched = any(isinstance(module, FoldableConv2d) for module in body.modules())
    return fold_branches(body) if branched and not body.training else body


def _folded(stem: AnyChannelConv2d, channels: ChannelSet) -> nn.Conv2d:
    folded = stem.fold(channels)
    for name, parameter in folded.named_parameters():  # its bias, and all else
        trained = {own: part.requires_grad for own, part in stem.named_parameters()}
        parts = [trains for own, trains in trained.items() if (own == "bias") is (name == "bias")]
        parameter.requires_grad_(any(parts or trained.values()))
    return folded


def _freeze_as(stem: nn.Module, replacement: AnyChannelConv2d) -> None:
    """What was not trained in a stem is not trained in what stands for it: its bias, and all else."""
    trainable: dict[bool, bool] = {}  # of the bias, and of the rest
    for name, parameter in stem.named_parameters():
        is_bias = name == "bias"
        trainable[is_bias] = trainable.get(is_bias, False) or parameter.requires_grad
    either = any(trainable.values()) or not trainable
    for name, parameter in replacement.named_parameters():
        if not trainable.get(name == "bias", either):
            parameter.requires_grad_(False)


def _with_moments(
    options: Mapping[str, Any], statistics: ChannelStatistics | Tensor, known: ChannelSet
) -> dict[str, Any]:
    """A strategy's options and its statistics; ValueError if an option says what the statistics say."""
    if not isinstance(statistics, ChannelStatistics):
        moments = {"covariance": torch.as_tensor(statistics)}
    else:
        chosen = statistics.subset(known.names)
        moments = {"covariance": chosen.covariance, "mean": chosen.mean}
    twice = sorted(moments.keys() & options.keys())
    if twice:
        raise ValueError(f"{twice[0]}= is given, and statistics= says it too: leave one of them out")
    return {**options, **moments}


def _check_options(strategy: str, options: Mapping[str, Any]) -> None:
    """ValueError for an option that a strategy does not have, naming those that it has."""
    own = own_options(get_strategy(strategy))
    if unknown := [option for option in options if option not in own]:
        there = ", ".join(option for option in own if option != "covariance")  # which ``statistics`` says
        has = f"there are {there}" if there else "it has none"
        raise ValueError(f"strategy {strategy!r} does not take the option {unknown[0]!r}; {has}")


def _check_mean_is_zero(options: Mapping[str, Any], what: str) -> None:
    mean = options.get("mean")
    if mean is not None and bool(torch.as_tensor(mean).any()):
        raise ValueError(f"{what}: needs planes normalised to mean 0, and statistics that say so (.normalised())")


def _check_body(model: nn.Module) -> None:
    if any(isinstance(module, AnyChannelConv2d) for module in model.modules()):
        raise ValueError("the model is adapted already: adapt the ordinary one that it was made from")
    if hasattr(model, "_orig_mod"):  # torch.compile's
        raise ValueError("the model is compiled: adapt the model itself, and compile what comes of it")
    if getattr(model, "transform_input", False):
        raise ValueError(
            f"{type(model).__name__} rescales its planes by position before the stem: set transform_input = False, and "
            "normalise images as it was trained, each plane x to (x - 0.5) / 0.5"
        )
    for path, module in model.named_modules():
        computed = [name for name, value in vars(module).items() if isinstance(value, Tensor) and not value.is_leaf]
        if computed:
            raise ValueError(
                f"{f'{path}.{computed[0]}'.lstrip('.')!r} is computed from others, as by the older "
                "torch.nn.utils.weight_norm and spectral_norm, and cannot be copied: torch.nn.utils.remove_weight_norm "
                "or remove_spectral_norm first, or take those of torch.nn.utils.parametrizations"
            )


def _check_untied(model: nn.Module, places: Sequence[str]) -> None:
    """Refuse a stem whose parameters something else has too, which would be parted from it."""
    own = {id(parameter) for place in places for parameter in model.get_submodule(place).parameters()}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in own and not any(name.startswith(f"{place}.") for place in places):
            raise ValueError(
                f"the stem {places[0]!r} shares its parameters with {name!r}, and would be parted from it: untie them "
                "first"
            )


def _stem_paths(model: nn.Module, stem: str | Sequence[str] | None) -> tuple[str, ...]:
    if stem is not None:
        if not isinstance(stem, Sequence) or not all(isinstance(path, str) for path in stem):
            raise ValueError(f"stem must be a module's path, such as 'conv1', or several, not {stem!r}")
        named = (stem,) if isinstance(stem, str) else tuple(stem)
        if not named:
            raise ValueError("stem names no module; leave it out, and the first convolution is found")
        return named
    config = getattr(model, "pretrained_cfg", None)  # timm's own knowledge of the model
    said = config.get("first_conv") if isinstance(config, Mapping) else None
    if said:
        return tuple(_inside(model, path) for path in ((said,) if isinstance(said, str) else said))
    found = next((path for path, module in model.named_modules() if may_be_stem(module)), None)
    if found is None:
        raise ValueError(f"{type(model).__name__} has no nn.Conv2d to adapt; name its stem with stem=")
    return (found,)


def _inside(model: nn.Module, path: str) -> str:
    """Where a module of a timm model is when ``features_only=True`` put the model into another one.

    That keeps the model whole as ``model`` or ``body``, or takes its first containers apart: ``stem.0`` is
    ``stem_0`` then.
    """
    for place in (path, f"model.{path}", f"body.{path}", path.replace(".", "_", 1)):
        try:
            model.get_submodule(place)
        except AttributeError:
            continue
        return place
    return path  # which is said where it is missed


def _put(body: nn.Module, path: str, places: Sequence[str], read: ReadStem, stem: AnyChannelConv2d) -> list[str]:
    """Put a stem in all the places of the module at ``path``, where it stays one; its paths there, that place first."""
    if read.bypassed is not None:
        body.set_submodule(read.bypassed, nn.Identity())
    put, inside = (stem, "") if read.wrap is None else (read.wrap(stem).train(stem.training), ".conv")
    in_order = [path, *(place for place in places if place != path)]
    for place in in_order:
        body.set_submodule(place, put)
    return [place + inside for place in in_order]
