"""On which machine a cost was measured, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def machine_of(cost: Mapping[str, Any]) -> str:
    """The GPU, or the processor with its threads.

    Args:
        cost: with ``device``, ``hardware`` and ``threads``, as an evaluation's record has it.

    Example:
        >>> machine_of({"device": "cpu", "hardware": {"cpu": "EPYC", "gpu": "H100"}, "threads": 2})
        'EPYC (threads: 2)'
    """
    if cost["device"].startswith("cuda"):
        return str(cost["hardware"]["gpu"])
    return f"{cost['hardware']['cpu']} (threads: {cost['threads']})"
