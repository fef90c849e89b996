"""What a result is made with: versions, commit and hardware, for records; and the device."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

from anychan._errors import first_line
from anychan._plugins import plugin_versions

# The libraries that can change a number.
_LIBRARIES = ("anychan", "torch", "torchvision", "timm", "accelerate", "torchmetrics", "scipy", "numpy", "pillow")


def environment(device: torch.device | str | None = None) -> dict[str, Any]:
    """Versions, commit and hardware of this process, as a record that JSON can hold.

    Args:
        device: see ``hardware``.

    Returns:
        "versions": of Python and the libraries that can change a number; "commit": of the checkout that anychan runs
        from, None where it is not one; "dirty": whether the package differs from that commit, None without one;
        "hardware": see ``hardware``.

    Example:
        >>> sorted(environment())
        ['commit', 'dirty', 'hardware', 'versions']
    """
    return {"versions": versions(), **_checkout(Path(__file__).parent), "hardware": hardware(device)}


def versions() -> dict[str, str]:
    """Versions of Python, of the libraries that are installed, and of packages with plug-ins."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | dict(plugin_versions())


def plugins_missing(record: Mapping[str, Any]) -> list[str]:
    """Packages, with their versions, that a record names beside the usual libraries and that are not installed here.

    Example:
        >>> plugins_missing({"versions": {"torch": "2.11.0", "my-strategies": "0.3"}})
        ['my-strategies 0.3']
    """
    missing = []
    for name, version in record.get("versions", {}).items():
        if name not in ("python", *_LIBRARIES):
            try:
                importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                missing.append(f"{name} {version}")
    return missing


def hardware(device: torch.device | str | None = None) -> dict[str, Any]:
    """The machine: processor, cores, threads that torch uses, memory in bytes, GPU (None without one), platform.

    Args:
        device: which GPU is named, of several; where it is none, the current one.
    """
    import psutil
    import torch

    gpu = None if device is None or torch.device(device).type != "cuda" else device
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name(gpu) if torch.cuda.is_available() else None,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def checked_device(name: torch.device | str | None = None) -> torch.device:
    """A device that is there; None: cuda where it is there, else the CPU.

    Raises:
        ValueError: for a device that cannot be used, saying why.
    """
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.get_device_module(device)  # a shape alone, "meta", has none
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # a PyTorch built without CUDA asserts
        raise ValueError(f"device {str(name)!r} cannot be used: {first_line(error)}") from error
    return device


def _checkout(package: Path) -> dict[str, Any]:
    # An installed copy may lie inside somebody else's checkout, whose commit says nothing of anychan: git must
    # know this very file.
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {"commit": None, "dirty": None}
    commit = _git(package, "rev-parse", "HEAD")
    changes = _git(package, "status", "--porcelain", "--", ".")
    return {"commit": commit, "dirty": None if commit is None or changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()
