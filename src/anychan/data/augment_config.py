"""What may be done to training images: the settings of ``anychan.data.augment``, free of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AugmentationConfig:
    """Which augmentations a batch gets, and how strong; every image draws its own parameters.

    Everything is off by default. Whatever comes into a picture from outside its border is black.

    Args:
        crop_padding: pixels of black border on each side, out of which a window of the old size is cut.
        random_resized_crop: smallest and largest area of a box relative to the image, in (0, 1]; the box has an
            aspect ratio of 3/4 to 4/3 and is resized to the image's size. Not given: off.
        flip: probability of a mirror image, left to right.
        rotation: largest angle in degrees, either way, 0 to 180.
        perspective: how far the corners may move inwards, 1 being to the image's centre; 0 to 2/3, beyond which
            a picture might fold over itself.
        erasing: probability that a rectangle is blackened (Zhong et al., arXiv 1708.04896): 2 to 33 % of the
            area, aspect ratio 0.3 to 3.3.
        channel_drop: probability with which each channel is blackened; one stays at least ([001]'s
            SelectiveChannelDrop).

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> AugmentationConfig(crop_padding=4, flip=0.5).off
        False
    """

    crop_padding: int = 0
    random_resized_crop: tuple[float, float] | None = None
    flip: float = 0.0
    rotation: float = 0.0
    perspective: float = 0.0
    erasing: float = 0.0
    channel_drop: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.crop_padding, int) or self.crop_padding < 0:
            raise ValueError(f"crop_padding {self.crop_padding!r} is not a whole number of pixels, 0 or more")
        if self.random_resized_crop is not None:
            _check_scale(self.random_resized_crop)
        for name in ("flip", "erasing", "channel_drop"):
            _check_range(name, getattr(self, name), 1.0)
        _check_range("perspective", self.perspective, 2 / 3)
        _check_range("rotation", self.rotation, 180.0)

    @property
    def off(self) -> bool:
        """Whether images are left as they are."""
        return self == AugmentationConfig()


def _check_range(name: str, value: float, largest: float) -> None:
    if not 0.0 <= value <= largest:  # false for nan
        raise ValueError(f"{name} {value!r} is not between 0 and {largest:.4g}")


def _check_scale(scale: tuple[float, float]) -> None:
    if len(scale) != 2 or not 0.0 < scale[0] <= scale[1] <= 1.0:  # false for nan
        raise ValueError(f"random_resized_crop {scale!r} is not a smallest and a largest area with 0 < a <= b <= 1")
