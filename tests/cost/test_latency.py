"""Latency: that the passes counted are timed, and only they."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from anychan.cost import latency, measure_latency


class Slow(nn.Module):
    """Sets a clock forward by the next of the given times, in milliseconds."""

    def __init__(self, milliseconds: list[float]) -> None:
        super().__init__()
        self.left = list(milliseconds)
        self.now = 0.0
        self.batches: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.batches.append(tuple(x.shape))
        self.now += self.left.pop(0) / 1e3
        return x


def test_median_and_quartiles_of_the_passes_after_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Slow([600, 600, 5, 40, 10, 20, 30])
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: model.now))
    found = measure_latency(model, "RG", image_size=4, batch_size=3, repeats=5)
    assert (found.q25, found.median, found.q75) == pytest.approx((10, 20, 30))
    assert model.batches == [(3, 2, 4, 4)] * 7
    assert model.training


def test_the_device_that_is_timed_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    first = [latency.now(torch.device(name)) for name in ("cuda:1", "mps", "cpu")]
    assert first == sorted(first)
    assert waited == [torch.device("cuda:1"), torch.device("mps")]


def test_modes_of_parts_come_back() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3).eval())
    measure_latency(model, image_size=4, repeats=1)
    assert model.training
    assert not model[1].training


@pytest.mark.parametrize(("name", "numbers"), [("batch_size", {"batch_size": 0}), ("repeats", {"repeats": 0})])
def test_bad_numbers_are_named(name: str, numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{name} 0 is not"):
        measure_latency(nn.Conv2d(3, 3, 1), image_size=4, **numbers)
