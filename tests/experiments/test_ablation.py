"""Ablations: a run a change, compared with the base; what fails, what goes on, what is refused."""

from __future__ import annotations

import errno
import json
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import constants

from anychan.cli import main
from anychan.data import open_dataset
from anychan.evaluation import evaluate_run
from anychan.evaluation.bootstrap import paired_bootstrap
from anychan.evaluation.predictions import unpack_right
from anychan.experiments import (
    Ablation,
    Recipe,
    _ablation_rows,
    _lock,
    ablate,
    ablation,
    ablation_table,
    completing,
    executors,
    validate_records,
)
from anychan.experiments._lock import alone
from anychan.report import markdown_ablations, write_report
from anychan.training import TrainConfig, train
from anychan.training.initial import read_weights

DATA = "synthetic:bands=2,train=32,val=24,test=8,size=16,classes=3"
BASE: dict[str, Any] = {
    "data": DATA, "model": "wide3", "model_options": {"width": 6}, "strategy": "sliced", "image_size": 16, "epochs": 1,
    "batch_size": 16,
}  # fmt: skip
WIDE = {"Wide!": {"model_options.width": 12}}


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    return {**BASE, "cache_dir": str(tmp_path / "cache")}


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


def test_an_interval_is_made_as_it_says_and_goes_no_further_than_accuracies_do() -> None:
    def answers(*right: bool) -> _ablation_rows._Answers:
        return _ablation_rows._Answers({"RG": np.array(right)}, {}, {}, "RG", 2, "", {}, None)

    good, bad = answers(True, True, True, True), answers(False, False, False, True)
    several = _ablation_rows._difference([good, bad], [bad, good], ["RG"])
    assert several["method"] == "Student's t over images and seeds"
    assert several["interval"] == [-1.0, 1.0]  # of two seeds, three quarters apart either way
    one = _ablation_rows._difference([good], [bad], ["RG"])
    assert one["method"] == "bootstrap over images"
    assert one["interval"] == [*paired_bootstrap([[1, 1, 1, 0]])]


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
    assert measured == [(1, 1), (30, 0), (1, 1), (1, 1), (30, 0)]  # the cost of all channels alone
    first, one, last = record["rows"]
    assert (last["difference_mean"]["method"], record["draws"]) == ("bootstrap over images", 10_000)
    assert "Intervals of 95 %: bootstrap over images." in ablation_table(record).splitlines()
    assert [row["channels"] for row in record["rows"]] == [9, 1, 9]
    assert first["accuracy"].keys() == last["accuracy"].keys()
    assert list(first["by_size"]) == [str(n) for n in range(9, 0, -1)]
    singles = [found for subset, found in first["accuracy"].items() if "," not in subset]
    assert first["by_size"]["1"] == pytest.approx(np.mean(singles))
    assert one["by_size"] == {"1": one["full"]}
    assert "difference_full" not in one  # its channels are others
    assert "difference_mean" in last
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


class FakeRay(types.ModuleType):
    """As much of Ray as is used, in this process; what was asked of it is noted."""

    class exceptions:  # noqa: N801
        class RayError(Exception):
            pass

    def __init__(self, gpus: float) -> None:
        super().__init__("ray")
        self.gpus, self.up, self.asked = gpus, False, []  # type: ignore[var-annotated]

    def is_initialized(self) -> bool:
        return self.up

    def init(self, **_: Any) -> None:
        self.up = True

    def shutdown(self) -> None:
        self.up = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0, "GPU": self.gpus} if self.gpus else {"CPU": 4.0}

    def remote(self, function: Any) -> Any:
        def options(**given: Any) -> Any:
            self.asked.append(given)
            return types.SimpleNamespace(remote=lambda *words: (function, words))

        return types.SimpleNamespace(options=options)

    def get(self, task: Any) -> Any:
        function, words = task
        return function(*words)


