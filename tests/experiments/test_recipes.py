"""Recipes of the sources: all can be made, from weights that are there, and tell what is expected of them."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file

from anychan._lock import alone
from anychan.cli import main
from anychan.cli._reproduce import _weights
from anychan.data.augment_config import AugmentationConfig
from anychan.experiments import (
    Recipe,
    expected,
    list_recipes,
    list_recipes_with_results,
    recipe_results,
    recipes_table,
    reproduce,
    settings,
    validate_records,
)
from anychan.models import create_model
from anychan.training import TrainConfig
from anychan.training.config import differences

SOURCES = Path("shared/reference/systems.md")
RECORDS = Path(__file__).parents[2] / "docs" / "records"
DATA = "synthetic:bands=3,train=16,val=6,test=6,size=32,classes=3"
SETTINGS: dict[str, Any] = {"data": DATA, "image_size": 32, "epochs": 1, "batch_size": 8}


def test_every_experiment_of_the_sources_is_there() -> None:
    assert list_recipes() == ["000-A", "000-B", "001-A", "001-B", "002-A", "002-B", "004-A", "004-B"]
    assert all(name in recipes_table() for name in list_recipes())


@pytest.mark.parametrize("name", list_recipes())
def test_what_is_reported_is_what_its_source_has(name: str) -> None:
    """Each figure stands in one line of its source's section, over subsets in the order of that line."""
    path = Path(__file__).parents[3] / SOURCES
    if not path.is_file():
        pytest.skip(f"what the sources report, {SOURCES}, is not beside the project")
    (section,) = re.findall(rf"^## \[{name[:3]}\].*?(?=^## )", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = [
        [float(word.rstrip(".")) for word in re.findall(r"(?<![\w.^])[\d.]*\d", line)] for line in section.splitlines()
    ]
    recipe = Recipe.read(name)
    for run in (*recipe.runs.values(), *recipe.of_one):
        for figure, values in run.get("reported", {}).items():
            told, count = [*values.values()], len(values)
            found = [
                line[i : i + count]
                for line in lines
                for i in range(len(line) - count + 1)
                for unit in (1, 100)  # shares are percent in a recipe
                if np.allclose(np.multiply(line[i : i + count], unit), told, rtol=1e-9)
            ]
            assert found, f"{figure} {values}"


@pytest.mark.parametrize("name", list_recipes())
@pytest.mark.parametrize("fair", [False, True])
def test_each_run_is_one_that_can_be_made(name: str, fair: bool) -> None:
    recipe = Recipe.read(name)
    configs = recipe.configurations(Path("runs"), {"data": DATA}, fair)
    assert len({config.out for config in configs.values()}) == len(configs)
    if not fair:
        assert configs.keys() == recipe.runs.keys()
    for run, config in configs.items():
        with torch.device("meta"):  # shapes only
            create_model(config.model, "RGB", 3, config.strategy, None, config.strategy_options, config.model_options)
        told = recipe.runs[run]
        assert told.keys() <= {"settings", "reported", "layers"}
        for figures in told.get("reported", {}).values():
            assert figures.keys() <= {"RGB", "RG", "RB", "GB", "R", "G", "B"}


@pytest.mark.parametrize("name", list_recipes())
def test_fair_twins_train_alike_and_see_channels_alike(name: str) -> None:
    """What `anychan train` does by default, but on labels: nothing of how a source trained or sampled is left."""
    twins = Recipe.read(name).configurations(Path("runs"), {"data": DATA}, fair=True)
    for twin in twins.values():
        own = {key: twin.to_dict()[key] for key in ("model", "model_options", "strategy", "strategy_options")}
        alike = {"data": DATA, "out": str(twin.out), "objective": {"name": "labels"}}
        assert twin == settings.configuration({**own, **alike})
        plain = (twin.channel_sampling, twin.normalisation.statistics) == ("all", "shared")
        sampled = (twin.channel_sampling, twin.normalisation.statistics) == ("hierarchical", "kept")
        assert plain if twin.strategy == "plain" else sampled
    told = [json.dumps({**config.to_dict(), "out": None}) for config in twins.values()]
    assert len(set(told)) == len(told)
    if name.endswith("A"):  # stems are compared on one body
        assert len({twin.model for twin in twins.values()}) == 1


def test_a_fair_twin_is_that_of_the_strategies_under_one_recipe() -> None:
    """So that its figures may stand beside those of docs/results.md."""
    twin = Recipe.read("001-A").configurations(Path("runs"), {"data": DATA}, fair=True)["sliced"]
    record = json.loads((RECORDS / "strategy-sliced" / "run.json").read_text())
    assert differences(TrainConfig.from_dict(record["config"]).to_dict(), twin.to_dict()) == []


def test_runs_that_differ_in_how_they_were_trained_alone_are_one_fair_twin() -> None:
    twins = Recipe.read("002-A").configurations(Path("runs"), {"data": DATA}, fair=True)
    assert [*twins] == ["plain", "mixed, 10 epochs"]
    assert Recipe.read("004-A").left_out == {"v4": "v2"}  # which is v2 with channels dropped
    with pytest.raises(ValueError, match="004-A-fair has no run 'v4', since its twin is that of 'v2'; there are plain"):
        reproduce(Recipe.read("004-A"), Path("runs"), {"data": DATA}, runs=["v4"], fair=True)
    with pytest.raises(ValueError, match="002-B-fair has no run 'rrdb'; there are resnet34, rrdb3"):
        reproduce(Recipe.read("002-B"), Path("runs"), {"data": DATA}, runs=["rrdb"], fair=True)


SOME = bool  # there is one, and which is not said
EACH = ""
DROPS = {"schedule.name": "steps", "schedule.milestones": [0.5, 0.75, 0.85], "epochs": 30}
ADAM = {"optimizer.name": "adamw", "optimizer.weight_decay": 0.0, "optimizer.learning_rate": 1e-3}  # no decay: Adam
CROPS = {f"augmentation.{name}": SOME for name in ("random_resized_crop", "flip", "rotation", "perspective")}
SIZE_84 = {"image_size": 84, "early_stopping.patience": SOME}
# By recipe and run what shared/reference/systems.md says of how it was made: a value, or what a value must pass.
DESCRIBED: dict[tuple[str, str], dict[str, Any]] = {
    ("000-A", EACH): {"image_size": 128, "epochs": 10, "model": "mobilenetv3_small_100", **ADAM},
    ("000-A", "sliced"): {
        **{"strategy": "sliced", "strategy_options": {"selection": "random", "at_test": "random"}},
        **{"channel_sampling": "hierarchical"},  # random subsets
    },
    ("000-A", "plain-pretrained"): {"pretrained": True},
    ("000-A", "sliced-pretrained"): {
        **{"strategy": "sliced", "strategy_options": {"selection": "random", "at_test": "random"}},
        **{"channel_sampling": "hierarchical", "pretrained": True},
    },
    ("000-B", EACH): {"image_size": 128, "epochs": 30, "augmentation": lambda found: found != NO_AUGMENTATION},
    ("000-B", "resnet34"): {"model": "resnet34", "pretrained": False},
    ("000-B", "resnet34-pretrained"): {"model": "resnet34", "pretrained": True},
    ("000-B", "ghostnet_100"): {"pretrained": False},
    ("000-B", "ghostnet_100-pretrained"): {"pretrained": True},
    ("001-A", EACH): {
        "image_size": 96,
        "batch_size": 64,
        "optimizer.name": "sgd",
        "model": "resnet18",
        **DROPS,
        **CROPS,
    },
    ("001-A", "sliced"): {
        **{"strategy": "sliced", "strategy_options": {"rescale": False}},  # convolve with W[:, chosen] and the bias
        "augmentation.channel_drop": SOME,
    },
    ("001-B", EACH): {
        **{"objective.name": "labels", "label_smoothing": 0.0},  # cross-entropy
        **{"optimizer.name": "sgd", "optimizer.momentum": SOME, "schedule.name": lambda found: found != "constant"},
    },
    ("002-A", EACH): {"model": "resnet18"},
    ("002-A", "mixed, 10 epochs"): {"strategy": "mixed", "epochs": 10, "optimizer.learning_rate": 0.1},
    ("002-A", "mixed, 30 epochs"): {"strategy": "mixed", "epochs": 30, "optimizer.learning_rate": 0.001},
    ("002-B", EACH): {"epochs": 20},
    ("004-A", EACH): {**SIZE_84, "batch_size": 64, "epochs": lambda most: most >= 18},  # as many as v4 took
    ("004-A", "v1"): {"strategy": "masked", "channel_sampling": "all"},  # one channel set
    ("004-A", "v2"): {"strategy": "by_count"},
    ("004-A", "v3"): {"strategy": "mixed"},
    ("004-A", "v4"): {"strategy": "by_count", "channel_sampling": "bernoulli", "channel_probability": SOME},
    ("004-B", EACH): {**SIZE_84, "batch_size": 16, "epochs": lambda most: most >= 57},  # as many as v2 took
}
NO_AUGMENTATION = asdict(AugmentationConfig())


@pytest.mark.parametrize(
    ("name", "run", "setting", "value"),
    [(*which, *told) for which, settings in DESCRIBED.items() for told in settings.items()],
)
def test_recipes_are_as_their_sources_describe_them(name: str, run: str, setting: str, value: Any) -> None:
    configs = Recipe.read(name).configurations(Path("runs"), {"data": DATA})
    for config in [configs[run]] if run else configs.values():
        found: Any = config.to_dict()
        for key in setting.split("."):
            found = found[key]
        assert value(found) if callable(value) else found == value


def test_the_size_that_costs_are_of_is_said_where_it_is_not_the_recipes() -> None:
    recipe = Recipe.read("001-B")
    size = "Our costs and times are of images of 64x64; the recipe's are 84x84."
    assert recipe.explained(True, {})[0] == recipe.explained(False, {"image_size": 64})[1] == size
    assert size not in [*recipe.explained(True, {"image_size": 84}), *recipe.explained(False, {})]
    assert len(Recipe.read("002-B").explained(True, {})) == 2  # at 64x64 itself


def test_every_recipe_is_described() -> None:
    assert {name for name, _ in DESCRIBED} == {*list_recipes()}


def _write_record(folder: Path, recipe: str, accuracies: dict[str, float], **changed: Any) -> None:
    """A reproduction's record with these accuracies on RGB, of an hour a run."""
    rows = [
        {"run": run, "figure": figure, "n": 2500, "reported": {}, "measured": {"RGB": accuracy, "R": 1.0}}
        | {"intervals": {"RGB": [accuracy - 2, accuracy + 2], "R": [0.5, 1.5]}}
        for run, accuracy in accuracies.items()
        for figure in ("accuracy", "f1")
    ]
    rows.append({"run": "other", "figure": "accuracy", "n": None, "reported": {"RGB": 9.0}, "measured": {}})
    trained = {"precision": "float32", "processor": "A CPU"}
    run = {"seconds": 3600.0, "epochs": 15, "data": "animals.zip", "commit": "abc", "trained": trained}
    run |= {"dirty": True, "threads": 1} if recipe == "004-A" else {}  # older records do not say
    record = {"schema": 1, "kind": "reproduction", "recipe": recipe, "fair": False, "seed": 0, "errors": {}}
    record |= {"changes": {"data": DATA, "bands": "RGB"}, "rows": rows, "runs": dict.fromkeys(accuracies, run)}
    folder.mkdir(exist_ok=True)
    name = f"{recipe}-seed{changed.get('seed', 0)}-reproduction.json"
    (folder / name).write_text(json.dumps(record | changed))


def test_what_records_hold_is_what_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe_results(tmp_path) == {"schema": 1, "kind": "recipes", "recipes": {}}
    _write_record(tmp_path / "fair", "001-A", {"sliced": 41.4}, fair=True)
    _write_record(tmp_path / "own", "004-A", {"plain": 47.8, "v3": 44.0})
    made = recipe_results(tmp_path)
    told = made["recipes"]["004-A"]
    assert list(made["recipes"]) == ["001-A-fair", "004-A"]
    assert (told["seconds"], told["hardware"], list(told["runs"])) == (7200.0, "A CPU", ["plain", "v3"])
    assert told["runs"]["v3"] == {
        **{"accuracy": pytest.approx(0.44), "interval": pytest.approx([0.42, 0.46]), "n": 2500, "epochs": 15},
        **{"seconds": 3600.0, "data": "animals.zip", "commit": "abc", "dirty": True, "threads": 1},
    }
    (tmp_path / "results.json").write_text(json.dumps(made))
    assert validate_records([tmp_path]) == (3, [])
    for name in list_recipes():
        shutil.copy(str(expected.RECIPES.joinpath(f"{name}.yaml")), tmp_path)
    monkeypatch.setattr(expected, "RECIPES", tmp_path)
    own, twins = (told for told in list_recipes_with_results() if told["name"] == "001-A")
    assert (own["fair"], own["expected"]) == (False, None)
    assert (twins["fair"], twins["command"]) == (True, "anychan reproduce 001-A --data DATA --out runs --fair")
    lines = {line.split()[0]: line for line in recipes_table().splitlines() if line}
    assert own["not_run"] == ["plain", "sliced"]
    assert twins["not_run"] == ["plain"]
    assert "2.0 h for plain and v3 alone, A CPU (threads: 1)" in lines["004-A"]  # not of v1, v2 and v4
    assert lines["004-A"].endswith("plain 47.8 (45.8 to 49.8); v3 44.0 (42.0 to 46.0), on animals.zip")
    assert lines["004-B"].endswith("--out runs")  # not run: empty cells
    assert lines["004-A-fair"].endswith("--out runs --fair")
    assert lines["001-A-fair"].startswith("001-A-fair  its fair twins")
    assert lines["001-A-fair"].endswith("  sliced 41.4 (39.4 to 43.4), on animals.zip")
    assert "  1.0 h for sliced alone, A CPU  " in lines["001-A-fair"]
    _write_record(tmp_path / "own", "000-A", {"plain": 37.4, "sliced": 21.9})  # all but those from pretrained weights
    _write_record(tmp_path / "fair", "004-A", dict.fromkeys(("plain", "v1", "v2", "v3"), 40.0), fair=True)  # v4 is v2
    (tmp_path / "results.json").write_text(json.dumps(recipe_results(tmp_path)))
    lines = {line.split()[0]: line for line in recipes_table().splitlines() if line}
    assert "  2.0 h, A CPU  " in lines["000-A"]
    assert "  4.0 h, A CPU (threads: 1)  " in lines["004-A-fair"]


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"changes": {"data": DATA, "epochs": 2}},
        {"changes": {"data": DATA, "image_size": 64}},
        {"rows": []},
        {"runs": {}},
    ],
)
def test_a_record_of_other_settings_is_not_what_is_expected(tmp_path: Path, changed: dict[str, Any]) -> None:
    _write_record(tmp_path, "004-A", {"plain": 47.8}, **changed)
    assert recipe_results(tmp_path)["recipes"] == {}


