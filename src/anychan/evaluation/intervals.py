"""Intervals of a proportion."""

from __future__ import annotations


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
