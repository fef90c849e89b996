"""Holm's correction against a slow reading of its definition, and what it changes in verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anychan.evaluation.holm import corrected, holm


def rejected(ps: list[float], level: float) -> set[int]:
    """Holm (1979) as he puts it: step by step the smallest is held against the level over the number left."""
    left, gone = list(range(len(ps))), set()
    while left:
        smallest = min(left, key=lambda i: ps[i])
        if ps[smallest] * len(left) > level:
            break
        gone.add(smallest)
        left.remove(smallest)
    return gone


@given(st.lists(st.floats(0, 1), max_size=9), st.floats(0, 0.999))
def test_it_rejects_what_the_step_by_step_procedure_rejects(ps: list[float], level: float) -> None:
    assert {i for i, p in enumerate(holm(ps)) if p <= level} == rejected(ps, level)


def test_what_is_no_p_is_refused() -> None:
    with pytest.raises(ValueError, match=r"p 1\.5 must be 0 to 1"):
        holm([0.5, 1.5])
    assert holm([]) == []


def row(p: float, difference: float = 0.02) -> dict[str, Any]:
    interval = [difference - 0.01, difference + 0.01]
    return {"difference": difference, "difference_interval": interval, "p": p, "verdict": "of before"}


def test_a_difference_may_be_one_among_many_that_are_none() -> None:
    assert [r["verdict"] for r in corrected([row(0.012)])] == ["a is better"]
    seven = corrected([row(0.012), row(1e-6, -0.02), *(row(0.5) for _ in range(5))])
    assert [r["verdict"] for r in seven[:3]] == ["not distinguishable", "b is better", "not distinguishable"]
    assert [r["p_holm"] for r in seven[:3]] == pytest.approx([0.072, 7e-6, 1.0])
