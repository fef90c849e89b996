"""Ablations: changes compared with the base by image and seed, and what each table says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from anychan.cli import main
from anychan.evaluation import evaluate_run
from anychan.evaluation.bootstrap import paired_interval
from anychan.evaluation.paired import Paired
from anychan.evaluation.predictions import unpack_right
from anychan.experiments import (
    Ablation,
    _ablation_rows,
    ablate,
    ablation_table,
    completing,
    executors,
    validate_records,
)
from anychan.report import markdown_ablations, write_report
from anychan.training import TrainConfig

from ._ablations import DATA, WIDE


def right(folder: Path, subset: str) -> np.ndarray:
    rows = json.loads((folder / "evaluation" / "val.json").read_text())["results"]
    return next(unpack_right(row["right"], row["n"]) for row in rows if row["subset"] == subset).astype(float)


def test_changes_are_compared_with_the_base_by_image_and_seed(base: dict[str, Any], tmp_path: Path) -> None:
    record = ablate(Ablation(base, WIDE, "Does width help?", seeds=(0, 1)), tmp_path / "out")
    assert record == json.loads((tmp_path / "out" / "ablation.json").read_text())
    runs = ["base-seed0", "base-seed1", "wide-seed0", "wide-seed1"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == runs
    first, wide = record["rows"]
    assert "difference_full" not in first
    subsets = list(wide["accuracy"])
    found = {name: {s: right(tmp_path / "out" / name, s) for s in subsets} for name in runs}
    full = np.mean([found[f"wide-seed{i}"][subsets[0]] - found[f"base-seed{i}"][subsets[0]] for i in (0, 1)])
    mean = np.mean([found[f"wide-seed{i}"][s] - found[f"base-seed{i}"][s] for i in (0, 1) for s in subsets])
    assert len(subsets) == 3
    assert wide["difference_full"]["difference"] == pytest.approx(full)
    assert wide["difference_mean"]["difference"] == pytest.approx(mean)
    assert wide["full"] == pytest.approx(first["full"] + full)
    low, high = wide["difference_mean"]["interval"]
    assert low <= mean <= high
    assert wide["difference_mean"]["method"] == "Student's t over images and seeds"
    assert record["draws"] is None  # no bootstrap was taken
    trained = json.loads((tmp_path / "out" / "wide-seed1" / "run.json").read_text())
    place = {"precision": trained["machine"]["precision"], "processor": trained["hardware"]["cpu"]}
    assert wide["trained"] == [place, place]
    assert validate_records([tmp_path / "out" / "ablation.json"]) == (1, [])
    assert "Intervals of 95 %: Student's t over images and seeds." in ablation_table(record).splitlines()
    lines = ablation_table(record).splitlines()
    assert lines[0] == "Does width help?: val, percent, seeds 0, 1"
    assert any(line.startswith("Wide!") for line in lines)
    path = tmp_path / "out" / "wide-seed0" / "evaluation" / "val.json"
    evaluation = json.loads(path.read_text())
    evaluation["results"][-1]["left_out"] = 1  # as many images as of another subset may be others
    path.write_text(json.dumps(evaluation))
    partly = _ablation_rows.ablation_row("Wide!", (0,), "val", tmp_path / "out", {})
    assert "difference_full" in partly
    assert "difference_mean" not in partly


def test_a_change_that_lost_a_seed_says_of_how_many_it_is(
    base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(config: TrainConfig, split: str, **options: Any) -> str | None:
        lost = config.seed == 1 and config.model_options["width"] == 12
        return "out of memory" if lost else completing.attempt(config, split, **options)

    monkeypatch.setattr(executors, "attempt", failing)
    changes = {**WIDE, "twin": {"batch_size": 8}}
    record = ablate(Ablation(base, changes, seeds=(0, 1)), tmp_path / "out")
    assert validate_records([tmp_path / "out" / "ablation.json"]) == (1, [])
    first, wide, twin = record["rows"]
    assert (wide["seeds"], wide["difference_full"]["seeds"], twin["difference_full"]["seeds"]) == ([0], [0], [0, 1])
    own = [
        json.loads((tmp_path / "out" / f"base-seed{seed}" / "evaluation" / "val.json").read_text())["results"][0]
        for seed in (0, 1)
    ]
    assert first["full"] == pytest.approx((own[0]["accuracy"] + own[1]["accuracy"]) / 2)
    assert wide["full"] - own[0]["accuracy"] == pytest.approx(wide["difference_full"]["difference"])
    lines = ablation_table(record).splitlines()
    assert next(line for line in lines if line.startswith("Wide!")).endswith(
        "1 of 2 seeds; seed 1 failed: out of memory"
    )
    assert not next(line for line in lines if line.startswith("twin")).endswith("seeds")
    assert (
        "Intervals of 95 %: Newcombe's over images, with the exact McNemar test (Wide!, all); bootstrap over images "
        "(Wide!, subsets); Student's t over images and seeds (twin, all; twin, subsets)."
    ) in lines
    assert lines[-1].startswith("Where a run failed, a difference is of the seeds that both have")


def test_an_interval_is_made_as_it_says_and_goes_no_further_than_accuracies_do() -> None:
    def answers(*right: bool) -> _ablation_rows._Answers:
        return _ablation_rows._Answers({"RG": np.array(right)}, {}, {}, "RG", 2, "", {}, [], None)

    good, bad = answers(True, True, True, True), answers(False, False, False, True)
    several = _ablation_rows._difference([good, bad], [bad, good], ["RG"])
    assert several["method"] == "Student's t over images and seeds"
    assert several["interval"] == [-1.0, 1.0]  # of two seeds, three quarters apart either way
    one = _ablation_rows._difference([good], [bad], ["RG"])  # as `anychan compare` has it: three of four are too few
    paired = Paired(both=1, only_a=3, only_b=0, neither=0)
    assert one["method"] == "Newcombe's over images, with the exact McNemar test"
    assert (one["interval"], one["p"], one["verdict"]) == ([*paired.interval], 0.25, "not distinguishable")
    both = [
        _ablation_rows._Answers({"R": a, "G": a}, {}, {}, "RG", 2, "", {}, [], None)
        for a in (good.right["RG"], bad.right["RG"])
    ]
    mean = _ablation_rows._difference(both[:1], both[1:], ["R", "G"])
    assert mean["method"] == "bootstrap over images"
    assert mean["interval"] == [*paired_interval([[1, 1, 1, 0]])]


def test_accuracy_and_cost_go_with_the_number_of_channels(
    base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[tuple[int, int]] = []

    def noted(run: Path, channels: list[str], *words: Any, cost: bool, **options: Any) -> dict[str, Any]:
        measured.append((len(channels), int(cost)))
        return evaluate_run(run, channels, *words, cost=cost, **options)

    monkeypatch.setattr(completing, "evaluate_run", noted)
    some = {"statistics": "recalibrated", "subsets": ["some"], "images": 8}
    nine = {**base, "data": DATA.replace("bands=2", "bands=9"), "objective.name": "labels", "normalisation": some}
    shared = {"normalisation": {"statistics": "shared", "subsets": None}}
    changes = {"one": {"channels": "B05"}, "shared": shared}
    record = ablate(Ablation(nine, changes, "How many?", cost=True), tmp_path / "out")
    assert validate_records([tmp_path / "out" / "ablation.json"]) == (1, [])
    assert measured == [(31, 0), (1, 0), (31, 0)]  # what all channels cost is measured when all are trained
    costs = json.loads((tmp_path / "out" / "base-seed0" / "evaluation" / "val.json").read_text())["results"]
    assert [bool(row["cost"]) for row in costs] == [len(row["subset"].split(",")) == 9 for row in costs]
    first, one, last = record["rows"]
    assert (last["difference_mean"]["method"], record["draws"]) == ("bootstrap over images", 10_000)
    assert "; bootstrap over images (shared, subsets)." in ablation_table(record)
    assert [row["channels"] for row in record["rows"]] == [9, 1, 9]
    assert first["accuracy"].keys() == last["accuracy"].keys()
    assert list(first["by_size"]) == [str(n) for n in range(9, 0, -1)]
    singles = [found for subset, found in first["accuracy"].items() if "," not in subset]
    assert first["by_size"]["1"] == pytest.approx(np.mean(singles))
    assert one["by_size"] == {"1": one["full"]}
    assert "difference_full" not in one  # its channels are others
    assert "difference_mean" in last
    for number in range(1, 10):  # a set that nobody but a curious user asks for
        curious = ",".join(f"B{n:02}" for n in range(1, 10) if n not in (number, number % 9 + 1))
        if curious not in first["accuracy"]:
            break
    evaluate_run(tmp_path / "out" / "shared-seed0", [curious], "val", cost=False, cache_dir=nine["cache_dir"])
    again = ablate(Ablation(nine, changes, "How many?", cost=True), tmp_path / "out")
    assert again["rows"] == record["rows"]
    rows = json.loads((tmp_path / "out" / "one-seed0" / "evaluation" / "val.json").read_text())["results"]
    assert one["cost"]["macs"] == rows[0]["cost"]["macs"] < first["cost"]["macs"]
    where = ("image_size", "device", "hardware", "threads")
    assert {name: one["cost"][name] for name in where} == {name: rows[0]["cost"][name] for name in where}
    machine = f"{one['cost']['hardware']['cpu']} (threads: {one['cost']['threads']})"
    assert ablation_table(record).splitlines()[-1] == f"Timed on {machine}."
    heading, *lines = ablation_table(record).splitlines()[2:6]
    assert heading.split()[-5:] == ["difference", "half", "one", "MMACs", "ms"]
    assert lines[1].split()[:2] == ["one", f"{100 * one['full']:.1f}"]
    assert f"{one['cost']['macs'] / 1e6:.2f}" in lines[1].split()
    assert markdown_ablations([tmp_path / "out"]).count("half of its channels") == 1


def test_only_what_can_be_compared_is(base: dict[str, Any], tmp_path: Path) -> None:
    changes = {"plain": {"strategy": "plain"}, "fewer": {"held_out": 4}}
    record = ablate(Ablation({**base, "held_out": 8}, changes), tmp_path / "out")
    _, plain, fewer = record["rows"]
    assert "difference_full" in plain
    assert "mean" not in plain
    assert "difference_mean" not in plain
    assert fewer["errors"] == {"0": "was compared on other images than the base"}


def test_a_plain_network_is_asked_about_all_its_channels(base: dict[str, Any], tmp_path: Path) -> None:
    held_out = {**base, "strategy": "plain", "held_out": 8}
    record = ablate(Ablation(held_out, WIDE), tmp_path / "out")
    assert record["split"] == "held-out"
    assert [len(row["accuracy"]) for row in record["rows"]] == [1, 1]
    assert not [key for row in record["rows"] for key in row if "mean" in key]  # it would be the full set again
    assert "difference_full" in record["rows"][1]
    write_report([tmp_path / "out" / "base-seed0", tmp_path / "out"], tmp_path / "report.html")
    assert record["rows"][1]["n"] == 8


@pytest.mark.parametrize(
    ("settings", "split", "said"),
    [({}, "validation", "has no split 'validation'; it has train, val, test"), ({}, "held-out", "needs held_out")],
)
def test_a_split_there_is_not_is_said_before_the_first_run(
    base: dict[str, Any], tmp_path: Path, settings: dict[str, Any], split: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ablate(Ablation({**base, **settings}, WIDE, split=split), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"strategy_options.dorp": 0.0}, "odd: strategy 'sliced' does not take the option 'dorp'; there are"),
        ({"model_options.widht": 4}, "odd: model 'wide3' does not take these options: .*widht"),
        ({"model_options.width": -4}, r"odd: widths are \[-4, -32\], but must be whole numbers from 1"),
        ({"channels": "X"}, "odd: unknown channel 'X'"),
    ],
)
def test_options_that_a_network_does_not_take_are_said_before_the_first_run(
    base: dict[str, Any], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    completed = {"completed": {"strategy": "completed"}, "spectral": {"strategy": "spectral"}}
    with pytest.raises(ValueError, match=said):
        ablate(Ablation(base, {**completed, "odd": change}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("base", "change", "split", "whose"),
    [
        ({"early_stopping": {"patience": 2}}, {"epochs": 9}, "val", "all runs"),
        ({"early_stopping.patience": 2, "held_out": 8}, {"early_stopping.patience": None}, "held-out", "base"),
        ({}, {"early_stopping.patience": 2}, "val", "longer"),
        ({"early_stopping.patience": 2}, {"held_out": 8}, "val", "base"),  # which then validates on others
        ({"early_stopping.patience": 2}, {"epochs": 9}, "test", ""),
        ({"held_out": 8}, {"epochs": 9}, "held-out", ""),
    ],
)
def test_an_epoch_chosen_on_the_images_compared_is_told(
    base: dict[str, Any], change: dict[str, Any], split: str, whose: str
) -> None:
    rows = [{"name": name, "seeds": [0], "errors": {}} for name in ("base", "longer")]
    record = {"title": "", "seeds": [0], "split": split, "base": base, "changes": {"longer": change}, "rows": rows}
    said = [line for line in ablation_table(record).splitlines() if "early stopping" in line]
    start = f"Of {whose} early stopping kept the epoch that is best on the very images compared: "
    assert [line.startswith(start) for line in said] == [True] * bool(whose)


def test_the_command_line_and_a_grid(base: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "ablation.yaml", tmp_path / "out"
    grid = {"model_options.width": [3, 9], "epochs": [1]}
    path.write_text(yaml.safe_dump({"base": {**base, "data": "nowhere"}, "grid": grid}, sort_keys=False))
    words = ["ablate", str(path), "--out", str(out), "--data", DATA, "--seeds", "3"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "model_options.width=9, epochs=1" in told
    assert "seeds 3" in told
    assert (out / "model-options-width-3-epochs-1-seed3" / "model.safetensors").is_file()
    assert main([*words[:-2], "--data", "nowhere", "--seeds", "4"]) == 2  # nothing was run


def test_a_row_says_which_commits_trained_it_where_they_are_others(base: dict[str, Any], tmp_path: Path) -> None:
    ablation = Ablation(base, WIDE, seeds=(0, 1))
    assert all("trained_by" not in row for row in ablate(ablation, tmp_path)["rows"])
    path = tmp_path / "base-seed0" / "run.json"
    run = json.loads(path.read_text())
    earlier = {"commit": "a", "dirty": True, "epochs": 1, "step": 0}
    path.write_text(json.dumps(run | {"commit": "b", "dirty": False, "resumed_from": [earlier]}))
    record = ablate(ablation, tmp_path)
    others = [{"commit": "a", "dirty": True}, {"commit": "b", "dirty": False}]
    own = {"commit": record["commit"], "dirty": record["dirty"]}
    assert [row.get("trained_by") for row in record["rows"]] == [[*others, own], None]
    assert validate_records([tmp_path / "ablation.json"]) == (1, [])
