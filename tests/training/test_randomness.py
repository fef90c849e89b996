"""Random numbers by counter, and the global generators' states."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch

from anychan.training.randomness import counter_seed, random_states, restore_random_states, seed_everything


def test_seeds_differ_in_every_counter() -> None:
    seeds = {
        counter_seed(purpose, seed, epoch, step)
        for purpose in ("order", "channels")
        for seed in range(3)
        for epoch in range(5)
        for step in range(40)
    }
    assert len(seeds) == 2 * 3 * 5 * 40
    assert counter_seed("order", 1, 11) != counter_seed("order", 11, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


def draw() -> tuple[float, ...]:
    return (torch.randn(3).sum().item(), float(np.random.normal()), random.gauss(0, 1))  # noqa: NPY002 - the global one


def test_states_come_back_through_a_safe_file() -> None:
    seed_everything(5)
    draw()  # leaves a second normal deviate waiting in numpy's and Python's generators
    file = io.BytesIO()
    torch.save(random_states(torch.device("cpu")), file)
    expected = [draw() for _ in range(3)]
    seed_everything(6)
    file.seek(0)
    restore_random_states(torch.load(file, weights_only=True), torch.device("cpu"))
    assert [draw() for _ in range(3)] == expected


def test_of_the_gpus_the_runs_own_is_kept_and_found_again_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[tuple[str, torch.device]] = []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: f"state of {device}")
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: set_to.append((state, device)))
    first, third = torch.device("cuda:0"), torch.device("cuda:2")
    states = random_states(third)
    assert states["cuda"] == ["state of cuda:2"]
    for device in (first, third, torch.device("cpu")):
        restore_random_states(states, device)
    restore_random_states({**states, "cuda": ["a", "b", "c"]}, third)  # of an older checkpoint, with all
    restore_random_states({**states, "cuda": ["a", "b"]}, third)
    assert set_to == [("state of cuda:2", first), ("state of cuda:2", third), ("c", third), ("b", third)]
    assert random_states(torch.device("cpu"))["cuda"] == []


def test_processes_draw_differently_and_seeds_count() -> None:
    drawn = set()
    for seed, rank in ((0, 0), (0, 1), (1, 0)):
        seed_everything(seed, rank)
        drawn.add(draw())
    assert len(drawn) == 3
