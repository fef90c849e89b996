"""From what the user names to a data set: a folder, a zip archive, or the built-in synthetic images."""

from __future__ import annotations

from pathlib import Path

from anychan.channels import ChannelSet
from anychan.data.dataset import Dataset
from anychan.data.decode import decode_photograph
from anychan.data.findings import Finding
from anychan.data.folders import read_folders
from anychan.data.lists import read_lists
from anychan.data.sources import open_source
from anychan.data.synthetic import SPEC_PREFIX, open_synthetic

# The first that finds its own decides. A new layout of photographs is one file and one entry.
LAYOUTS = (read_lists, read_folders)


def open_dataset(spec: str | Path) -> Dataset:
    """Open a data set, without decoding any of it.

    Args:
        spec: a folder or a zip archive with image lists (``anychan.data.lists``) or one folder a class
            (``anychan.data.folders``); or ``"synthetic"``, with options as in
            ``"synthetic:bands=5,train=2000,seed=1"`` (``anychan.data.synthetic``).

    Raises:
        FileNotFoundError: if there is nothing at that path.
        ValueError: if it is no data set, or a list cannot be trusted: a line that is not ``path label``, a path
            that leaves the root, one path with two labels, a label without a class. It names file and line.
    """
    dataset, findings = inspect_layout(spec)
    unfit = [finding for finding in findings if finding.unfit]
    if unfit:
        more = f" (and {len(unfit) - 1} more; `anychan data check` lists them)" if len(unfit) > 1 else ""
        raise ValueError(f"{dataset.name}: {unfit[0].path}: {unfit[0].reason}{more}")
    return dataset


def inspect_layout(spec: str | Path) -> tuple[Dataset, list[Finding]]:
    """The data set as far as it can be made out, and what is wrong with its lists and folders."""
    if isinstance(spec, str) and (spec == SPEC_PREFIX or spec.startswith(f"{SPEC_PREFIX}:")):
        return open_synthetic(spec), []
    source = open_source(Path(spec))
    for read in LAYOUTS:
        layout = read(source)
        if layout is not None:
            break
    else:
        raise ValueError(
            f"{spec} is no data set: there is no train.txt, val.txt or test.txt in it or one folder down, "
            "and there are no folders of images, one a class"
        )
    dataset = Dataset(
        name=source.name,
        source=source,
        decode=decode_photograph,
        channels=ChannelSet.parse("RGB"),
        classes=layout.classes,
        splits=layout.splits,
        layout=layout.description,
    )
    return dataset, layout.findings
