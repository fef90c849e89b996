"""Is one model better than another, on the same images? The exact McNemar test and a paired interval.

Only the images that one model has right and the other wrong tell the two apart. Under the hypothesis that
both are equally good, they fall to either side like a fair coin (Q. McNemar, "Note on the sampling error of the
difference between correlated proportions or percentages", Psychometrika 12 (1947), 153-157).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from anychan.evaluation.intervals import wilson_interval

NOT_DISTINGUISHABLE = "not distinguishable"
LEVEL = 0.05


def verdict(difference: float, interval: Sequence[float], p: float | None = None) -> str:
    """``a is better`` or ``b is better``; ``not distinguishable`` where p is 0.05 or more or the interval holds zero.

    Args:
        difference: a's accuracy less b's.
        interval: of the difference, at 95 %.
        p: of the test, corrected where it is one of several; None: there is none, and the interval decides.

    Example:
        >>> verdict(0.02, (0.01, 0.03), 0.004), verdict(0.02, (0.01, 0.03), 0.06)
        ('a is better', 'not distinguishable')
    """
    low, high = interval
    if (p is not None and p >= LEVEL) or low <= 0 <= high:
        return NOT_DISTINGUISHABLE
    return "a is better" if difference > 0 else "b is better"


def named(verdict: str, a: str, b: str) -> str:
    """A verdict with names in place of a and b.

    Example:
        >>> named("b is better", "web", "deep"), named("not distinguishable", "web", "deep")
        ('deep is better', 'not distinguishable')
    """
    return {"a is better": f"{a} is better", "b is better": f"{b} is better"}.get(verdict, verdict)


@dataclass(frozen=True, slots=True)
class Paired:
    """How two models, a and b, did on the same images.

    Args:
        both: images that both have right.
        only_a: images that only model a has right.
        only_b: images that only model b has right.
        neither: images that both have wrong.

    Raises:
        ValueError: if there is no image.

    Example:
        >>> paired = Paired.of([True, True, False, True], [True, False, False, False])
        >>> paired.only_a, paired.only_b, paired.difference, paired.p
        (2, 0, 0.5, 0.5)
        >>> paired.verdict
        'not distinguishable'
    """

    both: int
    only_a: int
    only_b: int
    neither: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError("there is no image to compare two models on")

    @classmethod
    def of(cls, right_a: ArrayLike, right_b: ArrayLike) -> Paired:
        """Count, from two bool arrays of shape (N,): whether each model has each image right.

        Raises:
            ValueError: if the arrays are not equally long.
        """
        a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
        if a.shape != b.shape or a.ndim != 1:
            raise ValueError(f"paired answers must be two rows of equal length, not {a.shape} and {b.shape}")
        return cls(int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum()))

    @property
    def n(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def accuracy_a(self) -> float:
        return self._right_a / self.n

    @property
    def accuracy_b(self) -> float:
        return self._right_b / self.n

    @property
    def difference(self) -> float:
        """Accuracy of a less accuracy of b, -1 to 1."""
        return (self.only_a - self.only_b) / self.n

    @property
    def p(self) -> float:
        """The two-sided p value of the exact McNemar test; 1 where the models never disagree."""
        from scipy.stats import binomtest

        disagreements = self.only_a + self.only_b
        return float(binomtest(self.only_a, disagreements, 0.5).pvalue) if disagreements else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """A 95 % interval of the difference: Newcombe's square-and-add score interval for paired proportions.

        Method 10 of R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions
        based on paired data", Statistics in Medicine 17 (1998), 2635-2650: the Wilson intervals of both accuracies,
        put together with their correlation phi, which is corrected for continuity.
        """
        low_a, high_a = wilson_interval(self._right_a, self.n)
        low_b, high_b = wilson_interval(self._right_b, self.n)
        below_a, above_a = self.accuracy_a - low_a, high_a - self.accuracy_a
        below_b, above_b = self.accuracy_b - low_b, high_b - self.accuracy_b
        return (
            max(-1.0, self.difference - self._add(below_a, above_b)),
            min(1.0, self.difference + self._add(above_a, below_b)),
        )

    def _add(self, one: float, other: float) -> float:
        # Rounding can leave a sum of squares that is zero a little below it.
        return math.sqrt(max(0.0, one**2 - 2 * self._phi * one * other + other**2))

    @property
    def _right_a(self) -> int:
        return self.both + self.only_a

    @property
    def _right_b(self) -> int:
        return self.both + self.only_b

    @property
    def _phi(self) -> float:
        right_a, right_b = self._right_a, self._right_b
        spread = right_a * (self.n - right_a) * right_b * (self.n - right_b)
        if not spread:
            return 0.0
        product = self.both * self.neither - self.only_a * self.only_b
        return (max(product - self.n / 2, 0.0) if product > 0 else product) / math.sqrt(spread)

    @property
    def verdict(self) -> str:
        """``a is better``, ``b is better`` or ``not distinguishable``.

        A model is called better only where p is below 0.05 and the interval does not hold zero: the two are
        made in different ways and can disagree where it is close.
        """
        return verdict(self.difference, self.interval, self.p)

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON can hold."""
        return {
            "n": self.n,
            "accuracy_a": self.accuracy_a,
            "accuracy_b": self.accuracy_b,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "difference": self.difference,
            "difference_interval": list(self.interval),
            "p": self.p,
            "verdict": self.verdict,
        }
