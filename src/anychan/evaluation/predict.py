"""Ask a model about every image of a split, seen through one channel set.

Images go through in micro-batches straight from the memory-mapped array; planes are chosen and normalised by name.

Shape suffixes: N images, S the channels of the question, C all channels the model knows, K classes.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from torch import Tensor

from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet, ChannelsLike
from anychan.cost.latency import now
from anychan.data import ImageArray
from anychan.data.arrays import check_units, take
from anychan.data.dataset import BYTES
from anychan.environment import checked_device
from anychan.evaluation.fills import check_fill, fill_missing
from anychan.evaluation.predictions import Predictions
from anychan.sensors import find


def predict_subset(
    model: AnyChannelModel,
    array: ImageArray,
    channels: ChannelsLike | None = None,
    *,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    autocast: torch.dtype | None = None,
    fill: str = "",
    flips: bool = False,
    top: int = 5,
    progress: bool = False,
) -> Predictions:
    """The model's answers to all images of an array, given only some of their channels.

    Where images have different channels, or pixels without a value, the model is told which channels each has, and
    sees the mean where there is no value. Images with none of the channels are left out: there is nothing to ask about.

    Args:
        model: is moved to ``device`` and set to evaluation mode, in place. Its channels carry the means and standard
            deviations that it was trained with, in their units.
        array: images of which at least ``channels`` are there; channels are found by name, or by wavelength.
        channels: what the model gets to see; None: all it knows. Channels that it does not know need a wavelength, a
            mean and a deviation, and a strategy that takes unseen ones.
        batch_size: images that go through at once, at least 1.
        device: where the model runs.
        autocast: a dtype for mixed precision; None: float32 throughout, so that the numbers depend as little on
            the machine as they can (TensorFloat-32 is off).
        fill: "" asks the model about the channels themselves; a key of ``FILLS`` fills the planes that are missing
            and asks it about all.
        flips: ask about each image and its mirror image, and take the mean of the logits; twice the time.
        top: how many of the most probable classes are kept; where there are fewer classes, all.
        progress: show a progress bar.

    Returns:
        The answers; ``paths`` names the images that are answered.

    Raises:
        ValueError: for a channel that the model or the array does not have, whose mean or deviation is unknown, or
            which the images count in other units; images that all have none of the channels, an unknown fill, a plain
            model asked for a subset without a fill, logits that are not finite, a batch size below 1, no image, or a
            device there is not.

    Example:
        >>> from anychan.data import load_split, open_dataset, split_statistics
        >>> from anychan.models import create_model
        >>> array = load_split(open_dataset("synthetic:test=8"), "test", image_size=32)
        >>> channels = split_statistics(array).described
        >>> model = create_model("wide4", channels, 9, "sliced", model_options={"width": 8})
        >>> predict_subset(model, array, "RG").top.shape
        (8, 5)
    """
    known = model.channels
    present = model.resolve(channels)
    if fill:
        check_fill(fill, known)
    elif model.strategy == "plain" and len(present) < len(known):
        raise ValueError(f"a plain model takes all of {known}, not {present}: name --fill to fill what is missing")
    if batch_size < 1 or not array.paths:
        raise ValueError(f"{len(array.paths)} images in batches of {batch_size}: there must be 1 of each at least")
    device = checked_device(device)
    asked = known if fill else present
    planes = find(present, array.channels)
    check_units(present, array.channels.subset([array.channels.names[plane] for plane in planes]))
    rows, title = _rows_with_any(array, planes, present), str(present) if progress else None
    model = model.to(device).to(memory_format=torch.channels_last).eval()
    labels, probability, times = [], [], []
    with torch.inference_mode(), _in_full_float32, _autocast(device, autocast), same_draws(model, device):
        for path, images_NSHW, there_NS in _batches(array, rows, planes, batch_size, title):
            x_NSHW = prepare(images_NSHW.to(device), known, present, fill)
            some = {} if fill or there_NS is None else {"present": there_NS.to(device)}
            started = now(device)
            logits_NK = model(x_NSHW, channels=asked, **some)
            if flips:
                logits_NK = (logits_NK + model(x_NSHW.flip(3), channels=asked, **some)) / 2
            times.append((now(device) - started, len(x_NSHW)))
            if not logits_NK.isfinite().all():
                raise ValueError(f"the model's logits are not finite for {present} of {path} or the images after it")
            best = logits_NK.float().softmax(dim=1).topk(min(top, logits_NK.shape[1]))
            probability.append(best.values.cpu())
            labels.append(best.indices.cpu())
    return Predictions(
        str(present),
        fill,
        array.paths if rows is None else tuple(array.paths[row] for row in rows.tolist()),
        (array.labels if rows is None else array.labels[rows.to(array.labels.device)]).cpu().numpy(),
        torch.cat(labels).numpy(),
        torch.cat(probability).numpy(),
        _milliseconds(times),
    )


def prepare(images_NSHW: Tensor, known: ChannelSet, present: ChannelSet, fill: str = "") -> Tensor:
    """The input of a model: planes filled if asked, then normalised by name.

    Args:
        images_NSHW: the planes of ``present`` in their order: uint8, or floating point in the channels' units, where
            NaN is no value and becomes the mean.
        known: all channels of the model, with means and standard deviations in their units.
        present: the channels that are there; those that are not known have means and deviations of their own.
        fill: "" gives the planes of ``present``, a key of ``FILLS`` those of ``known``.

    Returns:
        float32 (N, S, H, W) or (N, C, H, W), ``channels_last`` in memory.

    Raises:
        ValueError: for an unknown channel or fill, or a channel without mean or deviation.
    """
    if not (images_NSHW.dtype == torch.uint8 or images_NSHW.is_floating_point()):
        raise ValueError(f"images must be uint8, or values in floating point, not {images_NSHW.dtype}")
    pixels_NSHW = images_NSHW.float() if images_NSHW.is_floating_point() else images_NSHW.float() / 255
    asked = known if fill else ChannelSet(known.subset([c.name])[0] if c in known else c for c in present)
    for channel in asked:
        if channel.mean is None or channel.std is None:
            raise ValueError(f"channel {channel.name!r} has no mean and standard deviation to be normalised by")
    if fill:
        means = torch.tensor([channel.mean for channel in known.subset(present.names)], device=pixels_NSHW.device)
        pixels_NSHW = torch.where(pixels_NSHW.isnan(), means[:, None, None], pixels_NSHW)
        pixels_NSHW = fill_missing(pixels_NSHW, known, present, fill)
    moments = torch.tensor([(channel.mean, channel.std) for channel in asked], device=pixels_NSHW.device)
    x_NSHW = (pixels_NSHW - moments[:, 0, None, None]) / moments[:, 1, None, None]
    if images_NSHW.is_floating_point():
        x_NSHW = x_NSHW.nan_to_num(nan=0.0)
    return x_NSHW.contiguous(memory_format=torch.channels_last)


def _rows_with_any(array: ImageArray, planes: list[int], present: ChannelSet) -> Tensor | None:
    """The images that have any of the planes, in their order; None: all."""
    if array.present is None:
        return None
    any_N = array.present[:, planes].any(dim=1)
    if not any_N.any():
        raise ValueError(f"none of the {len(array)} images has any of the channels {','.join(present.names)}")
    return None if any_N.all() else any_N.nonzero()[:, 0]


def _batches(
    array: ImageArray, rows: Tensor | None, planes: list[int], size: int, title: str | None
) -> Iterable[tuple[str, Tensor, Tensor | None]]:
    """The first image's path, the planes (N, S, H, W), and which of them each has (N, S), by batches.

    Args:
        rows: the images to go through; None: all.
        title: of a progress bar; None: there is none.
    """
    there_NS = None if array.present is None else array.present[:, planes]
    if there_NS is not None and rows is not None:
        there_NS = there_NS[rows]
    if there_NS is not None and there_NS.all():
        there_NS = None
    in_order = planes == list(range(len(array.channels)))
    firsts: Iterable[int] = range(0, len(array.paths) if rows is None else len(rows), size)
    if title is not None:
        from tqdm import tqdm

        firsts = tqdm(firsts, desc=title, unit="batch", leave=False)
    for first in firsts:
        if rows is None:
            images_NCHW, path = array.images[first : first + size], array.paths[first]
        else:
            chosen = rows[first : first + size]
            images_NCHW, path = take(array.images, chosen.to(array.images.device)), array.paths[int(chosen[0])]
        images_NSHW = images_NCHW if in_order else images_NCHW[:, planes]
        values_NSHW = (
            images_NSHW
            if images_NSHW.dtype == torch.uint8 and array.encoding == BYTES
            else (array.values(images_NSHW, planes))
        )
        yield path, values_NSHW, None if there_NS is None else there_NS[first : first + size]


def _milliseconds(times: list[tuple[float, int]]) -> float | None:
    """Of the model for one image: the median over batches, without the first (it warms up) and the last (cut off).

    None where there is no other batch.
    """
    warm = [seconds / images for seconds, images in times[1:-1]]
    return statistics.median(warm) * 1000 if warm else None


def _autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager:
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


@contextmanager
def same_draws(model: AnyChannelModel, device: torch.device) -> Iterator[None]:
    """A stem that draws at test time draws the same again; generators of other devices are not touched.

    It draws from torch's own generators, so threads take turns. They are as they were afterwards, but for that of an
    accelerator that is none of CUDA. For a model in evaluation mode; where no stem draws, there is nothing to set.
    """
    if all(stem.promises.any_order for stem in model.stems.values()):
        yield
        return
    with _drawing, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(0)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(0)
        elif device.type != "cpu":
            torch.get_device_module(device).manual_seed(0)
        yield


@contextmanager
def _full_float32() -> Iterator[None]:
    # On a GPU a float32 convolution is done in TensorFloat-32 unless told otherwise, a matrix product if told so.
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class _Shared:
    """Settings of the whole process, which the first of several threads makes and the last takes back."""

    def __init__(self, settings: Callable[[], AbstractContextManager[None]]) -> None:
        self._settings, self._made = settings, ExitStack()
        self._inside, self._counting = 0, threading.Lock()

    def __enter__(self) -> None:
        with self._counting:
            if self._inside == 0:
                self._made.enter_context(self._settings())
            self._inside += 1

    def __exit__(self, *raised: object) -> None:
        with self._counting:
            self._inside -= 1
            if self._inside == 0:
                self._made.close()


_drawing = threading.RLock()
_in_full_float32 = _Shared(_full_float32)
