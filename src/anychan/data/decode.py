"""Bytes of a photograph -> upright RGB pixels, in uint8.

What is converted, and how:

- EXIF-rotated: turned as its orientation tag says.
- grayscale: the three channels are equal. CMYK and other colour spaces: converted by Pillow.
- palette: its colours. Alpha (or a transparent colour): laid over white.
- 16 bit: the whole range of the type, 0 to 65535, becomes 0 to 255 (Pillow alone would clip gray ones at 255), which no
  data set takes (``anychan.data.deep`` keeps all levels); gray images of 32-bit integers must lie within 0 to 65535,
  of floating-point numbers within 0 to 1.
- animated, or with several pages: the first picture.

Then the shorter side is resized to the size asked for (antialiased bicubic), and the middle square is cut out.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from anychan.data.dataset import Picture, Pixels
from anychan.data.findings import BrokenFileError
from anychan.data.resize import fit

# Not all that Pillow knows: a file that calls itself PostScript, say, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485  # where Pillow begins to warn

_HAS_SIMPLEJPEG = importlib.util.find_spec("simplejpeg") is not None
_ORIENTATION_TAG = 274
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TRUNCATED_SAYS = ("truncated", "broken png", "not enough", "unexpected end", "end of file", "partial")
_one_at_a_time = threading.Lock()


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Pillow warns of nothing that is refused here anyway, and fills up no truncated file, whatever the program set.

    Both settings belong to the whole process: take it once, around the threads that decode.
    """
    with _one_at_a_time, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        filled_up, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = filled_up


def decode_photograph(data: bytes, image_size: int | None = None) -> Picture:
    """Decode the whole of an image file.

    Args:
        data: the content of the file, in one of ``FORMATS``.
        image_size: the side of the square that is wanted; None leaves the image as large as it is.

    Returns:
        Pixels of shape (H, W, 3).

    Raises:
        BrokenFileError: if it is no such file, damaged, cut off, or of more than ``MAX_PIXELS`` pixels.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("L", (40, 30), 200).save(file, "PNG")
        >>> picture = decode_photograph(file.getvalue(), image_size=16)
        >>> picture.pixels.shape, picture.pixels[0, 0].tolist(), picture.odd
        ((16, 16, 3), [200, 200, 200], ('grayscale',))
    """
    if not data:
        raise BrokenFileError("empty", "has zero bytes")
    try:
        with Image.open(io.BytesIO(data), formats=known_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            odd = _oddities(image)
            rgb = _fast_jpeg(image, data) or _upright_rgb(image)
            return Picture(np.asarray(fit(rgb, image_size)), odd)
    except (BrokenFileError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenFileError("too-large", f"has more pixels than the {MAX_PIXELS:,} that are decoded") from error
    except UnidentifiedImageError as error:
        raise BrokenFileError("unreadable", f"is no image of a known format ({', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
        said = str(error) or type(error).__name__
        truncated = isinstance(error, EOFError) or any(words in said.lower() for words in _TRUNCATED_SAYS)
        raise BrokenFileError("truncated" if truncated else "unreadable", f"cannot be decoded: {said}") from error


@functools.cache
def known_formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that this Pillow reads."""
    Image.init()  # Pillow stumbles over formats whose readers it has not loaded, or was built without
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _fast_jpeg(image: Image.Image, data: bytes) -> Image.Image | None:
    """The pixels that Pillow would give, sooner; None where Pillow is to do it or to say what is wrong."""
    if not _HAS_SIMPLEJPEG or image.format != "JPEG" or image.mode != "RGB" or orientation(image) in _TURNS:
        return None
    import simplejpeg

    try:
        return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB"))
    except ValueError:
        return None


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    turn = _TURNS.get(orientation(image))  # after loading: Pillow has turned a TIFF by then, and taken its tag away
    upright = image if turn is None else image.transpose(turn)
    if upright.mode == "RGB" and not upright.has_transparency_data:
        return upright
    if upright.mode.startswith("I") or upright.mode == "F":
        return Image.fromarray(_high_range_to_bytes(upright)).convert("RGB")
    if upright.has_transparency_data:
        coloured = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", upright.size, "white"), coloured).convert("RGB")
    return upright.convert("RGB")


def _high_range_to_bytes(image: Image.Image) -> Pixels:
    values = np.asarray(image)
    if image.mode == "F":
        if not (values.min() >= 0 and values.max() <= 1):  # false for nan
            raise BrokenFileError("unreadable", "has floating-point pixels outside 0 to 1: their scale is not known")
        return np.round(values * 255).astype(np.uint8)
    if values.min() < 0 or values.max() > 65535:
        raise BrokenFileError("unreadable", "has integer pixels outside 0 to 65535: their scale is not known")
    return (values.astype(np.int32) >> 8).astype(np.uint8)


def _oddities(image: Image.Image) -> tuple[str, ...]:
    mode = image.mode
    plain = {"RGB", "1", "L", "LA", "La", "CMYK", "P", "PA", "RGBA", "RGBa", "I", "F"}
    found = {
        "grayscale": mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;"),
        "cmyk": mode == "CMYK",
        "palette": mode in ("P", "PA"),
        "alpha": image.has_transparency_data,
        "16-bit": mode in ("I", "F") or mode.startswith("I;") or _is_16_bit_colour(image),
        "other-mode": mode not in plain and not mode.startswith("I;"),
        "animated": image.format != "MPO" and getattr(image, "n_frames", 1) > 1,
        "exif-rotated": orientation(image) in _TURNS,
    }
    return tuple(kind for kind, is_so in found.items() if is_so)


def _is_16_bit_colour(image: Image.Image) -> bool:
    """Pillow opens 16-bit colour in an 8-bit mode; only how it is stored tells."""
    return any(isinstance(part, str) and ";16" in part for tile in getattr(image, "tile", ()) for part in _args(tile))


def _args(tile: tuple) -> tuple:
    return tile[3] if isinstance(tile[3], tuple) else (tile[3],)


def orientation(image: Image.Image) -> int:
    """How an image is to be turned, from 1 (as it is) to 8, by its EXIF data."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except MemoryError:
        raise
    except Exception:  # damaged metadata leave the pixels as they are
        return 1
