"""Which plane of which image a file of one channel is, as its name tells.

    {id}_ch1.tif, {id}-ch1sk1fk1fl1.tiff    # of itself: CellProfiler and many more; Phenix
    files: "{id}_w{channel}.tif"            # as bands.yaml says: A01_s1_w1.tif, A01_s1_w2.tif, ...
    files: "{channel}_{id}.png"             # DNA_7.png, ER_7.png, where bands have these names
    files: "{id}"                           # each file is an image by itself

``{id}`` is any text, and may stand in several places. ``{channel}`` is a number, that of a band from 1 on, or a name,
that of a band or one that ``bands`` gives a band for. What is around them is as it is written. The planes of an image
lie in one folder; the image is called as they are, with ``*`` for the channel.

Other names that differ in a channel only may be those of pictures, or of wells of a plate (``B02``): `alike` finds
them, and `numbered` those of cameras that write ``IMG_0000_1.tif`` to ``IMG_0000_5.tif``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from anychan.data.folders import IMAGE_SUFFIXES
from anychan.sensors import SENSORS

ALONE = "{id}"
_SENTINEL_2 = SENSORS["sentinel-2-l1c"].names
_COLOURS = ("red", "green", "blue", "yellow")  # of the Human Protein Atlas
_COMMON = re.compile(
    r"(?:_(?P<ch>ch)(?P<ch_number>\d{1,3})|-(?P<sk>ch)(?P<sk_number>\d{1,3})(?P<sk_rest>sk\d+(?:fk\d+fl\d+)?))"
    r"(?P<suffix>\.(?:tiff?|png|jpe?g|npy))\Z",
    re.IGNORECASE,
)


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
    def order(self) -> tuple[bool, int, str]:
        """By which planes are sorted: numbers as such, then names."""
        return self.number is None, self.number or 0, self.label


def plane_of(path: str, files: str | None = None) -> Plane | None:
    """Which plane a file is; None: it is an image by itself.

    Args:
        path: of the file, with ``/`` between its parts.
        files: how files of one channel are called; None: in one of the common ways.

    Example:
        >>> plane_of("train/a/x_ch2.tif")
        Plane(image='train/a/x_ch*.tif', label='ch2', number=2)
        >>> plane_of("x-DNA.png", "{id}-{channel}.png")
        Plane(image='x-*.png', label='DNA', number=None)
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
    way = "ch" if found["ch"] else "sk"
    letters, number = found[way].lower(), int(found[f"{way}_number"])
    channel = f"_{letters}*" if way == "ch" else f"-{letters}*{found['sk_rest']}"
    return Plane(f"{path[: found.start()]}{channel}{found['suffix']}", f"{letters}{number}", number)


def grouped(paths: Iterable[str], files: str | None = None) -> dict[str, list[str]]:
    """The files of each image that has one a channel, in the order of their channels.

    Args:
        paths: of the files.
        files: how those of one channel are called; None: in one of the common ways.
    """
    images: dict[str, list[tuple[Plane, str]]] = defaultdict(list)
    for path in paths:
        plane = plane_of(path, files)
        if plane is not None:
            images[plane.image].append((plane, path))
    return {
        image: [path for _, path in sorted(planes, key=lambda one: (one[0].order, one[1]))]
        for image, planes in images.items()
    }


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


_NUMBERED = re.compile(r".(?P<before>[_-])(?P<number>\d{1,2})(?P<suffix>\.tiff?)\Z", re.IGNORECASE)
_NEARLY_ALL = 0.9  # of the images of a data set have as many planes


def numbered(labels: Mapping[str, int]) -> Pair | None:
    """Of TIFFs whose names end in a number the first two of an image, if the numbers are those of its channels.

    They are if nearly every image has the same, from 1 on, and a folder has several images of a class: otherwise these
    may be what is numbered.

    Args:
        labels: of files, by their paths.

    Example:
        >>> numbered({f"a/IMG_{image}_{channel}.tif": 0 for image in ("000", "001") for channel in (1, 2, 3)})
        Pair(first='a/IMG_000_1.tif', second='a/IMG_000_2.tif', image='a/IMG_000_*.tif', files='{id}_{channel}.tif')
    """
    images: dict[str, dict[int, str]] = defaultdict(dict)
    for path in labels:
        found = _NUMBERED.search(path, path.rfind("/") + 1)
        if found is None:
            images[path] = {}
        else:
            images[f"{path[: found.start('number')]}*{found['suffix']}"][int(found["number"])] = path
    alike = Counter(tuple(sorted(planes)) for planes in images.values())
    numbers, times = alike.most_common(1)[0] if alike else ((), 0)
    if len(numbers) < 2 or numbers != tuple(range(1, len(numbers) + 1)) or times < _NEARLY_ALL * len(images):
        return None
    image, planes = next((image, planes) for image, planes in images.items() if len(planes) == len(numbers))
    if times < 2 * len({(path.rpartition("/")[0], label) for path, label in labels.items()}):
        return None
    before, suffix = image.rpartition("*")[0][-1], image.rpartition("*")[2]
    return Pair(planes[1], planes[2], image, f"{{id}}{before}{{channel}}{suffix}")


def _ways(path: str, files: str | None) -> Iterator[tuple[str, str]]:
    """What the image would be called whose plane a file may be, and the pattern of the file's name."""
    if files is not None and (plane := plane_of(path, files)) is not None:
        yield plane.image, files
    name = path.rfind("/") + 1
    for found in _WITHIN.finditer(path, name + 1):
        start, end = found.span(str(found.lastgroup))
        rest, dot, suffix = path[end:].rpartition(".")
        image, begins = f"{path[:start]}*{path[end:]}", f"{{id}}{path[found.start() : start]}{{channel}}"
        shorter = "" if not rest else f"{'sk' if rest.startswith('sk') else rest[0]}{{id}}"
        for after in dict.fromkeys((shorter, rest)):
            way = f"{begins}{after}{dot}{suffix}"
            if _wrong_with(way) is None and (plane := plane_of(path, way)) is not None and plane.image == image:
                yield image, way
                break


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