def test_runs_from_pretrained_weights_are_made_where_these_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    file, out = tmp_path / "own.safetensors", tmp_path / "out"
    save_file(create_model("mobilenetv3_small_100", "RGB", 7).body.state_dict(), file)
    words = ["reproduce", "000-A", "--data", DATA, "--image-size", "32", "--epochs", "1", "--out", str(out)]
    words += ["--cache-dir", str(tmp_path / "cache")]
    assert main([*words, "--runs", "sliced-pretrained"]) == 2
    said = capsys.readouterr().err
    assert "no run could be completed, so nothing is written; the first: the weights timm/mobilenetv3_small_100" in said
    assert not list(out.glob("0*"))
    given = [*words, "--pretrained", f"plain-pretrained={file}"]
    assert main([*given, "--runs", "plain-pretrained", "sliced-pretrained"]) == 0
    table = capsys.readouterr().out
    assert "sliced-pretrained was not run: the weights timm/mobilenetv3_small_100.lamb_in1k cannot be dow" in table
    assert table.count("mini-ImageNet's test images, which stand in ImageNet's training set") == 1
    path = out / "000-A-seed0-reproduction.json"
    rows = json.loads(path.read_text())["rows"]
    assert (rows[0]["run"], rows[0]["figure"], rows[0]["reported"]) == ("plain-pretrained", "accuracy", {"RGB": 65.33})
    assert rows[0]["measured"].keys() == {"RGB"}
    assert all("ImageNet's training set" in row["warning"] for row in rows)
    empty = next(row for row in rows if row["run"] == "sliced-pretrained")
    assert (empty["figure"], empty["n"], empty["measured"]) == ("accuracy", None, {})
    assert json.loads(path.read_text())["runs"]["plain-pretrained"]["weights"] == "own.safetensors"
    assert validate_records([path]) == (1, [])
    assert main([*words, "--runs", "plain"]) == 2  # the one there would be another
    assert (
        "plain-pretrained-seed0 holds a run with other settings (pretrained: other weights" in capsys.readouterr().err
    )


