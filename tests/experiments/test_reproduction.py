"""What `anychan reproduce` measures stands beside what was reported, in its rows and units."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from anychan.channels import ChannelSet
from anychan.cost import measure_memory
from anychan.evaluation import compare_runs, evaluate_run
from anychan.evaluation._folder import record_path
from anychan.evaluation.tables import pairs_table
from anychan.experiments import (
    Recipe,
    _reproduced_rows,
    list_recipes,
    recipes,
    reproduce,
    reproduction,
    reproduction_table,
    validate_records,
)
from anychan.experiments._reproduced_pairs import pairs_of, untested
from anychan.models import load_model
from anychan.training import TrainConfig

from ..evaluation._runs import SPEC, write_run

RECORDS = Path(__file__).parents[2] / "docs" / "records"
DATA = "synthetic:bands=3,train=16,val=6,test=6,size=32,classes=3"
SETTINGS: dict[str, Any] = {"data": DATA, "image_size": 32, "epochs": 1, "batch_size": 8}


def test_costs_stand_in_the_reported_units() -> None:
    cost = {"macs": 5e8, "parameters": 2**21, "latency_ms": {"1": {"median": 8.0}}}
    row = {"accuracy": 0.5, "cost": cost}
    for figure, value in (
        ("gflops (batch of 64)", 64.0),
        ("parameters (units of 2^20)", 2.0),
        ("inference_s", 0.008),
        ("FLOPs (MACs of one image)", 5e8),
        ("parameters (M)", 2**21 / 1e6),
        ("parameters (K)", 2**21 / 1e3),
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
        **{name: run[name] for name in ("seconds", "epochs", "commit", "dirty")},
        **{"data": run["data"]["name"], "threads": torch.get_num_threads()},
        **{"trained": {"precision": run["machine"]["precision"], "processor": run["hardware"]["cpu"]}, "depth": 18},
    }
    on_validation = json.loads((plain / "evaluation" / "val.json").read_text())["results"]
    assert rows["plain", "accuracy (validation)"]["measured"]["RGB"] == 100 * on_validation[0]["accuracy"]
    assert rows["plain", "parameters (M)"]["measured"]["RGB"] == parameters_of(plain) / 1e6
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
    for evaluated in (tmp_path / "out").glob("*/evaluation/val.json"):
        evaluated.unlink()  # training tells how good the epoch that it kept was with all channels
    earlier = {"commit": "a", "dirty": False}
    (plain / "run.json").write_text(json.dumps(run | {"resumed_from": [{**earlier, "epochs": 0, "step": 1}]}))
    for row in (again := reproduce(Recipe.read("004-A"), tmp_path / "out", settings, runs=["plain"]))["rows"]:
        known = rows[row["run"], row["figure"]]
        subsets = known["measured"] if row["figure"] != "accuracy (validation)" else ["RGB"]
        for key in ("measured", "intervals"):
            assert row.get(key) == ({s: known[key][s] for s in subsets if s in known[key]} if key in known else None)
    assert len(again["rows"]) == len(rows)
    assert again["runs"]["plain"]["trained_by"] == [earlier, {name: run[name] for name in ("commit", "dirty")}]
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
    assert "Layers: plain (depth 18, its author counts 18); v4 (depth 18, its author counts 18)." in table.splitlines()


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
        assert found["loss (training)"] == {"n": 23_936, "measured": {"RGB": kept["train_loss"]}}  # 374 steps of 64
        validation = _reproduced_rows._found("loss (validation)", config)
        assert validation == {"n": 1000, "measured": {"RGB": kept["val_loss"]}}


@pytest.mark.parametrize(
    ("told", "held_out", "images"),
    [
        ({}, None, 96),
        ({}, 40, 32),
        ({"skipped": [["a.png", "broken"]] * 5}, None, 64),
        ({"training_images": 60}, 40, 60),
    ],
)
def test_training_figures_are_of_the_images_that_fill_whole_steps(
    told: dict[str, Any], held_out: int | None, images: int
) -> None:
    config = {"batch_size": 64 if "training_images" in told else 32, "held_out": held_out}
    run = {"data": {"splits": {"train": 100}}, "skipped": [], "config": config, **told}
    assert _reproduced_rows._trained_an_epoch(run) == images


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


def test_no_run_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run of recipe 000-A is named; there are "):
        reproduce(Recipe.read("000-A"), tmp_path, {"data": SPEC}, runs=[])


def test_runs_that_are_not_in_a_record_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = reproduced(tmp_path, monkeypatch, True, "plain")
    assert "'plain': channel sampling all, statistics shared." in part["note"]
    assert "'sliced': channel sampling" not in part["note"]
    assert "Not run: 'sliced'." in reproduction_table(part).splitlines()
    record = json.loads((RECORDS / "reproduction-004-B-fair" / "004-B-fair-seed0-reproduction.json").read_text())
    assert "Not run: 'resnet34', 'v1'." in reproduction_table(record).splitlines()
    failed = {**record, "errors": {"v1": "no memory"}}
    assert "Not run: 'resnet34'." in reproduction_table(failed).splitlines()
    whole = json.loads((RECORDS / "reproduction-002-A-fair" / "002-A-fair-seed0-reproduction.json").read_text())
    assert "Not run" not in reproduction_table(whole)  # the twin that is left out is not missing


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


@pytest.mark.parametrize("name", list_recipes())
def test_differences_say_nothing_of_how_a_source_trained(name: str) -> None:
    """They stand beside fair twins too, which are not trained so."""
    told = " ".join(Recipe.read(name).differences.split())
    assert told
    assert not re.search(r"momentum|decay|patience|optimi[sz]er|learning rate|are ours|trained on here", told)


def test_under_fair_twins_stands_how_they_were_trained(tmp_path: Path) -> None:
    changes = {**SETTINGS, "cache_dir": str(tmp_path / "cache")}
    record = reproduce(Recipe.read("000-A"), tmp_path / "out", changes, runs=["plain"], fair=True)
    assert validate_records([tmp_path / "out" / "000-A-fair-seed0-reproduction.json"]) == (1, [])
    assert (record["pairs"], record.get("untested")) == ([], None)
    table = reproduction_table(record)
    recipe = Recipe.read("000-A")
    assert " ".join(recipe.note.split()) not in table
    assert table.splitlines()[-2] == " ".join(recipe.differences.split())
    assert table.splitlines()[-1].startswith("What sources report is of mini-ImageNet, 50 classes: ")
    for said in (
        "epochs 1; images of 32x32 in batches of 8; adamw at 0.001 with a decay of 0.05; schedule cosine, ",
        "no early stopping; augmentation crop_padding 4, flip 0.5; objective labels.",
        "'plain': channel sampling all, statistics shared.",
        "'sliced-pretrained' is not run: its twin is that of 'sliced'.",
        "inference_s: measured on ",
        "Our costs and times are of images of 32x32; the recipe's are 128x128.",
    ):
        assert said in table
    older = {name: value for name, value in record.items() if name != "note"}
    assert "before fair twins said how they were trained" in reproduction_table(older)


def reproduced(folder: Path, monkeypatch: pytest.MonkeyPatch, fair: bool, *runs: str) -> dict[str, Any]:
    """What `reproduce` writes of 000-A's committed runs."""
    nothing = dict.fromkeys(("check_answers", "check_split", "attempt"))
    for name, told in {"is_finished": True, **nothing}.items():  # without their images
        monkeypatch.setattr(reproduction, name, lambda *_, told=told, **__: told)
    for run in runs:
        name = f"000-A{'-fair' * fair}-{run}-seed0"
        shutil.copytree(RECORDS / name, folder / name)
    record = reproduce(Recipe.read("000-A"), folder, {"data": "animals.zip"}, runs=runs, fair=fair)
    assert validate_records([folder]) == (4 * len(runs) + 1, [])
    return record