def test_ray_makes_the_same_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def attempted(config: TrainConfig, split: str, cost: str) -> str | None:
        made.append(f"{config.out} {split} {cost}")
        if config.seed == 1:
            raise ray.exceptions.RayError("the worker\ndied")
        if config.seed == 3:
            raise FileNotFoundError("no data")
        return None if config.seed == 0 else "went wrong"

    ray = FakeRay(gpus=2)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(executors, "attempt", attempted)
    configs = [TrainConfig(data=DATA, out=tmp_path / str(seed), seed=seed) for seed in range(3)]
    assert executors.by_ray(configs, "val", "full") == [None, "RayError: the worker died", "went wrong"]
    assert made == [f"{tmp_path / str(seed)} val full" for seed in range(3)]
    assert [asked["num_gpus"] for asked in ray.asked] == [1, 1, 1]
    assert not ray.up
    on_cpu = TrainConfig(data=DATA, out=tmp_path / "a", device="cpu")
    executors.by_ray([on_cpu], "val")
    assert ray.asked[-1]["num_gpus"] == 0
    ray.init()
    with pytest.raises(FileNotFoundError, match="no data"):
        executors.by_ray([TrainConfig(data=DATA, out=tmp_path / "3", seed=3)], "val")
    assert ray.up  # whoever started it stops it


def test_an_executor_there_is_not_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if not installed
    with pytest.raises(ValueError, match=r"executor 'ray' needs Ray: pip install anychan\[ray\]"):
        ablate(Ablation(BASE, WIDE), tmp_path / "out", "ray")
    with pytest.raises(ValueError, match="unknown executor 'slurm'; there are sequential, processes, ray"):
        ablate(Ablation(BASE, WIDE), tmp_path / "out", "slurm")
    with alone(tmp_path / "out"), pytest.raises(FileExistsError, match="in use by another process"):
        ablate(Ablation(BASE, WIDE), tmp_path / "out")


def test_what_is_there_is_looked_at_when_no_other_process_can_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def after_another(folder: Path) -> Iterator[None]:
        """As if another process had held the folder until now."""
        (folder / "ablation.json").write_text('{"schema": 2, "kind": "ablation"}')
        yield

    monkeypatch.setattr(ablation, "alone", after_another)
    with pytest.raises(ValueError, match=r"ablation\.json: a record of schema 2"):
        ablate(Ablation(BASE, WIDE), tmp_path)


def test_a_folder_that_cannot_be_locked_is_not_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_locks(_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_lock, "_lock", without_locks)
    with pytest.raises(OSError, match=r"cannot be locked: No locks available: .*out"), alone(tmp_path / "out"):
        pass


def test_an_earlier_record_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ablation.json").write_text('{"schema": 2, "kind": "ablation"}')
    with pytest.raises(
        ValueError, match=r"ablation\.json: a record of schema 2; this version of anychan reads schema 1"
    ):
        ablate(Ablation(BASE, WIDE), tmp_path)


