"""Randomness that survives a resume: numbers drawn by counter, and the global generators' states.

What the loop itself draws (order, channels, augmentation) comes from a generator seeded anew by what it is for:
(purpose, seed, epoch, step). It needs no state. What a model draws (dropout) comes from the global generators,
whose states a checkpoint keeps.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import torch


def counter_seed(purpose: str, *counters: int) -> int:
    """A 63-bit seed that depends on every one of its arguments.

    Example:
        >>> counter_seed("order", 0, 1) == counter_seed("order", 0, 1)
        True
        >>> counter_seed("order", 0, 1) == counter_seed("order", 1, 0)
        False
    """
    key = "/".join((purpose, *map(str, counters)))
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 1


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed the global generators of Python, numpy and torch; each process of a run gets its own sequence."""
    number = counter_seed("global", seed, rank)
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002 - models that draw from numpy draw from its global generator
    torch.manual_seed(number)


def random_states(device: torch.device) -> dict[str, Any]:
    """The states of the global generators, as tensors and lists that ``torch.load(weights_only=True)`` reads.

    Args:
        device: on which the model draws, beside the CPU.
    """
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - see seed_everything
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state(device)] if device.type == "cuda" else [],
        "mps": torch.mps.get_rng_state() if device.type == "mps" else None,
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "python": [version, list(internal), gauss],
    }


def restore_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Put the global generators back to what ``random_states`` gave, also of a device of another number."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and device.type == "cuda":
        of_all = states["cuda"]  # older checkpoints have those of every GPU that was there
        torch.cuda.set_rng_state(of_all[min(device.index or 0, len(of_all) - 1)], device)
    if states["mps"] is not None and device.type == "mps":
        torch.mps.set_rng_state(states["mps"])
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