def test_twins_in_another_number_format_are_not_said_to_be_all_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of records whose note does not say it."""
    but = "alike but for the number format (its effect was not measured)"
    same = reproduced(tmp_path, monkeypatch, True, "plain", "sliced")
    assert "but alike: epochs" in same["note"]
    assert "all trained alike, on labels" in reproduction_table(same).splitlines()[0]
    assert not any("working tree" in line for line in reproduction_table(same).splitlines())
    path = tmp_path / "000-A-fair-sliced-seed0" / "run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps({**run, "dirty": True, "machine": {**run["machine"], "precision": "float32"}}))
    other = reproduce(Recipe.read("000-A"), tmp_path, {"data": "animals.zip"}, fair=True)
    assert f"but {but}: epochs" in other["note"]
    assert [(told["dirty"], told["threads"]) for told in other["runs"].values()] == [(False, 1), (True, 1)]
    changed = "Trained from a working tree with changes that no commit holds: sliced."
    assert changed in reproduction_table(other).splitlines()
    older = json.loads((RECORDS / "reproduction-000-B-fair" / "000-B-fair-seed0-reproduction.json").read_text())
    for record in (other, older):
        assert f"all trained {but}, on labels" in reproduction_table(record).splitlines()[0]


def test_answers_that_do_not_fit_are_said_before_a_record_loses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reproduced(tmp_path, monkeypatch, False, "plain", "sliced")
    path = tmp_path / "000-A-seed0-reproduction.json"
    written = path.read_bytes()

    def other_images(config: TrainConfig, split: str) -> None:
        if "sliced" in config.out.name:
            raise ValueError(f"{record_path(config.out, split)} is about other images")

    monkeypatch.setattr(reproduction, "check_answers", other_images)
    with pytest.raises(ValueError, match="is about other images"):
        reproduce(Recipe.read("000-A"), tmp_path, {"data": "animals.zip"}, runs=["plain"])
    assert path.read_bytes() == written


@pytest.mark.parametrize("fair", [False, True])
def test_each_two_runs_are_tested_however_they_were_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fair: bool
) -> None:
    record = reproduced(tmp_path, monkeypatch, fair, "plain", "sliced")
    (pair,) = record["pairs"]
    accuracies = [row["measured"]["RGB"] / 100 for row in record["rows"] if row["figure"] == "accuracy"]
    assert (pair["a"], pair["b"], pair["subset"], pair["n"]) == ("plain", "sliced", "RGB", 2500)
    assert [pair["accuracy_a"], pair["accuracy_b"]] == pytest.approx(accuracies[:2])
    lines = reproduction_table(record).splitlines()
    assert any(line.startswith("Each two on the same 2,500 images; ") for line in lines)
    own = "Each was trained as its source says, so two runs may differ in more than their system."
    assert (own in lines) == (not fair)
    if fair:
        assert "'sliced': channel sampling hierarchical, statistics kept." in record["note"]


def test_fair_twins_are_tested_as_runs_are_compared(tmp_path: Path) -> None:
    configs = {name: TrainConfig(data=SPEC, out=tmp_path / name) for name in ("plain", "v2", "v3")}
    for strategy, config in zip(("plain", "by_count", "mixed"), configs.values(), strict=True):
        write_run(config.out, tmp_path / "cache", strategy)
        evaluate_run(config.out, fills=["zeros"], cache_dir=tmp_path / "cache", cost=False, pictures=False)
    expected = []
    for a, b in (("plain", "v2"), ("plain", "v3"), ("v2", "v3")):
        for row in compare_runs(configs[a].out, configs[b].out)["comparisons"]:
            if not row["fill_a"] and not row["fill_b"]:
                own = {key: value for key, value in row.items() if not key.startswith("fill")}
                expected.append({"a": a, "b": b, **own})
    pairs = pairs_of(configs)
    subsets = ["RGB", "RGB", "RGB", "RG", "RB", "GB", "R", "G", "B"]
    assert [pair["subset"] for pair in pairs] == subsets
    for pair in (*pairs, *expected):  # `compare_runs` corrects for the tests of filled answers too
        del pair["p_holm"], pair["verdict"]
    assert pairs == expected
    told = pairs_table(pairs_of(configs))
    assert told.startswith("Each two on the same 30 images; ")
    assert re.search(r"^v2 +v3 +GB +[+-]\d+\.\d +-?\d", told, re.MULTILINE)


def test_subsets_of_which_images_were_left_out_are_not_compared(tmp_path: Path) -> None:
    """As many may be left, and others. Nor those of old records that do not say which are right."""
    rows: list[dict[str, Any]] = [
        {"subset": subset, "fill": fill, "left_out": 0, "right": "gA==", "n": 2}  # the first is right
        for subset, fill in (("RGB", ""), ("R", ""), ("G", "zeros"))
    ] + [{"subset": "B", "fill": "", "n": 2}]
    configs = {name: TrainConfig(data=DATA, out=tmp_path / name) for name in ("a", "b")}
    for name, left_out in (("a", 0), ("b", 3)):
        rows[1]["left_out"] = left_out
        record = {"schema": 1, "kind": "evaluation", "channels": ChannelSet.parse("RGB").to_dict(), "results": rows}
        record["data"] = {"fingerprints": {"test": "first"}}
        path = record_path(tmp_path / name, "test")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(record))
    assert [(pair["subset"], pair["only_a"], pair["only_b"]) for pair in pairs_of(configs)] == [("RGB", 0, 0)]
    assert untested(configs) == ""
    path.write_text(json.dumps({**record, "data": {"fingerprints": {"test": "later"}}}))
    assert pairs_of(configs) == []
    assert untested(configs) == "a and b: evaluated on other test images, so not tested against each other"
    path.write_text(json.dumps({**record, "results": rows[-1:]}))
    assert pairs_of(configs) == []
    assert untested(configs) == "b: no record of which images are right, so not tested against others"
    assert untested({"b": configs["b"]}) == ""  # there is no other


def parameters_of(run: Path) -> int:
    return sum(parameter.numel() for parameter in load_model(run)[0].parameters())
