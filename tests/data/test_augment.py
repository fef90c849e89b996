"""Augmentation of batches: what is random, and that it is as random as it should be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from anychan.data.augment import AugmentationConfig, augment

_EACH = {
    "crop": AugmentationConfig(crop_padding=3),
    "resized crop": AugmentationConfig(random_resized_crop=(0.2, 1.0)),
    "flip": AugmentationConfig(flip=0.5),
    "rotation": AugmentationConfig(rotation=20.0),
    "perspective": AugmentationConfig(perspective=0.6),
    "erasing": AugmentationConfig(erasing=1.0),
    "channel drop": AugmentationConfig(channel_drop=0.5),
    "all": AugmentationConfig(2, (0.5, 1.0), 0.5, 10.0, 0.3, 0.5, 0.3),
}
each = pytest.mark.parametrize("config", _EACH.values(), ids=_EACH.keys())


def _seed(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(n: int = 16, c: int = 4, size: int = 16) -> Tensor:
    images = torch.randint(1, 256, (n, c, size, size), dtype=torch.uint8, generator=_seed(7))
    return images.contiguous(memory_format=torch.channels_last)


def test_all_off_is_the_batch_itself() -> None:
    images = _images()
    assert augment(images, AugmentationConfig(), _seed()) is images


@each
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
@pytest.mark.parametrize("c", [1, 2, 7])
def test_type_layout_and_range_stay(config: AugmentationConfig, dtype: torch.dtype, c: int) -> None:
    images = _images(n=4, c=c).to(dtype)
    before = images.clone()
    found = augment(images, config, _seed())
    assert (found.dtype, found.shape, found.stride()) == (images.dtype, images.shape, images.stride())
    assert 0 <= found.min() <= found.max() < 255.5
    assert torch.equal(images, before)
    plain = images.contiguous()
    assert torch.equal(augment(plain, config, _seed()), found)
    assert augment(plain, config, _seed()).stride() == plain.stride()


@each
def test_the_generator_decides(config: AugmentationConfig) -> None:
    images = _images()
    state = torch.get_rng_state()
    first, again, other = (augment(images, config, _seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@each
def test_images_of_a_batch_differ_in_their_parameters(config: AugmentationConfig) -> None:
    images = _images(n=1).expand(32, -1, -1, -1)
    assert len(augment(images, config, _seed()).flatten(1).unique(dim=0)) > 1


@each
def test_channels_of_an_image_move_together(config: AugmentationConfig) -> None:
    images = _images(c=1).expand(-1, 3, -1, -1)
    found = augment(images, replace(config, channel_drop=0.0), _seed())
    assert torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(found[:, 0], found[:, 2])


def test_moving_whole_pixels_and_resampling_agree() -> None:
    """A rotation that is too small to see goes the way of homographies, with the same mirror images and crops."""
    images = _images()
    config = AugmentationConfig(crop_padding=3, flip=0.5)
    found = augment(images, config, _seed())
    assert torch.equal(augment(images, replace(config, rotation=1e-6), _seed()), found)


def test_crops_come_from_all_places_alike() -> None:
    images = torch.zeros(4000, 1, 9, 9)
    images[:, :, 4, 4] = 1
    found = augment(images, AugmentationConfig(crop_padding=2), _seed()).sum((0, 1))
    assert found[2:7, 2:7].sum() == 4000
    assert (found[2:7, 2:7] - 160).abs().max() < 60  # 25 places, five standard deviations


@pytest.mark.parametrize("probability", [0.25, 1.0])
def test_flips_as_often_as_told(probability: float) -> None:
    images = _images(n=1).expand(2000, -1, -1, -1)
    found = augment(images, AugmentationConfig(flip=probability), _seed())
    mirrored = (found == images.flip(3)).flatten(1).all(dim=1)
    assert (mirrored | (found == images).flatten(1).all(dim=1)).all()
    assert mirrored.float().mean() == pytest.approx(probability, abs=0.05)


def test_rotation_reaches_its_angle_and_no_further() -> None:
    """A dot in the middle of the right edge tells the angle."""
    images = torch.zeros(500, 1, 65, 65)
    images[:, :, 32, 62] = 1
    found = augment(images, AugmentationConfig(rotation=30.0), _seed())[:, 0]
    offset = torch.arange(65) - 32.0
    y, x = (found.sum(2) * offset).sum(1), (found.sum(1) * offset).sum(1)
    angles = torch.rad2deg(torch.atan2(y, x))
    assert angles.abs().max() < 31
    assert angles.min() < -28
    assert angles.max() > 28


def test_resized_crops_have_the_areas_asked_for() -> None:
    """On a ramp the slope is the box's relative width and height."""
    ramp = torch.arange(64.0)
    images = torch.stack((ramp.expand(64, 64), ramp[:, None].expand(64, 64))).expand(1000, -1, -1, -1)
    found = augment(images, AugmentationConfig(random_resized_crop=(0.3, 0.6)), _seed())
    width = (found[:, 0, 32, 40] - found[:, 0, 32, 24]) / 16
    height = (found[:, 1, 40, 32] - found[:, 1, 24, 32]) / 16
    area, ratio = width * height, width / height
    assert area.min() == pytest.approx(0.3, abs=0.01)
    assert area.max() == pytest.approx(0.6, abs=0.01)
    assert 0.74 < ratio.min() < 0.77
    assert 1.3 < ratio.max() < 1.35
    centre = (found[:, 0, 32, 31] + found[:, 0, 32, 32]) / 2 + 0.5
    for edge in (centre - 32 * width, 64 - (centre + 32 * width)):  # pixels left of the box, and right of it
        assert -0.1 < edge.min() < 0.5
        assert edge.max() > 20


