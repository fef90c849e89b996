"""Help, in the words of the command line."""

from __future__ import annotations

import re

import pytest

from anychan.cli import main


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """A command's help with its line breaks and indents taken out."""
    assert main([*words, "--help"]) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["train", "sweep"])
def test_settings_are_told_without_python(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(capsys, name)
    python = r"type:|Union|Literal|Optional|<class|``|None|True|False|\+ |Path to a configuration|customizes|\(0\.9,"
    assert re.findall(python, said) == []
    for told in (
        "--channel-sampling {auto,all,hierarchical,bernoulli,diverse,fixed} which channels",
        "--channels-last {auto,true,false}",
        "--new-kernels {wavelength,mean,null}",
        "--objective.full-share FULL_SHARE",
        "--optimizer CONFIG a YAML file of the settings below",
        "(default: [0.9, 0.999])",
        "(default: resnet18)",
        "whether sgd's momentum is Nesterov's. (default: true)",
        "Not given: off. (default: null)",
    ):
        assert told in said
