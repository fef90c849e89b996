"""Wilson's interval against its closed formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anychan.evaluation import wilson_interval
from anychan.evaluation.intervals import macro_intervals

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


def macro_averages(confusion: np.ndarray) -> dict[str, float]:
    """By scikit-learn's definitions, written out."""
    k = len(confusion)
    right, of, said = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision = [right[c] / said[c] if said[c] else 0.0 for c in range(k) if of[c] + said[c]]
    recall = [right[c] / of[c] if of[c] else 0.0 for c in range(k) if of[c] + said[c]]
    f1 = [2 * right[c] / (of[c] + said[c]) for c in range(k) if of[c] + said[c]]
    return {"precision": np.mean(precision), "recall": np.mean(recall), "f1": np.mean(f1)}


def draws(n: int, times: int, seed: int = 0) -> np.ndarray:
    """Confusion matrices of ``n`` images, of four classes that are not equally frequent or easy, one never answered."""
    shares = np.array([[0.3, 0.05, 0.05, 0], [0.1, 0.1, 0.1, 0], [0.02, 0.03, 0.15, 0], [0.04, 0.03, 0.03, 0]])
    return np.random.default_rng(seed).multinomial(n, shares.ravel(), size=times).reshape(times, 4, 4)


def test_macro_intervals_are_as_wide_as_the_averages_of_drawn_images_vary() -> None:
    drawn = draws(400, 4000)
    found = macro_intervals([drawn.mean(axis=0)])
    averages = [macro_averages(one) for one in drawn]
    for name, (low, high) in found.items():
        spread = np.std([one[name] for one in averages])
        assert (high - low) / 2 == pytest.approx(Z * spread, rel=0.05)
        assert (high + low) / 2 == pytest.approx(macro_averages(drawn.mean(axis=0))[name])


def test_macro_intervals_of_several_seeds_hold_the_seeds_spread_and_count_images_once() -> None:
    (one,) = draws(400, 1)
    alone = macro_intervals([one])
    for name, (low, high) in macro_intervals([one, one, one]).items():
        assert high - low == pytest.approx(alone[name][1] - alone[name][0], rel=1e-3)
    seeds = [one + 3 * shift * np.eye(4, dtype=int) for shift in (0, 1, 2)]
    for name, (low, high) in macro_intervals(seeds).items():
        of_seeds = [macro_averages(seed)[name] for seed in seeds]
        assert low < np.mean(of_seeds) < high
        assert high - low > alone[name][1] - alone[name][0]


def test_no_variance_gives_no_macro_interval() -> None:
    right = np.diag([3, 7, 11])
    assert macro_intervals([right]) == macro_intervals([right, right]) == {}
    one_class = [[3, 0, 0], [7, 0, 0], [11, 0, 0]]  # recall is one of three, whatever images are drawn
    assert macro_intervals([one_class]).keys() == {"precision", "f1"}
    many = np.diag([10**6] * 100)
    many[0, :2] = 10**6 - 1, 1
    assert macro_intervals([many]).keys() == {"precision", "recall", "f1"}
    assert len(macro_intervals([right, [[2, 1, 0], [0, 7, 0], [0, 0, 11]]])) == 3


@pytest.mark.parametrize("confusions", [[], [[1, 2]], [[[0, 0], [0, 0]]]])
def test_matrices_without_images_are_refused(confusions: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="confusion matrices of images are needed"):
        macro_intervals(confusions)
