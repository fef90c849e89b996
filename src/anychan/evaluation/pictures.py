"""Some pictures of a split with the model's answers, for people to look at: right ones, wrong ones, disputed ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anychan._files import replacing_folder
from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.data.dataset import BYTES
from anychan.evaluation.activation import activation_map, overlaid
from anychan.evaluation.kernels import draw_kernels
from anychan.evaluation.predict import prepare
from anychan.evaluation.predictions import Key, Predictions
from anychan.sensors import find

if TYPE_CHECKING:
    from PIL import Image

LONGEST_SIDE = 128
MOST_DRAWN = 7  # subsets: all those of three channels
_SMALL: dict[str, Any] = {"quality": 90}  # of WebP: a seventh of the bytes of PNG


def write_pictures(
    folder: Path,
    of: tuple[str, str],
    array: ImageArray,
    answers: Mapping[Key, Predictions],
    classes: Sequence[str],
    *,
    model: AnyChannelModel | None = None,
    count: int = 12,
    disputed: int = 6,
    seed: int = 0,
) -> None:
    """Write thumbnails and ``pictures.json`` to a folder, in place of what it held.

    With a model also where in each picture it saw the class it names (`activation_map`), and its stem's kernels
    (`draw_kernels`), for the first subsets that it answers by itself.

    Args:
        folder: is replaced as a whole.
        of: the names of the data set and of its split, for the record.
        array: the images of the split.
        answers: by (subset, fill); the first says which images were answered rightly. A subset that the model
            answers by itself is shown without its fills; one that left a picture out is not shown with it.
        classes: the names of the classes.
        model: what gave the answers, in evaluation mode.
        count: how many pictures are drawn by lot: half of them right, half wrong, or more of one where there are too
            few; "chosen" is "by lot" in the record.
        disputed: how many more pictures, those on which the subsets disagree most (`choose_disputed`); "chosen" is
            "by disagreement".
        seed: of the choice.
    """
    first = next(iter(answers.values()))
    chosen = [(row, "by lot") for row in choose(first.correct, count, seed)]
    chosen += [(row, "by disagreement") for row in choose_disputed(answers, disputed, seed)]
    rows = {key: {path: i for i, path in enumerate(given.paths)} for key, given in answers.items()}
    index = {path: i for i, path in enumerate(array.paths)}
    pictures: list[dict[str, Any]] = []
    with replacing_folder(folder) as temporary:
        for number, (row, why) in enumerate(chosen):
            path, label = first.paths[row], int(first.labels[row])
            file = f"{number:03}.webp"
            _thumbnail(array, index[path]).save(temporary / file, **_SMALL)
            shown = {
                f"{subset} {fill}".strip(): _named(given, rows[subset, fill][path], classes)
                for (subset, fill), given in answers.items()
                if path in rows[subset, fill] and (not fill or (subset, "") not in answers)
            }
            told = {"file": file, "path": path, "label": label, "class": classes[label], "chosen": why}
            told["answers"] = shown
            if model is not None:
                drawn = [subset for subset in _drawn(answers, model) if path in rows[subset, ""]]
                named = [(subset, answers[subset, ""].top[rows[subset, ""][path]]) for subset in drawn]
                maps = _draw_maps(model, array, index[path], {subset: int(top[0]) for subset, top in named})
                told["activation"] = _saved(temporary, f"{number:03}", "webp", maps, **_SMALL)
            pictures.append(told)
        record: dict[str, Any] = {"schema": 1, "kind": "pictures", "data": of[0], "split": of[1], "pictures": pictures}
        if model is not None:
            sheets = ((subset, draw_kernels(model, model.channels.subset(subset))) for subset in _drawn(answers, model))
            files = _saved(
                temporary, "kernels", "png", {subset: sheet for subset, sheet in sheets if sheet is not None}
            )
            record["kernels"] = [{"subset": subset, "file": file} for subset, file in files.items()]
        text = json.dumps(record, ensure_ascii=False, indent=1)
        (temporary / "pictures.json").write_text(text, encoding="utf-8")


def _drawn(answers: Mapping[Key, Predictions], model: AnyChannelModel) -> list[str]:
    """The subsets that maps and kernels are drawn for: of channels that the model was made with."""
    sets = [(subset, ChannelSet.parse(subset)) for subset, fill in answers if not fill]
    own = [(subset, len(channels)) for subset, channels in sets if all(c in model.channels for c in channels)]
    if len(own) > MOST_DRAWN:  # then the first, and single channels
        own = [*own[:1], *((subset, size) for subset, size in own[1:] if size == 1)]
    return [subset for subset, _ in own[:MOST_DRAWN]]


def _draw_maps(
    model: AnyChannelModel, array: ImageArray, row: int, labels: Mapping[str, int]
) -> dict[str, npt.NDArray[np.uint8]]:
    """A picture for each subset: the image in gray, and over it what speaks for the label; none without places."""
    seen = _in_8_bits(array, row, view_planes(array.channels)).mean(axis=2, keepdims=True)
    gray = seen.round().astype(np.uint8).repeat(3, axis=2)
    known, drawn = model.channels, {}
    for subset, label in labels.items():
        present = known.subset(subset)
        planes = find(present, array.channels)
        values_1SHW = array.values(array.images[row : row + 1, planes], planes).to(next(model.parameters()).device)
        if values_1SHW.isnan().flatten(2).all(dim=2).any():
            continue  # a channel that this image does not have
        try:
            heat = activation_map(model, prepare(values_1SHW, known, present), present, label)
        except ValueError:  # a network without a map of places has nothing to show
            return {}
        drawn[subset] = overlaid(gray, heat)
    return drawn


def _saved(
    folder: Path, stem: str, suffix: str, pictures: Mapping[str, npt.NDArray[np.uint8]], **options: Any
) -> dict[str, str]:
    """The file of each picture, by its subset."""
    from PIL import Image

    files = {}
    for number, (subset, pixels) in enumerate(pictures.items()):
        files[subset] = f"{stem}-{number}.{suffix}"
        Image.fromarray(pixels).save(folder / files[subset], **options)
    return files


def choose(correct: npt.NDArray[np.bool_], count: int, seed: int) -> list[int]:
    """Up to ``count`` positions of a bool array (N,), half of them true where there are enough; true ones first.

    Example:
        >>> correct = np.array([True, False, True, True])
        >>> correct[choose(correct, 4, seed=0)].tolist()
        [True, True, True, False]
    """
    generator = np.random.default_rng(seed)
    right, wrong = (generator.permutation(np.flatnonzero(correct == value)) for value in (True, False))
    rights = min(len(right), max(count - count // 2, count - len(wrong)))
    return [*right[:rights].tolist(), *wrong[: count - rights].tolist()]


def choose_disputed(answers: Mapping[Key, Predictions], count: int, seed: int) -> list[int]:
    """Up to ``count`` rows of the first predictions: images whose answer changes most among the channel subsets.

    Half of them are named rightly on the first subset, usually all channels, and wrongly on another; half wrongly on
    the first and rightly on another; more of one where there are too few. Of each, those with the most different
    answers come first, ties drawn by lot. A subset that the model answers by itself is asked without its fills, any
    other with the last of them.

    Args:
        answers: by (subset, fill). Images that one of the subsets left out are passed over.
        count: how many rows.
        seed: of the lot.

    Returns:
        Rows of the first, those that it has right before the others; none where there are fewer than two subsets.

    Example:
        >>> def given(subset, predicted):
        ...     top = np.array(predicted)[:, None]
        ...     return Predictions(subset, "", ("a", "b", "c"), np.zeros(3, int), top, np.ones((3, 1), np.float32))
        >>> found = {("RG", ""): given("RG", [0, 0, 1]), ("R", ""): given("R", [0, 2, 0])}
        >>> choose_disputed(found, 2, seed=0)
        [1, 2]
    """
    one_each = {subset: (subset, "") if (subset, "") in answers else (subset, fill) for subset, fill in answers}
    asked = [answers[key] for key in one_each.values()]
    if len(asked) < 2:
        return []
    rows = [{path: i for i, path in enumerate(given.paths)} for given in asked]
    by_all = [row for row, path in enumerate(asked[0].paths) if all(path in index for index in rows)]
    order = [[index[asked[0].paths[row]] for row in by_all] for index in rows]
    named_KN = np.stack([given.predicted[places] for given, places in zip(asked, order, strict=True)])
    right_KN = named_KN == asked[0].labels[by_all]
    sorted_KN = np.sort(named_KN, axis=0)
    different_N = (sorted_KN[1:] != sorted_KN[:-1]).sum(axis=0)
    by_lot = np.random.default_rng(seed).permutation(named_KN.shape[1])
    ranked = by_lot[np.argsort(-different_N[by_lot], kind="stable")]
    lost, found = (ranked[mixed[ranked]].tolist() for mixed in (
        right_KN[0] & ~right_KN.all(axis=0), ~right_KN[0] & right_KN.any(axis=0)
    ))  # fmt: skip
    of_lost = min(len(lost), max(count - count // 2, count - len(found)))
    return [by_all[place] for place in (*lost[:of_lost], *found[: count - of_lost])]


def view_planes(channels: ChannelSet) -> list[int]:
    """The planes that show an image to people: R, G and B where they are there, else the first three, else all."""
    if set("RGB") <= set(channels.names):
        return list(channels.indices("RGB"))
    return list(range(min(3, len(channels))))


def _thumbnail(array: ImageArray, row: int) -> Image.Image:
    from PIL import Image

    planes_HWS = _in_8_bits(array, row, view_planes(array.channels))
    if planes_HWS.shape[2] < 3:  # one plane, or the mean of two, in gray
        planes_HWS = planes_HWS.mean(axis=2).round().astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(planes_HWS))
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return image


def _in_8_bits(array: ImageArray, row: int, planes: list[int]) -> npt.NDArray[np.uint8]:
    """Pixels (H, W, S) as people see them: what is not in 8 bits is stretched, from its 2nd to its 98th percentile."""
    chosen = array.images[row : row + 1, planes]
    if array.encoding == BYTES:
        return np.asarray(chosen[0].permute(1, 2, 0).cpu())
    values_HWS = array.values(chosen, planes)[0].permute(1, 2, 0).cpu().numpy()
    if np.isnan(values_HWS).all():
        return np.zeros(values_HWS.shape, dtype=np.uint8)
    dark, bright = np.nanpercentile(values_HWS, (2, 98))
    shares = (values_HWS - dark) / max(bright - dark, 1e-12)
    return (np.nan_to_num(shares, nan=0.0).clip(0, 1) * 255).round().astype(np.uint8)


def _named(answers: Predictions, row: int, classes: Sequence[str]) -> list[list[Any]]:
    top, probability = answers.top[row].tolist(), answers.probability[row].tolist()
    return [[classes[i], round(share, 4)] for i, share in zip(top, probability, strict=True)]
