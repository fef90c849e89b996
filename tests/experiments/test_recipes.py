"""Recipes of the sources: all can be run, figures stand beside what was reported."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from anychan.cli import main
from anychan.cli._reproduce import _weights
from anychan.cost import measure_memory
from anychan.experiments import (
    Recipe,
    _reproduced_rows,
    expected,
    list_recipes,
    list_recipes_with_results,
    recipe_results,
    recipes,
    recipes_table,
    reproduce,
    reproduction_table,
    settings,
    validate_records,
)
from anychan.experiments._lock import alone
from anychan.models import create_model, load_model
from anychan.training import TrainConfig
from anychan.training.config import differences

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


def test_recipes_are_as_their_sources_describe_them() -> None:
    sliced = Recipe.read("000-A").configurations(Path("runs"), {"data": DATA})["sliced"]
    assert (sliced.model, sliced.image_size, sliced.epochs) == ("mobilenetv3_small_100", 128, 10)
    assert sliced.strategy_options == {"selection": "random", "at_test": "random"}
    assert (sliced.optimizer.rate, sliced.optimizer.decay, sliced.schedule.name) == (1e-3, 0.0, "constant")
    dropped = Recipe.read("001-A").configurations(Path("runs"), {"data": DATA})["sliced"]
    assert (dropped.image_size, dropped.epochs, dropped.batch_size, dropped.optimizer.name) == (96, 30, 64, "sgd")
    assert (dropped.schedule.milestones, dropped.augmentation.channel_drop) == ((0.5, 0.75, 0.85), 0.5)
    v4 = Recipe.read("004-A").configurations(Path("runs"), {"data": DATA})["v4"]
    assert (v4.image_size, v4.early_stopping.patience, v4.channel_sampling) == (84, 5, "bernoulli")


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
        **{"seconds": 3600.0, "data": "animals.zip", "commit": "abc"},
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
    assert "2.0 h, A CPU" in lines["004-A"]
    assert lines["004-A"].endswith("plain 47.8 (45.8 to 49.8); v3 44.0 (42.0 to 46.0)")
    assert lines["004-B"].endswith("--out runs")  # not run: empty cells
    assert lines["004-A-fair"].endswith("--out runs --fair")
    assert lines["001-A-fair"].startswith("001-A-fair  its fair twins")
    assert lines["001-A-fair"].endswith("1.0 h, A CPU  sliced 41.4 (39.4 to 43.4)")


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
    cost = {"macs": 5e8, "parameters": 2**21, "latency_ms": {"1": {"median": 8.0}}}
    row = {"accuracy": 0.5, "cost": cost}
    for figure, value in (
        ("gflops (batch of 64)", 64.0),
        ("parameters (units of 2^20)", 2.0),
        ("inference_s", 0.008),
        ("macs", 5e8),
        ("accuracy (validation)", 50.0),
    ):
        assert _reproduced_rows._measured(row, figure) == pytest.approx(value)
    assert _reproduced_rows._measured({"accuracy": 0.5, "cost": None}, "gflops (batch of 64)") is None


def test_measured_stands_beside_reported(tmp_path: Path) -> None:
    settings = {**SETTINGS, "image_size": 16, "cache_dir": str(tmp_path / "cache")}
    record = reproduce(Recipe.read("004-A"), tmp_path / "out", settings, runs=["plain", "v4"])
    assert record == json.loads((tmp_path / "out" / "004-A-seed0-reproduction.json").read_text())
    rows = {(row["run"], row["figure"]): row for row in record["rows"]}
    evaluated = json.loads((tmp_path / "out" / "004-A-v4-seed0" / "evaluation" / "test.json").read_text())["results"]
    v4 = rows["v4", "accuracy"]
    assert v4["measured"] == {row["subset"]: pytest.approx(100 * row["accuracy"]) for row in evaluated}
    assert v4["reported"]["RG"] == 26.89
    plain = tmp_path / "out" / "004-A-plain-seed0"
    run = json.loads((plain / "run.json").read_text())
    assert list(record["runs"]) == ["plain", "v4"]
    assert record["runs"]["plain"] == {
        **{name: run[name] for name in ("seconds", "epochs", "commit")},
        **{"data": run["data"]["name"]},
        **{"trained": {"precision": run["machine"]["precision"], "processor": run["hardware"]["cpu"]}},
    }
    on_validation = json.loads((plain / "evaluation" / "val.json").read_text())["results"]
    assert rows["plain", "accuracy (validation)"]["measured"]["RGB"] == 100 * on_validation[0]["accuracy"]
    assert rows["plain", "parameters"]["measured"]["RGB"] == parameters_of(plain)
    assert v4["n"] == 6
    assert [low <= v4["measured"][s] <= high for s, (low, high) in v4["intervals"].items()] == [True] * 7
    epoch = json.loads((plain / "records.jsonl").read_text())
    for figure, value, reported, n in (
        ("epochs", 1, 15, None),
        ("accuracy (training)", 100 * epoch["train_accuracy"], 63.32, 16),
        ("loss (training)", epoch["train_loss"], 1.151, 16),
        ("loss (validation)", epoch["val_loss"], 1.4622, 6),
    ):
        row = rows["plain", figure]
        assert (row["measured"], row["reported"], row["n"]) == ({"RGB": value}, {"RGB": reported}, n)
    memory, called = rows["plain", "memory_mb (training batch of 64)"], load_model(plain)[0]
    assert memory["measured"] == {"RGB": measure_memory(called, "RGB", 16, 64).training_bytes / 1e6}
    assert memory["machine"].endswith(f"(threads: {torch.get_num_threads()})")
    assert validate_records([tmp_path / "out" / "004-A-seed0-reproduction.json"]) == (1, [])
    for weights in (tmp_path / "out").rglob("*.safetensors"):
        weights.unlink()  # records that came from another machine have none
    one = reproduce(Recipe.read("004-A"), tmp_path / "out", settings, runs=["plain"])
    assert one["rows"] == record["rows"]  # what was run before stays
    table = reproduction_table(record)
    assert "with data=synthetic:" in table
    assert "of 6 test images, 6 validation images, 16 training images; seed 0" in table
    assert "26.89" in table
    assert f"memory_mb (training batch of 64): measured on {memory['machine']}." in table
    lines = [line.split() for line in table.splitlines()]
    low, high = rows["plain", "accuracy"]["intervals"]["RGB"]
    assert ["plain", "accuracy", "95", "%", f"{low:.1f}-{high:.1f}"] in lines
    assert ["plain", "epochs", "measured", "1"] in lines
    assert "Its patience, its rate" in table


def test_training_figures_are_of_the_epoch_that_is_kept(tmp_path: Path) -> None:
    config = Recipe.read("004-A").configurations(tmp_path, {"data": DATA})["plain"]
    shutil.copytree(RECORDS / "plain", config.out)
    path = config.out / "run.json"
    record = json.loads(path.read_text())
    lines = [json.loads(line) for line in (config.out / "records.jsonl").read_text().splitlines()]
    for selected, best, kept in (("last", None, lines[9]), ("best", 3, lines[2])):
        told = {"selected": selected, "best_epoch": best, "skipped": [["a.png", "broken"]]}
        path.write_text(json.dumps({**record, **told}))
        found = {name: _reproduced_rows._found(name, config) for name in ("epochs", "loss (training)")}
        assert found["epochs"]["measured"] == {"RGB": 10}
        assert found["loss (training)"] == {"n": 23_999, "measured": {"RGB": kept["train_loss"]}}
        validation = _reproduced_rows._found("loss (validation)", config)
        assert validation == {"n": 1000, "measured": {"RGB": kept["val_loss"]}}


def test_what_belongs_to_one_of_several_runs_stands_beside_them() -> None:
    recipe = Recipe.read("002-A")
    (row,) = _reproduced_rows.rows_of_one(recipe, ["plain", "mixed, 10 epochs"])
    assert row["run"] == "mixed, 10 epochs or mixed, 30 epochs"
    assert (row["figure"], row["reported"], row["measured"]) == ("accuracy", {"RGB": 17.11}, {})
    assert _reproduced_rows.rows_of_one(recipe, ["plain"]) == []
    measured = {"run": "plain", "figure": "accuracy", "n": 6, "measured": {"R": 50.0}, "reported": {}}
    record = {"recipe": "002-A", "fair": False, "seed": 0, "changes": {}, "errors": {}, "rows": [measured, row]}
    assert ["or", "mixed,", "30", "epochs", "accuracy", "reported", "17.11"] in [
        line.split()[3:] for line in reproduction_table(record).splitlines()
    ]


def test_memory_that_cannot_be_measured_is_missing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("CUDA out of\nmemory")

    config = Recipe.read("004-A").configurations(tmp_path, {"data": DATA})["plain"]
    shutil.copytree(RECORDS / "plain", config.out)
    monkeypatch.setattr(_reproduced_rows, "measure_memory", full)
    rows = {row["figure"]: row for row in _reproduced_rows.rows_of(*no_validation(config))}
    figure = "memory_mb (training batch of 64)"
    assert (rows[figure]["measured"], rows[figure]["missing"]) == ({}, "CUDA out of memory")
    record = {"recipe": "004-A", "fair": False, "seed": 0, "changes": {}, "errors": {}, "rows": [*rows.values()]}
    assert f"{figure} of plain was not measured: CUDA out of memory" in reproduction_table(record)


def no_validation(config: TrainConfig) -> tuple[Recipe, str, TrainConfig]:
    """What `rows_of` takes, of a run that was not evaluated on validation."""
    recipe = Recipe.read("004-A")
    reported = {name: of for name, of in recipe.reported("plain").items() if name != recipes.VALIDATION}
    return replace(recipe, runs={"plain": {**recipe.runs["plain"], "reported": reported}}), "plain", config


def test_an_older_record_is_printed_with_its_intervals_and_the_machine_it_was_made_on(tmp_path: Path) -> None:
    """It has no `machine` in its rows and does not say where its runs were trained, and stays valid."""
    record = json.loads((RECORDS / "reproduction-000-A" / "000-A-seed0-reproduction.json").read_text())
    assert "Trained in float32 on Intel(R) Xeon(R) Processor: plain, sliced." in reproduction_table(record).splitlines()
    del record["runs"]
    for row in record["rows"]:
        row.pop("machine", None)
    path = tmp_path / "reproduction.json"
    path.write_text(json.dumps(record))
    table = reproduction_table(record).splitlines()
    assert validate_records([path]) == (1, [])
    assert "inference_s: the record was made on AMD EPYC (threads: 1)." in table
    assert not any(line.startswith("Trained in") for line in table)
    above, below = next((line, table[i + 1]) for i, line in enumerate(table) if line.startswith("sliced  "))
    assert above.split()[:4] == ["sliced", "accuracy", "measured", "21.92"]
    assert below.split()[:5] == ["sliced", "accuracy", "95", "%", "20.3-23.6"]


def test_under_fair_twins_stands_how_they_were_trained(tmp_path: Path) -> None:
    changes = {**SETTINGS, "cache_dir": str(tmp_path / "cache")}
    record = reproduce(Recipe.read("000-A"), tmp_path / "out", changes, runs=["plain"], fair=True)
    assert validate_records([tmp_path / "out" / "000-A-fair-seed0-reproduction.json"]) == (1, [])
    table = reproduction_table(record)
    recipe = Recipe.read("000-A")
    for of_source in (recipe.note, recipe.differences):
        assert " ".join(of_source.split()) not in table
    for said in (
        "epochs 1; images of 32x32 in batches of 8; adamw at 0.001 with a decay of 0.05; schedule cosine, ",
        "no early stopping; augmentation crop_padding 4, flip 0.5; objective labels.",
        "'plain': channel sampling all, statistics shared.",
        "'sliced': channel sampling hierarchical, statistics kept.",
        "'sliced-pretrained' is not run: its twin is that of 'sliced'.",
        "inference_s: measured on ",
    ):
        assert said in table
    older = {name: value for name, value in record.items() if name != "note"}
    assert "before fair twins said how they were trained" in reproduction_table(older)


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