def test_a_split_there_is_not_is_said_before_the_first_run(tmp_path: Path) -> None:
    """Of a recipe whose source reports figures on validation."""
    for split in ("train", "test"):
        for i in range(8):
            place = tmp_path / "photographs" / split / f"class{i % 2}"
            place.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (10 * i,) * 3).save(place / f"{i}.png")
    without = {**SETTINGS, "data": str(tmp_path / "photographs"), "cache_dir": str(tmp_path / "cache")}
    with pytest.raises(ValueError, match=r"plain: .*photographs has no split 'val'; it has train, test"):
        reproduce(Recipe.read("002-A"), tmp_path / "out", without)
    assert not list((tmp_path / "out").glob("002-A-*"))


@pytest.mark.parametrize("there", [False, True])
def test_files_of_weights_are_looked_at_before_the_first_run(tmp_path: Path, there: bool) -> None:
    file = tmp_path / "typo.pth"
    if there:
        file.write_bytes(b"no weights")
    said = "holds no weights that can be read" if there else "where pretrained weights are to be read, is no file"
    with pytest.raises(ValueError if there else FileNotFoundError, match=f"typo.pth.* {said}"):
        reproduce(Recipe.read("000-B"), tmp_path / "out", SETTINGS, weights={"resnet34-pretrained": file})
    assert not list((tmp_path / "out").glob("000-B-*"))


