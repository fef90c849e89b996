"""Help, in the words of the command line."""

from __future__ import annotations

import io
import os
import re
import sys

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


def test_a_search_says_what_is_other_than_in_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(capsys, "sweep")
    assert "--out OUT the search's folder" in said
    assert "one for all trials. (default: 0)" in said
    assert "judged by their accuracy on validation, on all channels" in said
    assert "--resume" not in said
    assert "--resume {true,false}" in help_of(capsys, "train")


@pytest.mark.parametrize("word", ["--resume", "--resume=false"])
def test_a_search_is_not_resumed(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--data", "a.zip", "--out", "new", "--space", "no.yaml", word]) == 2
    assert capsys.readouterr().err == (
        "anychan: error: --resume is not for a search, which always goes on where it stopped\n"
    )


def test_exit_codes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(capsys)
    assert "exit codes: 0 done; 1 done, but something is unfit, or a run stopped; 2 wrong input; 130" in said
    assert said.count("exit code") == 1
    assert help_of(capsys, "predict").endswith(
        "exit codes: 0 all images are answered; 1 some cannot be read; 2 none can"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows tells of pipes in its own words")
@pytest.mark.parametrize("words", [["--help"], ["list", "packaged"], ["predict", "nothing", "a.png"]])
@pytest.mark.parametrize("buffering", [0, 1, -1])
def test_who_prints_to_nobody_leaves_without_a_word(
    words: list[str], buffering: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = []
    for name in ("stdout", "stderr"):
        read, write = os.pipe()
        os.close(read)
        binary = os.fdopen(write, "wb", buffering if buffering == 0 else -1)
        kept = {"write_through": buffering == 0, "line_buffering": buffering == 1}  # as with PYTHONUNBUFFERED
        streams.append(io.TextIOWrapper(binary, encoding="utf-8", **kept))
        monkeypatch.setattr(sys, name, streams[-1])
    passed_over = buffering == 0 and words == ["--help"]  # by argparse, which leaves nothing to be written
    assert main(words) == (0 if passed_over else 141)
    for stream in streams:
        stream.close()  # which raises nothing, as nothing is left to be written
