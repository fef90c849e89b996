"""What a run starts from: its model, with fresh or trained weights, and its teacher."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from anychan._plain import PLAIN
from anychan.adaptation import (
    AnyChannelModel,
    NewKernels,
    adapt,
    batch_norms,
    keep_statistics,
    replace_batch_norm,
    specialize,
)
from anychan.adaptation.normalisation import MOST_CHANNELS
from anychan.channels import RGB, ChannelSet
from anychan.models import (
    ModelInfo,
    PretrainedWeights,
    load_model,
    pretrained_name,
    pretrained_network,
    read_pretrained,
)
from anychan.models.files import check_describes
from anychan.nn import get_strategy
from anychan.statistics import ChannelStatistics
from anychan.training.config import TrainConfig
from anychan.training.randomness import seed_everything

SOME = "some"
_SEEN = (
    "have seen mini-ImageNet's test images, which stand in ImageNet's training set: accuracy on those says nothing of "
    "images not seen before"
)
SEEN_BEFORE = f"weights pretrained on ImageNet {_SEEN}"
_PERHAPS_SEEN = f"if these weights were pretrained on ImageNet, they {_SEEN}"


class Start(NamedTuple):
    """The model that a run starts from, its description, and of pretrained weights what its record says of them."""

    model: AnyChannelModel
    info: ModelInfo
    pretrained: dict[str, str] | None = None


def read_weights(config: TrainConfig) -> PretrainedWeights | None:
    """The pretrained weights of a run that has some.

    Raises:
        ValueError: if they cannot be read, or there are none to download.
        FileNotFoundError: if there is no such file.
        WeightsUnavailableError: if they cannot be downloaded.
    """
    return None if config.pretrained is False else read_pretrained(config.model, config.pretrained)


def weights_taken(config: TrainConfig) -> dict[str, str]:
    """By setting, what tells the weights that a run takes from others: of a file its SHA-256, of timm's their name.

    Raises:
        ValueError: if there are none to download.
        FileNotFoundError: if a file is not there.
    """
    taken = {"pretrained": pretrained_name(config.model)} if config.pretrained is True else {}
    return taken | {name: sha256(file.read_bytes()).hexdigest() for name, file in weight_files(config).items()}


def weight_files(config: TrainConfig) -> dict[str, Path]:
    """By setting, the files of weights that a run takes."""
    folders = {"teacher": config.objective.teacher, "initial": config.initial}
    files = {name: folder / "model.safetensors" for name, folder in folders.items() if folder is not None}
    return files | ({"pretrained": config.pretrained} if isinstance(config.pretrained, Path) else {})


def check_weights_are_there(config: TrainConfig) -> None:
    """That the files of weights that a run takes are there.

    Raises:
        FileNotFoundError: if one is not.
    """
    for name, file in weight_files(config).items():
        if name != "pretrained" and not file.is_file():  # of which who reads it says more
            raise FileNotFoundError(f"{name}: {file}, whose weights the run takes, is not there")


def make_model(
    config: TrainConfig,
    statistics: ChannelStatistics,
    classes: Sequence[str],
    weights: PretrainedWeights | None = None,
    there: Sequence[ChannelSet] | None = None,
) -> Start:
    """The model that a run starts from, and its description.

    Args:
        config: the run's settings.
        statistics: of the training pixels.
        classes: names of the classes.
        weights: what `read_weights` gave.
        there: the channel sets of the training images, where they differ.

    Raises:
        ValueError: if the settings or weights do not fit one another or the data.
        FileNotFoundError: if there is no run to start from.
    """
    of_data, statistics = statistics.described, statistics.subset(config.channels)
    info = ModelInfo(
        architecture=config.model,
        num_classes=len(classes),
        strategy=config.strategy,
        channels=statistics.described,
        classes=tuple(classes),
        image_size=config.image_size,
        statistics=statistics,
        strategy_options=config.strategy_options,
        model_options=config.model_options,
        normalisation=config.normalisation.kind,
    )
    seed_everything(config.seed)  # the same weights in all processes
    told = None
    if weights is not None:
        model, head = _pretrained_model(config, info, weights, of_data)
        told = {"source": weights.source, "head": head}
        if said := _planes(config, info):
            told["planes"] = said
        told["warning"] = SEEN_BEFORE if config.pretrained is True else _PERHAPS_SEEN
    else:
        model = info.create() if config.initial is None else _trained_model(config, info)
    if len(info.channels) == 1 and config.objective.name == "sandwich":
        raise ValueError(f"the only channel is {info.channels}, which has no subsets: take --strategy plain")
    _check_image_size(model, info)
    statistics_for = config.normalisation.statistics
    has_norms = any(True for _ in batch_norms(model.body))
    if statistics_for == "kept" and has_norms:
        info = keeping(info, None, config.normalisation.affine, there=there)
        keep_statistics(model, info.kept_subsets, info.kept_affine)
    elif statistics_for == "recalibrated":  # what cannot be done after training is said before it
        if not has_norms:
            raise ValueError(f"{config.model} has no batch normalisation whose statistics could be recalibrated")
        info = keeping(info, config.normalisation.subsets, there=there)
    return Start(model, info, told)


def _check_image_size(model: AnyChannelModel, info: ModelInfo) -> None:
    """Refuse images that are too small for a network, or that do not fit it otherwise, before anything is written."""
    side = info.image_size
    try:
        with torch.no_grad():
            model.eval().body(torch.zeros(1, len(info.channels), side, side))
    except MemoryError:
        raise
    except Exception as error:  # whatever a network stumbles over; timm asserts
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{info.architecture} does not take images of {side}x{side} pixels: {said}") from error
    finally:
        model.train()


def keeping(
    info: ModelInfo,
    subsets: Sequence[str] | None,
    affine: bool = False,
    option: str = "--normalisation.subsets",
    there: Sequence[ChannelSet] | None = None,
) -> ModelInfo:
    """The description of the same model with statistics for each subset.

    Args:
        info: the model's.
        subsets: which; "some" among them for those of ``ChannelSet.some_subsets``, None for all of up to 6 channels.
        affine: whether scale and shift are kept too.
        option: where subsets can be named, for the error's words.
        there: the channel sets of the training images; subsets of none of them are left out, unless they are named.
            None: all images have all channels.

    Raises:
        ValueError: for channels the model does not have, too many subsets, or a named one that no image has.
    """
    if subsets is None and len(info.channels) > MOST_CHANNELS:
        raise ValueError(
            f"{len(info.channels)} channels have {2 ** len(info.channels) - 1} subsets, too many to keep normalisation "
            f"statistics for: name those wanted with {option}, or say {option} some"
        )
    whole = [set(channels.names) for channels in there or [info.channels]]

    def is_there(subset: ChannelSet) -> bool:
        return any(names.issuperset(subset.names) for names in whole)

    chosen: list[ChannelSet] = []
    if subsets is None:
        chosen += filter(is_there, info.channels.subsets())
    for spec in subsets or ():
        if spec == SOME:
            chosen += filter(is_there, info.channels.some_subsets())
            continue
        subset = info.channels.subset(spec)
        if not is_there(subset):
            raise ValueError(f"no training image has all of the channels {subset}, which {option} names")
        chosen.append(subset)
    kept = {frozenset(subset.names): str(subset) for subset in chosen}.values()  # each once
    return dataclasses.replace(info, kept_subsets=tuple(kept), kept_affine=affine)


def with_stem(
    model: AnyChannelModel,
    info: ModelInfo,
    *,
    exact: bool = True,
    trained_on: ChannelSet | None = None,
    new_kernels: NewKernels | None = None,
) -> AnyChannelModel:
    """A trained plain model with the stem that ``info`` describes, which takes the old one's kernel over.

    Args:
        model: the plain model.
        info: what it is to become.
        exact: refuse a strategy that does not promise the old output on all channels.
        trained_on, new_kernels: as `anychan.adapt` takes them; None: the model was trained on the channels of ``info``.

    Raises:
        ValueError: if it is refused, lacks the statistics it needs, or does not take these options.
    """
    statistics = None
    if get_strategy(info.strategy).uses_statistics:
        if info.statistics is None:
            raise ValueError(f"strategy {info.strategy!r} needs the training pixels' statistics, which the model lacks")
        statistics = info.statistics.normalised()
    try:
        adapted = adapt(
            model.body,
            info.channels,
            info.strategy,
            statistics,
            trained_on=info.channels if trained_on is None else trained_on,
            new_kernels=new_kernels,
            **info.strategy_options,
        )
    except TypeError as error:
        raise ValueError(f"strategy {info.strategy!r} does not take these options: {error}") from error
    if exact and not all(stem.promises.exact for stem in adapted.stems.values()):
        raise ValueError(
            f"strategy {info.strategy!r} cannot take over a trained stem as it is, so it has to be trained from the "
            "beginning; `anychan list strategies` says which are exact"
        )
    return adapted


def _pretrained_model(
    config: TrainConfig, info: ModelInfo, weights: PretrainedWeights, of_data: ChannelSet
) -> tuple[AnyChannelModel, str]:
    """The model that ``info`` describes from weights trained elsewhere, and what became of their head."""
    trained = info.channels
    if config.trained_on is not None:  # with the wavelengths that the data tell, also of channels that the run has not
        named = ChannelSet.parse(config.trained_on)
        trained = ChannelSet(of_data[of_data.indices([one.name])[0]] if one in of_data else one for one in named)
    names = info.channels.names
    if config.trained_on is None and names != RGB and (config.pretrained is True or len(names) == len(RGB)):
        raise ValueError(
            f"pretrained weights of three planes are of R, G and B in this order, and the run's channels are "
            f"{info.channels}: trained_on says what these are called here, and new_kernels what those of others become"
        )
    # What its planes are normalised by plays no part in reading weights.
    planes = ChannelSet(trained).with_statistics([0.0] * len(trained), [1.0] * len(trained))
    body, head = pretrained_network(dataclasses.replace(info, channels=planes, statistics=None), weights)
    if info.strategy == PLAIN and trained.names != names:
        body, trained = _with_planes(body, trained, info, config.new_kernels), info.channels
    if info.normalisation != "batch":  # after that, which would fold it
        replace_batch_norm(body, info.normalisation)
    model = AnyChannelModel(body, (), trained, PLAIN)
    if info.strategy != PLAIN:
        model = with_stem(model, info, exact=False, trained_on=trained, new_kernels=config.new_kernels)
    check_describes(info, model)
    return model, head


def _with_planes(body: nn.Module, trained: ChannelSet, info: ModelInfo, new_kernels: NewKernels | None) -> nn.Module:
    """The same network with a stem of the planes that ``info`` describes.

    Raises:
        ValueError: if its stem becomes a module of another kind, which the network does not have when it is made anew.
    """
    stem = adapt(body, info.channels, "sliced", trained_on=trained, new_kernels=new_kernels)
    ordinary = specialize(stem)
    now = {path: type(module) for path, module in ordinary.named_modules()}
    for path, module in body.named_modules():
        if now.get(path) is not type(module):
            raise ValueError(
                f"{info.architecture} cannot take other planes than its weights have and stay plain: its "
                f"{type(module).__name__} at {path!r} would be another module; take another strategy, or these planes"
            )
    return ordinary


def _planes(config: TrainConfig, info: ModelInfo) -> str:
    """What the planes of pretrained kernels are taken for; empty where they are the usual ones."""
    if config.trained_on is None:
        usual = len(info.channels) in {1, len(RGB)}
        return "" if usual else f"the planes of its kernels are taken for {info.channels}, in this order"
    said = f"the planes of its kernels are taken for {config.trained_on}, in this order"
    return said if config.new_kernels is None else f"{said}, and others are made from them by {config.new_kernels}"


def _trained_model(config: TrainConfig, info: ModelInfo) -> AnyChannelModel:
    """The weights of a finished run in the model that ``info`` describes."""
    folder = config.initial
    assert folder is not None
    model, its = load_model(folder)
    _check_alike(f"{folder}, whose weights are to be taken,", its, info)
    for name in ("architecture", "model_options", "normalisation"):
        if getattr(its, name) != getattr(info, name):
            raise ValueError(f"{folder} holds {name} {getattr(its, name)!r}, but the run has {getattr(info, name)!r}")
    if its.kept_subsets:
        raise ValueError(
            f"{folder} keeps statistics for {', '.join(map(str, its.kept_subsets))}, which a new run would mix with "
            "its own; start from a run without"
        )
    if its.strategy == PLAIN and info.strategy != PLAIN:
        return with_stem(model, info)
    if (its.strategy, its.strategy_options) != (info.strategy, info.strategy_options):
        raise ValueError(
            f"{folder} has strategy {its.strategy!r} with options {its.strategy_options}; weights are taken from a "
            f"plain run or from one with strategy {info.strategy!r} and options {info.strategy_options}"
        )
    return model


def load_teacher(config: TrainConfig, info: ModelInfo, there: Sequence[ChannelSet]) -> nn.Module | None:
    """The teacher of a run that has one, which is not trained.

    Args:
        config: the run's settings.
        info: the model's.
        there: the channel sets of the training images.

    Raises:
        ValueError: if its classes or channels are not the run's, or it does not take all of the channel sets.
    """
    if config.objective.teacher is None:
        return None
    teacher, its = load_model(config.objective.teacher)
    _check_alike(f"the teacher {config.objective.teacher}", its, info)
    if its.channels != info.channels:
        raise ValueError(
            f"the teacher {config.objective.teacher} normalises its channels by other statistics than this run"
        )
    for channels in there:
        try:
            teacher.bind(channels)
        except ValueError as error:
            raise ValueError(
                f"the teacher {config.objective.teacher} cannot answer to images of {channels}: {error}"
            ) from error
    return teacher.requires_grad_(False)


def _check_alike(what: str, its: ModelInfo, info: ModelInfo) -> None:
    for items, known, wanted in (
        ("classes", its.classes, info.classes),
        ("channels", its.channels.names, info.channels.names),
    ):
        if known == wanted:
            continue
        differing = sorted(set(known) ^ set(wanted))
        how = f"{differing[0]} is in one of them only" if differing else "their order differs"
        raise ValueError(f"{what} and this run have other {items} ({len(known)} and {len(wanted)}): {how}")
