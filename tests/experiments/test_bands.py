"""Bands that only the settings name reach every experiment: what it checks, trains and evaluates."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml

from anychan.cli import main
from anychan.data import open_dataset
from anychan.evaluation import evaluate_run
from anychan.experiments import Ablation, SearchSpace, ablate, sweep
from anychan.training import TrainConfig, train

BANDS = "B02,B03,B04,B08"


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Four planes in 16 bits, of which nothing says what they are."""
    random = np.random.default_rng(0)
    for i in range(20):
        split = "train" if i < 12 else "val" if i < 16 else "test"
        folder = tmp_path / "tiles" / split / ("dark" if i % 2 else "bright")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(1, 4000 if i % 2 else 9000, (4, 32, 32)).astype(np.uint16)
        tifffile.imwrite(folder / f"{i}.tif", pixels, photometric="minisblack", planarconfig="separate")
    with pytest.raises(ValueError, match="band"):
        open_dataset(tmp_path / "tiles")
    return tmp_path / "tiles"


def settings(tiles: Path, **more: Any) -> dict[str, Any]:
    own = {"model": "wide4", "model_options": {"width": 4}, "image_size": 16, "epochs": 1, "batch_size": 4}
    return {**own, "data": str(tiles), "bands": BANDS, "cache_dir": str(tiles.parent / "cache"), **more}


def names(run: Path) -> list[str]:
    return [channel["name"] for channel in json.loads((run / "model.json").read_text())["channels"]]


def test_ablate(tiles: Path, tmp_path: Path) -> None:
    ablation = Ablation(settings(tiles), {"narrow": {"model_options.width": 2}})
    for _ in range(2):  # the second time what is there is held against the data
        record = ablate(ablation, tmp_path / "out")
        assert [row["errors"] for row in record["rows"]] == [{}, {}]
    assert names(tmp_path / "out" / "narrow-seed0") == BANDS.split(",")


def test_files_that_are_read_otherwise_are_other_images(tiles: Path, tmp_path: Path) -> None:
    said = tiles / "bands.yaml"
    said.write_text("bands: B02,B03,B04,B08\nscale: 0.0001\n")
    own = settings(tiles, bands=None)
    ablation = Ablation(own, {"narrow": {"model_options.width": 2}}, split="test")
    ablate(ablation, tmp_path / "out")
    searched = sweep({**own, "out": str(tmp_path / "sweep")}, SearchSpace({"model_options.width": [2, 4]}), trials=1)
    run = tmp_path / "sweep" / "trial-000"
    evaluate_run(run, [BANDS], split="test", cost=False, cache_dir=tmp_path / "cache")
    started = TrainConfig(**{**own, "out": run, "cache_dir": Path(own["cache_dir"]), "resume": True})
    for path in tmp_path.glob("out/*/**/*.json"):  # as an earlier version wrote them
        told = json.loads(path.read_text())
        if told.get("data", {}).pop("decoding", None):
            path.write_text(json.dumps(told))
    assert [row["errors"] for row in ablate(ablation, tmp_path / "out")["rows"]] == [{}, {}]
    for path in tmp_path.glob("out/*-seed0"):
        rmtree(path)
    (tmp_path / "out" / "ablation.json").unlink()
    ablate(ablation, tmp_path / "out")
    said.write_text("bands: B02,B03,B08,B04\nscale: 0.0001\n")
    with pytest.raises(ValueError, match="data: other train images, or read otherwise; data: other val images"):
        ablate(ablation, tmp_path / "out")
    with pytest.raises(ValueError, match="holds a search with other images"):
        sweep({**own, "out": str(tmp_path / "sweep")}, SearchSpace({"model_options.width": [2, 4]}), trials=2)
    with pytest.raises(ValueError, match="is about other images, or such as were read otherwise"):
        evaluate_run(run, [BANDS], split="test", cost=False, cache_dir=tmp_path / "cache")
    with pytest.raises(ValueError, match=r"cannot be resumed .*data: other train images, or read otherwise"):
        train(started)
    assert searched["best"]


def test_sweep(tiles: Path, tmp_path: Path) -> None:
    record = sweep(settings(tiles, out=str(tmp_path / "out")), SearchSpace({"model_options.width": [2, 4]}), trials=1)
    assert record["best"]
    assert names(tmp_path / "out" / "trial-000") == BANDS.split(",")


def test_the_command_line(tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--data", str(tiles), "--bands", BANDS, "--cache-dir", str(tmp_path / "cache"), "--out", str(tmp_path)]
    words = ["reproduce", "001-A", "--runs", "plain", "--epochs", "1", "--image-size", "32", "--fair"]
    assert main([*words, *place]) == 0
    assert names(tmp_path / "001-A-fair-plain-seed0") == BANDS.split(",")
    base = {name: value for name, value in settings(tiles).items() if name not in ("data", "bands", "cache_dir")}
    told = {"base": base, "changes": {"narrow": {"model_options.width": 2}}}
    (tmp_path / "ablation.yaml").write_text(yaml.safe_dump({**told, "base": {**base, "data": "nowhere"}}))
    assert main(["ablate", str(tmp_path / "ablation.yaml"), *place]) == 0, capsys.readouterr().err
    assert names(tmp_path / "base-seed0") == BANDS.split(",")
