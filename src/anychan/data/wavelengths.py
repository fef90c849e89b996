"""Wavelengths as files and people write them -> micrometres."""

from __future__ import annotations

import math

from anychan.data.findings import BrokenFileError

_UNITS = {
    "nm": 1e-3, "nanometer": 1e-3, "nanometers": 1e-3, "nanometre": 1e-3, "nanometres": 1e-3,
    "um": 1.0, "\u00b5m": 1.0, "\u03bcm": 1.0, "micrometer": 1.0, "micrometers": 1.0, "micrometre": 1.0,
    "micrometres": 1.0, "micron": 1.0, "microns": 1.0,
}  # fmt: skip
# Without a unit the number tells: light and heat are of 0.1 to 30 micrometres, 100 to 30,000 nanometres.
_MICROMETRES, _NANOMETRES = (0.1, 30.0), (100.0, 30_000.0)


def micrometres(value: object, unit: str | None = None) -> float:
    """A wavelength in micrometres.

    Args:
        value: a number or its text.
        unit: "nm" or "um" or their names; None: 0.1 to 30 are micrometres, 100 to 30,000 nanometres.

    Raises:
        BrokenFileError: for what is no positive number, an unknown unit, or a number that may be of either unit.

    Example:
        >>> micrometres("665"), micrometres(0.842), micrometres("10895", "Nanometers")
        (0.665, 0.842, 10.895)
    """
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise BrokenFileError("unreadable", f"has the wavelength {str(value)!r}, which is no positive number")
    if unit is not None:
        if unit.strip().lower() not in _UNITS:
            raise BrokenFileError("unreadable", f"has a wavelength in {unit!r}; known are nm and um")
        return round(number * _UNITS[unit.strip().lower()], 9)
    if _MICROMETRES[0] <= number <= _MICROMETRES[1]:
        return number
    if _NANOMETRES[0] <= number <= _NANOMETRES[1]:
        return round(number / 1000, 9)
    raise BrokenFileError("unreadable", f"has the wavelength {number:g} without its unit, nm or um")
