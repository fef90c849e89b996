"""Channel subsets as the rows of a chart, with labels that leave the chart its room."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from anychan.channels import ChannelSet
from anychan.report._reading.records import Evaluation
from anychan.report._sentences.numbers import counted
from anychan.report._tables.runs import subset_order

_MOST_ROWS = 40  # more subsets than that are drawn together by their size
_LONGEST, _LINES = 26, 2  # of a label; subsets with longer ones as well
_LINE_HEIGHT = 14  # in CSS pixels, with what is between two labels


def subset_rows(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[str]]]:
    """A row a subset with its label, or all subsets of one size where there are too many, or too long ones."""
    subsets = subset_order(evaluations)
    sets = [evaluation.channels for evaluation in evaluations]
    known = sets[0] if len({frozenset(channels.names) for channels in sets}) == 1 else None
    labels = [textwrap.fill(subset_words(subset, known), _LONGEST) for subset in subsets]
    if len(subsets) <= _MOST_ROWS and max(map(_lines, labels), default=1) <= _LINES:
        return [(label, [subset]) for label, subset in zip(labels, subsets, strict=True)]
    sizes = {r.subset: e.size(r) for e in evaluations for r in e.results}
    return [
        (counted(size, "channel"), [s for s in subsets if sizes[s] == size])
        for size in sorted(set(sizes.values()), reverse=True)
    ]


def least_height(rows: Sequence[tuple[str, list[str]]]) -> int:
    """Of a row, in CSS pixels, so that no label is over the next."""
    return _LINE_HEIGHT * max((_lines(label) for label, _ in rows), default=1)


def subset_words(subset: str, known: ChannelSet | None) -> str:
    """A subset's name; a long one by what it lacks, where that is less, or with blanks to break it at.

    Args:
        subset: as it is recorded.
        known: the channels that it is of; None: they are not the same for all that is shown.

    Example:
        >>> bands = ChannelSet([f"B{i:02}" for i in range(1, 13)])
        >>> subset_words(str(bands), bands), subset_words(",".join(bands.names[1:]), bands), subset_words("B01", bands)
        ('all 12 channels', 'without B01', 'B01')
    """
    if len(subset) <= _LONGEST:
        return subset
    if known is not None:
        there = ChannelSet.parse(subset, within=known)
        missing = [name for name in known.names if name not in there.names]
        if not missing:
            return f"all {len(known)} channels"
        if len(missing) < len(there):
            return f"without {', '.join(missing)}"
    return subset.replace(",", ", ")


def _lines(label: str) -> int:
    return label.count("\n") + 1