def test_what_is_there_is_not_run_again(base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []

    def noted(config: TrainConfig) -> Path:
        given.append(f"{config.out.name} {config.resume}")
        return train(config)

    monkeypatch.setattr(completing, "train", noted)
    ablate(Ablation(base, WIDE), tmp_path / "out")
    ablate(Ablation(base, {**WIDE, "narrow": {"model_options.width": 3}}), tmp_path / "out")
    interrupted = tmp_path / "out" / "narrow-seed0" / "run.json"
    interrupted.write_text(interrupted.read_text().replace('"status": "finished"', '"status": "running"'))
    ablate(Ablation(base, {**WIDE, "narrow": {"model_options.width": 3}}), tmp_path / "out")
    assert given == ["base-seed0 False", "wide-seed0 False", "narrow-seed0 False", "narrow-seed0 True"]


def test_a_run_that_fails_is_noted_and_the_rest_is_finished(base: dict[str, Any], tmp_path: Path) -> None:
    changes = {"odd": {"model_options.stem_kernel_size": 3}, **WIDE}
    record = ablate(Ablation(base, changes), tmp_path / "out")
    _, odd, wide = record["rows"]
    assert odd["errors"] == {"0": "stem_kernel_size is 3, but must be even, as its stride is"}
    assert wide["difference_full"]["verdict"] in ("better", "worse", "not distinguishable")
    assert "stem_kernel_size is 3" in ablation_table(record)
    assert [row["seeds"] for row in record["rows"]] == [[0], [], [0]]


def test_pretrained_weights_that_are_not_there(
    base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completing, "complete", lambda config, *_, **__: read_weights(config) and None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    config = TrainConfig(data=DATA, out=tmp_path / "run", model="mobilenetv3_small_050", pretrained=True)
    said = completing.attempt(config, "val")  # is a sentence, so that other runs go on
    assert said is not None
    assert said.startswith("the weights timm/mobilenetv3_small_050.lamb_in1k cannot be downloaded")
    with pytest.raises(FileNotFoundError, match=r"typo.pth, where pretrained weights are to be read, is no file"):
        ablate(Ablation(base, {"start": {"pretrained": "typo.pth"}}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_of_other_settings_or_data_are_not_taken_for_these(base: dict[str, Any], tmp_path: Path) -> None:
    ablate(Ablation(base, WIDE), tmp_path / "out")
    before = (tmp_path / "out" / "ablation.json").read_bytes()
    with pytest.raises(ValueError, match=r"holds 'base' with other settings \(epochs: 1 -> 2\)"):
        ablate(Ablation({**base, "epochs": 2}, WIDE), tmp_path / "out")
    with pytest.raises(ValueError, match=r"holds 'Wide!' with other settings \(model_options.width: 12 -> 9\)"):
        ablate(Ablation(base, {"Wide!": {"model_options.width": 9}}), tmp_path / "out")
    with pytest.raises(ValueError, match="data: other train images"):
        ablate(Ablation({**base, "data": DATA.replace("train=32", "train=40")}, WIDE), tmp_path / "out")
    with pytest.raises(ValueError, match="holds seed 0, which would be lost"):
        ablate(Ablation(base, WIDE, seeds=(1,)), tmp_path / "out")
    with pytest.raises(ValueError, match="holds change 'Wide!', which would be lost"):
        ablate(Ablation(base, {"narrow": {"model_options.width": 3}}), tmp_path / "out")
    assert (tmp_path / "out" / "ablation.json").read_bytes() == before


def test_an_evaluation_of_some_subsets_is_completed(base: dict[str, Any], tmp_path: Path) -> None:
    ablate(Ablation(base, WIDE), tmp_path / "out")
    run = tmp_path / "out" / "wide-seed0"
    evaluate_run(run, ["B01"], "val", replace=True, cost=False, cache_dir=tmp_path / "cache")
    (run / "evaluation" / "val.json").unlink()
    evaluate_run(run, ["B01"], "val", replace=True, cost=False, cache_dir=tmp_path / "cache")
    row = ablate(Ablation(base, WIDE), tmp_path / "out")["rows"][1]
    assert len(row["accuracy"]) == 3
    assert row["full"] == row["accuracy"][str(open_dataset(DATA).channels)]


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


def test_a_run_of_a_recipe_may_be_the_base(tmp_path: Path) -> None:
    path = tmp_path / "ablation.yaml"
    told = {"recipe": "000-A", "run": "sliced", "changes": {"own": {"normalisation.statistics": "kept"}}}

    def base(**more: Any) -> TrainConfig:
        path.write_text(yaml.safe_dump({**told, **more}))
        ablation = Ablation.read(path, data=DATA)
        own = [config.normalisation.statistics for _, _, config in ablation.runs(tmp_path)][1]
        assert own == "kept"
        return next(config for _, _, config in ablation.runs(tmp_path))

    def as_recipe(fair: bool) -> dict[str, Any]:
        config = Recipe.read("000-A").configurations(tmp_path, {"data": DATA}, fair)["sliced"]
        return {**config.to_dict(), "out": str(tmp_path / "base-seed0")}

    assert base().to_dict() == as_recipe(fair=False)
    assert base(fair=True).to_dict() == as_recipe(fair=True)
    changed = base(base={"epochs": 2, "strategy_options.at_test": "named"})
    assert (changed.epochs, changed.image_size) == (2, 128)
    assert changed.strategy_options == {"selection": "random", "at_test": "named"}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"recipe": "003-A", "run": "sliced"}, "unknown recipe '003-A'; there are 000-A, 000-B"),
        ({"recipe": "000-A", "run": "slices"}, "recipe 000-A has no run 'slices'; there are plain, sliced, plain-pre"),
        ({"recipe": "000-A"}, "name a run of recipe 000-A: plain, sliced, plain-pretrained, sliced-pretrained"),
        ({"recipe": "000-A", "run": ["sliced"]}, "name a run of recipe 000-A: plain, sliced"),
        ({"recipe": "000-A", "run": "sliced", "fair": "no"}, "fair 'no' must be true or false"),
        ({"recipe": "000-A", "run": "sliced", "base": {"epoch": 2}}, "base: Option 'epoch' is not accepted"),
        ({"base": BASE, "run": "sliced"}, "is no ablation: it should have base or recipe (with run"),
    ],
)
def test_a_base_that_no_recipe_has_is_a_users_error(
    told: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ablation.yaml"
    path.write_text(yaml.safe_dump({"changes": WIDE, **told}))
    assert main(["ablate", str(path), "--out", str(tmp_path / "out"), "--data", DATA]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            {"base": BASE},
            r"is no ablation: it should have base or recipe \(with run, and may have fair\), changes or grid",
        ),
        ({"base": BASE, "changes": WIDE, "grid": {"seed": [1]}}, "is no ablation"),
        ({"base": BASE, "changes": {}}, "needs changes and seeds"),
        ({"base": BASE, "changes": {"a b": {"epochs": 2}, "a-b": {"epochs": 3}}}, "one folder, 'a-b'"),
        ({"base": BASE, "changes": {"long": {"epoch": 2}}}, "long: Option 'epoch' is not accepted"),
        ({"base": BASE, "changes": {"none": {"epochs": 0}}}, "none: epochs 0"),
        ({"base": BASE, "changes": {"Base": {"epochs": 2}}}, "one folder, 'base'"),
        ({"base": BASE, "changes": {"again": {"seed": 1}}}, "again: seed is given by the ablation itself"),
        ({"base": {**BASE, "out": "a"}, "changes": WIDE}, "base: out is given by the ablation itself"),
        ({"base": BASE, "changes": WIDE, "seeds": [0, 0]}, "one is given twice"),
        ({"base": BASE, "changes": {False: {"epochs": 2}}}, "change False is no text: put its name in quotes"),
        ({"base": BASE, "changes": {32: {"epochs": 2}}}, "change 32 is no text"),
        ({"base": BASE, "changes": {"x": None}}, "an ablation has settings as its base"),
        ({"base": "text", "changes": WIDE}, "an ablation has settings as its base"),
        ({"base": BASE, "changes": WIDE, "seeds": 3}, "a list of seeds"),
        ({"base": BASE, "changes": WIDE, "cost": "full"}, "cost 'full' must be true or false"),
        ({"base": BASE, "grid": {"epochs": 3}}, "a grid has a list of values"),
    ],
)
def test_what_is_no_ablation_is_refused(told: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "ablation.yaml"
    path.write_text(yaml.safe_dump(told))
    with pytest.raises(ValueError, match=said):
        Ablation.read(path)
    path.write_text("[")
    with pytest.raises(ValueError, match="is no YAML"):
        Ablation.read(path)


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
