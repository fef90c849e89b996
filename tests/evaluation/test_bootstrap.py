"""The paired bootstrap against what is known of a mean."""

from __future__ import annotations

import numpy as np
import pytest

from anychan.evaluation.bootstrap import paired_interval, seeds_variance


def test_one_seed_is_near_the_normal_interval() -> None:
    differences = np.random.default_rng(0).choice([-1, 0, 1], p=[0.2, 0.5, 0.3], size=(1, 2000))
    low, high = paired_interval(differences)
    half = 1.96 * differences.std() / np.sqrt(2000)
    assert low == pytest.approx(differences.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(differences.mean() + half, abs=0.1 * half)


@pytest.mark.parametrize(("better", "worse"), [(5, 1), (14, 6)])
def test_a_bound_that_is_zero_is_zero(better: int, worse: int) -> None:
    """Of one sum of thirtieths noise is below 0, of the other above, which would be a verdict."""
    differences = np.array([1.0] * better + [-1.0] * worse + [0.0] * (30 - better - worse))
    assert str(paired_interval(differences[None], draws=500)[0]) == "0.0"


@pytest.mark.parametrize("images", [0, 1, 5, 6])
def test_fewer_than_six_images_that_differ_are_no_verdict(images: int) -> None:
    differences = np.zeros((1, 400))
    differences[0, :images] = 1
    low, high = paired_interval(differences)
    assert (low > 0) == (images == 6)
    assert (high > 0) == (images > 0)
    assert paired_interval(-differences) == (-high, -low)


def test_where_seeds_decide_it_is_students_interval() -> None:
    """Seeds whose images agree: what varies is the seed alone."""
    low, high = paired_interval(np.repeat(np.arange(6.0)[:, None], 50, axis=1))
    half = 2.570582 * np.std(np.arange(6.0), ddof=1) / np.sqrt(6)  # t with 5 degrees of freedom
    assert (low, high) == pytest.approx((2.5 - half, 2.5 + half), abs=1e-4)


def test_seeds_that_agree_are_as_sure_as_one() -> None:
    differences = np.random.default_rng(0).choice([-1, 0, 1], p=[0.2, 0.5, 0.3], size=(1, 2000))
    one, three = paired_interval(differences), paired_interval(np.repeat(differences, 3, axis=0))
    assert three == pytest.approx(one, abs=0.002)
    assert paired_interval(np.full((3, 4), 0.5)) == (0.5, 0.5)


@pytest.mark.parametrize("shared", [0.0, 0.5])
@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_several_seeds_cover_the_truth_as_often_as_said(seeds: int, shared: float) -> None:
    """Noise of seeds, of images that all seeds share, and of both together."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        noise = generator.normal(0, 0.02, size=(seeds, 1)) + generator.normal(0, 0.3, size=(seeds, 500))
        low, high = paired_interval(noise + generator.normal(0, shared, size=500))
        covered += low <= 0 <= high
    assert 0.92 <= covered / 400 <= 0.99


@pytest.mark.parametrize(("seeds", "said"), [(2, 0.87), (3, 0.92), (5, 0.94)])
def test_where_seeds_decide_it_covers_the_truth_as_often_as_is_documented(seeds: int, said: float) -> None:
    """At the ratio of the variances that is worst for it."""
    generator = np.random.default_rng(0)
    worst = 1.0
    for ratio in (3, 10, 30):
        covered = 0
        for _ in range(2000):
            images = generator.normal(0, 1, size=20)
            noise = (ratio * seeds / 20) ** 0.5 * generator.normal(0, 1, size=(seeds, 1)) + images
            low, high = paired_interval(noise)
            covered += low <= 0 <= high
        worst = min(worst, covered / 2000)
    assert worst == pytest.approx(said, abs=0.02)


def test_the_variance_of_two_seeds_from_seven_subsets_covers_the_truth_and_is_no_luck() -> None:
    generator = np.random.default_rng(0)
    covered, widths, alone = 0, [], []
    for _ in range(300):
        noise_SRN = generator.normal(0, 0.008, size=(7, 2, 1)) + generator.normal(0, 0.4, size=(7, 2, 500))
        together = seeds_variance(list(noise_SRN))
        assert together[1] == 7
        low, high = paired_interval(noise_SRN[0], of_seeds=together)
        covered += low <= 0 <= high
        widths.append(high - low)
        alone.append(np.diff(paired_interval(noise_SRN[0]))[0])
    assert 0.92 <= covered / 300 <= 0.99
    assert np.percentile(widths, 97.5) < 2 * np.percentile(widths, 2.5)
    assert np.percentile(alone, 97.5) > 4 * np.percentile(alone, 2.5)


def test_it_is_repeatable_and_the_seed_counts() -> None:
    differences = np.random.default_rng(1).normal(size=(1, 40))
    assert paired_interval(differences, draws=600) == paired_interval(differences, draws=600)
    assert paired_interval(differences, draws=600) != paired_interval(differences, draws=600, seed=1)


def test_what_cannot_be_drawn_from_is_refused() -> None:
    for nothing in ([], [[]], [1.0, 2.0]):
        with pytest.raises(ValueError, match="must be a row for each seed"):
            paired_interval(nothing)
