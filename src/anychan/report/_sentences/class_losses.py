"""Why some classes lose more than others when channels are not there: what the records can tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from anychan.report._reading.records import Evaluation

_FEWEST = 10  # classes: the rank correlation of fewer says little
_CHANCE = 0.05
_DIGITS = 9  # of a loss and of a share: equal ones are a tie, whatever they were made of


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's, with its p value, over some classes."""

    value: float
    p: float
    classes: int


def loss_with_untold(evaluation: Evaluation) -> RankCorrelation | None:
    """Whether those classes lose most whose channels the other channels tell least of.

    None where that is not known, or all classes are alike in one of both.

    The correlation is of two numbers of a class: the loss of recall, its mean over all proper subsets that the model
    answers by itself; and what the others leave untold of a channel, its mean over the channels.
    """
    pairs = _losses_and_shares(evaluation)
    if len(pairs) < _FEWEST or any(len(set(values)) == 1 for values in zip(*pairs, strict=True)):
        return None
    from scipy.stats import spearmanr

    found = spearmanr(*zip(*pairs, strict=True))
    return RankCorrelation(float(found.statistic), float(found.pvalue), len(pairs))


def why_words(evaluation: Evaluation) -> str:
    """`loss_with_untold` as a sentence; "" where it is not known."""
    found = loss_with_untold(evaluation)
    if found is None:
        return ""
    chance = "< 0.001" if found.p < 0.001 else f"= {found.p:.3f}"
    correlation = f"{found.value:+.2f}".replace("-", "−")
    if found.p >= _CHANCE:
        sure = "not distinguishable from none"
    else:
        sure = f"classes with more untold lose {'more' if found.value > 0 else 'less'}"
    return (
        f"Over {found.classes} classes the rank correlation of the mean loss on the subsets with the mean untold share "
        f"is {correlation} (p {chance}): {sure}."
    )


def _losses_and_shares(evaluation: Evaluation) -> list[tuple[float, float]]:
    full = evaluation.full
    subsets = [r for r in evaluation.results if not r.fill and r is not full and r.per_class]
    if full is None or not full.per_class or not subsets or not evaluation.untold:
        return []
    recalls = [[score.recall for score in result.per_class] for result in (full, *subsets)]
    shares_of_classes = zip(*evaluation.untold.values(), strict=True)
    found = []
    for (before, *after), shares in zip(zip(*recalls, strict=True), shares_of_classes, strict=True):
        known, told = [x for x in after if x is not None], [x for x in shares if x is not None]
        if before is not None and len(known) == len(after) and len(told) == len(shares):
            found.append((round(before - fmean(known), _DIGITS), round(fmean(told), _DIGITS)))
    return found
