"""Outlines and materials of the built-in images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Material:
    """A spectrum in outline: what share of the light is reflected at each wavelength, straight between them."""

    name: str
    wavelengths: tuple[float, ...]  # micrometres
    reflectances: tuple[float, ...]


# Roughly as such materials reflect the sun, from blue to the short-wave infrared.
_KNOTS = (0.44, 0.49, 0.55, 0.61, 0.67, 0.75, 0.85, 1.05, 1.40, 1.65, 1.95, 2.20)
MATERIALS = (
    Material("vegetation", _KNOTS, (0.20, 0.24, 0.50, 0.34, 0.22, 0.48, 0.66, 0.64, 0.36, 0.46, 0.22, 0.28)),
    Material("soil", _KNOTS, (0.22, 0.26, 0.32, 0.42, 0.50, 0.48, 0.46, 0.52, 0.56, 0.64, 0.60, 0.62)),
    Material("water", _KNOTS, (0.52, 0.54, 0.46, 0.32, 0.24, 0.26, 0.28, 0.16, 0.06, 0.06, 0.04, 0.04)),
    Material("snow", _KNOTS, (0.62, 0.64, 0.64, 0.63, 0.62, 0.60, 0.56, 0.46, 0.24, 0.12, 0.06, 0.08)),
    Material("rust", _KNOTS, (0.14, 0.16, 0.20, 0.44, 0.56, 0.52, 0.38, 0.46, 0.62, 0.66, 0.64, 0.62)),
    Material("clay", _KNOTS, (0.30, 0.36, 0.44, 0.50, 0.54, 0.58, 0.62, 0.68, 0.50, 0.72, 0.46, 0.24)),
    Material("bluestone", _KNOTS, (0.60, 0.52, 0.36, 0.24, 0.22, 0.28, 0.34, 0.30, 0.44, 0.48, 0.50, 0.54)),
    Material("magenta paint", _KNOTS, (0.52, 0.36, 0.16, 0.38, 0.62, 0.66, 0.64, 0.60, 0.34, 0.44, 0.28, 0.20)),
)


def reflectance(material: Material, wavelengths: Floats) -> Floats:
    """The material's reflectances at these wavelengths in micrometres, from 0 to 1."""
    return np.interp(wavelengths, material.wavelengths, material.reflectances).astype(np.float32)


# Each takes coordinates in units of the shape's half size and gives a height that is positive inside, where it
# grows by about 1 for each unit of distance from the edge.
_HEIGHTS: dict[str, Callable[[Floats, Floats], NDArray[np.floating]]] = {
    "disc": lambda x, y: 1 - np.hypot(x, y),
    "cross": lambda x, y: np.minimum(0.3 - np.minimum(np.abs(x), np.abs(y)), 1 - np.maximum(np.abs(x), np.abs(y))),
    "bars": lambda x, y: np.minimum(0.2 - np.abs(np.abs(x) - 0.6), 0.9 - np.abs(y)),
    "ring": lambda x, y: 0.25 - np.abs(np.hypot(x, y) - 0.75),
    "triangle": lambda x, y: 0.5 - np.maximum(y, 0.866 * np.abs(x) - 0.5 * y),
    "square": lambda x, y: 0.85 - np.maximum(np.abs(x), np.abs(y)),
    "crescent": lambda x, y: np.minimum(1 - np.hypot(x, y), np.hypot(x - 0.5, y) - 0.75),
    "frame": lambda x, y: 0.2 - np.abs(np.maximum(np.abs(x), np.abs(y)) - 0.65),
}
SHAPES = tuple(_HEIGHTS)


def draw_shape(name: str, size: int, poses: Floats) -> Floats:
    """How much of each pixel a shape covers.

    Args:
        name: one of ``SHAPES``.
        size: side of the images in pixels.
        poses: shape (N, 4): centre x and y, half size, angle in radians; lengths in units of half an image.

    Returns:
        Shape (N, size, size), from 0 to 1, smooth over about a pixel at the edge.
    """
    x, y, half_size, angle = (column[:, None, None] for column in poses.T)
    axis = (np.arange(size, dtype=np.float32) * 2 + 1) / size - 1
    dx, dy = axis[None, None, :] - x, axis[None, :, None] - y
    along = (dx * np.cos(angle) + dy * np.sin(angle)) / half_size
    across = (dy * np.cos(angle) - dx * np.sin(angle)) / half_size
    pixels_inside = _HEIGHTS[name](along, across) * half_size * (size / 2)
    return np.clip(pixels_inside + 0.5, 0, 1).astype(np.float32)
