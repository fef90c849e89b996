"""What of a channel the others do not tell."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.data.dataset import Encoding
from anychan.evaluation.untold import untold


def _array(array: ImageArray, images: torch.Tensor) -> ImageArray:
    labels = torch.arange(len(images)) % len(array.classes)
    paths = tuple(map(str, range(len(images))))
    return dataclasses.replace(array, images=images, labels=labels, paths=paths, encoding=Encoding("float32", (1.0,)))


def test_it_is_what_a_linear_regression_leaves(array: ImageArray) -> None:
    count = len(array.classes)
    images = torch.randn(30, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    images[:, 1] += 0.5 * images[:, 0]
    images[:count, 2] *= 3
    images[3, 0, 0, 0] = torch.nan  # that pixel counts for nothing
    found = untold(_array(array, images), array.channels)
    labels = np.arange(30) % count
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3).double().numpy()
    of_class = np.repeat(labels, 25)
    known = np.isfinite(pixels).all(axis=1)
    pixels, of_class = pixels[known], of_class[known]
    for i, name in enumerate(array.channels.names):
        others = np.column_stack([np.ones(len(pixels)), np.delete(pixels, i, axis=1)])
        left = pixels[:, i] - others @ np.linalg.lstsq(others, pixels[:, i], rcond=None)[0]
        for k in range(count):
            assert found[name][k] == pytest.approx((left[of_class == k] ** 2).mean() / pixels[:, i].var(), abs=1e-5)


def test_a_channel_that_follows_from_the_others_tells_nothing(array: ImageArray) -> None:
    images = torch.rand(20, 3, 4, 4)
    images[:, 2] = 0.25 * images[:, 0] + 0.5 * images[:, 1]
    found = untold(_array(array, images), array.channels)
    assert all(share is not None and share < 1e-5 for share in found["B"])


def test_it_is_not_told_of_what_is_not_there(array: ImageArray) -> None:
    images = torch.rand(len(array.classes) - 1, 3, 4, 4)
    shares = untold(_array(array, images), array.channels)["R"]
    assert shares[-1] is None
    assert None not in shares[:-1]
    assert untold(array, ChannelSet.parse("R")) == {}
    with pytest.raises(ValueError, match="there is no channel 'NIR'"):
        untold(array, ChannelSet(["R", "NIR"]))
    gray = torch.full((6, 3, 4, 4), 0.5)
    assert set(untold(_array(array, gray), array.channels)["G"]) == {None}
