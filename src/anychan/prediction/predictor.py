"""A trained model's answers to image files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anychan._plain import PLAIN
from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet, ChannelsLike
from anychan.data import ImageArray
from anychan.data.bands import Bands, Numbers, parse_bands
from anychan.data.dataset import Encoding
from anychan.data.decode import strict_pillow
from anychan.data.findings import BrokenFileError
from anychan.data.parallel import ordered_map
from anychan.environment import checked_device
from anychan.evaluation.activation import activation_map
from anychan.evaluation.predict import predict_subset, prepare
from anychan.models import ModelInfo, load_model
from anychan.prediction.images import bands_near, find_images, folders_of, read_file
from anychan.prediction.reading import Planes, planes_of_image
from anychan.sensors import match

_VALUES = Encoding("float32", (1.0,), (0.0,))


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most likely classes of one image, or what is wrong with it.

    Args:
        image: the file, as it was named; "" for bytes.
        channels: the channels that the model was shown, as ``str(ChannelSet)``: without those that have no value in
            this image; of a broken image those that were asked for.
        labels: the classes' numbers, the most likely first; none for a broken image.
        classes: their names.
        probabilities: theirs, 0 to 1.
        error: what is wrong with a broken image, reading on from its name; else None.
    """

    image: str
    channels: str
    labels: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON can hold."""
        ranked = zip(self.labels, self.classes, self.probabilities, strict=True)
        return {
            "image": self.image,
            "channels": self.channels,
            "classes": [{"label": label, "class": name, "probability": share} for label, name, share in ranked],
            "error": self.error,
        }


class Predictor:
    """A trained model to be asked about images.

    Args:
        model: is moved to ``device`` and set to evaluation mode, in place.
        info: its description.
        device: where it runs; None: cuda where it is there, else cpu.
        batch_size: images that go through at once, at least 1.
        bands: what the planes of files are, as in `anychan.data.read_image`; None: what the files say, of photographs
            R, G and B. Where no ``bands.yaml`` is given or found, planes whose files say no scale, offset or nodata
            have those that a ``bands.yaml`` said of the model's training images.

    Raises:
        ValueError: for a batch size below 1, or a device there is not.
    """

    def __init__(
        self,
        model: AnyChannelModel,
        info: ModelInfo,
        *,
        device: str | None = None,
        batch_size: int = 32,
        bands: Bands | str | Path | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size} is not a positive number of images")
        self.model, self.info, self.batch_size = model, info, batch_size
        self.bands = bands if isinstance(bands, Bands) else parse_bands(bands)
        yaml = isinstance(bands, Bands | Path) or str(bands).lower().endswith((".yaml", ".yml"))
        self._otherwise = () if yaml else tuple((name, Numbers(**its)) for name, its in info.numbers.items())
        self.device = str(checked_device(device))

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        device: str | None = None,
        batch_size: int = 32,
        bands: Bands | str | Path | None = None,
    ) -> Predictor:
        """The predictor of a run folder, a model file or a packaged model; raises what ``load_model`` does."""
        return cls(*load_model(model), device=device, batch_size=batch_size, bands=bands)

    def asked(self, channels: ChannelsLike | None = None) -> ChannelSet:
        """The channels that the model would be shown, with what it knows of them (None: all it knows).

        Raises:
            ValueError: for channels that it does not know, less than all where it is a plain model, or a subset without
                normalisation statistics where others have them.
        """
        known = self.model.channels
        asked = known.subset(channels)
        if self.model.strategy == PLAIN and len(asked) < len(known):
            raise ValueError(f"a plain model takes all of {known}, not {asked}: `anychan adapt` makes it take any")
        if self.model.subset_statistics:
            self.model.subset_statistics.of(asked)
        return asked

    def predict(
        self,
        images: Iterable[str | Path | bytes],
        channels: ChannelsLike | None = None,
        top: int = 5,
        within: Sequence[str | Path] = (),
    ) -> Iterator[Prediction]:
        """The answer to each image in turn.

        Args:
            images: files, or the bytes of files. `find_images` makes files of folders and globs.
            channels: what the model is shown of them; None: all it knows.
            top: how many of the most likely classes are given; where there are fewer classes, all.
            within: folders, and globs of folders, that were named: up to them a ``bands.yaml`` is looked for above a
                file, where the predictor was not told the bands; else in the file's own folder alone.

        Returns:
            As many predictions as images. A broken image has an ``error`` and stops nothing.

        Raises:
            ValueError: for channels that the model does not take (`asked`), ``top`` below 1, or logits that are not
                finite.
        """
        asked = self.asked(channels)
        if top < 1:
            raise ValueError(f"top {top} is not a positive number of classes")
        return self._predict(iter(images), asked, top, folders_of(within))

    def _predict(
        self, images: Iterator[str | Path | bytes], asked: ChannelSet, top: int, named: Set[Path]
    ) -> Iterator[Prediction]:
        while some := list(islice(images, self.batch_size)):
            with strict_pillow():
                read = list(ordered_map(partial(self._read, named=named), some))
            problems = [self.problem(planes, asked) for planes in read]
            whole = [planes for planes, problem in zip(read, problems, strict=True) if problem is None]
            answers = iter(self.answer(whole, asked, top) if whole else [])  # type: ignore[arg-type] # none is broken
            for image, planes, problem in zip(some, read, problems, strict=True):
                name = "" if isinstance(image, bytes) else str(image)
                if problem is None and isinstance(planes, Planes):
                    shown = asked.subset(_with_a_value(planes, asked))
                    labels, probabilities = next(answers)
                    classes = tuple(self.info.classes[label] for label in labels)
                    yield Prediction(name, str(shown), labels, classes, probabilities)
                else:
                    yield Prediction(name, str(asked), error=problem)

    def answer(
        self, images: Sequence[Planes], channels: ChannelsLike | None = None, top: int = 5
    ) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
        """The most likely labels and their probabilities of decoded images, of the model's image size.

        Args:
            images: at least one; each has the channels that are asked about.
            channels, top: as in `predict`.
        """
        asked = self.asked(channels)
        planes = torch.stack([image.values[_places(image, asked)] for image in images])
        there_NS = ~planes.isnan().flatten(2).all(dim=2)  # a channel without any value is not there
        array = ImageArray(
            planes.contiguous(memory_format=torch.channels_last),
            torch.zeros(len(images), dtype=torch.int64),
            tuple(str(i) for i in range(len(images))),
            asked,
            self.info.classes,
            (),
            "",
            _VALUES,
            None if there_NS.all() else there_NS,
        )
        given = predict_subset(self.model, array, asked, batch_size=self.batch_size, device=self.device, top=top)
        return [
            (tuple(labels), tuple(probabilities))
            for labels, probabilities in zip(given.top.tolist(), given.probability.tolist(), strict=True)
        ]

    def activation_map(self, image: Planes, channels: ChannelsLike | None, label: int) -> Tensor:
        """How much each place of an image speaks for a class (`anychan.evaluation.activation`): (H, W), 0 to 1.

        As for `answer`, a channel without any value is not there.

        Args:
            image: of the model's image size, with the channels that are asked about.
            channels: what the model is shown; None: all it knows.
            label: the class, from 0.

        Raises:
            ValueError: for channels or a label that the model does not have, channels with a value that it does not
                take, or a network without a map of places.
        """
        asked = self.asked(_with_a_value(image, self.asked(channels)))
        if not 0 <= label < self.info.num_classes:
            raise ValueError(f"label {label} is not one of 0 to {self.info.num_classes - 1}")
        model = self.model.to(self.device).eval()
        planes_NSHW = image.values[None, _places(image, asked)].to(self.device)
        return activation_map(model, prepare(planes_NSHW, model.channels, asked), asked, label)

    def problem(self, read: Planes | BrokenFileError, asked: ChannelSet) -> str | None:
        """Why the model has no answer to what was read, in words that follow the image's name; None: it has one."""
        said = _problem(read, asked, self.model.strategy != PLAIN)
        if said is not None or isinstance(read, BrokenFileError):
            return said
        there = _with_a_value(read, asked)
        try:
            self.asked(there)
        except ValueError as error:  # those that are left are a subset that a plain model, say, does not take
            missing = [name for name in asked.names if name not in there]
            return f"has no value in {', '.join(missing)}: {error}"
        return None

    def read(self, data: bytes, bands: Bands | None = None) -> Planes:
        """An image file's planes, as large as the model wants them; raises ``BrokenFileError``.

        Args:
            data: the content of the file.
            bands: what is said of its planes where the predictor was told nothing.
        """
        otherwise = self._otherwise if bands is None or self.bands is not None else ()
        told = bands if self.bands is None else self.bands.of_planes
        return planes_of_image(data, self.info.image_size, told, self.model.channels, otherwise)

    def _read(self, image: str | Path | bytes, named: Set[Path] = frozenset()) -> Planes | BrokenFileError:
        try:
            if isinstance(image, bytes):
                return self.read(image)
            path = Path(image)
            # A data set's folders of classes and splits have theirs above them.
            bands = self.bands or bands_near(path, _named_above(path, named))
            data = read_file(path, bands)
            return self.read(data, None if bands is None else bands.of_planes)
        except BrokenFileError as broken:
            return broken


