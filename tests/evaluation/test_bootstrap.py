"""The paired bootstrap against what is known of a mean."""

from __future__ import annotations

import numpy as np
import pytest

from anychan.evaluation.bootstrap import paired_bootstrap


def test_one_seed_is_near_the_normal_interval() -> None:
    differences = np.random.default_rng(0).choice([-1, 0, 1], p=[0.2, 0.5, 0.3], size=(1, 2000))
    low, high = paired_bootstrap(differences)
    half = 1.96 * differences.std() / np.sqrt(2000)
    assert low == pytest.approx(differences.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(differences.mean() + half, abs=0.1 * half)


def test_seeds_that_disagree_widen_it() -> None:
    """Seeds whose images agree: what varies is the seed alone."""
    offsets = np.array([0.0, 0.1, 0.2, 0.3])
    low, high = paired_bootstrap(np.repeat(offsets[:, None], 50, axis=1))
    # Of the 4^4 draws of four seeds 5 have a mean below 0.05, which is less than 2.5 %, and 15 one of at most 0.05.
    assert (low, high) == pytest.approx((0.05, 0.25))


def test_it_is_repeatable_and_the_seed_counts() -> None:
    differences = np.random.default_rng(1).normal(size=(3, 40))
    assert paired_bootstrap(differences, draws=600) == paired_bootstrap(differences, draws=600)
    assert paired_bootstrap(differences, draws=600) != paired_bootstrap(differences, draws=600, seed=1)


def test_what_cannot_be_drawn_from_is_refused() -> None:
    for nothing in ([], [[]], [1.0, 2.0]):
        with pytest.raises(ValueError, match="must be a row for each seed"):
            paired_bootstrap(nothing)
