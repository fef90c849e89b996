"""From what the user names to a data set: a folder, a zip archive, or the built-in synthetic images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from anychan.channels import ChannelSet
from anychan.data.bands import FILE, Bands, parse_bands
from anychan.data.beside import bands_file_beside, unused_lists, with_lists_beside
from anychan.data.dataset import Dataset, readable
from anychan.data.findings import Finding
from anychan.data.folders import read_folders
from anychan.data.lists import Layout, read_lists
from anychan.data.multiband import band_decoder, bands_beside, decode_among_photographs
from anychan.data.planes import ALONE, alike, numbered
from anychan.data.sources import Source, open_source
from anychan.data.stacks import StackedSource
from anychan.data.synthetic import SPEC_PREFIX, open_synthetic

# The first that finds its own decides. A new layout of images is one file and one entry.
LAYOUTS = (read_lists, read_folders)
_LOOKED_AT = 16  # pairs of files that may be planes of one image


def open_dataset(spec: str | Path, bands: Bands | str | Path | None = None) -> Dataset:
    """Open a data set, without decoding more of it than an image.

    The first image that can be read tells whether they are photographs, which are read as R, G and B in 8 bits, or
    images of any bands (``anychan.data.images``), which keep their bits.

    Args:
        spec: a folder or a zip archive with image lists (``anychan.data.lists``), which may lie beside an archive,
            or one folder a class (``anychan.data.folders``); or ``"synthetic"``, with options as in
            ``"synthetic:bands=5,train=2000,seed=1"`` (``anychan.data.synthetic``).
        bands: what the planes of the images are: a sensor's name (``anychan.sensors``), names in their order, or the
            path of a ``bands.yaml`` (``anychan.data.bands``); None: the ``bands.yaml`` in the data, or the files
            themselves.

    Raises:
        FileNotFoundError: if there is nothing at that path.
        ValueError: if it is no data set, or a list cannot be trusted: a line that is not ``path label``, a path
            that leaves the root, one path with two labels, a label without a class (it names file and line); or the
            channels of the first image are not known.
    """
    dataset, findings = inspect_layout(spec, bands)
    unfit = [finding for finding in findings if finding.unfit]
    if unfit:
        more = f" (and {len(unfit) - 1} more; `anychan data check` lists them)" if len(unfit) > 1 else ""
        raise ValueError(f"{dataset.name}: {unfit[0].path}: {unfit[0].reason}{more}")
    return dataset


def inspect_layout(spec: str | Path, bands: Bands | str | Path | None = None) -> tuple[Dataset, list[Finding]]:
    """The data set as far as it can be made out, and what is wrong with its lists and folders."""
    said = bands if isinstance(bands, Bands) else parse_bands(bands)
    if isinstance(spec, str) and (spec == SPEC_PREFIX or spec.startswith(f"{SPEC_PREFIX}:")):
        if said is not None:
            raise ValueError(f"{spec} says itself what its bands are: no others can be given")
        return open_synthetic(spec), []
    files = open_source(Path(spec))
    unused: list[Finding] = []
    if read_lists(files) is None:
        beside = with_lists_beside(files, Path(spec))
        unused = unused_lists(files, Path(spec)) if beside is files else []
        files = beside
    files = bands_file_beside(files, Path(spec))
    said = bands_beside(files) if said is None else said
    source = StackedSource(files, None if said is None else said.files)
    for read in LAYOUTS:
        layout = read(source)
        if layout is not None:
            break
    else:
        raise ValueError(
            f"{spec} is no data set: there is no train.txt, val.txt or test.txt in it or one folder down (nor of an "
            "archive's images beside it), and there are no folders of images, one a class"
        )
    apart = _planes_apart(source, layout, said)
    if any(source.planes(path) for path in _paths(layout)):
        layout.description += ", a file a channel"
    elif said is not None and said.files not in (None, ALONE) and not apart:
        such = next((f", but such as {path}" for path in _paths(layout)), "")
        raise ValueError(f"{source.name}: no file is called as files {said.files!r} says{such}")
    try:
        return _dataset(source, layout, said), layout.findings + apart + unused
    except ValueError as error:
        if not apart:
            raise
        raise ValueError(f"{source.name}: {apart[0].path}: {apart[0].reason}") from error


def _planes_apart(source: StackedSource, layout: Layout, bands: Bands | None) -> list[Finding]:
    """What is wrong where planes of one image would be images by themselves, in different splits perhaps."""
    files = None if bands is None else bands.files
    if files == ALONE:
        return []
    split_of = {sample.path: split for split, samples in layout.splits.items() for sample in samples}
    labels = {sample.path: sample.label for samples in layout.splits.values() for sample in samples}
    single = {path: label for path, label in labels.items() if "*" not in path or not source.planes(path)}
    of_a_camera = numbered(single)
    for pair in chain(islice(alike(single, files), _LOOKED_AT), [of_a_camera] if of_a_camera else []):
        if source.has_one_plane(pair.first) and source.has_one_plane(pair.second):
            reason = (
                f"differs from {pair.second} only in the channel: say in {FILE} how planes of one image are called, "
                f"files: {pair.files!r}, and in lists {pair.image}; or files: '{ALONE}', if each file is an image"
            )
            return [Finding(pair.first, split_of[pair.first], "planes-apart", reason, True)]
    return []


def _paths(layout: Layout) -> Iterator[str]:
    return (sample.path for samples in layout.splits.values() for sample in samples)


def _dataset(source: Source, layout: Layout, bands: Bands | None) -> Dataset:
    decoder = band_decoder(source, _paths(layout), bands)
    photographs = Dataset(
        name=readable(source.name),
        source=source,
        decode=decode_among_photographs,
        channels=ChannelSet.parse("RGB"),
        classes=layout.classes,
        splits=layout.splits,
        layout=layout.description,
        in_two_splits=len({finding.path for finding in layout.findings if finding.kind == "two-splits"}),
    )
    if decoder is None:
        return photographs
    return replace(
        photographs,
        decode=decoder,
        channels=decoder.channels,
        encoding=decoder.encoding,
        decoding=decoder.key,
        numbers=decoder.numbers,
    )
