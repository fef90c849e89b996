"""Data: image lists, folders and built-in sets, of photographs or any bands; their check; the cache; augmentation.

A data set is opened from a folder, a zip archive or the word ``synthetic``, checked, and loaded split by split
into arrays of bytes that training and evaluation read:

>>> from anychan.data import load_split, open_dataset
>>> dataset = open_dataset("synthetic:bands=4,train=12,val=6,test=6,size=16")
>>> load_split(dataset, "train", image_size=16).images.shape
torch.Size([12, 4, 16, 16])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anychan._lazy import lazily

if TYPE_CHECKING:
    from anychan.data.arrays import ImageArray, hold_out, split_statistics
    from anychan.data.bands import Bands
    from anychan.data.check import check_dataset
    from anychan.data.check_report import CheckReport
    from anychan.data.dataset import Dataset, Encoding, Sample
    from anychan.data.images import Image, read_image
    from anychan.data.layouts import open_dataset
    from anychan.data.loading import load_split

_PUBLIC = {
    "Bands": "anychan.data.bands",
    "CheckReport": "anychan.data.check_report",
    "Dataset": "anychan.data.dataset",
    "Encoding": "anychan.data.dataset",
    "Image": "anychan.data.images",
    "ImageArray": "anychan.data.arrays",
    "Sample": "anychan.data.dataset",
    "check_dataset": "anychan.data.check",
    "hold_out": "anychan.data.arrays",
    "load_split": "anychan.data.loading",
    "open_dataset": "anychan.data.layouts",
    "read_image": "anychan.data.images",
    "split_statistics": "anychan.data.arrays",
}
__all__ = [
    "Bands",
    "CheckReport",
    "Dataset",
    "Encoding",
    "Image",
    "ImageArray",
    "Sample",
    "check_dataset",
    "hold_out",
    "load_split",
    "open_dataset",
    "read_image",
    "split_statistics",
]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
