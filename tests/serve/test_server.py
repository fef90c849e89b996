"""What is served, and under which names."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from anychan import packaged
from anychan.cli import main
from anychan.serve.server import HOST, _bind, create_app, serve

from ..prediction._runs import make_run

pytest.importorskip("gradio", reason="gradio (extra serve) is not installed")


def test_only_this_machine_is_served():
    assert HOST == "127.0.0.1"


def test_a_port_that_is_taken_is_refused_before_a_model_is_loaded(monkeypatch):
    with socket.socket() as taken:
        _bind(taken, 0)
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"port {port} cannot be had \(Address already in use\): --port 0 takes a free"
        ):
            serve(["nowhere"], port)
    asked = []
    windows = SimpleNamespace(setsockopt=lambda *option: asked.append(option), bind=asked.append)
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", -5, raising=False)  # its number there
    _bind(windows, 7860)
    assert asked == [(socket.SOL_SOCKET, -5, 1), (HOST, 7860)]


def _printed(script, *arguments):
    """In a process of its own, as Gradio leaves sockets open."""
    asked = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=120).stdout.strip()


def test_gradio_takes_all_that_the_server_asks_of_it(runs):
    script = """
import sys
from anychan.serve import create_app
print(type(create_app([sys.argv[1]], device="cpu")).__name__)
"""
    assert _printed(script, runs[0]) == "Guard"


def test_channels_that_no_photograph_has_are_off_at_first(tmp_path):
    script = """
import sys
from anychan.prediction import Predictor
from anychan.serve.page import build_page
page = build_page({"infrared": Predictor.load(sys.argv[1], device="cpu")})
(boxes,) = [block for block in page.blocks.values() if getattr(block, "elem_id", None) == "channels"]
print([name for name, _ in boxes.choices], boxes.value)
"""
    run = make_run(tmp_path, channels=["R", "G", "B", "NIR"])
    assert _printed(script, run) == "['R', 'G', 'B', 'NIR'] ['R', 'G', 'B']"


def test_models_that_cannot_be_served_are_refused(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="no model comes with this version"):
        create_app()
    with pytest.raises(ValueError, match="two models are called 'any'"):
        create_app([runs[0], runs[0] / "model.json"])
    for words, said in ((["wide4"], "is a network's name"), ([str(runs[0]), "--port", "70000"], "port 70000")):
        assert main(["serve", *words]) == 2
        assert said in capsys.readouterr().err
