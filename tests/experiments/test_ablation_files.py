"""Files that say what an ablation changes: of a recipe, and what is refused."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from anychan.cli import main
from anychan.experiments import Ablation, Recipe
from anychan.training import TrainConfig

from ._ablations import BASE, DATA, WIDE


def test_a_run_of_a_recipe_may_be_the_base(tmp_path: Path) -> None:
    path = tmp_path / "ablation.yaml"
    told = {
        "recipe": "000-A",
        "run": "sliced",
        "changes": {"own": {"normalisation.statistics": "kept", "batch_size": 8}},
    }

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
        ({"base": BASE, "changes": WIDE, "seeds": ["0", 0]}, r"seeds \['0', 0\] must be whole numbers"),
        ({"base": BASE, "changes": WIDE, "seeds": [None]}, r"seeds \[None\] must be whole numbers"),
        ({"base": BASE, "changes": {"a": {"epochs": None}}}, "a: epochs has no value: give it one, or leave it out"),
        ({"base": BASE, "changes": {"a": {"optimizer.momentum": None}}}, "a: optimizer.momentum has no value"),
        ({"base": BASE, "changes": {False: {"epochs": 2}}}, "change False is no text: put its name in quotes"),
        ({"base": BASE, "changes": {32: {"epochs": 2}}}, "change 32 is no text"),
        ({"base": BASE, "changes": WIDE, "title": datetime.date(2026, 11, 28)}, "is no text: put it in quotes"),
        ({"base": BASE, "changes": {"x": None}}, "an ablation has settings as its base"),
        ({"base": "text", "changes": WIDE}, "an ablation has settings as its base"),
        ({"base": BASE, "changes": WIDE, "seeds": 3}, "a list of seeds"),
        ({"base": BASE, "changes": WIDE, "cost": "full"}, "cost 'full' must be true or false"),
        ({"base": BASE, "grid": {"epochs": 3}}, "a grid has a list of values"),
        (
            {"base": {**BASE, "optimizer": None}, "changes": WIDE},
            "base: optimizer None must be settings by their names",
        ),
        ({"base": BASE, "changes": {"a": {"strategy_options": None}}}, "a: strategy_options None must be settings by"),
        ({"base": {**BASE, "model_options": 3}, "changes": WIDE}, "model_options"),
        (
            {"base": {**BASE, "optimizer": 3}, "changes": {"a": {"optimizer.name": "sgd"}}},
            "base: optimizer 3 must be settings by their names, or left out",
        ),
        ({"base": BASE, "changes": {**WIDE, "same": {"epochs": 1}}}, "same: nothing differs from the base"),
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


def test_a_change_may_take_all_options_away() -> None:
    base = {**BASE, "strategy_options": {"selection": "random"}}
    changes = {"none": {"model_options": {}}, "completed": {"strategy": "completed", "strategy_options": {}}}
    _, none, completed = (config for _, _, config in Ablation(base, changes).runs(Path("runs")))
    assert (none.model_options, none.strategy_options) == ({}, {"selection": "random"})
    assert (completed.model_options, completed.strategy_options) == ({"width": 6}, {})


def test_a_grid_leaves_out_what_the_base_is(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    base = {**BASE, "model_options.width": 4, "optimizer.learning_rate": 0.002}
    grid = {"model_options.width": [4, 6], "optimizer.learning_rate": [0.002, 0.004]}
    path.write_text(yaml.safe_dump({"base": base, "grid": grid}))
    assert len(Ablation.read(path).changes) == 3
    assert all("=0.004" in name or "=6" in name for name in Ablation.read(path).changes)


def test_a_grid_numbers_what_would_lie_in_one_folder(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    grid = {"model_options.stem_kernel_size": [-1, 1, 1, "1"]}
    path.write_text(yaml.safe_dump({"base": BASE, "grid": grid}))
    changes, setting = Ablation.read(path).changes, "model_options.stem_kernel_size"
    assert {name: change[setting] for name, change in changes.items()} == {
        f"{setting}=-1": -1, f"{setting}=1 (2)": 1, f"{setting}=1 (3)": "1",
    }  # fmt: skip
