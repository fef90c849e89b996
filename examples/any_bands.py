"""Train on thirteen bands, then ask about three of them, about infrared alone, and about sensors that were never seen.

    python examples/any_bands.py
    python examples/any_bands.py --epochs 12 --images 3000

Nothing is fetched: the scenes are built in. Shapes of vegetation, soil, water, snow, ... lie before a mottled ground,
with spectra like those of the real materials: vegetation's steep rise behind the red, water that swallows the infrared,
snow that is bright until the short-wave infrared and dark there. The classes are pairs of material and shape, so that
what a band tells of the material counts.

For files of your own only the first step differs: `open_dataset("tiles", "sentinel-2-l2a")`, or a `bands.yaml` in the
folder, which says what the planes of the files are (`anychan.data.bands`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

import anychan
from anychan.channels import ChannelSet
from anychan.data import load_split, open_dataset, split_statistics
from anychan.models import create_model
from anychan.sensors import match

RGB = "B04,B03,B02"
NIR_SWIR = "B08,B11,B12"
OTHER_SENSORS = ("landsat-8-9-oli", "rgb-nir")


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Run the tutorial; the accuracy on each channel set and sensor."""
    options = parse(arguments)
    torch.manual_seed(0)

    # 1. The data: what a Sentinel-2 satellite would see of the scenes, in thirteen bands. Each band has a name and a
    # wavelength; from here on planes are found by these and never by their position.
    x, y, channels, classes = normalised("sentinel-2-l1c", "train", options)
    print("train on", ", ".join(f"{band.name} ({band.wavelength:.3g} um)" for band in channels))

    # 2. The model. Strategy "spectral" makes the kernel of a band from its wavelength, by a small network that is
    # trained with all the rest: so there is a kernel for wavelengths that were never seen, too. Group normalisation
    # keeps no statistics of the images, which would differ from one subset of the bands to another. It is the simplest
    # way; where it costs accuracy, as it did on photographs (docs/theory/normalisation.md), `recalibrate` is the other.
    model = create_model(
        "wide4", channels, classes, "spectral", model_options={"width": options.width}, normalisation="group"
    )

    # 3. Train. Each step sees another subset of the bands, small ones as often as large ones, so that the model learns
    # to answer from whatever there is.
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(options.epochs):
        for rows in torch.randperm(len(y), generator=generator).split(64):
            subset = anychan.sample_channels(channels, "hierarchical", generator)
            planes = list(channels.indices(subset))
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows][:, planes], channels=subset), y[rows]).backward()
            optimizer.step()

    # 4. Test on scenes that were not trained on: with all bands, with red, green and blue only, and with near and
    # short-wave infrared only. It is the same model each time, and nothing is trained anew.
    model.eval()
    x, y, _, _ = normalised("sentinel-2-l1c", "test", options)
    results = {
        name: accuracy(model, x[:, list(channels.indices(names))], y, channels.subset(names))
        for name, names in {"all 13 bands": channels.names, "RGB": RGB, "NIR+SWIR": NIR_SWIR}.items()
    }

    # 5. Sensors that were never seen: another satellite, and a camera with one infrared band. They look at the same
    # scenes, at wavelengths of their own: some of their bands are found among those that were trained on, the others
    # are new. A band's mean and deviation are needed to normalise it; they come from images of that sensor, whose
    # labels nobody has to know.
    for sensor in OTHER_SENSORS:
        x, y, bands, _ = normalised(sensor, "test", options)
        known = match(renamed(bands, sensor), channels)
        results[sensor] = accuracy(model, x, y, renamed(bands, sensor))
        print(f"{sensor}: {len(known)} of its {len(bands)} bands were trained on, {len(bands) - len(known)} never")

    print(f"\nAccuracy on {len(y)} test images; chance is {1 / classes:.3f}")
    for name, value in results.items():
        print(f"{name:20} {value:.3f}")
    return results


def normalised(sensor: str, split: str, options: argparse.Namespace) -> tuple[Tensor, Tensor, ChannelSet, int]:
    """Images (N, C, H, W), each channel with mean 0 and deviation 1 over training images; labels, channels, classes."""
    spec = f"synthetic:sensor={sensor},train={options.images},test={options.images // 3},size={options.size}"
    dataset = open_dataset(spec)
    statistics = split_statistics(load_split(dataset, "train", options.size))
    array = load_split(dataset, split, options.size)
    mean, std = (value.float()[:, None, None] for value in (statistics.mean, statistics.std))
    return (array.values(array.images) - mean) / std, array.labels, dataset.channels, len(dataset.classes)


def renamed(bands: ChannelSet, sensor: str) -> ChannelSet:
    """Names that say whose they are: the B8 of one satellite is not the B08 of another."""
    return ChannelSet(anychan.Channel(f"{sensor}:{band.name}", band.wavelength) for band in bands)


@torch.inference_mode()
def accuracy(model: anychan.AnyChannelModel, x: Tensor, y: Tensor, channels: ChannelSet) -> float:
    right = [
        (model(some, channels=channels).argmax(1) == labels).sum()
        for some, labels in zip(x.split(256), y.split(256), strict=True)
    ]
    return float(sum(right)) / len(y)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1800, help="to train on; a third as many to test on")
    parser.add_argument("--size", type=int, default=32, help="side of an image in pixels")
    parser.add_argument("--width", type=int, default=24, help="of the network")
    parser.add_argument("--epochs", type=int, default=8)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
