"""Built-in images are the same everywhere, quick to make, and need their channels."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from anychan.data import load_split, open_dataset
from anychan.data.findings import BrokenFileError
from anychan.data.synthetic import SyntheticSpec, make_images
from anychan.data.synthetic_shapes import MATERIALS, SHAPES, draw_shape


def pixels(text: str, split: str = "train") -> torch.Tensor:
    dataset = open_dataset(text)
    return load_split(dataset, split, SyntheticSpec.parse(text).size).images


def test_counts_names_and_labels() -> None:
    dataset = open_dataset("synthetic:bands=5,train=20,val=7,test=9,classes=6,size=16")
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 20, "val": 7, "test": 9}
    assert dataset.classes == (
        *("vegetation disc", "vegetation cross", "vegetation bars"),
        *("soil disc", "soil cross", "soil bars"),
    )
    assert [sample.label for sample in dataset.splits["train"]][:8] == [0, 1, 2, 3, 4, 5, 0, 1]
    assert dataset.name == "synthetic:bands=5,train=20,val=7,test=9,size=16,classes=6,seed=0"
    assert dataset.description["splits"]["train"] == 20


@pytest.mark.parametrize("classes", range(3, 65))
def test_classes_differ_by_shape_or_spectrum_and_share_them(classes: int) -> None:
    names = SyntheticSpec(classes=classes).class_names
    assert len(set(names)) == classes
    material, shape = zip(*(name.rsplit(" ", 1) for name in names), strict=True)
    assert len(set(material)) < classes
    assert len(set(shape)) < classes
    assert min(len(set(material)), len(set(shape))) >= 2


@pytest.mark.parametrize(
    ("bands", "names"),
    [(1, "B01"), (2, "B01,B02"), (3, "RGB"), (4, "R,G,B,NIR"), (6, "B01,B02,B03,B04,B05,B06")],
)
def test_channels(bands: int, names: str) -> None:
    channels = open_dataset(f"synthetic:bands={bands}").channels
    assert str(channels) == names
    assert all(wavelength is not None for wavelength in channels.wavelengths)
    if bands == 6:
        assert (channels.wavelengths[0], channels.wavelengths[-1]) == (0.44, 2.2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("synthetic:colour=1", "unknown option 'colour'; there are bands, train"),
        ("synthetic:bands=0", "bands=0 is not between 1 and"),
        ("synthetic:size=1024,bands=13", "size=1024 with 13 bands would make 3,489,660,928 numbers at a time"),
        ("synthetic:size=1024,sensor=naip", "size=1024 with 4 bands would make 1,073,741,824 numbers"),
        ("synthetic:classes=65", "classes=65 is not between 2 and 64"),
        ("synthetic:train=0", "train=0"),
        ("synthetic:size=4", "size=4"),
        ("synthetic:train=many", "train='many' is not a whole number"),
        ("synthetic:train=-1", "train='-1'"),
        ("synthetic:train", "train='' is not"),
        ("synthetic:train=1,train=2", "train is given twice"),
        ("synthetic:train=1,", "unknown option ''"),
    ],
)
def test_bad_options_are_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        open_dataset(text)


def test_images_follow_from_the_seed_alone() -> None:
    small, large = pixels("synthetic:train=40,size=16"), pixels("synthetic:train=300,size=16")
    assert small.equal(large[:40])
    assert not small.equal(pixels("synthetic:train=40,size=16,seed=1"))
    assert not small.equal(pixels("synthetic:test=40,size=16", "test"))
    assert len({image.numpy().tobytes() for image in large}) == 300


def test_images_are_what_they_were() -> None:
    """The first pixels, kept here: another version of the images needs another ``_VERSION``."""
    images = make_images(SyntheticSpec(bands=3, size=8), "train", 0)
    np.testing.assert_allclose(images[0, 0, :2].astype(int), [[26, 24, 26], [27, 13, 19]], atol=1)
    assert images.astype(float).mean() == pytest.approx(62.845, abs=0.05)


def test_thousands_are_quick() -> None:
    started = time.process_time()
    load_split(open_dataset("synthetic:bands=4,train=3000,size=32"), "train", 32)
    assert time.process_time() - started < 3


def test_files_that_are_not_there() -> None:
    source = open_dataset("synthetic:train=5,val=2,test=2").source
    for path in ("train/0000005.npy", "other/0000000.npy", "train/x.npy"):
        with pytest.raises(BrokenFileError, match="missing"):
            source.read(path)


def test_one_band_tells_materials_apart_far_worse_than_all() -> None:
    """Nearest mean spectrum at the middle of large discs, a yardstick that knows nothing of networks."""
    spec = SyntheticSpec(bands=4, train=900)
    images = np.concatenate([make_images(spec, "train", chunk) for chunk in range(4)])[:900].astype(float)
    labels = np.arange(900) % spec.classes
    material = np.array([spec.shape_and_material(label)[1] for label in labels])
    spread = images.reshape(900, -1, 4)
    # What stands out from the ground, which is what most of the picture is.
    ground = np.median(spread, axis=1, keepdims=True)
    distance = np.linalg.norm(spread - ground, axis=2)
    chosen = np.argsort(distance, axis=1)[:, -60:]
    colour = np.log1p(np.take_along_axis(spread, chosen[..., None], axis=1).mean(1))

    def accuracy(features: np.ndarray) -> float:
        centres = np.stack([features[:450][material[:450] == m].mean(0) for m in range(3)])
        guess = np.linalg.norm(features[450:, None] - centres, axis=2).argmin(1)
        return float((guess == material[450:]).mean())

    together = accuracy(colour - colour.mean(1, keepdims=True))  # only ratios of bands
    alone = [accuracy(colour[:, [band]]) for band in range(4)]
    assert together > 0.75
    assert max(alone) < together - 0.15


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_drawn_where_they_should(name: str) -> None:
    poses = np.array([[0, 0, 0.6, 0], [0.3, -0.3, 0.4, 0.2]], dtype=np.float32)
    cover = draw_shape(name, 64, poses)
    assert cover.shape == (2, 64, 64)
    assert (cover.min(), cover.max()) == (0, 1)
    area = cover.mean(axis=(1, 2))
    assert 0.05 < area[0] < 0.4
    assert area[1] / area[0] == pytest.approx((0.4 / 0.6) ** 2, rel=0.1)
    rows, columns = np.nonzero(cover[1] > 0.5)
    assert columns.mean() > 32
    assert rows.mean() < 32


def test_spectra_differ() -> None:
    table = np.array([material.reflectances for material in MATERIALS])
    assert ((table > 0) & (table < 1)).all()
    shapes = table / np.linalg.norm(table, axis=1, keepdims=True)
    similarity = shapes @ shapes.T - np.eye(len(table))
    assert similarity.max() < 0.995


def test_other_sensors_see_the_same_scenes() -> None:
    assert str(SyntheticSpec.parse("synthetic:sensor=naip,train=9")) == (
        "synthetic:train=9,val=300,test=600,size=32,classes=9,seed=0,sensor=naip"
    )
    nine = open_dataset("synthetic:sensor=landsat-8-9-oli,train=9,size=16")
    four = open_dataset("synthetic:sensor=rgb-nir,train=9,size=16")
    assert (len(nine.channels), len(four.channels)) == (9, 4)
    assert nine.fingerprint(nine.splits["train"]) != four.fingerprint(four.splits["train"])
    infrared = [
        [
            dataset.decode(dataset.source.read(f"train/{row:07d}.npy"), None).pixels[..., plane].ravel()
            for row in range(9)
        ]
        for dataset, plane in ((nine, 4), (four, 3))  # 0.8647 and 0.84 micrometres
    ]
    alike = np.corrcoef(*infrared)[:9, 9:]  # nine images by nine images
    assert alike.diagonal().mean() > 0.4 + alike[~np.eye(9, dtype=bool)].mean()
    with pytest.raises(ValueError, match="the sensor cell-painting sees what has no wavelength"):
        SyntheticSpec.parse("synthetic:sensor=cell-painting")
    with pytest.raises(ValueError, match="bands and sensor are given"):
        SyntheticSpec.parse("synthetic:sensor=naip,bands=4")
