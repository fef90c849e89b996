"""Several tests at once: Holm's step-down correction, and verdicts by it.

S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979), 65-70.
Of several tests of models that do not differ, one of twenty looks as if they did; after the correction, the chance that
any of them does is at most one in twenty, however the tests hang together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anychan.evaluation.paired import verdict


def holm(ps: Sequence[float]) -> list[float]:
    """p values corrected for their number, each where it was.

    The smallest is multiplied by their number, the next by one less, and so on; none is above 1 or below one that was
    smaller before.

    Raises:
        ValueError: for one outside of 0 to 1.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    wrong = [p for p in ps if not 0 <= p <= 1]
    if wrong:
        raise ValueError(f"p {wrong[0]} must be 0 to 1")
    corrected_ps, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        corrected_ps[i] = highest
    return corrected_ps


def corrected(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Paired comparisons (`Paired.to_dict`) with ``p_holm``, corrected for their number, and the verdict by that.

    Example:
        >>> row = {"difference": 0.02, "difference_interval": [0.01, 0.03], "p": 0.03, "verdict": "a is better"}
        >>> [(row["p_holm"], row["verdict"]) for row in corrected([row, row])]
        [(0.06, 'not distinguishable'), (0.06, 'not distinguishable')]
    """
    return [
        {**row, "p_holm": p, "verdict": verdict(row["difference"], row["difference_interval"], p)}
        for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True)
    ]
