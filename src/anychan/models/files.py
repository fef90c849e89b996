"""Model files: ``model.safetensors`` with the weights and ``model.json`` with all that is needed to use them.

Nothing in them is executed: the architecture is named by its registry name, and weights are plain tensors.
"""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from anychan._errors import first_line, unwritten
from anychan._files import replacing
from anychan._records import RUN, read_run_record
from anychan.adaptation import AnyChannelModel, keep_statistics
from anychan.adaptation.annealing import annealed_modules
from anychan.channels import ChannelSet
from anychan.environment import plugins_missing
from anychan.models._registry import create_model, is_network
from anychan.packaged import list_packaged, packaged_folder
from anychan.statistics import ChannelStatistics

SCHEMA = 1
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of its model.

    Args:
        architecture: registry name of the network.
        num_classes: the number of logits.
        strategy: how its stem makes kernels; "plain" for an ordinary one.
        channels: the channels it knows, with the mean and standard deviation that its input is normalised by.
        classes: names of the classes, by label.
        image_size: height and width in pixels of the images it was trained on.
        statistics: of the training pixels before normalisation, or None.
        strategy_options: the strategy's own options.
        model_options: the network's own options.
        normalisation: "batch" as the network has it, or "group" or "renorm" in its place.
        kept_subsets: those that the batch normalisations keep statistics for; none: all share one set. Given as text or
            as channel sets, which are kept where a channel is not among ``channels``, for its wavelength.
        kept_affine: whether they keep a scale and shift too.
        numbers: "scale", "offset" and "nodata" by channel, as far as not the files of its training images said them but
            a ``bands.yaml``.

    Raises:
        ValueError: if there are not as many class names as logits, a channel has no mean or deviation, or numbers are
            of no channel or of another kind.
    """

    architecture: str
    num_classes: int
    strategy: str
    channels: ChannelSet
    classes: tuple[str, ...]
    image_size: int
    statistics: ChannelStatistics | None = None
    strategy_options: dict[str, Any] = field(default_factory=dict)
    model_options: dict[str, Any] = field(default_factory=dict)
    normalisation: str = "batch"
    kept_subsets: tuple[str | ChannelSet, ...] = ()
    kept_affine: bool = False
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.classes) != self.num_classes:
            raise ValueError(f"{self.num_classes} classes, but {len(self.classes)} names of classes")
        for channel in self.channels:
            if channel.mean is None or channel.std is None:
                raise ValueError(f"channel {channel.name!r} has no mean or no standard deviation to normalise by")
        for name, its in self.numbers.items():
            known = all(key in ("scale", "offset", "nodata") and isinstance(its[key], int | float) for key in its)
            if name not in self.channels.names or not known:
                raise ValueError(f"numbers of {name!r} are {its!r}, not scale, offset or nodata of a channel")
        object.__setattr__(self, "kept_subsets", tuple(map(self._described, self.kept_subsets)))

    def _described(self, subset: str | ChannelSet) -> str | ChannelSet:
        if isinstance(subset, str):
            return subset
        return str(subset) if all(channel in self.channels for channel in subset) else subset

    def create(self) -> AnyChannelModel:
        """The network with random weights."""
        model = create_model(
            self.architecture,
            self.channels,
            self.num_classes,
            self.strategy,
            self.statistics,
            self.strategy_options,
            self.model_options,
            self.normalisation,
        )
        if self.kept_subsets:
            keep_statistics(model, self.kept_subsets, self.kept_affine)
        return model

    def create_annealed(self) -> AnyChannelModel:
        """The network with random weights, in the form that it has after a training: the one that its cost is of."""
        model = self.create()
        for module in annealed_modules(model):
            module.anneal(1.0)
        return model

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON can hold."""
        plain = {key: value for key, value in self.__dict__.items() if key not in ("channels", "statistics")}
        kept = [subset if isinstance(subset, str) else subset.to_dict()["channels"] for subset in self.kept_subsets]
        return {
            "schema": SCHEMA,
            "kind": "model",
            **plain,
            "kept_subsets": kept,
            **self.channels.to_dict(),
            "statistics": None if self.statistics is None else self.statistics.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ModelInfo:
        """Read back what ``to_dict`` wrote.

        Raises:
            ValueError: for a record of another kind or schema.
        """
        if (record.get("schema"), record.get("kind")) != (SCHEMA, "model"):
            raise ValueError(
                f"not a model's description of schema {SCHEMA}: {record.get('kind')!r}, {record.get('schema')!r}"
            )
        statistics = record["statistics"]
        return cls(
            architecture=record["architecture"],
            num_classes=record["num_classes"],
            strategy=record["strategy"],
            channels=ChannelSet.from_dict(record),
            classes=tuple(record["classes"]),
            image_size=record["image_size"],
            statistics=None if statistics is None else ChannelStatistics.from_dict(statistics),
            strategy_options=record["strategy_options"],
            model_options=record["model_options"],
            normalisation=record.get("normalisation", "batch"),  # what is not in older files was not there
            kept_subsets=tuple(
                subset if isinstance(subset, str) else ChannelSet.from_dict({"channels": subset})
                for subset in record.get("kept_subsets", ())
            ),
            kept_affine=record.get("kept_affine", False),
            numbers=record.get("numbers", {}),
        )


def save_model(folder: Path | str, model: AnyChannelModel, info: ModelInfo) -> None:
    """Write a model's two files, each whole or not at all.

    Args:
        folder: made if it is not there; files of the same names in it are replaced.
        model: the model, on any device.
        info: its description.

    Raises:
        ValueError: if that describes another model, by names and shapes or by what both answer to an image of its
            ``image_size``, so that it could not be read back.
        OSError: if they cannot be written, as on a full disk.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_model as save_tensors

    check_describes(info, model)
    folder = Path(folder)
    # On a GPU a recurrent layer keeps its weights in one piece of memory, which safetensors refuses; not on a CPU.
    on_cpu = copy.deepcopy(model).to("cpu")
    with replacing(folder / DESCRIPTION) as description, replacing(folder / WEIGHTS) as weights:
        description.write_text(json.dumps(info.to_dict(), indent=1) + "\n", encoding="utf-8")
        try:
            save_tensors(on_cpu, str(weights))
        except SafetensorError as error:
            raise unwritten(folder / WEIGHTS, error) from error
        shutil.copymode(description, weights)  # safetensors keeps its files to their owner


def check_describes(info: ModelInfo, model: AnyChannelModel) -> None:
    """Refuse a description of another model, with a ValueError: what is saved with it could not be read back.

    The network that it describes is given the model's weights, and a copy of the model and it are asked about an image,
    on the CPU in float32 and in evaluation mode.
    """
    with torch.random.fork_rng(devices=()):
        described = info.create()
        wanted, has = _told(described), _told(model)
        if wanted != has:
            what = next(key for key in {**wanted, **has} if wanted.get(key) != has.get(key))
            raise ValueError(
                "the description is of another model, and the file could not be read: "
                f"{what} is {wanted.get(what)} in what it describes, and {has.get(what)} in the model"
            )
        described.load_state_dict(model.state_dict())
        twins = [_as_asked(network) for network in (described, copy.deepcopy(model))]
        for channels in _asked(model):
            got, expected = (_answers(twin, channels, info) for twin in twins)
            if len(got) != len(expected) or not all(map(_alike, got, expected)):
                raise ValueError(
                    f"the model answers otherwise than the network that info describes, on {channels}: info lacks "
                    "options that it was made with (strategy_options, model_options), or its modules were changed since"
                )


def _as_asked(network: AnyChannelModel) -> AnyChannelModel:
    """In the number format and layout in which two networks of the same weights compute the same."""
    return network.to("cpu", torch.float32, memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]


def _asked(model: AnyChannelModel) -> list[ChannelSet]:
    """The largest and the smallest channel set that a model is asked about; a plain one takes one only."""
    if not model.stems:
        return [model.channels]
    by_size = sorted(model.subset_statistics.subsets or (model.channels, model.channels[:1]), key=len)
    return [by_size[-1], by_size[0]]


def _answers(network: AnyChannelModel, channels: ChannelSet, info: ModelInfo) -> list[Tensor]:
    side = info.image_size
    image = torch.randn(1, len(channels), side, side, generator=torch.Generator().manual_seed(0))
    torch.default_generator.manual_seed(0)  # for a stem that draws in evaluation too
    try:
        with torch.no_grad():
            return tree_leaves(network(image, channels))
    except (RuntimeError, AssertionError) as error:  # timm asserts
        said = " ".join(str(error).split())
        raise ValueError(f"{info.architecture} does not take images of {side}x{side} pixels: {said}") from error


def _alike(got: Tensor, expected: Tensor) -> bool:
    """But for rounding; infinities and NaN, which a training may end with, are like themselves."""
    if got.shape != expected.shape:
        return False
    largest = float(expected.nan_to_num(0.0, 0.0, 0.0).abs().max())
    return torch.allclose(got, expected, rtol=0, atol=1e-6 + 1e-5 * largest, equal_nan=True)


def _told(model: AnyChannelModel) -> dict[str, object]:
    """What a model and its description must agree in."""
    return {
        "strategy": model.strategy,
        "channels": (model.channels.names, model.channels.wavelengths),
        "kept_subsets": sorted(map(str, model.subset_statistics.subsets)),
        **{name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
    }


def find_model(model: Path | str) -> Path:
    """The folder in which a trained model lies.

    Args:
        model: a folder that holds a model, such as a run's; a model's file; or a packaged model's name. What is there
            as a path comes before a packaged model of the same name.

    Raises:
        FileNotFoundError: if there is no such thing, or one of the model's two files is missing.
        ValueError: for a file that is not a model's.
    """
    path = Path(model)
    if path.is_dir():
        folder = path
    elif path.is_file():
        if path.name not in (WEIGHTS, DESCRIPTION):
            raise ValueError(f"{path} is no model file: a model is {WEIGHTS} with {DESCRIPTION} beside it")
        folder = path.parent
    elif str(model) in list_packaged():
        folder = packaged_folder(str(model))
    else:
        what = "is a network's name, and has no weights" if is_network(str(model)) else "is not there"
        packaged = ", ".join(list_packaged()) or "there are none yet"
        raise FileNotFoundError(
            f"{model} {what}: give a run folder, a model file, or a packaged model's name ({packaged})"
        )
    for part in (WEIGHTS, DESCRIPTION):
        _check_is_there(folder, part)
    return folder


def _check_is_there(folder: Path, part: str) -> None:
    if not (folder / part).is_file():
        raise FileNotFoundError(f"{folder / part} is not there: {folder} holds no model")


def read_info(folder: Path) -> ModelInfo:
    """What the model.json of a folder says; the weights need not be there.

    Raises:
        FileNotFoundError: if there is no model.json.
        ValueError: if it is damaged.
    """
    _check_is_there(folder, DESCRIPTION)
    description = folder / DESCRIPTION
    try:
        return ModelInfo.from_dict(json.loads(description.read_text(encoding="utf-8")))
    except (AttributeError, KeyError, RecursionError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{description} is damaged: {error!r}") from error


def _created(info: ModelInfo, folder: Path) -> AnyChannelModel:
    """The network with random weights; one of a plug-in that is not there is told with its package."""
    try:
        return info.create()
    except ValueError as error:
        missing = plugins_missing(read_run_record(folder)) if (folder / RUN).is_file() else []
        if not missing:
            raise
        raise ValueError(f"{error}; it was trained with {', '.join(missing)}, not installed here") from error


def load_model(model: Path | str) -> tuple[AnyChannelModel, ModelInfo]:
    """Read a trained model's two files.

    Args:
        model: a folder, a model's file, or a packaged model's name: see `find_model`.

    Returns:
        The model in evaluation mode on the CPU, and its description.

    Raises:
        FileNotFoundError: if there is no such model, or one of its files is missing.
        ValueError: if the files are damaged or do not fit each other.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_model as load_tensors

    folder = find_model(model)
    weights, info = folder / WEIGHTS, read_info(folder)
    network = _created(info, folder)
    try:
        load_tensors(network, str(weights))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{weights} does not fit {folder / DESCRIPTION}: {first_line(error)}") from error
    return network.eval(), info
