"""A training step recorded once and replayed: CUDA graphs.

A step of a small network is hundreds of kernels of a few microseconds each, and a GPU waits for the host that launches
them one by one. A graph holds them all and is launched at once. What is recorded has no host in it: gradients, guard
and update. The batch is made before, and copied to where the graph reads it.

Source: CUDA graphs in PyTorch, "Whole-network capture" (PyTorch's notes on CUDA semantics).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from anychan.training.batches import Batch

Update = Callable[[Batch], tuple[Tensor, Tensor]]

# Steps of each kind that are launched one by one first: in one cuDNN tries its algorithms and the optimiser makes its
# state, the other is watched.
_BEFORE = 2
# Each holds a step's results in memory.
_MOST = 64
_MOST_SEEN = 4096  # kinds that are counted: of many bands hardly one comes again
_WAITS = "called a synchronizing CUDA operation"
_OF_WATCHING = "Synchronization debug mode is a prototype feature"


@dataclass(frozen=True)
class _Recorded:
    graph: Any  # torch.cuda.CUDAGraph
    batch: Batch
    loss: Tensor
    right: Tensor


class StepGraphs:
    """Makes updates, recorded ones where it can.

    Batches of the same channels, subsets and shape are of one kind and have one graph; kinds beyond the first 64 are
    launched. A step that waits for the GPU or draws random numbers on the host cannot be recorded: then no more kinds
    are. ``refused`` says why some are launched.

    Args:
        update: makes an update out of a batch and returns loss and right answers, both on the device.
        optimizer: the one that ``update`` steps.
        required: raise where a step cannot be recorded.
    """

    def __init__(self, update: Update, optimizer: torch.optim.Optimizer, required: bool = False) -> None:
        self._update, self._optimizer, self._required = update, optimizer, required
        self._seen: dict[Any, int] = {}
        self._recorded: dict[Any, _Recorded] = {}
        self._pool: Any = None
        self.refused: str | None = None

    def __len__(self) -> int:
        return len(self._recorded)

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One update; loss and right answers, which the next update may overwrite.

        Raises:
            ValueError: if the step cannot be recorded and must be.
        """
        kind = _kind(batch)
        if kind in self._recorded:
            return self._replay(self._recorded[kind], batch)
        if batch.present is not None:
            self._refuse("the images of a step have channels of their own")
        elif len(self) >= _MOST:
            self.refused = self.refused or f"there are more than {_MOST} kinds of steps"
        elif kind not in self._seen and len(self._seen) >= _MOST_SEEN:
            self.refused = self.refused or f"there are more than {_MOST_SEEN} kinds of steps, which seldom come again"
        if self.refused:
            return self._update(batch)
        self._seen[kind] = self._seen.get(kind, 0) + 1
        if self._seen[kind] < _BEFORE:
            return self._update(batch)
        if self._seen[kind] == _BEFORE:
            return self._watched(batch)
        self._recorded[kind] = self._record(batch)
        return self._replay(self._recorded[kind], batch)

    def _watched(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """An update that is looked at for what a graph cannot hold."""
        drawn = torch.get_rng_state()
        with _waits() as found:
            result = self._update(batch)
        if not torch.equal(drawn, torch.get_rng_state()):
            self._refuse("a step draws random numbers on the host")
        elif found:
            self._refuse("a step waits for the GPU")
        return result

    def _refuse(self, why: str) -> None:
        """Record no more kinds from here on, and say why."""
        self.refused = self.refused or why
        if self._required:
            raise ValueError(f"cuda_graphs true: {self.refused}, which cannot be recorded; say auto or false")

    def _record(self, batch: Batch) -> _Recorded:
        held = replace(batch, images=batch.images.clone(), labels=batch.labels.clone())
        graph = torch.cuda.CUDAGraph()
        for group in self._optimizer.param_groups:
            group["capturable"] = True
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                loss, right = self._update(held)
        finally:
            for group in self._optimizer.param_groups:
                group["capturable"] = False  # else it warns of steps that are launched one by one
        self._pool = graph.pool()
        return _Recorded(graph, held, loss, right)

    def _replay(self, recorded: _Recorded, batch: Batch) -> tuple[Tensor, Tensor]:
        recorded.batch.images.copy_(batch.images, non_blocking=True)
        recorded.batch.labels.copy_(batch.labels, non_blocking=True)
        recorded.graph.replay()
        return recorded.loss, recorded.right


def _kind(batch: Batch) -> Any:
    subsets = tuple(subset.names for subset in batch.subsets)
    return batch.channels.names, subsets, batch.images.shape, batch.images.stride()


@contextmanager
def _waits() -> Iterator[list[str]]:
    """Collects where the GPU is waited for; other warnings are given on."""
    found: list[str] = []
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for warning in caught:
        if _WAITS in str(warning.message):
            found.append(str(warning.message))
        elif _OF_WATCHING not in str(warning.message):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
