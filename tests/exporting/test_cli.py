"""``anychan export`` as a user drives it."""

from __future__ import annotations

import json

import pytest
import torch

from anychan.cli import main
from anychan.exporting import _check
from anychan.models import ModelInfo, save_model

from ._small import BANDS, CLASSES


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "any"
    info = ModelInfo("wide4", len(CLASSES), "sliced", BANDS, CLASSES, 16, model_options={"width": 3})
    save_model(folder, info.create(), info)
    return folder


def test_a_run_is_exported_and_not_written_over(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["export", str(run), "--channels", "R,NIR", "--format", "torch"]
    assert main([*words, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["path"], made["channels"], made["format"]) == ("any-R-NIR.pt2", ["R", "NIR"], "torch")
    assert main(words) == 2
    assert "any-R-NIR.pt2 is there already" in capsys.readouterr().err
    assert main([*words, "--replace"]) == 0
    assert "same class for" in capsys.readouterr().out
    assert torch.export.load("any-R-NIR.pt2").module()(torch.zeros(1, 2, 16, 16)).shape == (1, 4)


def test_a_file_of_some_subsets_takes_those_alone(run, tmp_path, capsys):
    words = ["export", str(run), "--format", "torch", "--out", str(tmp_path / "a.pt2"), "--json", "--subsets"]
    assert main([*words, "R,NIR", "NIR"]) == 0
    assert json.loads(capsys.readouterr().out)["subsets"] == ["R,NIR", "NIR"]
    answers = torch.export.load(tmp_path / "a.pt2").module()
    assert answers(torch.rand(1, 2, 16, 16), torch.tensor([2, 0])).isfinite().all()
    assert answers(torch.rand(1, 1, 16, 16), torch.tensor([0])).isnan().all()
    assert main([*words, "X", "--replace"]) == 2
    assert "unknown channel 'X'" in capsys.readouterr().err
    assert main([*words, "R", "--channels", "R", "--replace"]) == 2
    assert "this one takes one channel set" in capsys.readouterr().err


def test_a_file_that_fails_its_check_says_the_numbers_and_exits_with_1(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_check, "TOLERANCE", -1.0)
    assert main(["export", str(run), "--channels", "R", "--format", "torch", "--out", str(tmp_path / "a.pt2")]) == 1
    said = capsys.readouterr()
    assert "anychan: not exported: the file does not answer as the model does" in said.err
    assert said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_users_error_exits_with_2(run, tmp_path, capsys):
    out = ["--out", str(tmp_path / "a.onnx")]
    for words, said in (
        ([str(run), "--channels", "X"], "unknown channel 'X'"),
        ([str(tmp_path / "none")], "none is not there: give a run folder"),
        ([str(run), "--format", "torch", "--quantize", "int8"], "for the format 'onnx'"),
        ([str(run), "--split", "val"], "--split needs --data"),
        ([str(run), "--bands", "rgb"], "--bands needs --data"),
    ):
        assert main(["export", *words, *out]) == 2
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
