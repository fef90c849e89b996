"""The layout of mini-ImageNet: lists of lines ``path label`` beside a folder of images.

``train.txt``, ``val.txt`` (or ``validation.txt``) and ``test.txt`` are at the root of the data or one folder down,
and their paths start from where they are. The label is the last word of a line, so that a path may have spaces.
``classes.txt`` beside them is optional: a line for each label, in order, ``id<TAB>name`` or ``name``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from anychan.data.dataset import Sample
from anychan.data.findings import BrokenFileError, Finding
from anychan.data.sources import Source, safe_path

SPLIT_LISTS = {"train": ("train.txt",), "val": ("val.txt", "validation.txt"), "test": ("test.txt",)}
_LARGEST_LABEL = 99_999  # without classes.txt; a larger one is taken for a mistake


@dataclass
class Layout:
    """What a layout makes of a source.

    Args:
        description: one line, for people and records.
        splits: the samples of each split.
        classes: the name of each label.
        findings: what is wrong with it.
    """

    description: str
    splits: dict[str, list[Sample]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Entry:
    sample: Sample
    split: str
    where: str  # "line 3 of train.txt"


def read_lists(source: Source) -> Layout | None:
    """The layout of a source with image lists, or None if it has none.

    Raises:
        ValueError: if several folders have lists, or a split has two.
    """
    base = _folder_of_lists(source)
    if base is None:
        return None
    layout = Layout("image lists")
    entries: list[_Entry] = []
    for split, path in _lists_in(source, base).items():
        read = list(_read_list(source, base, path, split, layout.findings))
        layout.splits[split] = [entry.sample for entry in read]
        entries += read
    names = _read_class_names(source, _join(base, "classes.txt"), layout.findings)
    layout.findings += _repeated(entries) + _out_of_range(entries, None if names is None else len(names))
    if names is None:
        layout.description = "image lists, classes named by their folders"
        names = _names_by_folder(entries)
    layout.classes = tuple(names)
    return layout


def _folder_of_lists(source: Source) -> str | None:
    if _lists_in(source, ""):
        return ""
    below = [folder for folder in source.folders() if _lists_in(source, folder)]
    if len(below) > 1:
        raise ValueError(f"{source.name} has image lists in several folders ({', '.join(below)}): give one of them")
    return below[0] if below else None


def _lists_in(source: Source, base: str) -> dict[str, str]:
    found = {
        split: [_join(base, name) for name in names if source.exists(_join(base, name))]
        for split, names in SPLIT_LISTS.items()
    }
    for split, paths in found.items():
        if len(paths) > 1:
            raise ValueError(f"{source.name} has two lists for the split {split}: {', '.join(paths)}")
    return {split: paths[0] for split, paths in found.items() if paths}


def _read_list(source: Source, base: str, path: str, split: str, findings: list[Finding]) -> Iterator[_Entry]:
    for number, line in _lines(source, path, split, findings):
        words = line.rsplit(None, 1)
        if not words:
            continue
        written = words[0].strip()
        where = f"line {number} of {path}"
        problem = _problem_of(words)
        if problem:
            findings.append(Finding(path, split, "bad-line", f"line {number} {_short(line)!r}: {problem}", True))
            continue
        try:
            sample = Sample(_join(base, safe_path(written)), int(words[1]))
        except BrokenFileError as broken:
            findings.append(Finding(written, split, broken.kind, f"{broken.reason} ({where})", True))
            continue
        yield _Entry(sample, split, where)


def _problem_of(words: list[str]) -> str | None:
    if len(words) < 2:
        return "has no label; a line is 'path label'"
    label = words[1]
    if label.startswith("-") and label[1:].isdecimal():
        return f"the label {label} is negative"
    if not (label.isascii() and label.isdecimal() and len(label) <= 18):
        return f"the label {_short(label)!r} is not a whole number"
    return None


def _lines(source: Source, path: str, split: str, findings: list[Finding]) -> Iterator[tuple[int, str]]:
    try:
        text = source.read(path).decode("utf-8-sig")
    except BrokenFileError as broken:
        findings.append(Finding(path, split, broken.kind, broken.reason, True))
    except UnicodeDecodeError as error:
        findings.append(Finding(path, split, "unreadable", f"is not text in UTF-8: {error.reason}", True))
    else:
        # Only at line feeds: str.splitlines also breaks at characters that may stand in a file's name.
        yield from enumerate((line.removesuffix("\r") for line in text.split("\n")), start=1)


def _read_class_names(source: Source, path: str, findings: list[Finding]) -> list[str] | None:
    if not source.exists(path):
        return None
    names: list[str] = []
    blank: int | None = None
    for number, line in _lines(source, path, "", findings):
        if not line.strip():
            blank = blank or number
            continue
        if blank is not None:
            reason = f"line {blank} is blank: the line's number is the label, so none may be left out"
            findings.append(Finding(path, "", "bad-line", reason, True))
            blank = None
        names.append(line.split("\t", 1)[-1].strip() or line.strip())
    return names


def _repeated(entries: list[_Entry]) -> list[Finding]:
    """Paths that stand in the lists more than once."""
    first: dict[str, _Entry] = {}
    findings = []
    for entry in entries:
        earlier = first.setdefault(entry.sample.path, entry)
        if earlier is entry:
            continue
        path, split, label = entry.sample.path, entry.split, entry.sample.label
        if label != earlier.sample.label:
            reason = f"has the label {earlier.sample.label} in {earlier.where} and {label} in {entry.where}"
            findings.append(Finding(path, split, "two-labels", reason, True))
        if split != earlier.split:
            reason = f"stands in two splits: {earlier.where} and {entry.where}"
            findings.append(Finding(path, split, "two-splits", reason, False))
        elif label == earlier.sample.label:
            findings.append(Finding(path, split, "listed-twice", f"is {earlier.where} and {entry.where}", False))
    return findings


def _out_of_range(entries: list[_Entry], named: int | None) -> list[Finding]:
    largest = _LARGEST_LABEL if named is None else named - 1
    limit = f"labels go to {largest}" + ("" if named is None else f": classes.txt names {named}")
    return [
        Finding(
            entry.sample.path,
            entry.split,
            "label-out-of-range",
            f"has the label {entry.sample.label} in {entry.where}, but {limit}",
            True,
        )
        for entry in entries
        if entry.sample.label > largest
    ]


def _names_by_folder(entries: list[_Entry]) -> list[str]:
    """The folder of a label's first image, where the folders tell the labels apart; else the number."""
    folders: dict[int, str] = {}
    for entry in entries:
        if entry.sample.label <= _LARGEST_LABEL:
            folders.setdefault(entry.sample.label, PurePosixPath(entry.sample.path).parent.name)
    told_apart = len(set(folders.values())) == len(folders) and "" not in folders.values()
    return [
        folders[label] if told_apart and label in folders else str(label)
        for label in range(max(folders, default=-1) + 1)
    ]


def _join(folder: str, path: str) -> str:
    return f"{folder}/{path}" if folder else path


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