def test_perspective_shows_the_whole_picture() -> None:
    """Corners move inwards, so that nothing of the picture is cut away, and black comes in from outside."""
    images = torch.ones(200, 1, 32, 32)
    found = augment(images, AugmentationConfig(perspective=0.5), _seed())
    share = found.mean((1, 2, 3))
    assert 0.25 < share.min() < 0.5
    assert 0.7 < share.max() < 1.0
    assert found[:, :, 16, 16].min() > 0.999


def test_erased_rectangles() -> None:
    images = torch.ones(2000, 3, 40, 60)
    found = augment(images, AugmentationConfig(erasing=0.5), _seed()) == 0
    assert torch.equal(found[:, 0], found[:, 1])
    erased = found[:, 0]
    hit = erased.flatten(1).any(dim=1)
    assert hit.float().mean() == pytest.approx(0.5, abs=0.05)
    height, width = erased.any(dim=2).sum(dim=1), erased.any(dim=1).sum(dim=1)
    area = erased.sum((1, 2))
    assert torch.equal(area, height * width)  # a rectangle
    share = area[hit] / 2400
    assert share.min() == pytest.approx(0.02, abs=0.005)
    assert share.max() == pytest.approx(0.33, abs=0.02)
    assert share.mean() == pytest.approx(0.175, abs=0.01)
    edges = erased[:, [0, -1]].any(dim=2).float().mean(dim=0)  # rectangles reach the first and the last row alike
    assert edges[0] == pytest.approx(float(edges[1]), abs=0.03)
    assert edges.min() > 0.01


@pytest.mark.parametrize("c", [1, 3])
def test_one_channel_stays_at_least(c: int) -> None:
    images = torch.ones(3000, c, 2, 2)
    kept = augment(images, AugmentationConfig(channel_drop=1.0), _seed())
    assert (kept == kept[:, :, :1, :1]).all()
    assert (kept[:, :, 0, 0].sum(dim=1) == 1).all()
    assert (kept[:, :, 0, 0].mean(dim=0) - 1 / c).abs().max() < 0.05  # each as often


def test_channels_drop_with_their_probability() -> None:
    kept = augment(torch.ones(4000, 3, 2, 2), AugmentationConfig(channel_drop=0.5), _seed())[:, :, 0, 0]
    # one stays in 1/8 of the images where all would go: 1/2 + 1/24 for each channel
    assert (kept.mean(dim=0) - (1 / 2 + 1 / 24)).abs().max() < 0.03


@pytest.mark.parametrize("images", [torch.zeros(3, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.int32)])
def test_what_is_no_batch_of_images_is_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"not \(N, C, H, W\), uint8 or float"):
        augment(images, AugmentationConfig(flip=0.5), _seed())
