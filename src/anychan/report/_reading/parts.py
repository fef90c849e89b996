"""What trained a run: in parts where it was taken up again with another commit, other versions or another machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anychan._records import parts_of
from anychan.training.resumed import epochs_words, with_first_epochs


def epochs_of_earlier_parts(record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Which epochs the parts before the last were, with their environments; empty where there is one.

    Example:
        >>> epochs_of_earlier_parts({"commit": "b", "resumed_from": [{"commit": "a", "epochs": 2, "step": 0}]})
        [('epochs 1 to 2', {'commit': 'a', 'epochs': 2, 'step': 0})]
    """
    return [(epochs_words(part, first), part) for first, part in with_first_epochs(parts_of(record)[:-1])]


def was_dirty(record: Mapping[str, Any]) -> bool:
    """Whether any part was trained from a working tree with changes that no commit holds."""
    return any(part.get("dirty") for part in parts_of(record))


def commit_words(record: Mapping[str, Any]) -> str:
    """Which commit something was made with.

    Example:
        >>> commit_words({"commit": "abc", "dirty": True}), commit_words({})
        ('abc, with changes that no commit holds', 'not recorded')
    """
    commit = str(record.get("commit") or "not recorded")
    return f"{commit}, with changes that no commit holds" if record.get("dirty") else commit


def commits_in_turn(record: Mapping[str, Any]) -> str:
    """The commits that trained a run's parts, where these are not all of one; else "".

    Example:
        >>> commits_in_turn({"commit": "b", "resumed_from": [{"commit": "a", "epochs": 2, "step": 0}]})
        'epochs 1 to 2 by commit a, the rest by commit b'
    """
    if len({commit_words(part) for part in parts_of(record)}) == 1:
        return ""
    earlier = [f"{epochs} by commit {commit_words(part)}" for epochs, part in epochs_of_earlier_parts(record)]
    return ", ".join([*earlier, f"the rest by commit {commit_words(record)}"])
