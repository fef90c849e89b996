"""What the machine decides: device, number format, memory layout, and where the images lie."""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from anychan._plain import PLAIN
from anychan.data import ImageArray
from anychan.data.parallel import usable_cores
from anychan.training.config import TrainConfig
from anychan.training.faster_on_cpu import FasterOnCpu
from anychan.training.optimisers import InMemoryOrder

if TYPE_CHECKING:
    from accelerate import Accelerator

# How much of a GPU's free memory the images may take; the rest is the model's.
_RESIDENT_SHARE = 0.5

# Five strides of two bring 32 pixels to one.
_SMALLEST_FOR_BFLOAT16 = 32

# How long processes wait for each other: the first may decode a whole data set meanwhile.
_PATIENCE = timedelta(hours=3)

# For glibc's mallopt (malloc.h). The largest threshold is also where glibc comes to by itself.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = -1
_LARGEST_MMAP_THRESHOLD = 32 << 20

_ACCUMULATION = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"


@dataclass(frozen=True)
class Machine:
    """What was chosen for this machine.

    Args:
        device: "cpu", "cuda" or "mps".
        precision: "bfloat16" (autocast; weights stay float32) or "float32".
        channels_last: whether images and kernels are laid out with channels last.
        processes: how many processes train together.
    """

    device: str
    precision: str
    channels_last: bool
    processes: int

    @contextmanager
    def context(self) -> Iterator[None]:
        """What forward passes run in: the number format, and on a CPU what is faster there."""
        with ExitStack() as entered:
            if self.precision == "bfloat16":
                entered.enter_context(torch.autocast(self.device, torch.bfloat16))
            if self.device == "cpu":
                entered.enter_context(FasterOnCpu())
            yield

    def update_context(self) -> AbstractContextManager[Any]:
        """What updates run in: on a CPU, where fused ones go without a copy."""
        return InMemoryOrder() if self.device == "cpu" else nullcontext()

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def start_accelerator(config: TrainConfig) -> Accelerator:
    """The processes that train together, and the device of this one, with no more threads than it has cores.

    PyTorch counts the machine's cores: in a container with a share of their time the rest would wait in loops.

    Ranks agree on the channels of a batch, so a rank's graph may lack what another subset would use.

    Raises:
        ValueError: if the device that was asked for is not there, processes that were started together do not find
            each other, or the environment asks accelerate to gather gradients of several batches.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState

    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    handlers = [
        DistributedDataParallelKwargs(find_unused_parameters=config.strategy != PLAIN),
        InitProcessGroupKwargs(timeout=_PATIENCE),
    ]
    steps = os.environ.get(_ACCUMULATION, "1")
    if steps != "1":
        raise ValueError(f"{_ACCUMULATION} is {steps!r}, but every batch is a step: unset it, and give a batch_size")
    # Left to itself, accelerate starts several processes on a GPU only; on a CPU each would train alone.
    on_cpu = config.device == "cpu" or not torch.accelerator.is_available()
    # And takes a number format from the environment, beside the one that is chosen and recorded here.
    start = partial(Accelerator, cpu=on_cpu, mixed_precision="no", kwargs_handlers=handlers)
    accelerator = start()
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started == 1 and on_cpu != (accelerator.device.type == "cpu"):  # it keeps an earlier run's device
        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = start()
    if accelerator.num_processes != started:
        raise ValueError(f"{started} processes were started, but {accelerator.num_processes} found each other")
    if config.device not in ("auto", accelerator.device.type):
        raise ValueError(f"device {config.device!r} is not there; this machine has {accelerator.device.type}")
    return accelerator


def finish_together(accelerator: Accelerator) -> None:
    """Wait until all processes are done, and let each end its part of their group before the interpreter goes.

    A group that is left to the end of the interpreter may abort its process there: a thread of it that still holds a
    tensor asks for an interpreter that is gone, and the other processes are stopped with it. The group is kept until
    the program ends, since it may train again.
    """
    accelerator.wait_for_everyone()
    if accelerator.num_processes > 1:
        atexit.unregister(_end_group)
        atexit.register(_end_group)


def _end_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def tell_all(accelerator: Accelerator, refused: FileExistsError | None) -> FileExistsError | None:
    """What the main process was refused, in all processes: they stop together, or go on together."""
    if accelerator.num_processes == 1:
        return refused
    from accelerate.utils import broadcast_object_list

    told = [None if refused is None else str(refused)]
    broadcast_object_list(told)
    return None if told[0] is None else FileExistsError(told[0])


def raised_anywhere(accelerator: Accelerator, *flags: bool) -> list[bool]:
    """Each flag, if any process has it raised."""
    if accelerator.num_processes == 1:
        return list(flags)
    raised = torch.tensor(flags, dtype=torch.float32, device=accelerator.device)
    return [count > 0 for count in accelerator.reduce(raised).tolist()]


def choose(config: TrainConfig, device: torch.device, processes: int = 1) -> Machine:
    """Settle what the configuration leaves to the machine."""
    automatic = "bfloat16" if _has_bfloat16(device, config.image_size) else "float32"
    return Machine(
        device=device.type,
        precision=automatic if config.precision == "auto" else config.precision,
        channels_last=device.type != "mps" if config.channels_last == "auto" else bool(config.channels_last),
        processes=processes,
    )


def place(array: ImageArray, device: torch.device) -> ImageArray:
    """The images on the device where they fit; else, and on a CPU, where they are: in the page cache."""
    if device.type != "cuda":
        return array
    free, _total = torch.cuda.mem_get_info(device)
    return array.to(device) if array.images.nbytes <= _RESIDENT_SHARE * free else array


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Let glibc keep what is freed for what is asked for next; afterwards it gives back what is free.

    The maps of a step take megabytes each. glibc gives such blocks back when the last of them is freed and has them
    anew in the next step, page by page: 13,000 page faults a step of ResNet18. Training takes somewhat more memory so.
    Afterwards glibc's thresholds stay at the largest that it comes to by itself, 32 MiB for blocks of their own and
    64 MiB for free memory that is kept, and no longer follow what is freed.

    Without effect where the device is no CPU, under another C library, and where the environment tunes glibc's malloc:
    MALLOC_TRIM_THRESHOLD_=131072 turns it off.

    Example:
        >>> with freed_memory_kept(torch.device("cpu")):
        ...     float(torch.ones(8).sum())
        8.0
    """
    if device.type != "cpu" or platform.libc_ver()[0] != "glibc" or _malloc_is_tuned():
        yield
        return
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)
        library.malloc_trim(0)


def _malloc_is_tuned() -> bool:
    """Whether the environment sets one of the thresholds, or any of glibc's tunables of malloc."""
    names = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
    return any(name in os.environ for name in names) or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")


@contextmanager
def algorithms(deterministic: bool) -> Iterator[None]:
    """Only deterministic algorithms, or the fastest ones; afterwards as before.

    Example:
        >>> with algorithms(deterministic=True):
        ...     torch.are_deterministic_algorithms_enabled()
        True
        >>> torch.are_deterministic_algorithms_enabled()
        False
    """
    before = torch.are_deterministic_algorithms_enabled()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(deterministic or before)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=not deterministic, deterministic=deterministic):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


def _has_bfloat16(device: torch.device, image_size: int) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Emulated, it is slower than float32. And smaller images come down to one pixel before a network's last
        # stride, where oneDNN's gradient of a kernel is made of memory that was never written (torch 2.15); where it
        # is asked for all the same, ``float32_gradients`` keeps clear of that.
        if image_size < _SMALLEST_FOR_BFLOAT16:
            return False
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return False