def _problem(read: Planes | BrokenFileError, asked: ChannelSet, takes_subsets: bool) -> str | None:
    if isinstance(read, BrokenFileError):
        return read.reason
    try:
        found = match(asked, read.channels)
    except ValueError as error:
        return f"has other bands: {error}"
    missing = [name for name in asked.names if name not in found]
    if missing:
        way_on = ": ask for those that are there (--channels), or say partial: true in a bands.yaml"
        there = f"has no channel {', '.join(missing)}; there are {','.join(read.channels.names)}"
        return there + way_on if found and takes_subsets else there
    theirs = read.channels.subset(tuple(found.values()))
    if read.values[_places(read, asked)].isnan().all():
        return f"has no value in any of {','.join(asked.names)}"
    other = [ours.name for ours, there in zip(asked, theirs, strict=True) if there.units != ours.units]
    return f"has values of {other[0]} in other units than the model was trained on" if other else None


def _named_above(path: Path, named: Set[Path]) -> Path | None:
    """The outermost folder that was named above a path."""
    return next((folder for folder in reversed(path.parents) if folder in named), None)


def _with_a_value(image: Planes, asked: ChannelSet) -> list[str]:
    """The names of the channels asked about in which an image has a value anywhere."""
    empty_S = image.values[_places(image, asked)].flatten(1).isnan().all(dim=1).tolist()
    return [name for name, empty in zip(asked.names, empty_S, strict=True) if not empty]


