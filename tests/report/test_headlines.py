"""What the report says in sentences."""

from __future__ import annotations

import json
from pathlib import Path

from anychan.report._reading.pooling import pooled
from anychan.report._reading.runs import read_run
from anychan.report._sentences.headlines import cautions, headline, missing, title, training
from anychan.report._sentences.limits import limits

from ._runs import FILLS, seeded_run, write_run


def test_headline_tells_what_was_run_and_how_sure_it_is(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "first", fills=FILLS))
    assert title([run]) == "resnet18, completed stem on animals"
    assert headline(run, "test") == [
        "resnet18, completed stem: trained for 5 epochs on 24,000 images of animals (4 classes), one seed (0).",
        "On all channels (RGB) it names 60.0 % of 400 test images right (95 % interval 58.0 to 61.9).",
        "Of that accuracy it keeps 85 % with two channels and 70 % with one.",
        "With missing channels filled in naively, the best of four ways chosen for each subset with hindsight, it "
        "keeps 53 % with two channels and 27 % with one.",
    ]


def test_the_built_in_set_is_named_without_its_settings(tmp_path: Path) -> None:
    data = {"name": "synthetic:bands=4,train=3000", "splits": {"train": 3000}, "classes": 8}
    config = {"channel_sampling": "hierarchical"}
    run = read_run(write_run(tmp_path / "first", data=data, config=config))
    assert title([run, run]) == "Two runs on the synthetic set"
    assert headline(run, None) == [
        "resnet18, completed stem: trained for 5 epochs with hierarchical channel sampling on 3,000 images of the "
        "synthetic set (8 classes), one seed (0)."
    ]


def test_a_plain_run_keeps_only_what_fills_give(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "plain", strategy="plain", fills=("zeros",), epochs=1))
    assert headline(run, "test")[0].startswith("resnet18, ordinary stem: trained for 1 epoch on")
    assert headline(run, "test")[2:] == [
        "With missing channels filled in naively, it keeps 33 % with two channels and 17 % with one."
    ]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "first",
        epochs=2,
        status="stopped: the loss is not finite",
        dirty=True,
        skipped=[["a.jpg", "truncated"]],
    )
    (folder / "pictures" / "001.png").unlink()
    said = missing(read_run(folder), "test", pictures=True)
    assert said == [
        "Training has not finished (status “stopped: the loss is not finite”, 2 epochs recorded).",
        "1 of its 4 thumbnails are gone from the folder.",
        "It was trained from a working tree with changes that no commit holds.",
        "1 broken files were skipped in training; they are listed under Data.",
    ]
    assert missing(read_run(write_run(tmp_path / "whole")), "test", pictures=True) == []


def test_epochs_are_those_that_were_recorded(tmp_path: Path) -> None:
    asked = {"model": "resnet18", "strategy": "completed", "epochs": 100}
    cut = read_run(write_run(tmp_path / "cut", epochs=3, status="running", config=asked))
    assert ": trained for 3 of 100 epochs on" in headline(cut, None)[0]
    assert any("The run was trained for 3 of 100 epochs: what" in said for said in limits([cut], None, ()))
    rows = pooled([read_run(seeded_run(tmp_path / f"s{seed}", seed, 0.6, epochs=3 + 2 * seed)) for seed in (0, 1)])
    assert len(rows) == 1
    assert ": trained for 3 to 5 of 5 epochs on" in headline(rows[0], None)[0]
    said = limits([cut, *rows], None, ())
    assert any("The runs were trained for 3 of 100 and 3 to 5 of 5 epochs: what" in one for one in said)


def test_an_evaluation_that_is_not_there_is_said(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "first", epochs=0, pictures=0)
    assert missing(read_run(folder), "val", pictures=True)[1] == (
        "It was not evaluated on the val split, only on test."
    )
    (folder / "evaluation" / "test.json").unlink()
    assert missing(read_run(folder), None, pictures=True) == [
        "No epoch has been recorded, so there are no curves.",
        "It has not been evaluated yet; run anychan evaluate on its folder.",
    ]


def test_different_images_and_validation_are_cautioned_about(tmp_path: Path) -> None:
    first, other = write_run(tmp_path / "first"), write_run(tmp_path / "other")
    assert cautions([read_run(first), read_run(other)], "test") == []
    path = other / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["data"] = {"name": "copy of animals", "fingerprints": {"test": "b"}}  # by another name, and the same images
    path.write_text(json.dumps(record))
    assert cautions([read_run(first), read_run(other)], "test") == []
    record["data"]["fingerprints"]["test"] = "others"
    path.write_text(json.dumps(record))
    assert cautions([read_run(first), read_run(other)], "test")[0].startswith("These runs were evaluated on different")
    path.rename(path.with_name("val.json"))
    assert cautions([read_run(other)], "val") == [
        "The numbers are of the val split: there is no evaluation on a test split."
    ]


def test_training_tells_wall_time(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "first", selected="best", best_epoch=4))
    assert training(run) == (
        "5 epochs; 13 min 32 s in all; 1 min 23 s an epoch (median); 303 images/s (median); "
        "the model of epoch 4 was kept, the best on validation."
    )
