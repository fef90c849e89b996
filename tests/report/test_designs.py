"""The designs: every strategy and network has its theory from its module, and a drawing of what records say."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from anychan import _plugins
from anychan.models._registry import _NETWORKS
from anychan.nn import list_strategies
from anychan.report._charts.layers import layers_drawing
from anychan.report._reading.docstrings import networks, strategies
from anychan.report._reading.records import Run
from anychan.report._reading.runs import read_run
from anychan.report._sentences.designs import designs

from ._runs import write_run


@dataclass
class Layer:
    kind: str
    weight: tuple[int, ...]
    output: tuple[int, ...]


def run(folder: Path, **model: Any) -> Run:
    path = write_run(folder, pictures=0, epochs=0) / "model.json"
    channels = [{"name": name} for name in "RGB"]
    described = {"schema": 1, "kind": "model", "channels": channels, "num_classes": 4, "image_size": 64}
    path.write_text(json.dumps(described | model))
    return read_run(folder)


def test_every_strategy_and_network_tells_its_theory_and_its_source() -> None:
    assert sorted(strategies()) == sorted(list_strategies())
    ours = [name for name, make in _NETWORKS.items() if make.__module__.startswith("anychan.")]  # not other tests'
    assert sorted(networks()) == sorted(ours)
    for name, theory in {**strategies(), **networks()}.items():
        labels = [label for label, _ in theory.notes]
        assert theory.lead.endswith("."), name
        assert theory.blocks, name
        assert labels[-1] == "Source", name
        told = " ".join([theory.lead, *(words for kind, words in theory.blocks if kind == "text"), str(theory.notes)])
        assert not re.search(r"`|https?:|docs/|Cost:", told), name
    assert [kind for kind, _ in strategies()["completed"].blocks] == ["text", "formula"] * 2 + ["text"]
    for name, theory in strategies().items():
        assert "formula" in [kind for kind, _ in theory.blocks], name


def test_a_design_is_told_once_and_names_its_runs(tmp_path: Path) -> None:
    runs = [
        run(tmp_path / "a", architecture="wide3", strategy="sliced", model_options={"width": 16}),
        run(tmp_path / "b", architecture="wide6", strategy="sliced"),
        run(tmp_path / "c", architecture="resnet18", strategy="plain"),
        run(tmp_path / "d", architecture="resnet18", strategy="../_contract"),
    ]
    asked: list[Any] = []

    def layers(record: Mapping[str, Any]) -> list[Layer]:
        asked.append(record["architecture"])
        if record["architecture"] == "wide6":
            raise ValueError("no wings")
        return [Layer("Conv2d", (16, 3, 4, 4), (16, 16, 16)), Layer("Linear", (4, 16), (4,))]

    found = designs(runs, "test", layers)
    assert [(design.kind, design.name, design.runs) for design in found] == [
        ("stem", "sliced", ("a", "b")),
        ("stem", "plain", ("c",)),
        ("stem", "../_contract", ("d",)),
        ("network", "wide3 and wide6", ("a", "b")),
        ("network", "resnet18", ("c", "d")),
    ]
    assert [len(design.drawings) for design in found] == [1, 1, 1, 1, 0]
    assert found[0].drawings[0][1] == "sliced in front of wide3."
    assert "a strategy that is not anychan&#39;s" in found[2].drawings[0][0]
    assert asked == ["wide3", "wide6"], "timm's networks are not asked for"
    assert found[3].drawings[0][1].startswith("Layers of wide3, made with width 16")
    assert "Conv2d 4×4 gives 16×16×16, Linear of 16 gives 4" in found[3].drawings[0][0]
    assert found[3].missing == "The layers of b could not be listed: no wings."
    measured = "18 weighted layers on the longest path, 11.2 M parameters, 148 M MACs an image of 64×64"
    assert found[3].facts == f"{measured} (a and b)"
    assert "no module of it was found here" in found[2].theory.lead
    assert [len(design.drawings) for design in designs(runs, "test", None)] == [1, 1, 1, 0, 0]


_PLUGIN = '''"""Halved: a bank whose kernels count half.

    weight(S) = bank[:, S] / 2

