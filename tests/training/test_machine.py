"""What is chosen for a machine, and that an explicit wish is kept."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from anychan.training import machine
from anychan.training.config import TrainConfig
from anychan.training.machine import Machine, algorithms, choose, freed_memory_kept, start_accelerator
from anychan.training.optimisers import InMemoryOrder

CPU = torch.device("cpu")


def config(**settings: Any) -> TrainConfig:
    return TrainConfig(data="", out=".", **settings)


@pytest.mark.parametrize(
    ("capabilities", "image_size", "expected"),
    [
        ({"avx512_bf16": True}, 64, "bfloat16"),
        ({"amx_bf16": True}, 32, "bfloat16"),
        ({"avx512_bf16": True}, 31, "float32"),  # see machine.py
        ({"avx512_f": True, "avx512_bf16": False}, 64, "float32"),
    ],
)
def test_bfloat16_where_it_is_native(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], image_size: int, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    chosen = choose(config(image_size=image_size), CPU)
    assert (chosen.device, chosen.precision, chosen.channels_last) == ("cpu", expected, True)


def test_explicit_choices_are_kept() -> None:
    chosen = choose(config(precision="bfloat16", channels_last=False, image_size=16), CPU, processes=2)
    assert chosen.to_dict() == {"device": "cpu", "precision": "bfloat16", "channels_last": False, "processes": 2}
    assert chosen.memory_format == torch.contiguous_format
    with chosen.context():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_threads_are_no_more_than_a_containers_share_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        monkeypatch.setattr(machine, "usable_cores", lambda: 2)
        start_accelerator(config(device="cpu"))
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(machine, "usable_cores", lambda: 8)
        start_accelerator(config(device="cpu"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_accelerator_takes_the_cpu_when_told() -> None:
    assert start_accelerator(config(device="cpu")).device == CPU


def test_the_environment_changes_no_training_behind_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state(reset_partial_state=True)  # what an earlier run started would be taken
    assert start_accelerator(config(device="cpu")).mixed_precision == "no"
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    with pytest.raises(ValueError, match="ACCELERATE_GRADIENT_ACCUMULATION_STEPS is '4', but every batch is a step"):
        start_accelerator(config(device="cpu"))


def test_processes_wait_while_the_first_decodes_a_large_data_set() -> None:
    assert start_accelerator(config(device="cpu")).init_handler.to_kwargs() == {"timeout": timedelta(hours=3)}


def test_algorithms_are_restored_after_an_error() -> None:
    def fail() -> None:
        with algorithms(deterministic=True):
            assert torch.backends.cudnn.deterministic
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert not torch.are_deterministic_algorithms_enabled()


_FAULTS = """
import ctypes
import resource
import torch
from anychan.training.machine import freed_memory_kept

library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [library.malloc(4 << 20) for _ in range(24)]  # in all more than glibc is told to keep afterwards
    for block in blocks:
        ctypes.memset(block, 1, 4 << 20)
    for block in blocks:
        library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
outside = faults()
with freed_memory_kept(torch.device("cpu")):
    faults()
    inside = faults()
print(outside, inside, faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize(
    "user",
    [{}, {"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}],
    ids=["unset", "set by the user", "tuned by the user"],
)
def test_freed_memory_is_kept_while_training(user: dict[str, str]) -> None:
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    told = subprocess.run([sys.executable, "-c", _FAULTS], env=unset | user, capture_output=True, text=True, check=True)
    outside, inside, *afterwards = (int(count) for count in told.stdout.split())
    assert outside > 32  # pages may be huge
    assert inside > 0.5 * outside if user else inside < 0.02 * outside + 16
    assert min(afterwards) > 0.5 * outside  # what was kept was given back, and so is what is freed from here on


def test_on_a_gpu_nothing_is_done_for_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", pytest.fail)
    with freed_memory_kept(torch.device("cuda")), Machine("cuda", "float32", True, 1).update_context() as entered:
        assert entered is None
    with Machine("cpu", "float32", True, 1).update_context() as entered:
        assert isinstance(entered, InMemoryOrder)
