"""Wilson's interval against its closed formula."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anychan.evaluation import wilson_interval

Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution


@settings(deadline=None)
@given(n=st.integers(1, 100_000), share=st.floats(0, 1))
def test_equals_the_closed_formula(n: int, share: float) -> None:
    successes = round(share * n)
    p = successes / n
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    low, high = wilson_interval(successes, n)
    assert low == pytest.approx(max(centre - half, 0), abs=1e-9)
    assert high == pytest.approx(min(centre + half, 1), abs=1e-9)


def test_450_images_are_within_four_and_a_half_points() -> None:
    low, high = wilson_interval(225, 450)
    assert (high - low) / 2 == pytest.approx(0.046, abs=0.0005)


def test_no_success_and_all_successes_keep_a_width() -> None:
    assert wilson_interval(0, 10)[1] == pytest.approx(0.2775, abs=1e-4)
    assert wilson_interval(10, 10)[0] == pytest.approx(0.7225, abs=1e-4)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{successes} successes in {n} trials"):
        wilson_interval(successes, n)
