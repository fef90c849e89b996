"""Copies of arrays on a device, and statistics of their channels."""

from __future__ import annotations

import torch

from anychan.data import load_split, open_dataset, split_statistics


def test_a_resident_copy_is_equal_and_apart() -> None:
    array = load_split(open_dataset("synthetic:train=12,size=8"), "train", 8)
    copy = array.to("cpu")
    assert copy.images.data_ptr() != array.images.data_ptr()
    assert copy.images.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(copy.images, array.images, rtol=0, atol=0)
    assert copy.labels.tolist() == array.labels.tolist()
    assert (copy.paths, copy.fingerprint, len(copy)) == (array.paths, array.fingerprint, 12)


def test_statistics_are_those_of_all_pixels() -> None:
    array = load_split(open_dataset("synthetic:bands=4,train=300,size=8"), "train", 8)  # more than a chunk
    statistics = split_statistics(array)
    pixels = array.images.double().permute(1, 0, 2, 3).flatten(1) / 255
    assert statistics.channels == array.channels
    assert statistics.count == 300 * 64
    torch.testing.assert_close(statistics.mean, pixels.mean(1))
    torch.testing.assert_close(statistics.covariance, torch.cov(pixels, correction=0))
