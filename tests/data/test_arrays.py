"""Copies of arrays on a device, and statistics of their channels."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from anychan.data import arrays, hold_out, load_split, open_dataset, split_statistics
from anychan.data.arrays import send
from anychan.statistics import RunningStatistics


def test_a_resident_copy_is_equal_and_apart() -> None:
    array = load_split(open_dataset("synthetic:train=12,size=8"), "train", 8)
    copy = array.to("cpu")
    assert copy.images.data_ptr() != array.images.data_ptr()
    assert copy.images.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(copy.images, array.images, rtol=0, atol=0)
    assert copy.labels.tolist() == array.labels.tolist()
    assert (copy.paths, copy.fingerprint, len(copy)) == (array.paths, array.fingerprint, 12)


def test_only_for_cuda_a_copy_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, **options: given.append((str(device), options)))
    for name in ("cuda:1", "mps", "cpu"):
        send(torch.zeros(1), torch.device(name))
    assert given == [(name, {"non_blocking": name == "cuda:1"}) for name in ("cuda:1", "mps", "cpu")]


def test_statistics_are_those_of_all_pixels() -> None:
    array = load_split(open_dataset("synthetic:bands=4,train=300,size=8"), "train", 8)  # more than a chunk
    statistics = split_statistics(array)
    pixels = array.images.double().permute(1, 0, 2, 3).flatten(1) / 255
    assert statistics.channels == array.channels
    assert statistics.count == 300 * 64
    torch.testing.assert_close(statistics.mean, pixels.mean(1))
    torch.testing.assert_close(statistics.covariance, torch.cov(pixels, correction=0))


def test_statistics_of_large_photographs_are_summed_in_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    array, sizes = load_split(open_dataset("synthetic:train=20,size=8"), "train", 8), []
    whole, update = split_statistics(array), RunningStatistics.update
    monkeypatch.setattr(arrays, "_CHUNK_VALUES", 7 * array.images[0].numel())
    monkeypatch.setattr(
        RunningStatistics, "update", lambda own, images: sizes.append(len(images)) or update(own, images)
    )
    torch.testing.assert_close(split_statistics(array).covariance, whole.covariance)
    assert sizes == [7, 7, 6]


def test_images_are_held_out_evenly_and_once() -> None:
    array = load_split(open_dataset("synthetic:train=50,classes=4,size=8"), "train", 8)
    rest, held_out = hold_out(array, 10)
    assert sorted(rest.paths + held_out.paths) == sorted(array.paths)
    shares = held_out.labels.bincount() / array.labels.bincount()
    assert shares.max() - shares.min() < 0.1
    for part in (rest, held_out):
        rows = [array.paths.index(path) for path in part.paths]
        assert rows == sorted(rows)
        assert torch.equal(part.images, array.images[rows])
        assert torch.equal(part.labels, array.labels[rows])
        assert part.images.is_contiguous(memory_format=torch.channels_last)
    assert len({array.fingerprint, rest.fingerprint, held_out.fingerprint, hold_out(array, 11)[1].fingerprint}) == 4
    assert hold_out(array, 10)[1].paths == held_out.paths
    assert set(hold_out(array, 11)[1].paths) > set(held_out.paths)  # so who held out more has seen none of these
    rare = dataclasses.replace(array, labels=torch.tensor([0] * 40 + list(range(1, 11))))  # ten classes of one image
    assert hold_out(rare, 10)[1].labels.bincount()[0] >= 8
    for images in (0, 50):
        with pytest.raises(ValueError, match=f"{images} images held out of 50: must be 1 to 49"):
            hold_out(array, images)
