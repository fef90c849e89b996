"""What README shows runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from anychan.cli import COMMANDS, main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("code", _blocks("python"))
def test_python_runs(code: str) -> None:
    names: dict[str, object] = {}
    exec(code, names)
    assert "ordinary" in names


def test_commands_and_options_exist(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        shlex.split(line) for block in _blocks("bash") for line in block.splitlines() if line.startswith("anychan")
    ]
    assert {words[1] for words in lines} <= set(COMMANDS)
    for words in lines:
        assert main([words[1], "--help"]) == 0
        known = capsys.readouterr().out
        assert all(word in known for word in words if word.startswith("--"))


def test_make_targets_exist() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", "\n".join(_blocks("bash")), flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    assert all(f"\n{target}:" in makefile for target in targets)
