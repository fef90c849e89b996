"""Strategies and networks of another package, as it is installed: found by its entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anychan import _plugins, environment
from anychan.cli import main
from anychan.models import _registry as networks
from anychan.nn import _registry as strategies
from anychan.nn import get_strategy
from anychan.training import TrainConfig, train

CODE = '''"""Halved: a bank whose kernels count half."""

from torch import nn

from anychan.models import register_model
from anychan.nn import get_strategy, register_strategy

Sliced = get_strategy("sliced")


@register_strategy("halved")
class Halved(Sliced):
    def kernel(self, channels=None):
        weight, bias = super().kernel(channels)
        return weight / 2, bias


@register_model
def two_layers(in_chans=3, num_classes=10, width=4):
    return nn.Sequential(
        nn.Conv2d(in_chans, width, 3), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes),
    )
'''


def installed(folder: Path, code: str, name: str = "halved") -> None:
    (folder / f"{name}_package.py").write_text(code, encoding="utf-8")
    about = folder / f"{name}-2.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(f"[anychan.plugins]\nown = {name}_package\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(strategies, "_STRATEGIES", dict(strategies._STRATEGIES))
    monkeypatch.setattr(networks, "_NETWORKS", dict(networks._NETWORKS))
    monkeypatch.setattr(_plugins, "_loaded", {})
    _plugins._points.cache_clear()
    yield site
    for name in ("broken", "halved"):
        sys.modules.pop(f"{name}_package", None)
    _plugins._points.cache_clear()


def test_they_are_trained_evaluated_and_reported_as_ours(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(folder, CODE)
    assert main(["list", "strategies"]) == 0
    assert "a bank whose kernels count half" in capsys.readouterr().out
    assert main(["list", "models"]) == 0
    assert "two_layers" in capsys.readouterr().out
    run = tmp_path / "run"
    words = ["--data", "synthetic:bands=3,train=32,val=8,test=8,size=16,classes=4", "--image-size", "16"]
    words += ["--cache-dir", str(tmp_path / "cache"), "--epochs", "1", "--model", "two_layers", "--strategy", "halved"]
    assert main(["train", *words, "--out", str(run)]) == 0
    assert main(["evaluate", str(run), "--cache-dir", str(tmp_path / "cache")]) == 0
    capsys.readouterr()
    assert main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 0
    assert "two_layers" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert environment.versions()["halved"] == "2.5"


def test_what_cannot_be_imported_is_told_where_a_name_is_not_ours(folder: Path, tmp_path: Path) -> None:
    installed(folder, "import nothing_of_this_name\n")
    assert get_strategy("sliced")
    assert networks.is_network("resnet18")  # which needs no plug-in
    said = "the plug-in halved_package of halved cannot be imported: ModuleNotFoundError: .*nothing_of_this_name"
    for _ in range(2):
        with pytest.raises(ValueError, match=said):
            get_strategy("halved")
    data = "synthetic:bands=3,train=8,val=8,test=8,size=16,classes=4"
    with pytest.raises(ValueError, match=said):
        train(TrainConfig(data=data, out=tmp_path / "run", model="nothing", cache_dir=tmp_path))


def test_one_that_cannot_be_imported_takes_no_other_away(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed(folder, "import nothing_of_this_name\n", "broken")
    installed(folder, CODE)
    assert get_strategy("halved")
    said = "anychan: warning: the plug-in broken_package of broken cannot be imported: ModuleNotFoundError: "
    for what, name in (("models", "two_layers"), ("strategies", "halved")):
        assert main(["list", what]) == 0
        told = capsys.readouterr()
        assert name in told.out.split()
        assert told.err.startswith(said)
        assert told.err.count("\n") == 1
    assert main(["profile", "nothing"]) == 2
    assert said.removeprefix("anychan: warning: ") in capsys.readouterr().err
