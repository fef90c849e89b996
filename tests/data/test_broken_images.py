"""Damaged and absurd files: broken, by their name, whatever they make their reader stumble over."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from anychan.data.bands import Bands, parse_bands
from anychan.data.findings import BrokenFileError
from anychan.data.images import decode_image
from anychan.data.multiband import decode_among_photographs
from anychan.data.tiff import check_pages

from .._image_files import npy, npz, tiff
from ._files import PIXELS, SMALL, SPECIES, broken, stack


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_damaged_files_are_named_as_such(part: float) -> None:
    plain = {"photometric": "minisblack"}
    for data in (tiff(PIXELS, compression="zlib", **plain), tiff(PIXELS, **plain), npy(PIXELS), npz(a=PIXELS)):
        assert broken(data[: int(len(data) * part)], SPECIES)
    assert broken(b"", SPECIES) == "has zero bytes"


@pytest.mark.parametrize(
    "data",
    [
        npy(SMALL),
        npz(a=SMALL[0], b=SMALL[1]),
        stack(x_ch1__tif=tiff(SMALL[0]), x_ch2__npy=npy(SMALL[1])),
        tiff(SMALL, photometric="minisblack", compression="zlib"),
        tiff(SMALL, imagej=True, metadata={"axes": "CYX", "Labels": ["a", "b"]}),
    ],
    ids=["npy", "npz", "stack", "tiff", "imagej"],
)
def test_a_damaged_file_is_broken_whatever_it_makes_its_reader_stumble_over(data: bytes) -> None:
    random = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 3):
            damaged[place] ^= 1 << int(random.integers(8))
        try:
            decode_image(bytes(damaged), Bands(parse_bands("a,b").bands))
        except BrokenFileError:
            continue


def test_files_that_would_escape_or_fill_the_memory_are_broken() -> None:
    huge = npy(np.zeros((2, 4, 4), np.uint8)).replace(b"(2, 4, 4), }           ", b"(99999999, 99999, 99), }")
    assert "bytes of pixels" in broken(huge)
    assert "has a mask of shape (3, 6, 7)" in broken(npz(a=SMALL, valid=np.ones((3, 6, 7), bool)), parse_bands("a,b"))
    assert "has a mask of shape (2, 2)" in broken(npz(a=SMALL, valid=np.ones((2, 2), bool)), parse_bands("a,b"))
    twice = tiff(SMALL, imagej=True, metadata={"axes": "CYX", "Labels": ["a", "a"]})
    assert "'a' stands twice" in broken(twice)
    encrypted = bytearray(npz(a=SMALL))
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.find(head) + flags] |= 1
    assert "cannot be unpacked" in broken(bytes(encrypted))
    assert "not a zip" in broken(b"PK\x03\x04 anychan: a file a channel")
    assert "holds a.txt, which is no file of one channel" in broken(stack(a__txt=b"?"))
    within = stack(x_ch1__npy=npy(SMALL[0]))
    assert "holds x_ch1.npy, which is a stack" in broken(stack(x_ch1__npy=within))


def test_the_parts_of_a_file_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anychan.data.raw.MAX_IMAGE_BYTES", 3 * SMALL[0].nbytes + 400)
    two = parse_bands("a,b")
    assert decode_image(npz(a=SMALL[0], b=SMALL[1]), two).pixels.shape == (2, 6, 7)
    assert "bytes of pixels" in broken(npz(**{f"c{i}": SMALL[0] for i in range(4)}))
    assert "bytes of pixels" in broken(stack(**{f"x_ch{i}__npy": npy(SMALL[0]) for i in range(1, 10)}))


@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr"])
def test_pages_that_go_round_in_a_circle_are_not_followed(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (8, 8)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    (page,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, page)
    struct.pack_into("<I", data, page + 2 + 12 * entries, page)  # the next is itself
    assert broken(bytes(data)) == "has pages that follow one another in a circle"
    with pytest.raises(BrokenFileError, match="in a circle"):
        decode_among_photographs(bytes(data), 8)


def test_many_pages_are_read_and_more_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {"photometric": "minisblack", "metadata": None}
    stacks = [tiff(SMALL[:1].repeat(pages, axis=0), bigtiff=big, **plain) for big in (False, True) for pages in (3, 4)]
    monkeypatch.setattr("anychan.data.tiff.MAX_PAGES", 3)
    for three, four in (stacks[:2], stacks[2:]):
        assert decode_image(three, parse_bands("a,b,c")).pixels.shape == (3, 6, 7)
        assert broken(four, parse_bands("a,b,c,d")) == "has more than the 3 pages that are read"


@pytest.mark.parametrize("end", [0, 16, 100, 2**64 - 1])
def test_pages_that_lie_outside_of_the_file_end_it(end: int) -> None:
    for entries in (0, 2**64 - 1):
        check_pages(b"II+\0\x08\0\0\0" + struct.pack("<QQQ", end, entries, 0))
