"""Which plane of which image a file of one channel is, as its name tells.

    {id}_ch1.tif                        # of itself; of these see ``grouped``:
    {id}-ch1sk1fk1fl1.tiff, {id}_w1.tif, {id}_B02.tif, {id}_red.png
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
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from anychan.data.folders import IMAGE_SUFFIXES
from anychan.sensors import SENSORS

ALONE = "{id}"
_SENTINEL_2 = SENSORS["sentinel-2-l1c"].names
_COLOURS = ("red", "green", "blue", "yellow")  # of the Human Protein Atlas
_NAMES = (*_SENTINEL_2, *_COLOURS)
# CellProfiler and many more; Phenix, as of JUMP; ImageXpress, as of RxRx1; and names.
_COMMON = re.compile(
    r"(?:_(?P<ch>ch)(?P<ch_number>\d{1,3})|-(?P<sk>ch)(?P<sk_number>\d{1,3})(?P<sk_rest>sk\d+(?:fk\d+fl\d+)?)"
    rf"|_(?P<w>w)(?P<w_number>\d{{1,3}})|_(?P<name>{'|'.join(_NAMES)}))(?P<suffix>\.(?:tiff?|png|jpe?g|npy))\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Plane:
    """A file of one channel.

    Args:
        image: the path of the image that it is a plane of.
        label: what the file's name calls the channel: "ch1" in ``x_ch1.tif``, "1" or "DNA" where a pattern is said.
        number: the channel's, if it is no name.
        way: in which common way it is called so: "ch", "sk", "w", "band", "colour"; "" where a pattern is said.
    """

    image: str
    label: str
    number: int | None = None
    way: str = ""

    @property
    def order(self) -> tuple[int, str]:
        """By which planes are sorted: numbers as such, then names."""
        if self.number is not None:
            return self.number, ""
        return 1000 + (_NAMES.index(self.label) if self.label in _NAMES else len(_NAMES)), self.label


def plane_of(path: str, files: str | None = None) -> Plane | None:
    """Which plane a file is; None: it is an image by itself.

    Args:
        path: of the file, with ``/`` between its parts.
        files: how files of one channel are called; None: in one of the common ways.

    Example:
        >>> plane_of("train/a/x_ch2.tif")
        Plane(image='train/a/x_ch*.tif', label='ch2', number=2, way='ch')
        >>> plane_of("x-DNA.png", "{id}-{channel}.png")
        Plane(image='x-*.png', label='DNA', number=None, way='')
    """
    if files is None:
        found = _COMMON.search(path)
        return _commonly(path, found) if found is not None and found.start() else None
    folder, slash, name = path.rpartition("/")
    member = None if files == ALONE else pattern(files).fullmatch(name)
    if member is None:
        return None
    start, end = member.span("channel")
    image, text = f"{folder}{slash}{name[:start]}*{name[end:]}", member["channel"]
    if text.isascii() and text.isdecimal() and len(text) <= 3:
        return Plane(image, str(int(text)), int(text))
    return Plane(image, text)


def _commonly(path: str, found: re.Match[str]) -> Plane:
    name, suffix = path[: found.start()], found["suffix"]
    if found["name"]:
        lower, upper = found["name"].lower(), found["name"].upper()
        label, way = (lower, "colour") if lower in _COLOURS else (upper, "band")
        return Plane(f"{name}_*{suffix}", label, None, way)
    way = next(way for way in ("ch", "sk", "w") if found[way])
    letters, number = found[way].lower(), int(found[f"{way}_number"])
    channel = f"-{letters}*{found['sk_rest']}" if way == "sk" else f"_{letters}*"
    return Plane(f"{name}{channel}{suffix}", f"{letters}{number}", number, way)


def grouped(paths: Iterable[str], files: str | None, is_plane: Callable[[str], bool]) -> dict[str, list[str]]:
    """The files of each image that has one a channel, in the order of their channels.

    Files called in another common way than ``{id}_ch1.tif`` may be pictures: ``car_red.png``. They are taken for planes
    where all images of their folder are called in that way, an image has several, and the first one's files hold a
    plane each.

    Args:
        paths: of the files, all of a folder or none.
        files: how those of one channel are called; None: in one of the common ways.
        is_plane: whether there is no more than one plane in a file.
    """
    paths, sure, perhaps = list(paths), _Images(), defaultdict[str, _Images](_Images)
    for path in paths:
        plane = plane_of(path, files)
        if plane is not None:
            images = sure if plane.way in ("", "ch") else perhaps[path.rpartition("/")[0]]
            images[plane.image].append((plane, path))
    if perhaps:  # else nothing more need be asked of what may be very many files
        count: dict[str, int] = defaultdict(int)
        for path in paths:
            count[path.rpartition("/")[0]] += path.lower().endswith(IMAGE_SUFFIXES)
        for folder, images in perhaps.items():
            if _are_planes(images, count[folder], is_plane):
                sure.update(images)
    return {
        image: [path for _, path in sorted(planes, key=lambda one: (one[0].order, one[1]))]
        for image, planes in sure.items()
    }


class _Images(defaultdict[str, list[tuple[Plane, str]]]):
    """The planes of each image, by its path."""

    def __init__(self) -> None:
        super().__init__(list)


def _are_planes(images: _Images, of_folder: int, is_plane: Callable[[str], bool]) -> bool:
    planes = [plane for of_image in images.values() for plane, _ in of_image]
    if len(planes) < of_folder or len({plane.way for plane in planes}) > 1:
        return False
    several = next((of_image for of_image in images.values() if len(of_image) > 1), [])
    return bool(several) and all(is_plane(path) for _, path in several)


# Anywhere in a name, but for colours, which stand in many.
_WITHIN = re.compile(
    r"[_-](?:ch|w)(?P<number>\d{1,3})(?=sk\d|[_.-])"
    rf"|[_-](?P<band>{'|'.join(_SENTINEL_2)})(?=[_.-])|_(?P<colour>{'|'.join(_COLOURS)})(?=\.[^.]*\Z)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two files whose names differ in nothing but a channel, and how ``files`` would say so."""

    first: str
    second: str
    image: str
    files: str


def alike(paths: Iterable[str], files: str | None = None) -> Iterator[Pair]:
    """Of files whose names differ in nothing but the channel the first two, for each such name.

    Example:
        >>> next(alike(["b/x_B02_10m.jp2", "b/x_B03_10m.jp2"]))
        Pair(first='b/x_B02_10m.jp2', second='b/x_B03_10m.jp2', image='b/x_*_10m.jp2', files='{id}_{channel}_{id}.jp2')
    """
    first: dict[str, str | None] = {}
    for path in paths:
        for image, way in _ways(path, files):
            if image not in first:
                first[image] = path
            elif (earlier := first[image]) is not None and earlier != path:
                yield Pair(earlier, path, image, way)
                first[image] = None


def _ways(path: str, files: str | None) -> Iterator[tuple[str, str]]:
    """What the image would be called whose plane a file may be, and the pattern of the file's name."""
    if files is not None and (plane := plane_of(path, files)) is not None:
        yield plane.image, files
    name = path.rfind("/") + 1
    for found in _WITHIN.finditer(path, name + 1):
        start, end = found.span(str(found.lastgroup))
        rest, dot, suffix = path[end:].rpartition(".")
        around = "" if not rest else f"{'sk' if rest.startswith('sk') else rest[0]}{{id}}"
        yield f"{path[:start]}*{path[end:]}", f"{{id}}{path[found.start() : start]}{{channel}}{around}{dot}{suffix}"


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
