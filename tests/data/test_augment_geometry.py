"""Moving pixels, against loops over images and torchvision's functions with the same parameters."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from anychan.data.augment_geometry import cut, draw_box, perspective, rotation, scale, shift, warp

_H, _W = 12, 16


def _images(n: int = 6, c: int = 3, dtype: torch.dtype = torch.uint8, channels_last: bool = False) -> Tensor:
    images = torch.randint(0, 256, (n, c, _H, _W), generator=torch.Generator().manual_seed(1)).to(dtype)
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("c", "dtype"), [(1, torch.uint8), (3, torch.uint8), (5, torch.float32)])
def test_cut_is_torchvisions_flip_pad_and_crop_image_by_image(c: int, dtype: torch.dtype, channels_last: bool) -> None:
    from torchvision.transforms import functional

    images = _images(c=c, dtype=dtype, channels_last=channels_last)
    mirrored = torch.tensor([True, False, True, False, True, False])
    left, top = torch.tensor([0, 1, 6, 3, 2, 6]), torch.tensor([6, 0, 3, 6, 5, 1])
    found = cut(images, mirrored, left, top, padding=3)
    for i, image in enumerate(images):
        turned = functional.hflip(image) if mirrored[i] else image
        expected = functional.crop(functional.pad(turned, [3, 3]), int(top[i]), int(left[i]), _H, _W)
        assert torch.equal(found[i], expected)
    assert found.stride() == images.stride()


def test_cut_takes_images_that_are_not_dense() -> None:
    images = _images()[:, :, ::2, ::2]
    none = torch.zeros(6, dtype=torch.int64)
    assert torch.equal(cut(images, none.bool(), none + 2, none + 2, padding=2), images)


def test_rotation_is_torchvisions() -> None:
    from torchvision.transforms import InterpolationMode, functional

    images = _images(dtype=torch.float32)
    angles = torch.tensor([0.0, 10.0, -10.0, 45.0, 90.0, 180.0])
    found = warp(images, rotation(torch.deg2rad(angles)))
    for i, angle in enumerate(angles.tolist()):
        expected = functional.affine(images[i], angle, [0, 0], 1.0, [0.0], InterpolationMode.BILINEAR)
        torch.testing.assert_close(found[i], expected, atol=0.01, rtol=0)


def test_perspective_is_torchvisions() -> None:
    from torchvision.transforms import InterpolationMode, functional

    images = _images(n=1, dtype=torch.float32)
    start = [[0, 0], [_W, 0], [_W, _H], [0, _H]]
    end = [[2, 1], [_W - 3, 2], [_W - 1, _H - 4], [3, _H]]
    expected = functional.perspective(images[0], start, end, InterpolationMode.BILINEAR)
    corners = torch.tensor([end], dtype=torch.float32) - torch.tensor([_W / 2, _H / 2])
    torch.testing.assert_close(warp(images, perspective(corners, _H, _W))[0], expected, atol=0.05, rtol=0)


def test_resized_box_is_torchs_resize() -> None:
    images = _images(n=1, dtype=torch.float32)
    box = images[:, :, 2:8, 4:12]  # 6 x 8 pixels, centre 1 above and on the middle
    expected = torch.nn.functional.interpolate(box, size=(_H, _W), mode="bilinear", align_corners=False)
    half = torch.tensor([0.5])
    found = warp(images, shift(torch.tensor([0.0]), torch.tensor([-1.0])) @ scale(half, half))
    inside = (..., slice(1, -1), slice(1, -1))  # at the edge, what lies beside the box is seen half
    torch.testing.assert_close(found[inside], expected[inside], atol=0.01, rtol=0)


def test_warp_against_a_loop_over_pixels() -> None:
    images = _images(n=2)
    homography = torch.tensor([[1.1, 0.2, 1.5], [-0.3, 0.9, -2.0], [0.01, 0.02, 1.0]]).repeat(2, 1, 1)
    found = warp(images, homography)
    for row in range(_H):
        for column in range(_W):
            place = torch.tensor([column - (_W - 1) / 2, row - (_H - 1) / 2, 1.0])
            x, y, w = (homography[0] @ place).tolist()
            expected = _bilinear(images[0].double(), x / w + (_W - 1) / 2, y / w + (_H - 1) / 2)
            assert (found[0, :, row, column] - expected).abs().max() <= 0.51  # rounded


def _bilinear(image: Tensor, x: float, y: float) -> Tensor:
    total = torch.zeros(image.shape[0], dtype=torch.float64)
    for column in (math.floor(x), math.floor(x) + 1):
        for row in (math.floor(y), math.floor(y) + 1):
            if 0 <= column < _W and 0 <= row < _H:
                total += image[:, row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32, torch.float64])
def test_identity_keeps_pixels_type_and_layout(dtype: torch.dtype, channels_last: bool) -> None:
    images = _images(dtype=dtype, channels_last=channels_last)
    found = warp(images, torch.eye(3).repeat(6, 1, 1))
    assert found.dtype == dtype
    assert found.stride() == images.stride()
    torch.testing.assert_close(found, images, atol=0 if dtype == torch.uint8 else 1e-2, rtol=0)


def test_boxes_keep_their_area_and_fit() -> None:
    area = torch.tensor([0.25, 1.0, 0.9, 0.33, 0.02])
    ratio = torch.tensor([1.0, 0.75, 2.0, 0.3, 3.3])
    h, w = draw_box(area, ratio, 20, 30)
    torch.testing.assert_close(h * w, area * 600)
    assert (h <= 20).all()
    assert (w <= 30 + 1e-4).all()
    torch.testing.assert_close(w[[0, 4]] / h[[0, 4]], ratio[[0, 4]])
