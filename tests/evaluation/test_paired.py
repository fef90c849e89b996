"""The exact McNemar test against a sum by hand, the paired interval against published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anychan.evaluation import NOT_DISTINGUISHABLE, Paired

counts = st.integers(0, 60)


def binomial_sum(a: int, b: int) -> float:
    """Twice the smaller tail of a fair coin, at most 1."""
    n = a + b
    tail = sum(math.comb(n, i) for i in range(min(a, b) + 1)) / 2**n
    return min(1.0, 2.0 * tail)


@settings(deadline=None)
@given(both=counts, only_a=counts, only_b=counts, neither=counts)
def test_p_equals_the_binomial_sum(both: int, only_a: int, only_b: int, neither: int) -> None:
    if both + only_a + only_b + neither:
        paired = Paired(both, only_a, only_b, neither)
        assert paired.p == pytest.approx(binomial_sum(only_a, only_b), rel=1e-9)


@pytest.mark.parametrize(
    ("table", "difference", "low", "high"),
    [
        # Published in the R package contingencytables, for Cavo et al. 2012 and Bentur et al. 2009
        # (Fagerland, Lydersen and Laake, "Statistical Analysis of Contingency Tables", 2017, chapter 8).
        ((59, 6, 16, 80), -0.0621, -0.1186, -0.0046),
        ((1, 1, 7, 12), -0.2857, -0.5069, -0.0256),
    ],
)
def test_interval_equals_published_values(
    table: tuple[int, int, int, int], difference: float, low: float, high: float
) -> None:
    paired = Paired(*table)
    assert paired.difference == pytest.approx(difference, abs=5e-5)
    assert paired.interval == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None)
@given(both=counts, only_a=counts, only_b=counts, neither=counts)
def test_changing_places_changes_the_sign(both: int, only_a: int, only_b: int, neither: int) -> None:
    if not both + only_a + only_b + neither:
        return
    one, other = Paired(both, only_a, only_b, neither), Paired(both, only_b, only_a, neither)
    low, high = one.interval
    assert one.difference == -other.difference
    assert one.p == other.p
    assert (low, high) == pytest.approx((-other.interval[1], -other.interval[0]), abs=1e-12)
    assert -1 <= low <= one.difference + 1e-12
    assert one.difference - 1e-12 <= high <= 1


def test_counts_pairs_of_answers() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(300) < 0.7, rng.random(300) < 0.5
    paired = Paired.of(a, b)
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    assert paired == Paired(*(pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False,) * 2)))
    assert paired.accuracy_a == pytest.approx(a.mean())
    assert paired.accuracy_b == pytest.approx(b.mean())
    assert paired.difference == pytest.approx(a.mean() - b.mean())


def test_verdict() -> None:
    assert Paired(400, 60, 20, 20).verdict == "a is better"
    assert Paired(400, 20, 60, 20).verdict == "b is better"
    assert Paired(400, 30, 25, 20).verdict == NOT_DISTINGUISHABLE == "not distinguishable"
    assert Paired(100, 0, 0, 0).verdict == NOT_DISTINGUISHABLE


def test_p_of_just_under_and_over_five_percent() -> None:
    over, under = Paired(59, 6, 16, 80), Paired(59, 6, 17, 80)
    assert over.p > 0.05 > under.p
    assert over.interval[1] < 0  # the interval alone would have called it
    assert over.verdict == NOT_DISTINGUISHABLE
    assert under.verdict == "b is better"


def test_rows_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equal length"):
        Paired.of([True], [True, False])
    with pytest.raises(ValueError, match="no image"):
        Paired.of([], [])
