"""What the data of a run were, and what it was made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from anychan.evaluation._folder import training_conditions
from anychan.report._reading.runs import read_run
from anychan.report._sentences.headlines import missing
from anychan.report._sentences.protocol import settings
from anychan.report._sentences.training_groups import training_words
from anychan.report._tables.data import datasets, statistics_table, versions_table

from ._runs import run_record, write_run


def test_channels_have_means_deviations_and_correlations(tmp_path: Path) -> None:
    statistics = {
        "channels": [{"name": "R", "wavelength": 0.6, "mean": None, "std": None}, {"name": "NIR"}],
        **{"mean": [0.5, 0.25], "covariance": [[0.04, 0.03], [0.03, 0.09]], "count": 1000},
    }
    table = statistics_table(read_run(write_run(tmp_path / "first", statistics=statistics)))
    assert table is not None
    assert table.caption == "Channels of the training images over 1,000 pixels."
    assert [[cell.text for cell in row] for row in table.groups[0].rows] == [
        ["R", "0.5000", "0.2000", "1.000", "0.500"],
        ["NIR", "0.2500", "0.3000", "0.500", "1.000"],
    ]


def test_small_and_large_pixel_values_keep_their_figures(tmp_path: Path) -> None:
    statistics = {
        "channels": [{"name": "a"}, {"name": "b"}],
        **{"mean": [1.8341e-6, 1834.25], "covariance": [[1.5129e-8, 0.0], [0.0, 90000.0]], "count": 4},
    }
    table = statistics_table(read_run(write_run(tmp_path / "first", statistics=statistics)))
    assert table is not None
    told = [[cell.text for cell in row[1:3]] for row in table.groups[0].rows]
    assert told == [["1.83e-06", "0.000123"], ["1834.2500", "300.0000"]]


def test_a_constant_channel_has_no_correlation(tmp_path: Path) -> None:
    statistics = {"channels": [{"name": "R"}], "mean": [0.5], "covariance": [[0.0]], "count": 4}
    table = statistics_table(read_run(write_run(tmp_path / "first", statistics=statistics)))
    assert table is not None
    assert [cell.text for cell in table.groups[0].rows[0]] == ["R", "0.5000", "0.0000", ""]


def test_statistics_of_other_channels_are_refused_by_name(tmp_path: Path) -> None:
    statistics = {"channels": [{"name": "R"}, {"name": "G"}], "mean": [0.5], "covariance": [[1.0]], "count": 4}
    with pytest.raises(ValueError, match=r"first/run\.json: statistics are not readable"):
        statistics_table(read_run(write_run(tmp_path / "first", statistics=statistics)))


def test_data_that_two_runs_share_are_told_once(tmp_path: Path) -> None:
    described = run_record("b", "RGB", "sliced", 5)["data"]
    runs = [read_run(write_run(tmp_path / "a"))]
    runs.append(read_run(write_run(tmp_path / "b", data={**described, "decoding": ""})))  # which older ones do not say
    runs.append(read_run(write_run(tmp_path / "c", skipped=[["x.jpg", "truncated"]])))
    told = datasets(runs)
    assert [data["runs"] for data in told] == [["a", "b"], ["c"]]
    assert ("splits: train", "24,000") in told[0]["facts"]
    assert told[1]["skipped"] == [("x.jpg", "truncated")]


def test_what_a_run_was_made_with(tmp_path: Path) -> None:
    facts = dict(versions_table(read_run(write_run(tmp_path / "first", dirty=True))))
    assert facts["commit"] == "0123456789abcdef, with changes that no commit holds"
    assert (facts["seed"], facts["torch"], facts["cpu"]) == ("0", "2.15.0", "Test CPU")
    assert facts["memory"] == "16.0 GiB"
    assert "gpu" not in facts


def test_a_run_that_was_resumed_elsewhere_names_all_that_trained_it(tmp_path: Path) -> None:
    part = {
        "commit": "abc",
        "dirty": True,
        "hardware": {"cpu": "Old CPU", "gpu": None},
        "versions": {"torch": "2.15.0"},
    }
    parts = [{**part, "epochs": 2, "step": 0}, {"epochs": 3, "step": 9}]
    run = read_run(write_run(tmp_path / "first", resumed_from=parts))
    facts = dict(versions_table(run))
    assert facts["epochs 1 to 2 by"] == "commit abc, with changes that no commit holds; cpu Old CPU"
    assert facts["epoch 3 and 9 steps by"] == "commit not recorded"
    told = settings(run, "test")
    assert told["trained on"] == "Old CPU and Test CPU"
    assert told["trained in parts"] == (
        "epochs 1 to 2 by commit abc, with changes that no commit holds, "
        "epoch 3 and 9 steps by commit not recorded, the rest by commit 0123456789abcdef"
    )
    alike = [{"epochs": 2, "step": 0, "commit": run.record["commit"]}]
    told_of_one = settings(read_run(write_run(tmp_path / "one-commit", resumed_from=alike)), "test")
    assert "trained in parts" not in told_of_one
    assert "on Old CPU and Test CPU. From a working tree with changes that no commit holds: first." in training_words(
        [run], "test"
    )
    assert "It was trained from a working tree with changes that no commit holds." in missing(run, "test", False)
    assert training_conditions(run.record)["processor"] == "Old CPU and Test CPU"
    with pytest.raises(ValueError, match=r"run\.json: resumed_from\[0\]: 'step' is missing"):
        read_run(write_run(tmp_path / "first", resumed_from=[{"epochs": 2}]))
