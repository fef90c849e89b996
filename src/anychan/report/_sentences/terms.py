"""What the words of the protocol mean: how channels are sampled, what is minimised, whose statistics normalise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Of a setting, as `settings_of_all` calls it, what a value means.
_MEANINGS: Mapping[str, Mapping[str, str]] = {
    "objective": {
        "labels": "the network learns the labels, from the channels of the step.",
        "sandwich": "in a step the network answers on all channels and on smaller subsets of them; on all it learns "
        "the labels, on the subsets what it answered on all (arXiv 1903.05134), and with a trained teacher what that "
        "one answers on each.",
        "teacher": "the network learns what another one, trained before, answers to all channels.",
    },
    "channel sampling": {
        "every subset": "all that there are.",
        "by size": "first how many channels each subset has, then which; of several subsets one has a single channel.",
        "hierarchical": "first how many channels, then which, each with equal chances.",
        "bernoulli": "each channel with the same probability, at least one.",
        "diverse": "first how many channels, then one, and others the likelier the less they go with it.",
        "fixed": "always the same subset.",
        "all": "all channels in every step.",
    },
    "batch statistics": {
        "shared": "what normalises has no mean and variance of its own for each channel subset.",
        "kept": "batch normalisation keeps a mean and variance for each channel subset while training.",
        "recalibrated": "a mean and variance for each channel subset, taken after training.",
    },
    "normalisation affine": {"yes": "batch normalisation has a scale and shift for each channel subset, too."},
    "objective subsets": {"": "how many smaller subsets a step of the sandwich answers besides all channels."},
    "objective full share": {
        "": "how much of a sandwich's loss is that on all channels; equal: as much as that on each subset."
    },
    "objective label share": {"": "how much of what a subset, or a taught network, learns is the labels."},
    "objective temperature": {"": "what a teacher's answers are softened by before they are learned from."},
    "label smoothing": {"": "how much of a label is spread over the other classes (arXiv 1512.00567)."},
}


def terms(told: Iterable[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Words that occur in what is told of runs, by setting and value, each with its meaning.

    Example:
        >>> terms([{"objective": "labels", "epochs": "10"}])
        [('objective: labels', 'the network learns the labels, from the channels of the step.')]
    """
    values: dict[str, list[str]] = {}
    for found in told:
        for setting, value in found.items():
            values.setdefault(setting, []).append(value.split(",", maxsplit=1)[0])
    return [
        (f"{setting}: {value}" if value else setting, meaning)
        for setting, meanings in _MEANINGS.items()
        for value, meaning in meanings.items()
        if setting in values and (not value or value in values[setting])
    ]
