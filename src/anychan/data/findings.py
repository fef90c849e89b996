"""What can be wrong with data, by path, kind and reason.

The kinds, and whether training refuses what they name (unfit):

==================  =====  ==========================================================================
kind                unfit  meaning
==================  =====  ==========================================================================
bad-line            yes    a line of a list or of classes.txt that cannot be read
outside             yes    a path that leaves the data's root, also through a symbolic link
two-labels          yes    one path with two labels
label-out-of-range  yes    a label that classes.txt does not name
empty-split         yes    a split without an image
no-train            yes    there is no training split
missing             yes    no such file
not-a-file          yes    a folder, a named pipe, a device
empty               yes    zero bytes
truncated           yes    the end of the image is missing
unreadable          yes    not an image, damaged, encrypted, not allowed to be read
too-large           yes    so many pixels or bytes that it would fill the memory
no-channel          yes    an image without one of the channels, or with another one
mixed-type          yes    an image whose pixels are stored otherwise than the first one's
linked              yes    a symbolic link to a folder, where images are looked for: it is not followed
planes-apart        yes    planes of one image that would be images by themselves
gap                 no     a class without a training image
listed-twice        no     one path twice in a split, with one label
two-splits          no     one image in two splits: what is measured there is too good
same-image          no     one image under two paths
image-two-labels    no     one image under two paths with different labels
ignored             no     a file in a class folder that is no image by its name
grayscale, cmyk, palette, alpha, animated, exif-rotated, other-mode
                    no     images that are converted to RGB: see ``anychan.data.decode``
==================  =====  ==========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Args:
        path: the file it was found in, relative to the data's root, as it is written there.
        split: the split it belongs to, or "" where it belongs to none.
        kind: one word, from the table above.
        reason: what is wrong, for people.
        unfit: whether training refuses it.
    """

    path: str
    split: str
    kind: str
    reason: str
    unfit: bool


class BrokenFileError(ValueError):
    """A file that cannot be read as an image.

    Args:
        kind: one word, from the table above.
        reason: what is wrong, for people; it reads on from the file's path.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)  # both, so that it can be pickled
        self.kind = kind
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ReadError(OSError):
    """A file that could not be read this time, for what may pass: nothing is known of it, so nothing is kept of it."""
