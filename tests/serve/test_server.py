"""What is served, and under which names."""

from __future__ import annotations

import pytest

from anychan import packaged
from anychan.cli import main
from anychan.serve.server import HOST, create_app

pytest.importorskip("gradio", reason="gradio (extra serve) is not installed")


def test_only_this_machine_is_served():
    assert HOST == "127.0.0.1"


def test_models_that_cannot_be_served_are_refused(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="no model comes with this version"):
        create_app()
    with pytest.raises(ValueError, match="two models are called 'any'"):
        create_app([runs[0], runs[0] / "model.json"])
    for words, said in ((["wide4"], "is a network's name"), ([str(runs[0]), "--port", "70000"], "port 70000")):
        assert main(["serve", *words]) == 2
        assert said in capsys.readouterr().err
