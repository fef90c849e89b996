"""Some pictures of a split with the model's answers, for people to look at: right ones and wrong ones."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.data.dataset import BYTES
from anychan.evaluation.predictions import Key, Predictions

LONGEST_SIDE = 128


def write_pictures(
    folder: Path,
    split: str,
    array: ImageArray,
    answers: Mapping[Key, Predictions],
    classes: Sequence[str],
    *,
    count: int = 12,
    seed: int = 0,
) -> None:
    """Write thumbnails and ``pictures.json`` to a folder, in place of what it held.

    Args:
        folder: is replaced as a whole.
        split: the name of the split, for the record.
        array: the images of the split.
        answers: by (subset, fill); the first says which images were answered rightly. A subset that the model
            answers by itself is shown without its fills.
        classes: the names of the classes.
        count: how many pictures: half of them right, half wrong, or more of one where there are too few.
        seed: of the choice.
    """
    first = next(iter(answers.values()))
    rows = {key: {path: i for i, path in enumerate(given.paths)} for key, given in answers.items()}
    index = {path: i for i, path in enumerate(array.paths)}
    pictures: list[dict[str, Any]] = []
    with _replacing_folder(folder) as temporary:
        for number, row in enumerate(choose(first.correct, count, seed)):
            path, label = first.paths[row], int(first.labels[row])
            file = f"{number:03}.png"
            _save_thumbnail(array, index[path], temporary / file)
            shown = {
                f"{subset} {fill}".strip(): _named(given, rows[subset, fill][path], classes)
                for (subset, fill), given in answers.items()
                if not fill or (subset, "") not in answers
            }
            pictures.append({"file": file, "path": path, "label": label, "class": classes[label], "answers": shown})
        record = json.dumps({"split": split, "pictures": pictures}, ensure_ascii=False, indent=1)
        (temporary / "pictures.json").write_text(record, encoding="utf-8")


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


def view_planes(channels: ChannelSet) -> list[int]:
    """The planes that show an image to people: R, G and B where they are there, else the first three, else all."""
    if set("RGB") <= set(channels.names):
        return list(channels.indices("RGB"))
    return list(range(min(3, len(channels))))


def _save_thumbnail(array: ImageArray, row: int, path: Path) -> None:
    from PIL import Image

    planes_HWS = _in_8_bits(array, row, view_planes(array.channels))
    if planes_HWS.shape[2] < 3:  # one plane, or the mean of two, in gray
        planes_HWS = planes_HWS.mean(axis=2).round().astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(planes_HWS))
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    image.save(path)


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


@contextmanager
def _replacing_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill, which takes the place of ``folder`` when the block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent) as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        new.rename(folder)
