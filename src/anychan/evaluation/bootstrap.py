"""How sure is a mean difference of two models, over the images and the seeds that there might have been?

With one seed, images are drawn with replacement, as many as there are, and the mean is taken again: the 2.5 and 97.5
percentiles of many such means are the interval (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter
13). It says nothing about other seeds. Draws of few images that differ are too much alike as well: where fewer than six
do, no test at 5 % could tell them from chance, and the interval holds zero.

Draws of few seeds are too much alike: where the seeds decide, intervals of their percentiles would hold the truth in
half of cases (two seeds) to about 85 % (six). With several seeds the interval is therefore Student's t on the sum of
two variances, that of the seeds' means and that of the mean over images (see `satterthwaite_interval`): its degrees of
freedom are few where the seeds decide, and many where the images do. As they are estimated too, where the seeds
decide it holds the truth less often than said: of two seeds down to 87 %, of three 92 %, of five 94 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from anychan.evaluation.intervals import satterthwaite_chance, satterthwaite_interval, wilson_interval

DRAWS = 10_000
_CHUNK = 500
_DIGITS = 12
_FEW = 6  # images that differ: of fewer, all to one side, the exact test gives 2 / 2**5 = 0.06 or more

Variance = tuple[float, int]  # estimated, with its degrees of freedom


def paired_interval(
    differences: ArrayLike, draws: int = DRAWS, seed: int = 0, *, of_seeds: Variance | None = None
) -> tuple[float, float]:
    """The 95 % interval of the mean of differences that are paired by image and by seed.

    Of several seeds it is Student's t on the variances of the seeds' means and of the images' means. Both hold what is
    left of a seed and an image together, which so is counted twice: where that is most of it, the interval is half
    again as wide as it need be.

    Args:
        differences: float (R, N): for each of R seeds and N images what one model has over the other, such as 1 where
            only the first is right, -1 where only the second is; or a mean of such over channel subsets.
        draws: how many means are taken of one seed's images.
        seed: of the draws.
        of_seeds: how much the means of single seeds vary, where more is known of it than these differences tell (see
            `seeds_variance`).

    Raises:
        ValueError: if there is no seed or no image.

    Example:
        >>> low, high = paired_interval([[1, 0, 0, -1, 1, 0, 0, 1]])
        >>> low < 0.25 < high
        True
    """
    differences_RN = np.asarray(differences, dtype=np.float64)
    if differences_RN.ndim != 2 or not differences_RN.size:
        raise ValueError(f"differences must be a row for each seed, not an array of shape {differences_RN.shape}")
    (seeds, n), generator = differences_RN.shape, np.random.default_rng(seed)
    if seeds > 1:
        return satterthwaite_interval(*_mean_and_parts(differences_RN, of_seeds))
    means = []
    for first in range(0, draws, _CHUNK):
        count = min(_CHUNK, draws - first)
        images_DN = generator.multinomial(n, np.full(n, 1 / n), size=count) / n
        means.append(images_DN @ differences_RN[0])
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    if np.count_nonzero(differences_RN) < _FEW:
        low, high = min(low, 0.0), max(high, 0.0)
    # Sums of floats in another order are a last digit apart, which must not decide on which side of 0 a bound lies.
    return round(float(low), _DIGITS) + 0.0, round(float(high), _DIGITS) + 0.0  # + 0.0: no -0.0


def accuracy_interval(right: ArrayLike) -> tuple[float, float]:
    """The 95 % interval of an accuracy, over images and, of several seeds, over seeds too.

    Args:
        right: bool (R, N), whether each of R seeds has each of N images right.

    Returns:
        Bounds from 0 to 1: Wilson's of one seed, those of `paired_interval` of several; Wilson's of these too where all
        are right or all wrong, which does not make them sure.

    Raises:
        ValueError: if there is no seed or no image.

    Example:
        >>> low, high = accuracy_interval([[True] * 40, [True] * 40])
        >>> round(low, 3), high
        (0.912, 1.0)
    """
    right_RN = np.asarray(right, dtype=bool)
    if right_RN.ndim == 2 and len(right_RN) > 1:
        low, high = paired_interval(right_RN)
        if low < high:
            return max(low, 0.0), min(high, 1.0)
    elif right_RN.ndim != 2 or not right_RN.size:
        raise ValueError(f"right answers must be a row for each seed, not an array of shape {right_RN.shape}")
    return wilson_interval(round(float(right_RN.mean() * right_RN.shape[1])), right_RN.shape[1])


def seeds_variance(differences: Sequence[ArrayLike]) -> Variance:
    """How much the means of single seeds vary, from several sets of differences together, such as one a channel subset.

    Of two seeds one set tells so little that the widths of intervals are luck: of alike sets one comes out six times as
    wide as another. Together they have as many more degrees of freedom, if seeds vary alike in all of them and each by
    itself. Where one model's luck is in all sets they have fewer than is said here: if seeds decide and it is in all of
    them alike, intervals of two seeds from seven sets hold the truth in about 82 % of cases; where images decide, as
    many as are said.

    Args:
        differences: of each set float (R, N), of R seeds, two or more.

    Returns:
        The variance of a seed's mean, and its degrees of freedom.
    """
    variances = [np.asarray(one, dtype=np.float64).mean(axis=1).var(ddof=1) for one in differences]
    return float(np.mean(variances)), sum(len(np.asarray(one)) - 1 for one in differences)


def paired_chance(differences: ArrayLike, *, of_seeds: Variance | None = None) -> float:
    """p, two-sided, of the mean of such differences over several seeds: that of the Student's t of `paired_interval`.

    It is Welch's test of two samples, of which one is the seeds' means and the other, with a mean of zero, the images'.

    Args:
        differences: float (R, N), of R seeds, two or more.
        of_seeds: see `paired_interval`.
    """
    return satterthwaite_chance(*_mean_and_parts(np.asarray(differences, dtype=np.float64), of_seeds))


def _mean_and_parts(differences_RN: npt.NDArray[np.float64], of_seeds: Variance | None) -> tuple[float, list[Variance]]:
    """The mean over seeds and images, and its variances with their degrees of freedom: the seeds', the images'."""
    seeds, n = differences_RN.shape
    variance, freedom = seeds_variance([differences_RN]) if of_seeds is None else of_seeds
    of_images_N = differences_RN.mean(axis=0)
    return float(of_images_N.mean()), [(variance / seeds, freedom), (float(of_images_N.var()) / n, max(n - 1, 1))]
