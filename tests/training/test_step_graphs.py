"""Recorded steps: which are recorded, and that a replayed one does what the step itself does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from anychan.channels import ChannelSet
from anychan.training import loop, step_graphs, train
from anychan.training.batches import Batch
from anychan.training.config import ObjectiveConfig, OptimizerConfig
from anychan.training.machine import Machine
from anychan.training.step_graphs import StepGraphs

from ._runs import described, weights

RGB = ChannelSet.parse("RGB")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


class Graph:
    """Stands in for a CUDA graph on a machine without a GPU: what is made under it is made again at each replay."""

    recording: Graph | None = None

    def __init__(self) -> None:
        self.work: Any = None

    def replay(self) -> None:
        self.work()

    def pool(self) -> str:
        return "pool"


class Steps:
    """An update that counts its calls, adds the images up, and lets itself be recorded."""

    def __init__(self) -> None:
        self.calls = 0
        self.sums: list[float] = []
        self.draws = self.waits = False
        self.mode: int | str = 0

    def watch(self, mode: int | str) -> None:
        self.mode = mode
        if mode == "warn":
            warnings.warn("Synchronization debug mode is a prototype feature and so on", stacklevel=1)

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.calls += 1
        if self.draws:
            torch.rand(1)
        if self.waits and self.mode == "warn":
            warnings.warn("called a synchronizing CUDA operation (for the test)", stacklevel=1)
        loss, right = torch.zeros(()), torch.zeros(())

        def work() -> None:
            loss.copy_(batch.images.sum())
            right.copy_(batch.labels.sum())
            self.sums.append(float(loss))

        if Graph.recording is None:
            work()
        else:
            Graph.recording.work = work
        return loss, right


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    @contextmanager
    def graph(into: Graph, pool: Any) -> Iterator[None]:
        Graph.recording = into
        yield
        Graph.recording = None

    found = Steps()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: found.mode)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", found.watch)
    return found


def make_graphs(steps: Steps, required: bool = False) -> StepGraphs:
    return StepGraphs(steps, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1), required=required)


def batch(value: float, channels: str = "RGB", count: int = 2, **more: Any) -> Batch:
    chosen = RGB.subset(channels)
    return Batch(torch.full((count, len(chosen), 4, 4), value), torch.arange(count), chosen, **more)


def test_the_third_step_of_a_kind_is_recorded_and_replayed_on_its_own_images(steps: Steps) -> None:
    graphs = make_graphs(steps)
    losses = [float(graphs(batch(value))[0]) for value in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert losses == [96.0, 192.0, 288.0, 384.0, 480.0]
    assert steps.calls == 3  # two launched, one recorded
    assert steps.sums == losses  # recording itself does nothing
    assert len(graphs) == 1
    assert float(graphs(batch(1.0))[1]) == 1.0


def test_each_kind_of_batch_has_a_graph_of_its_own(steps: Steps) -> None:
    graphs = make_graphs(steps)
    kinds = [
        batch(1.0),
        batch(1.0, "RG"),
        batch(1.0, "GR"),
        batch(1.0, count=3),
        batch(1.0, subsets=(RGB.subset("R"),)),
    ]
    for _ in range(4):
        for one in kinds:
            expected = 16.0 * len(one.channels) * len(one.labels)
            assert float(graphs(one)[0]) == expected
    assert len(graphs) == 5
    assert steps.calls == 15


def test_kinds_that_seldom_come_again_are_not_counted_for_ever(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_graphs, "_MOST_SEEN", 3)
    graphs = make_graphs(steps)
    for _ in range(3):
        graphs(batch(1.0))  # recorded
    for count in (3, 4, 5, 6, 3, 3):
        graphs(batch(1.0, count=count))
    assert (len(graphs), len(graphs._seen), steps.calls) == (1, 3, 9)
    assert graphs.refused == "there are more than 3 kinds of steps, which seldom come again"
    graphs(batch(1.0))
    assert steps.calls == 9  # replayed as before


@pytest.mark.parametrize(("what", "reason"), [("draws", "draws random numbers"), ("waits", "waits for the GPU")])
def test_what_cannot_be_recorded_is_launched_and_said(steps: Steps, what: str, reason: str) -> None:
    setattr(steps, what, True)
    graphs = make_graphs(steps)
    for _ in range(5):
        graphs(batch(1.0))
    assert (len(graphs), steps.calls) == (0, 5)
    assert graphs.refused is not None
    assert reason in graphs.refused
    assert steps.mode == 0
    required = make_graphs(steps, required=True)
    required(batch(1.0))
    with pytest.raises(ValueError, match=f"cuda_graphs true: a step {reason}"):
        required(batch(1.0))


def test_images_with_channels_of_their_own_are_never_recorded(steps: Steps) -> None:
    graphs = make_graphs(steps)
    for _ in range(4):
        graphs(batch(1.0, present=torch.tensor([[True, True, False], [True, False, False]])))
    assert (len(graphs), steps.calls) == (0, 4)
    assert graphs.refused == "the images of a step have channels of their own"
    with pytest.raises(ValueError, match="cuda_graphs true: the images of a step have channels of their own"):
        make_graphs(steps, required=True)(batch(1.0, present=torch.ones(2, 3, dtype=torch.bool)))


@pytest.mark.parametrize("required", [False, True])
def test_kinds_beyond_the_most_are_launched_and_said(
    steps: Steps, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    monkeypatch.setattr(step_graphs, "_MOST", 1)
    graphs = make_graphs(steps, required)
    for count in (2, 2, 2, 3, 3, 3, 2):
        graphs(batch(1.0, count=count))
    assert (len(graphs), graphs.refused) == (1, "there are more than 1 kinds of steps")
    assert steps.calls == 6  # the last one is replayed


def test_other_warnings_of_a_watched_step_are_not_swallowed(steps: Steps) -> None:
    def update(one: Batch) -> tuple[Tensor, Tensor]:
        warnings.warn("something else", UserWarning, stacklevel=1)
        return steps(one)

    graphs = StepGraphs(update, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1))
    for _ in range(2):
        with pytest.warns(UserWarning, match="something else"):
            graphs(batch(1.0))
    assert graphs.refused is None


def test_asked_for_without_a_gpu_they_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="cuda_graphs true does not go with device 'cpu'; say auto or false"):
        train(make(cuda_graphs=True))


def test_no_steps_are_recorded_where_a_resumed_run_is_promised_the_same_bits(make: Any) -> None:
    """After a resume the first of each kind would be launched where they would have been replayed."""
    gpu = Machine("cuda", "float32", channels_last=True, processes=1)
    for deterministic in (False, True):
        config = make(deterministic=deterministic)
        run: Any = SimpleNamespace(config=config, machine=gpu, _update=None, optimizer=None)
        assert (loop.Trainer._make_graphs(run) is None) == deterministic


@on_gpu
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize(
    "strategy", ["plain", "sliced", "completed", "template", "generated", "masked", "by_count", "mixed"]
)
def test_a_run_of_replayed_steps_ends_as_one_of_launched_steps(
    make: Any, tmp_path: Path, strategy: str, optimizer: Any
) -> None:
    # SGD's changes are as small as what rounding changes in a gradient; AdamW's are as large as its rate.
    asked = {
        "device": "cuda",
        "precision": "float32",
        "epochs": 6,
        "strategy": strategy,
        "optimizer": OptimizerConfig(name=optimizer, learning_rate=1e-4 if optimizer == "adamw" else 0.01),
        "objective": ObjectiveConfig(name="labels"),
    }
    replayed = train(make(out=tmp_path / "replayed", cuda_graphs=True, **asked))
    launched = train(make(out=tmp_path / "launched", cuda_graphs=False, **asked))
    assert described(replayed)["recorded_steps"]["kinds"] > 0
    assert described(launched)["recorded_steps"] is None
    after = weights(replayed)
    for name, value in weights(launched).items():
        torch.testing.assert_close(after[name].float(), value.float(), rtol=1e-2, atol=4e-3)


@on_gpu
def test_a_network_for_every_subset_trains_with_recorded_steps(make: Any) -> None:
    run = train(make(device="cuda", strategy="completed", epochs=12))
    found = described(run)
    assert found["status"] == "finished"
    assert found["recorded_steps"]["kinds"] > 1


@on_gpu
def test_slices_drawn_at_random_are_drawn_anew_for_each_step(make: Any) -> None:
    run = train(make(device="cuda", strategy="sliced", strategy_options={"selection": "random"}, epochs=3))
    found = described(run)["recorded_steps"]
    assert found["refused"] or found["kinds"] == 0


@on_gpu
def test_recurrent_weights_are_saved_from_a_gpu(make: Any) -> None:
    run = train(make(device="cuda", model="patch_recurrent", model_options={}, image_size=64, epochs=1))
    assert described(run)["status"] == "finished"
