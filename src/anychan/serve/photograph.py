"""A photograph that was dropped on the page, or an example: checked before it is decoded, and held in memory alone."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from anychan.data.decode import strict_pillow
from anychan.data.findings import BrokenFileError
from anychan.prediction import Predictor
from anychan.prediction.reading import Planes, looks_like_photograph, pixel_count

MOST_BYTES = 20_000_000
MOST_PIXELS = 25_000_000


@dataclass(eq=False)
class Photograph:
    """The bytes of a photograph in a file of at most ``MOST_BYTES`` and ``MOST_PIXELS``.

    Raises:
        ValueError: if it is larger, no image, or an image of bands: of those only the first page was counted, while all
            of them would be decoded. It names no file.
    """

    data: bytes
    _planes: dict[Predictor, Planes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.data) > MOST_BYTES:
            raise ValueError(f"The file has {len(self.data) / 1e6:.1f} MB; at most {MOST_BYTES // 10**6} MB are taken.")
        try:
            pixels, shown_to_people = pixel_count(self.data), looks_like_photograph(self.data)
        except BrokenFileError as broken:
            raise ValueError(f"The file {broken.reason}.") from None
        if pixels > MOST_PIXELS:
            megapixels = MOST_PIXELS // 10**6
            raise ValueError(f"The picture has {pixels / 1e6:.1f} megapixels; at most {megapixels} are taken.")
        if not shown_to_people:
            raise ValueError("The file holds bands, not a photograph: `anychan predict` takes such files.")

    @classmethod
    def from_base64(cls, text: str) -> Photograph:
        """Of the text that a browser sends; raises ``ValueError`` also if it is none."""
        if len(text) > (MOST_BYTES + 2) // 3 * 4:
            raise ValueError(f"The file has more than the {MOST_BYTES // 10**6} MB that are taken.")
        try:
            return cls(base64.b64decode(text, validate=True))
        except binascii.Error:
            raise ValueError("The file was damaged on its way.") from None

    def planes(self, predictor: Predictor) -> Planes:
        """The planes as a model's predictor reads them, decoded once; raises ``ValueError`` for a broken file."""
        if predictor not in self._planes:
            try:
                with strict_pillow():
                    self._planes[predictor] = predictor.read(self.data)
            except BrokenFileError as broken:
                raise ValueError(f"The file {broken.reason}.") from None
        return self._planes[predictor]


def example() -> Photograph | None:
    """Stéfan van der Walt's cat Chelsea (CC0), which comes with scikit-image; None where that is not installed."""
    found = find_spec("skimage")
    for folder in (found and found.submodule_search_locations) or ():
        file = Path(folder) / "data" / "chelsea.png"
        if file.is_file():
            return Photograph(file.read_bytes())
    return None
