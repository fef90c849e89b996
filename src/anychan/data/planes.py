"""Which plane of which image a file of one channel is, as its name tells.

    {id}_ch1.tif                        # of itself
    files: "{id}_w{channel}.tif"        # as bands.yaml says: A01_s1_w1.tif, A01_s1_w2.tif, ...
    files: "{id}-ch{channel}sk1.tiff"
    files: "{channel}_{id}.png"         # DNA_7.png, ER_7.png, where bands have these names
    files: "{id}"                       # each file is an image by itself

``{id}`` is any text, and may stand in several places. ``{channel}`` is a number, that of a band from 1 on, or a name,
that of a band or one that ``bands`` gives a band for. What is around them is as it is written. The planes of an image
lie in one folder; the image is called as they are, with ``*`` for the channel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from anychan.data.folders import IMAGE_SUFFIXES

ALONE = "{id}"
_NUMBERED = re.compile(r"_ch(?P<number>\d{1,3})(?P<suffix>\.(?:tiff?|png|jpe?g|npy))\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Plane:
    """A file of one channel.

    Args:
        image: the path of the image that it is a plane of.
        label: what the file's name calls the channel: "ch1" in ``x_ch1.tif``, "1" or "DNA" where a pattern is said.
        number: the channel's, if it is no name.
    """

    image: str
    label: str
    number: int | None = None

    @property
    def order(self) -> tuple[int, str]:
        """By which planes are sorted: numbers as such, then names."""
        return (1000, self.label) if self.number is None else (self.number, "")


def plane_of(path: str, files: str | None = None) -> Plane | None:
    """Which plane a file is; None: it is an image by itself.

    Args:
        path: of the file, with ``/`` between its parts.
        files: how files of one channel are called; None: ``{id}_ch1.tif``.

    Example:
        >>> plane_of("train/a/x_ch2.tif")
        Plane(image='train/a/x_ch*.tif', label='ch2', number=2)
        >>> plane_of("x-DNA.png", "{id}-{channel}.png")
        Plane(image='x-*.png', label='DNA', number=None)
    """
    if files is None:
        found = _NUMBERED.search(path)
        if found is None or not found.start():
            return None
        number = int(found["number"])
        return Plane(f"{path[: found.start()]}_ch*{found['suffix']}", f"ch{number}", number)
    folder, slash, name = path.rpartition("/")
    member = None if files == ALONE else pattern(files).fullmatch(name)
    if member is None:
        return None
    start, end = member.span("channel")
    image, text = f"{folder}{slash}{name[:start]}*{name[end:]}", member["channel"]
    if text.isascii() and text.isdecimal() and len(text) <= 3:
        return Plane(image, str(int(text)), int(text))
    return Plane(image, text)


@cache
def pattern(files: str) -> re.Pattern[str]:
    """What the name of a file of one channel must be to fit, with the group ``channel``.

    Raises:
        ValueError: for what is no such pattern.

    Example:
        >>> pattern("{id}_w{channel}.tif").fullmatch("A01_w12.tif")["channel"]
        '12'
    """
    wrong = _wrong_with(files)
    if wrong:
        raise ValueError(f"files {files!r} {wrong}: it is to be as '{{id}}_w{{channel}}.tif' or '{ALONE}'")
    groups = {"{id}": "(.+)", "{channel}": "(?P<channel>.+?)"}
    parts = re.split(r"(\{id\}|\{channel\})", files)
    return re.compile("".join(groups.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _wrong_with(files: str) -> str | None:
    if files == ALONE:
        return None
    around = files.replace("{id}", "").replace("{channel}", "")
    faults = {
        "has not one {channel} and an {id}": files.count("{channel}") != 1 or "{id}" not in files,
        "has a brace, a star or a folder in it": any(letter in around for letter in "{}*/\\"),
        "has nothing between {id} and {channel}": "}{" in files,
        "does not end as names of images do": not files.rpartition("}")[2].lower().endswith(IMAGE_SUFFIXES),
    }
    return next((fault for fault, found in faults.items() if found), None)
