"""Recipes of the sources: all can be run, figures stand beside what was reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from anychan.cli import main
from anychan.cli._reproduce import _weights
from anychan.experiments import (
    Recipe,
    expected,
    list_recipes,
    recipe_results,
    recipes,
    recipes_table,
    reproduce,
    reproduction_table,
    validate_records,
)
from anychan.experiments._lock import alone
from anychan.models import create_model, load_model

RECORDS = Path(__file__).parents[2] / "docs" / "records"
DATA = "synthetic:bands=3,train=16,val=6,test=6,size=32,classes=3"
SETTINGS: dict[str, Any] = {"data": DATA, "image_size": 32, "epochs": 1, "batch_size": 8}


def test_every_experiment_of_the_sources_is_there() -> None:
    assert list_recipes() == ["000-A", "000-B", "001-A", "001-B", "002-A", "002-B", "004-A", "004-B"]
    assert all(name in recipes_table() for name in list_recipes())


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
    if fair and name != "001-A":  # whose strategy is an augmentation
        assert len({json.dumps(shared(config.to_dict())) for config in configs.values()}) == 1
        assert config.optimizer.name == "adamw"
    if fair:
        for config in configs.values():
            assert (config.objective.name, config.normalisation.statistics) == ("labels", "shared")
        told = [json.dumps({**config.to_dict(), "out": None}) for config in configs.values()]
        assert len(set(told)) == len(told)


def shared(config: dict[str, Any]) -> dict[str, Any]:
    """All that is not the system itself: of its twins this must be the same."""
    return {name: value for name, value in config.items() if name not in (*recipes._OWN, "out")}


def test_a_fair_twin_that_would_be_run_twice_is_there_once() -> None:
    twins = Recipe.read("002-A").configurations(Path("runs"), {"data": DATA}, fair=True)
    assert [*twins] == ["plain", "mixed, 10 epochs"]  # the other differed by how it was trained
    with pytest.raises(ValueError, match="002-A-fair has no run 'mixed, 30 epochs'; there are plain, mixed, 10 epochs"):
        reproduce(Recipe.read("002-A"), Path("runs"), {"data": DATA}, runs=["mixed, 30 epochs"], fair=True)


def test_recipes_are_as_their_sources_describe_them() -> None:
    sliced = Recipe.read("000-A").configurations(Path("runs"), {"data": DATA})["sliced"]
    assert (sliced.model, sliced.image_size, sliced.epochs) == ("mobilenetv3_small_100", 128, 10)
    assert sliced.strategy_options == {"selection": "random", "at_test": "random"}
    assert (sliced.optimizer.rate, sliced.optimizer.decay, sliced.schedule.name) == (1e-3, 0.0, "constant")
    dropped = Recipe.read("001-A").configurations(Path("runs"), {"data": DATA})["sliced"]
    assert (dropped.image_size, dropped.epochs, dropped.batch_size, dropped.optimizer.name) == (96, 30, 64, "sgd")
    assert (dropped.schedule.milestones, dropped.augmentation.channel_drop) == ((0.5, 0.75, 0.85), 0.5)
    fair = Recipe.read("001-A").configurations(Path("runs"), {"data": DATA}, fair=True)["sliced"]
    assert (fair.image_size, fair.augmentation.channel_drop) == (64, 0.5)
    v4 = Recipe.read("004-A").configurations(Path("runs"), {"data": DATA})["v4"]
    assert (v4.image_size, v4.early_stopping.patience, v4.channel_sampling) == (84, 5, "bernoulli")


def test_what_records_hold_is_what_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe_results(tmp_path) == {"schema": 1, "kind": "recipes", "recipes": {}}
    for run, seconds in (("plain", 1800.0), ("v3", 5400.0)):
        folder = tmp_path / f"004-A-{run}-seed0"
        shutil.copytree(RECORDS / "plain", folder)
        record = json.loads((folder / "run.json").read_text())
        config = Recipe.read("004-A").configurations(tmp_path, {"data": DATA, "bands": "RGB"})[run].to_dict()
        (folder / "run.json").write_text(json.dumps({**record, "seconds": seconds, "config": config}))
    made = recipe_results(tmp_path)
    told = made["recipes"]["004-A"]
    row = json.loads((RECORDS / "plain" / "evaluation" / "test.json").read_text())["results"][0]
    assert list(made["recipes"]) == ["004-A"]
    assert (told["seconds"], told["hardware"]) == (7200.0, record["hardware"]["cpu"])
    assert told["runs"]["v3"]["accuracy"] == row["accuracy"]
    assert told["runs"]["v3"]["interval"] == row["accuracy_interval"]
    (tmp_path / "results.json").write_text(json.dumps(made))
    for name in list_recipes():
        shutil.copy(str(expected.RECIPES.joinpath(f"{name}.yaml")), tmp_path)
    monkeypatch.setattr(expected, "RECIPES", tmp_path)
    lines = {line.split()[0]: line for line in recipes_table().splitlines() if line}
    assert "2.0 h" in lines["004-A"]
    assert lines["004-A"].endswith("plain 47.8 (45.8 to 49.8); v3 47.8 (45.8 to 49.8)")
    assert lines["004-B"].endswith("--out runs")  # not run: empty cells


def test_a_record_of_other_settings_is_not_what_is_expected(tmp_path: Path) -> None:
    config = Recipe.read("004-A").configurations(tmp_path, {"data": DATA})["plain"]
    shutil.copytree(RECORDS / "plain", config.out)
    path = config.out / "run.json"
    record = {**json.loads(path.read_text()), "config": config.to_dict()}
    path.write_text(json.dumps(record))
    assert expected._result_of(config) is not None
    for changed in (
        {"config": {"epochs": 2}},
        {"config": {"image_size": 64}},
        {"config": {"optimizer": {"name": "sgd", "learning_rate": 0.05, "weight_decay": 5e-4}}},
        {"config": {"initial": "runs/plain"}},
        {"config": {"pretrained": "own.pth"}},
        {"status": "running"},
    ):
        path.write_text(json.dumps({**record, **changed, "config": {**config.to_dict(), **changed.get("config", {})}}))
        assert expected._result_of(config) is None, changed


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
    assert validate_records([path]) == (1, [])
    assert main([*words, "--runs", "plain"]) == 2  # the one there would be another
    assert (
        "plain-pretrained-seed0 holds a run with other settings (pretrained: other weights" in capsys.readouterr().err
    )


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
    with pytest.raises(ValueError, match=r"recipe 001-A has no run from pretrained weights, which a.pth could be of"):
        _weights(Recipe.read("001-A"), ["a.pth"])
    for fair, there in ((False, "resnet34-pretrained, ghostnet_100-pretrained"), (True, "none")):
        with pytest.raises(ValueError, match=f"has no run 'resnet34' from pretrained weights; there are {there}"):
            recipe.configurations(Path("runs"), {"data": DATA}, fair, {"resnet34": "a.pth"})
    twins = recipe.configurations(Path("runs"), {"data": DATA}, fair=True)
    assert [*twins] == ["resnet34", "ghostnet_100", "ghost2"]  # a fair twin trains from random weights


def test_costs_stand_in_the_reported_units() -> None:
    cost = {"macs": 5e8, "parameters": 2**21, "latency_ms": {"1": {"median": 8.0}}, "memory": {"training_bytes": 3e9}}
    row = {"accuracy": 0.5, "cost": cost}
    for figure, value in (
        ("gflops (batch of 64)", 64.0),
        ("parameters (units of 2^20)", 2.0),
        ("memory_mb (training)", 3000.0),
        ("inference_s", 0.008),
        ("macs", 5e8),
        ("accuracy (validation)", 50.0),
    ):
        assert recipes._measured(row, figure) == pytest.approx(value)
    assert recipes._measured({"accuracy": 0.5, "cost": None}, "gflops (batch of 64)") is None


def test_measured_stands_beside_reported(tmp_path: Path) -> None:
    settings = {**SETTINGS, "cache_dir": str(tmp_path / "cache")}
    record = reproduce(Recipe.read("004-A"), tmp_path / "out", settings, runs=["plain", "v4"])
    assert record == json.loads((tmp_path / "out" / "004-A-seed0-reproduction.json").read_text())
    rows = {(row["run"], row["figure"]): row for row in record["rows"]}
    evaluated = json.loads((tmp_path / "out" / "004-A-v4-seed0" / "evaluation" / "test.json").read_text())["results"]
    v4 = rows["v4", "accuracy"]
    assert v4["measured"] == {row["subset"]: pytest.approx(100 * row["accuracy"]) for row in evaluated}
    assert v4["reported"]["RG"] == 26.89
    plain = tmp_path / "out" / "004-A-plain-seed0"
    on_validation = json.loads((plain / "evaluation" / "val.json").read_text())["results"]
    assert rows["plain", "accuracy (validation)"]["measured"]["RGB"] == 100 * on_validation[0]["accuracy"]
    assert rows["plain", "parameters"]["measured"]["RGB"] == parameters_of(plain)
    assert v4["n"] == 6
    assert [low <= v4["measured"][s] <= high for s, (low, high) in v4["intervals"].items()] == [True] * 7
    for weights in (tmp_path / "out").rglob("*.safetensors"):
        weights.unlink()  # records that came from another machine have none
    one = reproduce(Recipe.read("004-A"), tmp_path / "out", settings, runs=["plain"])
    assert one["rows"] == record["rows"]  # what was run before stays
    table = reproduction_table(record)
    assert "with data=synthetic:" in table
    assert "6 images; seed 0" in table
    assert "26.89" in table
    assert "Its patience, its rate" in table


def parameters_of(run: Path) -> int:
    return sum(parameter.numel() for parameter in load_model(run)[0].parameters())


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
