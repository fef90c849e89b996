"""What a record says of the machine and the code."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from anychan import environment as module
from anychan.environment import checked_device, environment, hardware


def test_it_is_a_record_with_what_counts() -> None:
    record = json.loads(json.dumps(environment()))
    assert record["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    assert {"python", "timm", "numpy"} <= set(record["versions"])
    assert record["hardware"]["threads"] == torch.get_num_threads()
    assert record["hardware"]["memory_bytes"] > 2**20
    assert record["hardware"]["cpu"]


def test_the_gpu_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU of {device}")
    named = [hardware(device)["gpu"] for device in ("cuda:1", torch.device("cuda:1"), "cpu", None)]
    assert named == ["GPU of cuda:1", "GPU of cuda:1", "GPU of None", "GPU of None"]


def test_a_device_is_one_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, name in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        with monkeypatch.context() as quiet:
            quiet.setattr(torch, "empty", lambda *size, device: None)
            assert checked_device() == torch.device(name)
    for name in ("abacus", "meta"):
        with pytest.raises(ValueError, match=f"device '{name}' cannot be used: .+"):
            checked_device(name)


def test_a_device_that_fails_without_a_word_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*size: int, device: torch.device) -> None:
        raise AssertionError

    monkeypatch.setattr(torch, "empty", fail)
    with pytest.raises(ValueError, match=r"device 'cpu' cannot be used: AssertionError$"):
        checked_device("cpu")


def run_git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_the_package_and_of_nothing_around_it(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    nothing = {"commit": None, "dirty": None}
    assert module._checkout(package) == nothing  # no checkout
    run_git(tmp_path, "init", "-q")
    (tmp_path / "other.txt").write_text("")
    run_git(tmp_path, "add", "other.txt")
    run_git(tmp_path, "commit", "-q", "-m", "somebody else's")
    assert module._checkout(package) == nothing  # installed inside somebody else's checkout
    run_git(tmp_path, "add", ".")
    run_git(tmp_path, "commit", "-q", "-m", "ours")
    commit = run_git(tmp_path, "rev-parse", "HEAD")
    assert module._checkout(package) == {"commit": commit, "dirty": False}
    (tmp_path / "other.txt").write_text("changed, but not the package")
    assert module._checkout(package) == {"commit": commit, "dirty": False}
    (package / "new.py").write_text("")
    assert module._checkout(package) == {"commit": commit, "dirty": True}
