"""What int8 weights cost in accuracy: two files asked about the same images, through every channel set they take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anychan.channels import ChannelSet
from anychan.data import Dataset, ImageArray, load_split
from anychan.data.arrays import check_units, take
from anychan.evaluation.paired import Paired
from anychan.evaluation.predict import prepare
from anychan.exporting._formats import Run
from anychan.models.files import ModelInfo
from anychan.sensors import find

_BATCH = 64


def images_for_model(
    dataset: Dataset, split: str, info: ModelInfo, subsets: Sequence[ChannelSet], cache_dir: Path | None
) -> ImageArray:
    """The images of a split, of the model's size.

    Raises:
        ValueError: for other classes than the model's, missing channels, or an image that cannot be read.
    """
    if dataset.classes != info.classes:
        raise ValueError(
            f"{dataset.name} has the classes {_few(dataset.classes)}, but the model knows {_few(info.classes)}"
        )
    for subset in subsets:
        find(subset, dataset.channels)
    return load_split(dataset, split, info.image_size, cache_dir)


def accuracy_cost(
    before: Run, after: Run, array: ImageArray, info: ModelInfo, subsets: Sequence[ChannelSet], *, one_set: bool
) -> list[dict[str, Any]]:
    """How two files do on the same images: for each subset, model a of `Paired` is int8 and b the one before.

    Images that lack a channel of a subset are left out of it: a file takes all of its planes as there.
    """
    found = []
    for subset in subsets:
        places = () if one_set else (torch.tensor(info.channels.indices(subset.names)),)
        planes = find(subset, array.channels)
        check_units(subset, array.channels.subset([array.channels.names[plane] for plane in planes]))
        whole_N = torch.ones(len(array), dtype=torch.bool) if array.present is None else array.present[:, planes].all(1)
        counts = {"subset": str(subset), "n": int(whole_N.sum()), "left_out": int((~whole_N).sum())}
        if not counts["n"]:
            found.append(counts)
            continue
        right: list[list[np.ndarray]] = [[], []]
        for rows_N in whole_N.nonzero()[:, 0].split(_BATCH):
            images_NSHW = take(array.images, rows_N)[:, planes]
            x_NSHW = prepare(array.values(images_NSHW, planes), info.channels, subset).contiguous()
            labels_N = array.labels[rows_N]
            for run, its in zip((after, before), right, strict=True):
                its.append((run(x_NSHW, *places).argmax(dim=1) == labels_N).numpy())
        pair = Paired.of(*(np.concatenate(its) for its in right))
        found.append({**counts, **pair.to_dict()})
    return found


def _few(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''} ({len(names)})"