def test_weights_go_to_runs_that_take_some() -> None:
    recipe = Recipe.read("000-B")
    assert _weights(recipe, ["a.pth", "ghostnet_100-pretrained=b.pth"]) == {
        "resnet34-pretrained": "a.pth",
        "ghostnet_100-pretrained": "b.pth",
    }
    assert _weights(recipe, ["not-a-run=c.pth"])["resnet34-pretrained"] == "not-a-run=c.pth"
    one, other = (f"{name}-pretrained=" for name in ("resnet34", "ghostnet_100"))
    for words, said in (
        (
            ["a.pth", "b.pth"],
            "a.pth and b.pth would be of the same runs: say whose a file is, RUN=FILE, of resnet34-pre",
        ),
        ([f"{one}a.pth", f"{one}b.pth"], "run 'resnet34-pretrained' has one file of weights, not a.pth and b.pth"),
        ([f"{one}a.pth", f"{other}b.pth", "c.pth"], "c.pth is of no run: each has a file of its own"),
    ):
        with pytest.raises(ValueError, match=said):
            _weights(recipe, words)
    with pytest.raises(ValueError, match=r"recipe 001-A has no run from pretrained weights, which a.pth could be of"):
        _weights(Recipe.read("001-A"), ["a.pth"])
    for fair, there in ((False, "resnet34-pretrained, ghostnet_100-pretrained"), (True, "none")):
        with pytest.raises(ValueError, match=f"has no run 'resnet34' from pretrained weights; there are {there}"):
            recipe.configurations(Path("runs"), {"data": DATA}, fair, {"resnet34": "a.pth"})
    twins = recipe.configurations(Path("runs"), {"data": DATA}, fair=True)
    assert [*twins] == ["resnet34", "ghostnet_100", "ghost2"]  # a fair twin trains from random weights


