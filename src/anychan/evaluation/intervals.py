"""Intervals of a proportion, of a mean with several variances, and of averages over classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

_NO_VARIANCE = 1e-24  # far below that of any macro average, and above what rounding leaves of 0


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion, without continuity correction.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.
    It stays within 0 and 1 and keeps its width where no or every trial succeeds.

    Args:
        successes: 0 to ``n``.
        n: the number of trials, at least 1.
        confidence: the coverage aimed at, between 0 and 1.

    Raises:
        ValueError: for a count or confidence outside of these.

    Example:
        >>> low, high = wilson_interval(225, 450)
        >>> round(low, 3), round(high, 3)
        (0.454, 0.546)
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= n or n < 1:
        raise ValueError(
            f"{successes} successes in {n} trials: there must be a trial, and no more successes than trials"
        )
    interval = binomtest(int(successes), int(n)).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def satterthwaite_interval(
    mean: float, parts: Sequence[tuple[float, float]], confidence: float = 0.95
) -> tuple[float, float]:
    """Student's t interval of a mean whose variance is a sum, with the degrees of freedom of Satterthwaite.

    F. E. Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2
    (1946), 110-114.

    Args:
        mean: that was measured.
        parts: each variance of the mean that was estimated, with its own degrees of freedom.
        confidence: the coverage aimed at, between 0 and 1.

    Example:
        >>> low, high = satterthwaite_interval(0.5, [(0.0004, 1), (0.0004, 1_000_000)])
        >>> round(low, 3), round(high, 3)
        (0.421, 0.579)
    """
    from scipy.stats import t

    deviation, freedom = _summed(parts)
    half = float(t.ppf((1 + confidence) / 2, freedom)) * deviation
    return mean - half, mean + half


def satterthwaite_chance(mean: float, parts: Sequence[tuple[float, float]]) -> float:
    """p, two-sided, of a mean with such an interval: how likely it would be so far from zero if the true one were zero.

    Args:
        mean: see ``satterthwaite_interval``.
        parts: the same.
    """
    from scipy.stats import t

    deviation, freedom = _summed(parts)
    return 2 * float(t.sf(abs(mean) / deviation, freedom)) if deviation else float(mean == 0)


def _summed(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The standard deviation of a mean with these variances, and its degrees of freedom."""
    variance = sum(of for of, _ in parts)
    uncertain = sum(of**2 / freedom for of, freedom in parts)
    return math.sqrt(variance), variance**2 / uncertain if uncertain else 1.0


def macro_intervals(confusions: Sequence[ArrayLike], confidence: float = 0.95) -> dict[str, tuple[float, float]]:
    """Intervals of macro precision, recall and F1 over images, and over seeds where there are several.

    By the delta method on a multinomial confusion matrix (K. Takahashi et al., "Confidence interval for
    micro-averaged F1 and macro-averaged F1 scores", Applied Intelligence 52, 2022, section 3.2; precision and recall
    alike). Of several seeds the images are the same, so what they are in doubt about is taken from a matrix of as many
    images as one seed has, and the variance of the seeds' mean is added (see ``satterthwaite_interval``).

    Args:
        confusions: of each seed the counts (C, C), row: right class, column: answer.
        confidence: the coverage aimed at, between 0 and 1.

    Returns:
        ``precision``, ``recall`` and ``f1``: lower and upper bound, within 0 and 1. Without those whose variance is
        estimated as 0, as that of recall where every class is always or never named right: nothing is known of it then.

    Raises:
        ValueError: if there is no matrix, or one without an image.

    Example:
        >>> intervals = macro_intervals([[[40, 10], [20, 30]]])
        >>> [round(bound, 3) for bound in intervals["recall"]]
        [0.611, 0.789]
    """
    counts_SCC = np.asarray(confusions, dtype=np.float64)
    if counts_SCC.ndim != 3 or not counts_SCC.size or not counts_SCC.sum(axis=(1, 2)).all():
        raise ValueError(f"confusion matrices of images are needed, one a seed, not an array of {counts_SCC.shape}")
    seeds, mean_CC = len(counts_SCC), counts_SCC.mean(axis=0)
    found = {}
    for number, (name, slope_CC) in enumerate(_slopes(mean_CC).items()):
        values_S = np.array([_macro(counts_CC)[number] for counts_CC in counts_SCC])
        parts = [(float((mean_CC * slope_CC**2).sum()), max(float(mean_CC.sum()) - 1, 1.0))]
        if seeds > 1:
            parts.append((float(values_S.var(ddof=1)) / seeds, seeds - 1))
        if sum(variance for variance, _ in parts) < _NO_VARIANCE:
            continue
        low, high = satterthwaite_interval(float(values_S.mean()), parts, confidence)
        found[name] = (max(low, 0.0), min(high, 1.0))
    return found


def _macro(counts_CC: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Macro precision, recall and F1: means over the classes that occur or are answered."""
    right_C, of_C, said_C = np.diag(counts_CC), counts_CC.sum(axis=1), counts_CC.sum(axis=0)
    there = (of_C + said_C) > 0
    precision, recall, f1 = (
        np.divide(share_C, all_C, out=np.zeros_like(all_C), where=all_C > 0)[there].mean()
        for share_C, all_C in ((right_C, said_C), (right_C, of_C), (2 * right_C, of_C + said_C))
    )
    return float(precision), float(recall), float(f1)


def _slopes(counts_CC: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """What one more image in each cell adds to each macro average."""
    right_C, of_C, said_C = np.diag(counts_CC), counts_CC.sum(axis=1), counts_CC.sum(axis=0)
    classes, right_CC = int(((of_C + said_C) > 0).sum()), np.eye(len(right_C))
    of_C, said_C = np.maximum(of_C, 1e-12), np.maximum(said_C, 1e-12)  # cells of an empty row or column do not count
    both_C = of_C + said_C
    lost_C = 2 * right_C / both_C**2
    return {
        "precision": (right_CC / said_C - (right_C / said_C**2)[None, :]) / classes,
        "recall": (right_CC / of_C - (right_C / of_C**2)[:, None]) / classes,
        "f1": (2 * right_CC / both_C - lost_C[:, None] - lost_C[None, :]) / classes,
    }
