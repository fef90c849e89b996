"""In which number format and on which processor runs were trained, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anychan.report._sentences import numbers as fmt

_UNNAMED = 4  # runs that are told as all others, at least


def place_words(places: Mapping[str, Sequence[str]]) -> str:
    """In which number format and on what runs were trained, in a sentence.

    Example:
        >>> place_words({"in float32 on a CPU": ["a", "b"], "in bfloat16 on a GPU": ["c"]})
        'Trained in float32 on a CPU: a and b; in bfloat16 on a GPU: c.'
        >>> place_words({"in float32 on a CPU": ["a", "b", "c", "d"], "in bfloat16 on a GPU": ["e"]})
        'Trained in bfloat16 on a GPU: e; all others in float32 on a CPU.'
    """
    if len(places) == 1:
        return f"All were trained {next(iter(places))}."
    most = told_of_all_others(places)
    named = [f"{place}: {fmt.listing(list(names))}" for place, names in places.items() if place != most]
    return f"Trained {'; '.join(named + ([] if most is None else [f'all others {most}']))}."


def told_of_all_others(named: Mapping[str, Sequence[str]]) -> str | None:
    """What is true of more than anything else, and of too many to name them; None if nothing is.

    Example:
        >>> told_of_all_others({"0.1": ["a", "b", "c", "d"], "0.2": ["e"]}), told_of_all_others({"0.1": ["a"]})
        ('0.1', None)
    """
    most, *after = sorted(named, key=lambda one: -len(named[one]))
    alone = not after or len(named[after[0]]) < len(named[most])
    return most if alone and len(named[most]) >= _UNNAMED else None


def place(precision: str, trained_on: str) -> str:
    """A number format and a processor, "" where one was not recorded.

    Example:
        >>> place("bfloat16", ""), place("", "")
        ('in bfloat16 on a processor not recorded', 'in a number format and on a processor not recorded')
    """
    if not precision and not trained_on:
        return "in a number format and on a processor not recorded"
    return f"in {precision or 'a number format not recorded'} on {trained_on or 'a processor not recorded'}"