def _places(image: Planes, asked: ChannelSet) -> list[int]:
    """Where the channels asked about are among an image's planes, by name or wavelength."""
    return list(image.channels.indices(tuple(match(asked, image.channels).values())))


def predict(
    model: str | Path | Predictor,
    images: str | Path | Sequence[str | Path],
    channels: ChannelsLike | None = None,
    top: int = 5,
) -> list[Prediction]:
    """The most likely classes of images, as a trained model sees them through some of their channels.

    Args:
        model: a run folder, a model file, a packaged model's name, or a `Predictor`, which is not loaded each time.
        images: files, folders and globs, one or several.
        channels: what the model is shown; None: all it knows.
        top: how many classes are given.

    Returns:
        One prediction an image; a broken one has an ``error``.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: for a damaged model, channels that it does not take, or an image without a name.

    Example:
        >>> for answer in predict("runs/any", "photos/*.jpg", "RG"):  # doctest: +SKIP
        ...     print(answer.image, answer.classes[0], answer.probabilities[0])
        photos/tom.jpg tabby, tabby cat 0.62
    """
    predictor = model if isinstance(model, Predictor) else Predictor.load(model)
    named = [images] if isinstance(images, str | Path) else images
    return list(predictor.predict(find_images(named, predictor.bands), channels, top, named))
