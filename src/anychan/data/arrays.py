"""A split decoded: the pixels that training and evaluation slice batches from."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from anychan._files import replacing
from anychan.channels import ChannelSet, ChannelsLike
from anychan.data.dataset import BYTES, Encoding
from anychan.statistics import ChannelStatistics, MaskedStatistics, RunningStatistics

_CHUNK = 256
_CHUNK_VALUES = 2**24  # large images and those of many bands are gone through in smaller chunks
_UNITS = {"share": "shares of the full scale", "measured": "values that were measured"}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ImageArray:
    """N labelled images of the same size.

    Args:
        images: uint8, uint16, int16 or float32, shape (N, C, H, W), in ``channels_last`` order. It lies in a
            memory-mapped file where it came from the cache; what is written to it changes neither the file nor what
            others read.
        labels: int64, shape (N,).
        paths: the file of each image, relative to the root of the data; bytes of it that are no UTF-8 are escaped.
        channels: the C channels.
        classes: a name for each label.
        skipped: path and reason of each file that was left out as broken; empty unless that was asked for.
        fingerprint: tells these images, in this order and with these labels, from others.
        encoding: what the numbers of ``images`` stand for; of float32 ones, NaN is no value.
        present: bool (N, C), the channels of which each image has a value somewhere; None: all have all.
        stored: where to keep what is computed of these images; None: nowhere.
    """

    images: Tensor
    labels: Tensor
    paths: tuple[str, ...]
    channels: ChannelSet
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    fingerprint: str
    encoding: Encoding = BYTES
    present: Tensor | None = None
    stored: Path | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def to(self, device: torch.device | str) -> ImageArray:
        """A copy that lies in the memory of a device, the computer's own or an accelerator's."""
        return replace(self, images=self.images.to(device, copy=True), labels=self.labels.to(device, copy=True))

    def channel_sets(self, channels: ChannelsLike | None = None) -> list[ChannelSet]:
        """The different sets that images have of some channels (None: of all), but for the empty one."""
        known = self.channels.subset(channels)
        if self.present is None:
            return [known]
        present_NC = self.present[:, list(self.channels.indices(known.names))]
        return [
            ChannelSet(channel for channel, is_there in zip(known, pattern, strict=True) if is_there)
            for pattern in present_NC.unique(dim=0).tolist()
            if any(pattern)
        ]

    def values(self, images: Tensor, channels: Sequence[int] | None = None) -> Tensor:
        """What some of the images stand for, in the units of the channels.

        Args:
            images: (N, S, H, W), of the type of ``self.images``.
            channels: positions of its S channels; None: all, in their order.

        Returns:
            float32 (N, S, H, W), NaN where there is no value.
        """
        encoding = self.encoding
        if encoding == BYTES:
            return images.float() / 255
        if encoding.values:
            return images
        scale, offset = (
            torch.tensor(of_all, dtype=torch.float64).expand(len(self.channels))[..., None, None].to(images.device)
            for of_all in (encoding.scale, encoding.offset)
        )
        if channels is not None:
            scale, offset = scale[list(channels)], offset[list(channels)]
        return (images.double() * scale + offset).float()


def hold_out(array: ImageArray, images: int) -> tuple[ImageArray, ImageArray]:
    """Set some images aside, as nearly as can be the same share of each class: to tune on, as test must not be seen.

    The same ones whenever it is asked of the same images, so that all that is tuned on them is compared on them.

    Both parts are copies in memory, also where the whole lies in a file.

    Args:
        array: N images.
        images: how many to set aside, from 1 to N - 1.

    Returns:
        The others, and those set aside, both in the order of ``array``.

    Raises:
        ValueError: for fewer or more images than that.

    Example:
        >>> from anychan.data import load_split, open_dataset
        >>> array = load_split(open_dataset("synthetic:train=40,classes=4"), "train", image_size=8)
        >>> rest, held_out = hold_out(array, 8)
        >>> len(rest), held_out.labels.bincount().tolist()
        (32, [2, 2, 2, 2])
    """
    if not 0 < images < len(array):
        raise ValueError(f"{images} images held out of {len(array)}: must be 1 to {len(array) - 1}")
    generator = torch.Generator().manual_seed(0)
    # Shuffled within each class, then dealt out class by class: any number of them is spread over the classes.
    order = torch.randperm(len(array), generator=generator)
    labels = array.labels.cpu()[order]
    rank_in_class = torch.zeros(len(array))
    for label in labels.unique():
        of_class = labels == label
        rank_in_class[of_class] = (torch.arange(int(of_class.sum())) + 0.5) / of_class.sum()
    chosen = order[rank_in_class.argsort(stable=True)[:images]]
    is_held_out = torch.zeros(len(array), dtype=torch.bool)
    is_held_out[chosen] = True
    return _rows(array, ~is_held_out), _rows(array, is_held_out)


def _rows(array: ImageArray, wanted: Tensor) -> ImageArray:
    rows = wanted.nonzero()[:, 0]
    digest = sha256(f"{array.fingerprint} {rows.tolist()}".encode()).hexdigest()
    return replace(
        array,
        images=take(array.images, rows.to(array.images.device)).contiguous(memory_format=torch.channels_last),
        labels=array.labels[rows.to(array.labels.device)],
        paths=tuple(array.paths[row] for row in rows.tolist()),
        fingerprint=digest[: len(array.fingerprint)],
        present=None if array.present is None else array.present[rows],
        stored=None,
    )


def take(images: Tensor, rows: Tensor, axis: int = 0) -> Tensor:
    """``images.index_select``, also for uint16, of which not all devices can."""
    if images.dtype == torch.uint16:
        return images.view(torch.int16).index_select(axis, rows).view(torch.uint16)
    return images.index_select(axis, rows)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device, without waiting for CUDA.

    An Apple GPU may read it after it is gone (https://github.com/pytorch/pytorch/issues/189690).
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


def check_units(known: ChannelSet, given: ChannelSet) -> None:
    """Refuse images that count a channel in other units than a model was trained in.

    Args:
        known: channels of the model.
        given: the same of the images.

    Raises:
        ValueError: naming the first that differs.
    """
    for ours, theirs in zip(known, given, strict=True):
        if ours.units != theirs.units:
            raise ValueError(
                f"channel {ours.name!r} was trained on as {_UNITS[ours.units]}, but these images have it as "
                f"{_UNITS[theirs.units]}: say scale and offset in bands.yaml"
            )


def find_present(images: Tensor) -> Tensor | None:
    """The channels of which each image has a value somewhere, bool (N, C); None: all have all.

    Args:
        images: (N, C, H, W); of a floating-point type, NaN is no value.
    """
    if not images.is_floating_point() or not len(images):
        return None
    present = torch.cat([(~chunk.isnan()).any(dim=3).any(dim=2) for chunk in _chunks(images)])
    return None if present.all() else present


def split_statistics(array: ImageArray) -> ChannelStatistics:
    """Means and covariance of the channels over all pixels, in the channels' units; for the training split.

    Pixels without a value are left out. They are computed once for images that lie in the cache, and kept there.
    """
    file = None if array.stored is None else array.stored.with_name(f"{array.stored.name}.statistics.json")
    found = None if file is None else _kept(file, array.channels)
    if found is not None:
        return found
    if array.encoding == BYTES:
        running = RunningStatistics(array.channels)
        for images in _chunks(array.images):
            running.update(images)
        found = running.result()
    else:
        masked = MaskedStatistics(array.channels)
        for images in _chunks(array.images):
            masked.update(array.values(images))
        found = masked.result()
    if file is not None:
        try:
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(found.to_dict()))
        except OSError as error:
            _logger.warning("statistics cannot be kept in %s: %s", file.name, error)
    return found


def _kept(file: Path, channels: ChannelSet) -> ChannelStatistics | None:
    try:
        found = ChannelStatistics.from_dict(json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _logger.warning("kept statistics are damaged and will be computed again: %s", error)
        return None
    return found if found.channels == channels else None


def _chunks(images: Tensor) -> Iterator[Tensor]:
    values = max(1, images[0].numel())
    yield from images.split(max(1, min(_CHUNK, _CHUNK_VALUES // values)))
