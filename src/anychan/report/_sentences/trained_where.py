"""In which number format and on which processor runs were trained, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anychan.report._sentences import numbers as fmt


def place_words(places: Mapping[str, Sequence[str]]) -> str:
    """In which number format and on what runs were trained, in a sentence.

    Example:
        >>> place_words({"in float32 on a CPU": ["a", "b"], "in bfloat16 on a GPU": ["c"]})
        'Trained in float32 on a CPU: a and b; in bfloat16 on a GPU: c.'
    """
    if len(places) == 1:
        return f"All were trained {next(iter(places))}."
    return f"Trained {'; '.join(f'{place}: {fmt.listing(list(names))}' for place, names in places.items())}."


def place(precision: str, trained_on: str) -> str:
    """A number format and a processor, "" where one was not recorded.

    Example:
        >>> place("bfloat16", ""), place("", "")
        ('in bfloat16 on a processor not recorded', 'in a number format and on a processor not recorded')
    """
    if not precision and not trained_on:
        return "in a number format and on a processor not recorded"
    return f"in {precision or 'a number format not recorded'} on {trained_on or 'a processor not recorded'}"
