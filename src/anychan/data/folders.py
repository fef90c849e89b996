"""The layout of ImageFolder: one folder a class, with a folder for each split above them or without.

The data may be wrapped in further folders. Images are found at any depth below a class's folder. Folders of splits are
``train``, ``val`` (or ``validation``, ``valid``) and ``test``; where there are no other folders also ``Train``,
``Training``, ``Testing`` and the like. Folders beside ``train`` that hold the same folders are refused, as they must be
splits too; others are left out. Without them a tenth of each class becomes validation, a tenth test (at least
one each of three images or more): those whose paths have the smallest hashes, so that it is the same tenth on every
machine and says nothing of the content.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict

from anychan.data.dataset import Sample, readable
from anychan.data.findings import Finding
from anychan.data.lists import Layout
from anychan.data.sources import Source

SPLIT_FOLDERS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
# In any capitals, where there are no other folders: a class of vehicles may be called Train.
_LOOSELY = {**SPLIT_FOLDERS, "training": "train", "testing": "test"}
_LIKE_SPLITS = ("train", "dev", "val", "test", "eval", "hold")  # with which names of splits begin
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".npy", ".npz"),
)

_LINK = "is a symbolic link to a folder, which is not followed: put the folder there, or name its images in lists"


def read_folders(source: Source) -> Layout | None:
    """The layout of a source with a folder for each class, or None if it has no such folders.

    Raises:
        ValueError: if a split has two folders, folders look like splits whose names are not known, or all are symbolic
            links.
    """
    base = _unwrapped(source)
    prefix = f"{base}/" if base else ""
    split_of = _split_folders(source, base)
    layout = Layout("one folder a class" if split_of else "one folder a class, split 80:10:10 by the hash of paths")
    found: dict[tuple[str, str], list[str]] = defaultdict(list)  # (split or "", class) -> paths
    for path in source.files(base):
        parts = path.removeprefix(prefix).split("/")
        folder_of_split = parts.pop(0) if split_of else ""
        in_class = len(parts) >= 2 and (not split_of or folder_of_split in split_of)
        if path.endswith("/"):
            lost = not split_of or folder_of_split in split_of or folder_of_split.lower() in _LOOSELY
            layout.findings.append(Finding(path, "", "linked" if lost else "ignored", _LINK, lost))
        elif not path.lower().endswith(IMAGE_SUFFIXES):
            if in_class:
                _ignore(layout, path, "is no image by its name")
        elif in_class:
            found[split_of.get(folder_of_split, ""), parts[0]].append(path)
        else:
            _ignore(layout, path, "is in no class's folder")
    if not found:
        if linked := [finding for finding in layout.findings if finding.unfit]:
            raise ValueError(f"{source.name}: {linked[0].path}: {linked[0].reason}")
        return None
    if not split_of:
        _refuse_unknown_splits(source, {name: paths for (_, name), paths in found.items()}, prefix)
    names = sorted({name for _, name in found})
    layout.classes = tuple(map(readable, names))
    layout.splits = {split: [] for split in ("train", "val", "test") if not split_of or split in split_of.values()}
    label_of = {name: label for label, name in enumerate(names)}
    for (split, name), paths in sorted(found.items()):
        divided = {split: paths} if split else _divide(paths, prefix)
        for part, chosen in divided.items():
            layout.splits[part].extend(Sample(path, label_of[name]) for path in chosen)
    return layout


def _unwrapped(source: Source) -> str:
    """The folder where the classes or splits are: the root, or what folders around everything lead to."""
    base = ""
    while True:
        folders = source.folders(base)
        if len(folders) != 1 or folders[0].lower() in _LOOSELY:
            return base
        inside = f"{base}/{folders[0]}" if base else folders[0]
        if not source.folders(inside):
            return base  # it holds images: the one class there is
        base = inside


def _split_folders(source: Source, base: str) -> dict[str, str]:
    """Which folder is which split; none unless there is a training split, or nothing but splits."""
    folders = source.folders(base)
    splits = {name: _LOOSELY[name.lower()] for name in folders if name.lower() in _LOOSELY}
    if len(splits) < len(folders):
        splits = {name: SPLIT_FOLDERS[name] for name in folders if name in SPLIT_FOLDERS}
        below = {name: set(source.folders(f"{base}/{name}" if base else name)) for name in folders}
        if not below.get("train"):
            return {}
        if like := [name for name in folders if name not in splits and below[name] & below["train"]]:
            raise ValueError(
                f"{source.name} has the same folders in {', '.join(map(readable, like))} as in train: call splits "
                f"{', '.join(SPLIT_FOLDERS)}, or say what is which in train.txt, ..."
            )
    if len(set(splits.values())) < len(splits):
        raise ValueError(f"{source.name} has two folders for one split among {', '.join(splits)}")
    return splits


def _refuse_unknown_splits(source: Source, found: dict[str, list[str]], prefix: str) -> None:
    """Folders named like splits that hold no image themselves but all the same folders are splits, not classes."""
    below = [
        {inside[1] if len(inside := path.removeprefix(prefix).split("/")) > 2 else "" for path in paths}
        for paths in found.values()
    ]
    shared = below[0]
    alike = len(below) > 1 and len(shared) > 1 and "" not in shared and all(folders == shared for folders in below)
    if alike and any(name.lower().startswith(_LIKE_SPLITS) for name in found):
        raise ValueError(
            f"{source.name} has the same folders in each of {', '.join(map(readable, sorted(found)))}, as splits have "
            f"and classes have not: call splits {', '.join(SPLIT_FOLDERS)}, or say what is which in train.txt, ..."
        )


def _divide(paths: list[str], prefix: str) -> dict[str, list[str]]:
    hashed = sorted(paths, key=lambda path: hashlib.sha256(path.removeprefix(prefix).encode(errors="replace")).digest())
    tenth = max(round(len(paths) / 10), 1) if len(paths) >= 3 else 0
    parts = {"train": hashed[2 * tenth :], "val": hashed[:tenth], "test": hashed[tenth : 2 * tenth]}
    return {split: sorted(chosen) for split, chosen in parts.items()}


def _ignore(layout: Layout, path: str, reason: str) -> None:
    layout.findings.append(Finding(path, "", "ignored", reason, False))
