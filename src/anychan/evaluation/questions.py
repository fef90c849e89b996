"""Which questions an evaluation asks a model: channel sets, and what is put in the place of missing channels."""

from __future__ import annotations

from collections.abc import Sequence

from anychan._plain import PLAIN
from anychan.channels import ChannelSet
from anychan.evaluation.fills import FILLS, check_fill, list_fills
from anychan.models.files import ModelInfo

MOST_CHANNELS_FOR_ALL = 8  # 255 subsets

Question = tuple[ChannelSet, str]  # the channels that are there, and the fill of the others ("": none)


def own_subsets(info: ModelInfo, *, filled: bool = False) -> list[str]:
    """The subsets that a model is asked about unless others are named, the largest first.

    They are those that it has statistics for; without, every one, of more than 8 channels some of each size; of a plain
    network all its channels, unless missing ones are ``filled``.
    """
    if info.strategy == PLAIN and not filled:
        return [str(info.channels)]
    if of_data := [subset for subset in info.kept_subsets if isinstance(subset, str)]:
        return sorted(of_data, key=lambda subset: len(ChannelSet.parse(subset)), reverse=True)
    many = len(info.channels) > MOST_CHANNELS_FOR_ALL
    return [str(subset) for subset in (info.channels.some_subsets() if many else info.channels.subsets())]


def list_questions(
    known: ChannelSet,
    strategy: str,
    channels: str | Sequence[str],
    fills: str | Sequence[str] | None = None,
) -> list[Question]:
    """Every channel set asked for, by itself and with each fill, in the order of ``ChannelSet.subsets()``.

    Args:
        known: all channels of the model.
        strategy: the model's; "plain" answers proper subsets with fills only.
        channels: "all" for every subset that is not empty, "some" for those of ``ChannelSet.some_subsets``, or a
            channel set, or a list of them.
        fills: keys of ``FILLS``, for proper subsets, or "all" that make sense of the channels; None: none.

    Raises:
        ValueError: for an unknown channel or fill, a fill that makes no sense of these channels, no channels, "all" of
            more than 8 channels, or a plain model asked for a proper subset without fills.

    Example:
        >>> rgb = ChannelSet.parse("RGB")
        >>> [(str(subset), fill) for subset, fill in list_questions(rgb, "sliced", ["GR", "RGB"], ["mean"])]
        [('RGB', ''), ('RG', ''), ('RG', 'mean')]
    """
    if fills == "all":
        fills = list_fills(known)
    fills = list(dict.fromkeys(check_fill(fill, known) for fill in fills or ()))
    questions: list[Question] = []
    for subset in _subsets(known, [channels] if isinstance(channels, str) else channels):
        if len(subset) == len(known):
            questions.append((subset, ""))
        elif strategy != PLAIN:
            questions += [(subset, fill) for fill in ("", *fills)]
        elif fills:
            questions += [(subset, fill) for fill in fills]
        else:
            raise ValueError(
                f"a plain model takes all of {known}, not {subset}: name --fill to fill what is missing "
                f"({', '.join(FILLS)}), or evaluate it on {known} only"
            )
    return sorted(questions, key=lambda question: rank(known, str(question[0]), question[1]))


def rank(known: ChannelSet, subset: str, fill: str) -> tuple[int, tuple[int, ...], int]:
    """Sorts as ``ChannelSet.subsets()`` does, the model's own answer before the fills."""
    indices = known.indices(subset)
    return -len(indices), indices, ["", *FILLS].index(fill)


def _subsets(known: ChannelSet, specs: Sequence[str]) -> list[ChannelSet]:
    """The channel sets meant, each once, its channels in the order of the known ones."""
    if not specs:
        raise ValueError(f"no channels to evaluate; give 'all' or channel sets of {known}")
    chosen: list[ChannelSet] = []
    for spec in specs:
        if spec == "some":
            chosen += known.some_subsets()
        elif spec != "all":
            chosen.append(ChannelSet(known[i] for i in sorted(known.indices(spec))))
        elif len(known) <= MOST_CHANNELS_FOR_ALL:
            chosen += known.subsets()
        else:
            raise ValueError(
                f"all subsets of {len(known)} channels are {2 ** len(known) - 1}; 'all' goes up to "
                f"{MOST_CHANNELS_FOR_ALL} channels: take 'some', or give a list of channel sets instead"
            )
    return list(dict.fromkeys(chosen))
