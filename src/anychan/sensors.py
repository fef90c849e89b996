"""Sensors whose bands are known, and how bands of one place are found in another: by name or wavelength.

Centre wavelengths in micrometres, from:

- ``sentinel-2-l1c``, ``sentinel-2-l2a``: ESA's table of the Multispectral Instrument's spectral bands (SentiWiki, "S2
  Mission"), the values of Sentinel-2A; 2B and 2C differ by up to 0.02. Level 2A has no B10, which sees no ground.
- ``landsat-8-9-oli``, ``landsat-8-9``: Barsi et al., "The Spectral Response of the Landsat-8 Operational Land Imager"
  (Remote Sensing 6, 2014, doi:10.3390/rs61010232), and the USGS band designations of TIRS for B10 and B11.
- ``naip``: middles of the ranges of Leica's ADS100; the programme flies cameras of several makes.
- ``rgb``, ``rgb-nir``: round values of a camera.
- ``cell-painting``, ``cell-painting-brightfield``: the five images of Bray et al. (Nature Protocols 11, 2016,
  doi:10.1038/nprot.2016.105). A stain has no wavelength: what it marks is its meaning, and its name says it.
"""

from __future__ import annotations

from anychan.channels import Channel, ChannelSet, check_meaning, is_near

# Two bands are the same if their wavelengths differ by no more than this share. The blues of Sentinel-2 and Landsat 8
# do, by 2.2 %; the two bands of either that are nearest to each other do not, by 3.8 %.
SAME_BAND = 0.025

_SENTINEL_2 = {
    "B01": 0.4427, "B02": 0.4927, "B03": 0.5598, "B04": 0.6646, "B05": 0.7041, "B06": 0.7405, "B07": 0.7828,
    "B08": 0.8328, "B8A": 0.8647, "B09": 0.9451, "B10": 1.3735, "B11": 1.6137, "B12": 2.2024,
}  # fmt: skip
_LANDSAT_OLI = {
    "B1": 0.4430, "B2": 0.4820, "B3": 0.5614, "B4": 0.6546, "B5": 0.8647, "B6": 1.6089, "B7": 2.2007,
    "B8": 0.5895, "B9": 1.3734,
}  # fmt: skip
_BANDS: dict[str, dict[str, float | None]] = {
    "rgb": {"R": 0.600, "G": 0.540, "B": 0.460},
    "rgb-nir": {"R": 0.600, "G": 0.540, "B": 0.460, "NIR": 0.840},
    "sentinel-2-l1c": {**_SENTINEL_2},
    "sentinel-2-l2a": {name: wavelength for name, wavelength in _SENTINEL_2.items() if name != "B10"},
    "landsat-8-9-oli": {**_LANDSAT_OLI},
    "landsat-8-9": {**_LANDSAT_OLI, "B10": 10.895, "B11": 12.005},
    "naip": {"R": 0.635, "G": 0.555, "B": 0.465, "NIR": 0.845},
    "cell-painting": dict.fromkeys(("DNA", "ER", "RNA", "AGP", "Mito")),
    "cell-painting-brightfield": dict.fromkeys(("DNA", "ER", "RNA", "AGP", "Mito", "Brightfield")),
}
SENSORS: dict[str, ChannelSet] = {
    sensor: ChannelSet(Channel(name, wavelength) for name, wavelength in bands.items())
    for sensor, bands in _BANDS.items()
}


def sensor(name: str) -> ChannelSet:
    """The bands of a sensor, in the order in which its files usually have them.

    Raises:
        ValueError: if the sensor is not known.

    Example:
        >>> len(sensor("sentinel-2-l1c")), "B10" in sensor("sentinel-2-l2a")
        (13, False)
    """
    if name not in SENSORS:
        raise ValueError(f"unknown sensor {name!r}; there are {', '.join(SENSORS)}")
    return SENSORS[name]


def match(wanted: ChannelSet, there: ChannelSet, tolerance: float = SAME_BAND) -> dict[str, str]:
    """Which band of one set is which of another: the one of the same name, else the one of the same wavelength.

    Args:
        wanted: the bands that are looked for.
        there: the bands that there are.
        tolerance: by what share wavelengths may differ to be the same.

    Returns:
        The name there of each wanted band that is there, by its name in ``wanted``, in that order.

    Raises:
        ValueError: if a name stands for wavelengths more than 15 % apart, or two bands are as near as ``tolerance``,
            so that it is not known which is meant.

    Example:
        >>> match(ChannelSet([Channel("red", 0.655), Channel("thermal", 11.0)]), sensor("sentinel-2-l2a"))
        {'red': 'B04'}
    """
    found: dict[str, str] = {}
    by_name = {channel.name: channel for channel in there}
    for channel in wanted:
        if channel.name in by_name:
            check_meaning(channel, by_name[channel.name])
            found[channel.name] = channel.name
    taken = set(found.values())
    for channel in wanted:
        if channel.name in found or channel.wavelength is None:
            continue
        near = [other for other in there if is_near(channel, other, tolerance) and other.name not in taken]
        if len(near) > 1:
            raise ValueError(
                f"channel {channel.name!r} of {channel.wavelength:g} micrometres may be "
                f"{' or '.join(f'{other.name!r} ({other.wavelength:g})' for other in near)}: name the one that is meant"
            )
        if near:
            rivals = [
                other
                for other in wanted
                if other.name != channel.name and other.name not in found and is_near(other, near[0], tolerance)
            ]
            if rivals:
                raise ValueError(
                    f"channel {near[0].name!r} of {near[0].wavelength:g} micrometres may be "
                    f"{' or '.join(f'{one.name!r} ({one.wavelength:g})' for one in (channel, *rivals))}: "
                    "name the one that is meant"
                )
            found[channel.name] = near[0].name
            taken.add(near[0].name)
    return {channel.name: found[channel.name] for channel in wanted if channel.name in found}


def find(wanted: ChannelSet, there: ChannelSet, what: str = "the data", tolerance: float = SAME_BAND) -> list[int]:
    """Positions in ``there`` of every wanted band; see ``match``.

    Raises:
        ValueError: as ``match``, and for a band that is not there; it names the band.

    Example:
        >>> find(ChannelSet.parse("B04,B08"), sensor("sentinel-2-l2a"))
        [3, 7]
    """
    found = match(wanted, there, tolerance)
    for channel in wanted:
        if channel.name not in found:
            at = "" if channel.wavelength is None else f" ({channel.wavelength:g} micrometres)"
            raise ValueError(f"{what}: there is no channel {channel.name!r}{at}; there are {','.join(there.names)}")
    return list(there.indices(tuple(found.values())))
