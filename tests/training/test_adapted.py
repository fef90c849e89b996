"""adapt_run: what becomes of a trained run without training."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from anychan.channels import ChannelSet
from anychan.cli import main
from anychan.evaluation import evaluate_run
from anychan.models import ModelInfo, load_model, save_model
from anychan.report import write_report
from anychan.training import TrainConfig, adapt_run, train
from anychan.training.config import NormalisationConfig
from anychan.training.initial import keeping

from ._runs import SETTINGS as _SETTINGS

RGB = ChannelSet.parse("RGB")
SETTINGS = {**_SETTINGS, "epochs": 1}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    return train(TrainConfig(out=folder / "plain", cache_dir=folder, **SETTINGS))


def test_a_plain_run_takes_every_subset_afterwards(plain: Path, tmp_path: Path) -> None:
    out = adapt_run(plain, tmp_path / "adapted", images=40)
    (before, _), (after, info) = load_model(plain), load_model(out)
    assert (info.strategy, info.kept_subsets) == ("completed", ("RGB", "RG", "RB", "GB", "R", "G", "B"))
    for name, parameter in before.body.named_parameters():
        assert torch.equal(parameter, after.body.get_parameter(name)), name
    norms = after.subset_statistics.of(RGB.subset("R")).values()
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}  # 40 images in batches of 64
    means = [next(iter(after.subset_statistics.of(RGB.subset(s)).values())).running_mean for s in ("R", "B")]
    assert not torch.equal(*means)
    record = json.loads((out / "run.json").read_text())
    assert record["config"]["strategy"] == "completed"
    made_from = record["adapted_from"]
    assert (made_from["name"], made_from["strategy"], made_from["images"]) == ("plain", "plain", 40)
    assert made_from["fingerprint"] == record["data"]["fingerprints"]["train"]
    assert record["command"].startswith(f"anychan adapt {plain} --out {out} --images 40")
    evaluated = evaluate_run(out, "all", cost=False, pictures=False)
    assert [row["subset"] for row in evaluated["results"]] == [str(subset) for subset in RGB.subsets()]
    page = write_report([out], tmp_path / "report.html").read_text()
    assert "made from plain without training, statistics from 40 training images" in page


def test_an_any_channel_run_is_recalibrated_for_other_subsets(tmp_path: Path) -> None:
    normalisation = NormalisationConfig(subsets=["RGB"], images=16)
    run = train(TrainConfig(out=tmp_path / "run", strategy="sliced", normalisation=normalisation, **SETTINGS))
    out = adapt_run(run, tmp_path / "more", subsets=["GR", "B"])
    model, info = load_model(out)
    assert (info.strategy, info.kept_subsets) == ("sliced", ("RGB", "RG", "B"))  # what there was stays
    assert model(torch.rand(2, 2, 16, 16), channels="RG").shape == (2, 4)
    with pytest.raises(ValueError, match="no normalisation statistics for RB, only for RGB, RG, B"):
        evaluate_run(out, "all", cost=False, pictures=False)
    assert not (out / "evaluation").exists()
    with pytest.raises(ValueError, match="'sliced'; only a plain one can be given 'completed'"):
        adapt_run(run, tmp_path / "no", "completed")


def test_of_bands_and_broken_images_as_in_training(tmp_path: Path) -> None:
    """Planes are what they were when the run was trained, also elsewhere; an image that was skipped is no change."""
    random = np.random.default_rng(0)
    for i in range(20):
        folder = tmp_path / "tiles" / ("train" if i < 12 else "val" if i < 16 else "test") / ("a" if i % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(
            folder / f"{i}.tif", random.integers(1, 4000, (2, 16, 16)).astype(np.uint16), photometric="minisblack"
        )
    (tmp_path / "tiles" / "train" / "a" / "broken.tif").write_text("no image")
    settings = {**SETTINGS, "data": str(tmp_path / "tiles"), "bands": "B04,B08", "batch_size": 4, "skip_broken": True}
    run = train(TrainConfig(out=tmp_path / "run", **settings))
    assert load_model(adapt_run(run, tmp_path / "again"))[1].channels.names == ("B04", "B08")
    shutil.move(tmp_path / "tiles", tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match="say with --data where it is"):
        adapt_run(run, tmp_path / "no")
    with pytest.raises(ValueError, match="bands 'R,G' go with other data than the run's"):
        adapt_run(run, tmp_path / "no", bands="R,G")
    found = []
    for bands in ("B04,B08", "B08,B04"):
        out, named = tmp_path / bands, ["--data", str(tmp_path / "moved"), "--bands", bands]
        assert main(["adapt", str(run), "--out", str(out), *named]) == 0
        config = json.loads((out / "run.json").read_text())["config"]
        assert (config["data"], config["bands"]) == (str(tmp_path / "moved"), bands)
        found.append(load_model(out)[0].state_dict())
    again = load_model(tmp_path / "again")[0].state_dict()
    same = [all(torch.equal(its[name], again[name]) for name in again) for its in found]
    assert same == [True, False]


def test_some_may_stand_among_other_subsets() -> None:
    six = ChannelSet(["a", "b", "c", "d", "e", "f"])
    info = ModelInfo("wide4", 2, "sliced", six.with_statistics([0.5] * 6, [0.2] * 6), ("cat", "dog"), 16)
    some = [str(subset) for subset in six.some_subsets()]
    other = next(str(subset) for subset in six.subsets() if str(subset) not in some)
    assert keeping(info, ["some", "b", other]).kept_subsets == (*some, other)


def test_a_scale_of_its_own_cannot_be_had_without_training(tmp_path: Path) -> None:
    settings = {**SETTINGS, "data": SETTINGS["data"].replace("bands=3", "bands=2")}
    affine = NormalisationConfig(affine=True)
    run = train(TrainConfig(out=tmp_path / "run", strategy="sliced", normalisation=affine, **settings))
    names = load_model(run)[0].channels.names
    model, info = load_model(adapt_run(run, tmp_path / "again", subsets=[",".join(reversed(names))]))
    assert len(model.subset_statistics.subsets) == 3
    assert info.kept_affine
    some = load_model(run)[1]
    save_model(tmp_path / "less", *_without_last_subset(run))
    (tmp_path / "less" / "run.json").write_text((run / "run.json").read_text())
    with pytest.raises(ValueError, match=f"no scale and shift for {some.kept_subsets[-1]}, which only training"):
        adapt_run(tmp_path / "less", tmp_path / "no", subsets=[some.kept_subsets[-1]])


def _without_last_subset(run: Path) -> tuple[Any, Any]:
    _, info = load_model(run)
    less = dataclasses.replace(info, kept_subsets=info.kept_subsets[:-1])
    return less.create(), less


def test_a_network_without_batch_normalisation_takes_all_subsets_as_it_is(tmp_path: Path) -> None:
    transformer = {"img_size": 16, "patch_size": 8, "depth": 1, "embed_dim": 24, "num_heads": 2}
    settings = {**SETTINGS, "model": "vit_tiny_patch16_224", "model_options": transformer}
    settings["data"] = SETTINGS["data"].replace("bands=3", "bands=8")
    run = train(TrainConfig(out=tmp_path / "run", **settings))
    model, info = load_model(adapt_run(run, tmp_path / "adapted"))
    assert info.kept_subsets == ()
    subset = info.channels[1:4]
    assert model(torch.rand(2, 3, 16, 16), channels=subset).shape == (2, 4)
    assert "--images" not in json.loads((tmp_path / "adapted" / "run.json").read_text())["command"]
    said = "has no batch normalisation, and takes every subset as it is: leave out "
    with pytest.raises(ValueError, match=f"{said}--subsets$"):
        adapt_run(run, tmp_path / "no", subsets=[str(subset)])
    with pytest.raises(ValueError, match=f"{said}--data, --bands, --images, --seed$"):
        adapt_run(run, tmp_path / "no", data="tiles", bands="RGB", images=16, seed=0)


def test_the_channels_of_a_run_may_stand_in_any_order(tmp_path: Path) -> None:
    settings = {**SETTINGS, "channels": "BGR"}
    run = train(TrainConfig(out=tmp_path / "run", **settings))
    before, after = load_model(run)[0], load_model(adapt_run(run, tmp_path / "adapted", images=16))[0]
    weights = [next(model.body.parameters()) for model in (before, after)]
    assert torch.equal(*weights)
    assert after.channels.names == ("B", "G", "R")


def test_many_channels_need_their_subsets_named(tmp_path: Path) -> None:
    settings = {**SETTINGS, "data": SETTINGS["data"].replace("bands=3", "bands=8")}
    run = train(TrainConfig(out=tmp_path / "run", **settings))
    with pytest.raises(ValueError, match=r"255 subsets, .* name those wanted with --subsets"):
        adapt_run(run, tmp_path / "no")


def test_data_that_changed_are_not_looked_at_unasked(plain: Path, tmp_path: Path) -> None:
    record = json.loads((plain / "run.json").read_text())
    changed = tmp_path / "changed"
    shutil.copytree(plain, changed)
    record["config"]["data"] += ",seed=5"
    (changed / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="has changed since the run was trained on it"):
        adapt_run(changed, tmp_path / "no")
    out = adapt_run(changed, tmp_path / "named", data=record["config"]["data"])
    assert json.loads((out / "run.json").read_text())["adapted_from"]["fingerprint"] is not None


def test_what_cannot_be_adapted_is_refused_and_nothing_is_left(plain: Path, tmp_path: Path) -> None:
    for words, options in {
        "unknown strategy 'slice'": {"strategy": "slice"},
        "unknown channel 'X'": {"subsets": ["RX"]},
        "1 images: statistics need 2": {"images": 1},
        "'attentive' cannot take over a trained stem": {"strategy": "attentive"},
    }.items():
        with pytest.raises(ValueError, match=words):
            adapt_run(plain, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(FileNotFoundError):
        adapt_run(tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "letter.txt").touch()
    with pytest.raises(FileExistsError, match="is there already"):
        adapt_run(plain, tmp_path / "there")
