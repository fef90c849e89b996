"""Sensors' bands, and finding bands by name or wavelength."""

from __future__ import annotations

import re

import pytest

from anychan.channels import Channel, ChannelSet
from anychan.sensors import SENSORS, find, match, sensor


def test_the_sensors_have_the_bands_that_their_files_have() -> None:
    assert {name: len(bands) for name, bands in SENSORS.items()} == {
        "rgb": 3,
        "rgb-nir": 4,
        "sentinel-2-l1c": 13,
        "sentinel-2-l2a": 12,
        "landsat-8-9-oli": 9,
        "landsat-8-9": 11,
        "naip": 4,
        "cell-painting": 5,
        "cell-painting-brightfield": 6,
    }
    assert set(sensor("sentinel-2-l1c").names) - set(sensor("sentinel-2-l2a").names) == {"B10"}
    assert sensor("rgb") == ChannelSet.parse("RGB")


def test_no_two_bands_of_a_sensor_are_mistaken_for_each_other() -> None:
    for bands in SENSORS.values():
        renamed = ChannelSet(Channel(f"other-{band.name}", band.wavelength) for band in bands)
        found = match(renamed, bands)
        assert found == {f"other-{band.name}": band.name for band in bands if band.wavelength is not None}


def test_landsat_is_found_in_sentinel_by_wavelength_not_by_position() -> None:
    wanted = ChannelSet(Channel(f"L{band.name}", band.wavelength) for band in sensor("landsat-8-9-oli"))
    assert match(wanted, sensor("sentinel-2-l1c")) == {
        "LB1": "B01", "LB2": "B02", "LB3": "B03", "LB4": "B04", "LB5": "B8A", "LB6": "B11", "LB7": "B12", "LB9": "B10",
    }  # fmt: skip


def test_names_come_first_and_a_name_that_means_another_band_is_refused() -> None:
    there = ChannelSet([Channel("a", 0.66), Channel("red", 0.70)])
    assert match(ChannelSet([Channel("red", 0.66)]), there) == {"red": "red"}
    with pytest.raises(ValueError, match=r"'B8' is at 0\.8328 micrometres, but .* at 0\.5895"):
        match(ChannelSet([Channel("B8", 0.8328)]), sensor("landsat-8-9-oli"))


def test_a_band_is_taken_once_and_a_choice_is_not_guessed() -> None:
    there = ChannelSet([Channel("a", 0.660), Channel("b", 0.662)])
    with pytest.raises(ValueError, match=r"'red' of 0\.661 micrometres may be 'a' \(0\.66\) or 'b' \(0\.662\)"):
        match(ChannelSet([Channel("red", 0.661)]), there)
    assert match(ChannelSet([Channel("b"), Channel("red", 0.661)]), there) == {"b": "b", "red": "a"}
    twins = ChannelSet([Channel("red", 0.66), Channel("rouge", 0.66)])
    with pytest.raises(ValueError, match=r"'a' of 0\.66 micrometres may be 'red' \(0\.66\) or 'rouge' \(0\.66\)"):
        match(twins, there[:1])
    assert match(twins, ChannelSet([Channel("rouge", 0.66), Channel("a", 0.66)])) == {"rouge": "rouge", "red": "a"}


def test_a_band_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=re.escape("photo.tif: there is no channel 'NIR' (0.84 micrometres); there")):
        find(sensor("rgb-nir"), sensor("rgb"), "photo.tif")
    with pytest.raises(ValueError, match=r"no channel 'DNA'; there are R,G,B"):
        find(ChannelSet(["DNA"]), sensor("rgb"))
    with pytest.raises(ValueError, match=r"unknown sensor 'sentinel'; there are rgb, rgb-nir, sentinel-2-l1c"):
        sensor("sentinel")
    assert find(ChannelSet.parse("BR"), sensor("rgb-nir")) == [2, 0]
