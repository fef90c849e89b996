"""Built-in images: bright shapes of known materials before a mottled ground, seen in any number of bands.

A class is a shape and a material, so that neither outlines nor brightness alone tell classes apart: "vegetation
disc" differs from "soil disc" only by its spectrum, and from "vegetation square" only by its outline. Position,
size, angle, illumination, ground and noise vary from image to image. One band shows a material only as a
brightness, which the illumination varies too; several bands show it.

Image i of a split depends on the seed, the split, i, and the bands, size and number of classes, and on nothing
else: the first images of a larger set are those of a smaller one.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anychan.channels import Channel, ChannelSet
from anychan.data.dataset import Dataset, Picture, Pixels, Sample
from anychan.data.findings import BrokenFileError
from anychan.data.resize import resize_planes
from anychan.data.synthetic_shapes import MATERIALS, SHAPES, draw_shape, reflectance
from anychan.sensors import sensor

SPEC_PREFIX = "synthetic"
_VERSION = 1  # of the pictures: counts into what tells them apart
_CHUNK = 256
_CHUNKS_KEPT = 4
_MOST_AT_ONCE = 2**28  # numbers of a chunk, which takes some 21 bytes for each while it is made
_SPLITS = ("train", "val", "test")
_LIMITS = {
    "bands": (1, 1000),
    "train": (1, 10**7),
    "val": (1, 10**7),
    "test": (1, 10**7),
    "size": (8, 1024),
    "classes": (2, len(SHAPES) * len(MATERIALS)),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True)
class SyntheticSpec:
    """How many synthetic images of what.

    Args:
        bands: number of channels: 3 are R, G, B; 4 are R, G, B, NIR; others B01, B02, ... with wavelengths evenly
            from 0.44 to 2.2 micrometres.
        train, val, test: number of images in each split.
        size: side of an image in pixels, 8 or more.
        classes: 2 to 64.
        seed: another seed gives other images of the same classes.
        sensor: one of ``anychan.sensors`` whose bands all have a wavelength, in place of ``bands``: other sensors see
            the same scenes.

    Raises:
        ValueError: for a value out of its range, and for a size with so many bands that making them fills the memory.
    """

    bands: int = 4
    train: int = 2000
    val: int = 300
    test: int = 600
    size: int = 32
    classes: int = 9
    seed: int = 0
    sensor: str = ""

    def __post_init__(self) -> None:
        if self.sensor:
            if None in (known := sensor(self.sensor)).wavelengths:
                raise ValueError(f"synthetic: the sensor {self.sensor} sees what has no wavelength")
            object.__setattr__(self, "bands", len(known))
        for key, (smallest, largest) in _LIMITS.items():
            if not smallest <= getattr(self, key) <= largest:
                raise ValueError(f"synthetic: {key}={getattr(self, key)} is not between {smallest} and {largest}")
        if (numbers := _CHUNK * self.size**2 * self.bands) > _MOST_AT_ONCE:
            raise ValueError(
                f"synthetic: size={self.size} with {self.bands} bands would make {numbers:,} numbers at a time, for "
                f"{_CHUNK} images; up to {_MOST_AT_ONCE:,} fit into memory"
            )

    @classmethod
    def parse(cls, text: str) -> SyntheticSpec:
        """Read ``"synthetic"`` or ``"synthetic:bands=5,train=2000"``; what is not named keeps its default.

        Raises:
            ValueError: for an unknown or repeated key, or a value that is no whole number or out of its range.

        Example:
            >>> str(SyntheticSpec.parse("synthetic:bands=5"))
            'synthetic:bands=5,train=2000,val=300,test=600,size=32,classes=9,seed=0'
        """
        known = [field.name for field in fields(cls)]
        values: dict[str, Any] = {}
        options = text.removeprefix(SPEC_PREFIX).removeprefix(":")
        for option in options.split(",") if options else []:
            key, _, value = (part.strip() for part in option.partition("="))
            if key not in known:
                raise ValueError(f"synthetic: unknown option {key!r}; there are {', '.join(known)}")
            if key in values:
                raise ValueError(f"synthetic: {key} is given twice")
            if key == "sensor":
                values[key] = value
                continue
            if not (value.isascii() and value.isdecimal()):
                raise ValueError(f"synthetic: {key}={value!r} is not a whole number, 0 or more")
            values[key] = int(value)
        if "bands" in values and "sensor" in values:
            raise ValueError("synthetic: bands and sensor are given, of which one says what the bands are")
        return cls(**values)

    def __str__(self) -> str:
        chosen = asdict(self)
        left_out = "bands" if self.sensor else "sensor"
        return f"{SPEC_PREFIX}:" + ",".join(f"{key}={value}" for key, value in chosen.items() if key != left_out)

    @property
    def channels(self) -> ChannelSet:
        if self.sensor:
            return sensor(self.sensor)
        rgb = ChannelSet.parse("RGB")
        if self.bands == 3:
            return rgb
        if self.bands == 4:
            return ChannelSet([*rgb, Channel("NIR", 0.84)])
        wavelengths = np.linspace(0.44, 2.2, self.bands).round(4).tolist()
        return ChannelSet(Channel(f"B{i:02d}", wavelength) for i, wavelength in enumerate(wavelengths, start=1))

    def shape_and_material(self, label: int) -> tuple[int, int]:
        """A grid as square as can be, so that classes share shapes and materials."""
        columns = int(np.ceil(np.sqrt(self.classes)))
        return label % columns, label // columns

    @property
    def class_names(self) -> tuple[str, ...]:
        pairs = (self.shape_and_material(label) for label in range(self.classes))
        return tuple(f"{MATERIALS[material].name} {SHAPES[shape]}" for shape, material in pairs)


def open_synthetic(text: str) -> Dataset:
    """The data set of a specification such as ``"synthetic:bands=5"``.

    Raises:
        ValueError: see ``SyntheticSpec.parse``.
    """
    spec = SyntheticSpec.parse(text)
    splits = {
        split: [Sample(f"{split}/{i:07d}.npy", i % spec.classes) for i in range(getattr(spec, split))]
        for split in _SPLITS
    }
    layout = "built-in synthetic images"
    source = SyntheticSource(spec)
    return Dataset(str(spec), source, _decode_npy, spec.channels, spec.class_names, splits, layout)


class SyntheticSource:
    """Makes the files that a set of synthetic images would consist of when they are read."""

    kept = False

    def __init__(self, spec: SyntheticSpec) -> None:
        self.name = str(spec)
        self._spec = spec
        self._chunks: OrderedDict[tuple[str, int], Pixels] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str) -> bytes:
        split, _, name = path.partition("/")
        number = name.removesuffix(".npy")
        if split not in _SPLITS or not number.isdecimal() or int(number) >= getattr(self._spec, split):
            raise BrokenFileError("missing", "is missing")
        chunk, index = divmod(int(number), _CHUNK)
        with self._lock:  # so that threads wait for a chunk, and do not all make it
            if (split, chunk) not in self._chunks:
                self._chunks[split, chunk] = make_images(self._spec, split, chunk)
                if len(self._chunks) > _CHUNKS_KEPT:
                    self._chunks.popitem(last=False)
            image = self._chunks[split, chunk][index]
        file = io.BytesIO()
        np.save(file, image, allow_pickle=False)
        return file.getvalue()

    def contents(self, paths: Sequence[str]) -> Mapping[str, str]:
        return {path: self.stamp(path) for path in paths}

    def stamp(self, path: str) -> str:
        bands, size, classes, seed = self._spec.bands, self._spec.size, self._spec.classes, self._spec.seed
        return f"{_VERSION}:{self._spec.sensor or bands}:{size}:{classes}:{seed}:{path}"


def _decode_npy(data: bytes, image_size: int | None) -> Picture:
    return Picture(resize_planes(np.load(io.BytesIO(data), allow_pickle=False), image_size))


def make_images(spec: SyntheticSpec, split: str, chunk: int) -> Pixels:
    """One chunk of a split: uint8, shape (256, size, size, bands); image i of the split has the label i % classes."""
    random = np.random.Generator(np.random.PCG64([spec.seed, _SPLITS.index(split), chunk]))
    labels = (chunk * _CHUNK + np.arange(_CHUNK)) % spec.classes
    pairs = np.array([spec.shape_and_material(label) for label in range(spec.classes)])[labels]
    wavelengths = np.array(spec.channels.wavelengths, dtype=np.float32)

    cover = np.empty((_CHUNK, spec.size, spec.size), dtype=np.float32)  # 1 on the shape, 0 on the ground
    poses = _draw_poses(random, _CHUNK)
    for shape in np.unique(pairs[:, 0]):
        chosen = pairs[:, 0] == shape
        cover[chosen] = draw_shape(SHAPES[shape], spec.size, poses[chosen])

    materials = np.stack([reflectance(material, wavelengths) for material in MATERIALS])
    body = _vary(random, materials[pairs[:, 1]], wavelengths)
    mixtures = random.dirichlet(np.full(len(MATERIALS), 0.8), _CHUNK).astype(np.float32)
    ground = _vary(random, 0.5 * mixtures @ materials, wavelengths)
    texture = _mottle(random, _CHUNK, spec.size)
    light = np.exp(random.normal(0, 0.2, (_CHUNK, 1, 1, 1))).astype(np.float32)
    noise = random.standard_normal((_CHUNK, spec.size, spec.size, spec.bands), dtype=np.float32)

    mixed = ground[:, None, None] + cover[..., None] * (body - ground)[:, None, None]
    images = mixed * light * texture[..., None] + 0.04 * noise
    return np.clip(images * 255 + 0.5, 0, 255).astype(np.uint8)


def _draw_poses(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Centre x and y, half size and angle of each shape, in units of half an image; shape (count, 4)."""
    half_size = random.uniform(0.4, 0.7, count)
    room = 0.95 - half_size
    x, y = random.uniform(-1, 1, (2, count)) * room
    return np.stack([x, y, half_size, random.uniform(-0.4, 0.4, count)], axis=1).astype(np.float32)


def _vary(
    random: np.random.Generator, spectra: NDArray[np.floating], wavelengths: NDArray[np.float32]
) -> NDArray[np.float32]:
    """No two samples of a material are alike: their brightness and the slope of their spectra differ."""
    centred = (wavelengths - 1.3) / 0.9
    gain = np.exp(random.normal(0, 0.35, (len(spectra), 1)))
    slope = random.normal(0, 0.1, (len(spectra), 1))
    return (spectra * gain * (1 + slope * centred)).astype(np.float32)


def _mottle(random: np.random.Generator, count: int, size: int) -> NDArray[np.float32]:
    """Smooth spots of light and shade about 1: a coarse grid of random values, interpolated; (count, size, size)."""
    coarse = 5
    position = np.linspace(0, coarse - 1, size)
    weights = np.clip(1 - np.abs(position[:, None] - np.arange(coarse)), 0, None).astype(np.float32)
    grid = 1 + 0.15 * random.standard_normal((count, coarse, coarse), dtype=np.float32)
    mottled: NDArray[np.float32] = weights @ grid @ weights.T
    return mottled