def test_what_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="unknown recipe '003-A'; there are 000-A"):
        Recipe.read("003-A")
    with pytest.raises(ValueError, match="recipe 002-B has no run 'rrdb'; there are resnet34, rrdb3"):
        reproduce(Recipe.read("002-B"), tmp_path, SETTINGS, runs=["rrdb"])
    settings = {**SETTINGS, "cache_dir": str(tmp_path / "cache")}
    reproduce(Recipe.read("001-A"), tmp_path, settings, runs=["plain"])
    before = (tmp_path / "001-A-seed0-reproduction.json").read_bytes()
    with pytest.raises(ValueError, match=r"001-A-plain-seed0 holds a run with other settings \(epochs: 1 -> 2"):
        reproduce(Recipe.read("001-A"), tmp_path, {**settings, "epochs": 2}, runs=["plain"])
    with pytest.raises(ValueError, match=r"001-A-plain-seed0 holds a run with other settings \(epochs: 1 -> 2"):
        reproduce(Recipe.read("001-A"), tmp_path, {**settings, "epochs": 2}, runs=["sliced"])
    assert not (tmp_path / "001-A-sliced-seed0").exists()
    with alone(tmp_path, ".001-A.lock"), pytest.raises(FileExistsError, match="in use by another process"):
        reproduce(Recipe.read("001-A"), tmp_path, settings, runs=["plain"])
    assert (tmp_path / "001-A-seed0-reproduction.json").read_bytes() == before
    assert main(["reproduce", "002-B", "--data", "nowhere", "--out", str(tmp_path)]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert main(["list", "recipes"]) == 0
    assert "anychan reproduce 000-A" in capsys.readouterr().out