Source: mine.
"""
import nothing_of_this_name  # as it is not run

@anychan.nn.register_strategy(name="halved")
class Halved: ...

@register_model
def two_layers(in_chans=3):
    """Two layers."""
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module in a package that cannot be imported, as a package that is installed names it."""
    site = tmp_path / "site"
    about = site / "halved-2.5.dist-info"
    about.mkdir(parents=True)
    (site / "halved_package").mkdir()
    (site / "halved_package" / "__init__.py").write_text("raise ImportError")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: halved\nVersion: 2.5\n")
    points = "own = halved_package.designs\nbroken = halved_package.broken\ngone = gone_package.designs\n"
    (about / "entry_points.txt").write_text(f"[anychan.plugins]\n{points}")
    (site / "halved_package" / "broken.py").write_text("not Python")
    monkeypatch.syspath_prepend(site)
    _plugins._points.cache_clear()
    yield site / "halved_package" / "designs.py"
    _plugins._points.cache_clear()


def test_designs_of_plugins_are_told_from_their_modules_which_are_not_run(tmp_path: Path, plugin: Path) -> None:
    plugin.write_text(_PLUGIN)
    used = run(tmp_path / "a", architecture="two_layers", strategy="halved")
    stem, network = designs([used], "test", None)
    assert stem.theory.lead == "Halved: a bank whose kernels count half."
    assert stem.theory.blocks == (("formula", "weight(S) = bank[:, S] / 2"),)
    assert stem.theory.notes == (("Source", "mine."), ("Module", "halved_package.designs"))
    assert network.theory.lead == "Two layers."
    alone = _PLUGIN.partition("@register_model")[0].replace("class Halved: ...", "class Halved: 'Its own.'")
    plugin.write_text(alone)
    stem, network = designs([used], "test", None)
    assert stem.theory.lead == "Halved: a bank whose kernels count half.", "one design a module, as ours"
    assert network.theory.lead.startswith("A network of timm, of another package or of the user's own")


def test_a_stem_is_drawn_once_for_options_that_look_alike(tmp_path: Path) -> None:
    options: list[dict[str, Any]] = [{}, {"selection": "random"}, {"selection": "name"}]
    runs = [run(tmp_path / str(i), strategy="sliced", strategy_options=given) for i, given in enumerate(options)]
    (stem, _) = designs(runs, "test", None)
    assert [caption for _, caption in stem.drawings] == [
        "sliced in front of resnet18.",
        "sliced in front of resnet18, made with selection random.",
    ]


def test_a_stem_whose_record_names_no_channels_is_not_drawn(tmp_path: Path) -> None:
    nameless = dataclasses.replace(run(tmp_path / "a", strategy="sliced", channels=[]), evaluations={})
    assert designs([nameless], "test", None)[0].drawings == ()
    assert designs([nameless], "test", None)[0].missing == "It is not drawn: its record names no channels."


def test_a_layers_bar_is_as_long_as_the_logarithm_of_what_it_gives() -> None:
    layers = [
        Layer("Conv2d", (64, 3, 4, 4), (64, 32, 32)),
        Layer("Conv1d", (8, 64, 1), (8, 32)),
        Layer("L", (2, 8), (2,)),
    ]
    drawn = ElementTree.fromstring(layers_drawing("small", layers, 3, 64))
    widths = [float(bar.attrib["width"]) for bar in drawn.iter("rect")]
    assert widths[1:] == pytest.approx([120, 60, 7.5], abs=0.01)  # 2^16, 2^8, 2^1
    texts = ["".join(text.itertext()) for text in drawn.iter("text")]
    assert texts == ["image", "3×64×64", "Conv2d 4×4", "64×32×32", "Conv1d", "8×32", "L", "2"]
