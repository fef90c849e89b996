"""Statistics of channels against numpy over all pixels at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anychan.channels import ChannelSet
from anychan.statistics import ChannelStatistics, MaskedStatistics, RunningStatistics

RGB = ChannelSet.parse("RGB")


def _gathered(images: torch.Tensor, chunk: int) -> ChannelStatistics:
    running = RunningStatistics(RGB)
    for batch in images.split(chunk):
        running.update(batch)
    return running.result()


@pytest.mark.parametrize("chunk", [1, 3, 20])
def test_chunks_of_any_size_give_numpys_moments(chunk):
    images = torch.randint(0, 256, (20, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = _gathered(images, chunk)
    pixels = images.numpy().astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(pixels, bias=True), rtol=1e-10)
    np.testing.assert_allclose(found.std, pixels.std(axis=1), rtol=1e-10)
    assert found.count == 20 * 5 * 7


def test_a_default_device_plays_no_part():
    with torch.device("meta"):
        for gathering in (RunningStatistics, MaskedStatistics):
            running = gathering(ChannelSet.parse("RG"))
            running.update(torch.rand(2, 2, 3, 3, device="cpu"))
            assert running.result().mean.device.type == "cpu"


def test_a_large_offset_costs_no_digits():
    images = 1e6 + torch.rand(8, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pixels = images.transpose(0, 1).flatten(1).numpy()
    np.testing.assert_allclose(_gathered(images, 1).covariance, np.cov(pixels, bias=True), rtol=1e-6)


def test_normalised_statistics_are_the_correlation():
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images[:, 1] += images[:, 0]
    normalised = _gathered(images, 8).normalised()
    expected = np.corrcoef(images.transpose(0, 1).flatten(1).double().numpy())
    np.testing.assert_allclose(normalised.covariance, expected, rtol=1e-10)
    assert normalised.mean.tolist() == [0, 0, 0]


def test_a_constant_channel_is_not_divided_by_zero():
    images = torch.rand(4, 3, 8, 8)
    images[:, 2] = 0.5
    found = _gathered(images, 4)
    assert found.described[2].std == 1.0
    assert found.normalised().covariance[2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [3, 77, 201])  # 255ths that are no binary fractions
def test_a_constant_channel_of_bytes_has_no_deviation(value):
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8)
    images[:, 2] = value
    found = _gathered(images, 7)
    assert found.std[2] == 0
    assert found.described[2].std == 1.0
    assert found.covariance[2].tolist() == found.covariance[:, 2].tolist() == [0, 0, 0]
    kept = {**found.to_dict(), "covariance": (found.covariance + 1e-30).tolist()}  # as before
    assert ChannelStatistics.from_dict(kept).std[2] == 0
    assert found.std[0] > 0.2


def test_subset_and_record():
    found = _gathered(torch.rand(4, 3, 8, 8), 4)
    swapped = found.subset("BR")
    assert swapped.covariance[0, 1] == found.covariance[2, 0]
    assert swapped.mean.tolist() == [found.mean[2], found.mean[0]]
    read = ChannelStatistics.from_dict(found.to_dict())
    assert torch.equal(read.covariance, found.covariance)
    assert read.channels == found.channels


def test_bad_input_is_refused():
    running = RunningStatistics(RGB)
    with pytest.raises(ValueError, match="no image"):
        running.result()
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        running.update(torch.rand(2, 4, 8, 8))
    with pytest.raises(ValueError, match="int32"):
        running.update(torch.zeros(2, 3, 8, 8, dtype=torch.int32))
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        ChannelStatistics(RGB, torch.zeros(3), torch.zeros(2, 2), 1)
    with pytest.raises(ValueError, match="finite"):
        ChannelStatistics(RGB, torch.zeros(3), torch.full((3, 3), float("nan")), 1)
