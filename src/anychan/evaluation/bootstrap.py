"""How sure is a mean difference of two models, over the images and the seeds that there might have been?

Images, and with more than one seed the seeds too, are drawn with replacement, as many as there are, and the mean is
taken again: the 2.5 and 97.5 percentiles of many such means are the interval (Efron and Tibshirani, "An Introduction
to the Bootstrap", 1993, chapter 13; both levels drawn as in Davison and Hinkley, "Bootstrap Methods and their
Application", 1997, section 3.8). With one seed the interval says nothing about other seeds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

DRAWS = 10_000
_CHUNK = 500


def paired_bootstrap(differences: ArrayLike, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean of differences that are paired by image and by seed.

    Args:
        differences: float (R, N): for each of R seeds and N images what one model has over the other, such as 1 where
            only the first is right, -1 where only the second is; or a mean of such over channel subsets.
        draws: how many means are taken.
        seed: of the draws.

    Raises:
        ValueError: if there is no seed or no image.

    Example:
        >>> low, high = paired_bootstrap([[1, 0, 0, -1, 1, 0, 0, 1]])
        >>> low < 0.25 < high
        True
    """
    differences_RN = np.asarray(differences, dtype=np.float64)
    if differences_RN.ndim != 2 or not differences_RN.size:
        raise ValueError(f"differences must be a row for each seed, not an array of shape {differences_RN.shape}")
    (seeds, n), generator = differences_RN.shape, np.random.default_rng(seed)
    means = []
    for first in range(0, draws, _CHUNK):
        count = min(_CHUNK, draws - first)
        images_DN = generator.multinomial(n, np.full(n, 1 / n), size=count) / n
        seeds_DR = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=count) / seeds
        means.append(((images_DN @ differences_RN.T) * seeds_DR).sum(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)
