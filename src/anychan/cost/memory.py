"""Peak memory of inference and of a training step."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from anychan.channels import ChannelsLike
from anychan.cost._call import Call, call_of
from anychan.cost.latency import device_of


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak memory in bytes, the model's own included."""

    inference_bytes: int
    training_bytes: int


def measure_memory(
    model: nn.Module,
    channels: ChannelsLike | None = None,
    image_size: int = 224,
    batch_size: int = 32,
    trained: nn.Module | None = None,
) -> Memory:
    """Measure the peak memory of a forward pass, and of a training step with AdamW, of one batch.

    Counted are parameters, buffers, the batch, activations and whatever else operations return; in training also
    the gradients and AdamW's two moments of all parameters. On a CPU the peak is that of tensors alive at the same
    time, without what an operation allocates and frees within itself; on a GPU it is what PyTorch's allocator gave
    out, these workspaces included. Copies of the model are used, and the random state is left as it was.

    Args:
        model: any module called ``model(x)``, or an any-channel model, on the device to measure.
        channels: of the input; None: all of an any-channel model, the planes of another model's first convolution.
        image_size: height and width in pixels.
        batch_size: images a batch.
        trained: the form of the model that is trained, where it is another than that of inference.

    Raises:
        ValueError: for a number that is not positive, channels the model does not take, or a batch that batch
            normalisation cannot be trained with (one value a channel).

    Example:
        >>> memory = measure_memory(nn.Conv2d(1, 1, 1, bias=False), image_size=16, batch_size=4)
        >>> memory.inference_bytes  # 4 * 256 numbers in and as many out, and one weight, of 4 bytes each
        8196
    """
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is not a positive number")
    call = call_of(model, channels, image_size)
    return Memory(_peak_of_inference(model, call, batch_size), _peak_of_training(trained or model, call, batch_size))


def _peak_of_inference(model: nn.Module, call: Call, batch_size: int) -> int:
    device = device_of(model)
    before = _allocated(device)
    model = copy.deepcopy(model).eval()
    x = call.batch(model, batch_size, device)

    def infer() -> None:
        with torch.no_grad():
            call(model, x)

    return _peak(infer, device, before, (x, *model.parameters(), *model.buffers()))


def _peak_of_training(model: nn.Module, call: Call, batch_size: int) -> int:
    device = device_of(model)
    before = _allocated(device)
    model = copy.deepcopy(model).train().requires_grad_(True)
    x = call.batch(model, batch_size, device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        outputs = [t for t in tree_leaves(call(model, x)) if isinstance(t, Tensor) and t.requires_grad]
        torch.stack([t.sum() for t in outputs]).sum().backward()  # a loss that needs no memory of its own
        optimiser.step()

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        step()  # makes the optimiser's moments
        optimiser.zero_grad(set_to_none=True)
        moments = [leaf for leaf in tree_leaves(optimiser.state_dict()) if isinstance(leaf, Tensor)]
        return _peak(step, device, before, (x, *model.parameters(), *model.buffers(), *moments))


def _allocated(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def _peak(run: Callable[[], None], device: torch.device, before: int, held: Iterable[Tensor]) -> int:
    """Peak bytes while ``run`` runs, less those allocated ``before``; ``held`` is alive when it starts."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with _LiveStorages(held) as live:
        run()
    return live.peak


class _LiveStorages(TorchDispatchMode):
    """Sums the bytes of all storages that are alive, of ``held`` tensors and of what operations return."""

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()
        self._alive: set[int] = set()
        self._bytes = 0
        self.peak = 0
        for tensor in held:
            self._add(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        return output

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._alive:
            self._alive.add(key)
            self._bytes += size
            self.peak = max(self.peak, self._bytes)
            weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._bytes -= size
