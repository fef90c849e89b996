"""Tables hold the records' numbers, and an empty cell where nothing was run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anychan.report._reading.pooling import seed_words
from anychan.report._reading.runs import read_run
from anychan.report._tables.costs import cost_table
from anychan.report._tables.runs import overview_table, subset_table
from anychan.report._tables.table import Cell, Column, Group, Table

from ._runs import evaluation_record, write_run


def _texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for group in table.groups for row in group.rows]


def _without_costs(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The evaluation of a run ``first`` whose costs were not measured: where it lies, and what it says."""
    path = write_run(folder / "first") / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    for row in record["results"]:
        row["cost"] = None
    return path, record


def test_subset_table_has_every_metric_of_the_record(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "first", fills=("zeros", "mean")))
    table = subset_table(run, run.evaluations["test"])
    assert _texts(table)[0] == ["RGB", "60.0", "58.0–61.9", "90.0", "61.0", "60.0", "59.0", "4.3", "100.0"]
    assert len(table.columns) == len(_texts(table)[0])
    assert [group.title for group in table.groups] == [
        "",
        "missing channels filled: black",
        "missing channels filled: its mean",
    ]
    assert [len(group.rows) for group in table.groups] == [7, 6, 6]
    assert [group.kind for group in table.groups] == ["", "naive", "naive"]
    assert table.caption == "first: n = 400 images of the test split, one run, seed 0."


def test_where_no_cost_was_measured_subsets_have_the_time_of_their_evaluation(tmp_path: Path) -> None:
    path, record = _without_costs(tmp_path)
    path.write_text(json.dumps(record))
    run = read_run(tmp_path / "first")
    table = subset_table(run, run.evaluations["test"])
    assert (table.columns[-1].label, _texts(table)[0][-1]) == ("ms", "1.23")
    assert table.caption == "first: n = 400 images of the test split, one run, seed 0; timed on Test CPU, 2 threads."
    for row in record["results"]:  # of few classes, and of few batches
        row |= {"top5": None, "inference_ms": None}
    path.write_text(json.dumps(record))
    run = read_run(tmp_path / "first")
    table = subset_table(run, run.evaluations["test"])
    assert [column.label for column in table.columns][2:4] == ["95 % interval", "precision"]
    assert table.columns[-1].label == "retention"
    assert _texts(table)[0][2:4] == ["58.0–61.9", "61.0"]
    assert table.caption == "first: n = 400 images of the test split, one run, seed 0."


def test_macro_averages_without_variance_stand_without_an_interval(tmp_path: Path) -> None:
    path, record = _without_costs(tmp_path)
    whole = record["results"][0]
    whole |= {"confusion": [[100 * (i == j) for j in range(4)] for i in range(4)], "precision_macro": 1.0}
    path.write_text(json.dumps(record))
    run = read_run(tmp_path / "first")
    first, second, *_ = subset_table(run, run.evaluations["test"]).groups[0].rows
    assert (first[4].text, [cell.small for cell in first[4:7]]) == ("100.0", ["", "", ""])
    assert all(cell.small for cell in second[4:7])


def test_retention_is_said_to_be_over_the_same_images_where_some_are_left_out(tmp_path: Path) -> None:
    path, record = _without_costs(tmp_path)
    record["results"][-1]["left_out"] = 1
    path.write_text(json.dumps(record))
    run = read_run(tmp_path / "first")
    told = "left out: 1 of B; retention is over the accuracy of the same images on all channels."
    assert subset_table(run, run.evaluations["test"]).caption.endswith(told)


def test_subset_table_names_every_machine_that_rows_were_timed_on(tmp_path: Path) -> None:
    path, record = _without_costs(tmp_path)
    record["results"][1].update(device="cpu", hardware={"cpu": "Another CPU", "threads": 1})
    record["results"][2].update(device="cuda", hardware={"cpu": "Test CPU", "gpu": "A GPU", "threads": 2})
    path.write_text(json.dumps(record))
    run = read_run(tmp_path / "first")
    caption = subset_table(run, run.evaluations["test"]).caption
    assert caption.endswith("timed on A GPU and on Another CPU, 1 thread and on Test CPU, 2 threads.")


def test_overview_leaves_empty_what_was_not_run(tmp_path: Path) -> None:
    runs = [
        read_run(write_run(tmp_path / "first", accuracy=0.44)),
        read_run(write_run(tmp_path / "plain", strategy="plain", fills=("zeros",), seed=1)),
    ]
    table = overview_table(runs, "test")
    assert [column.label for column in table.columns] == ["run", "RGB", "RG", "RB", "GB", "R", "G", "B"]
    assert _texts(table)[1] == ["plain", "60.0", "", "", "", "", "", ""]
    assert _texts(table)[2] == ["black", "", "20.0", "20.0", "20.0", "10.0", "10.0", "10.0"]
    assert table.groups[1].title == "plain, missing channels filled"
    assert table.groups[0].rows[0][1].small == "42.0–45.9"
    assert table.caption.endswith("one run a row, seeds 0 and 1.")


def test_subsets_are_sorted_by_size_and_rows_without_retention_stay_empty(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first")
    record = evaluation_record()
    record["results"] = [r | {"retention": None} for r in record["results"] if r["subset"] in ("G", "RB")][::-1]
    (run / "evaluation" / "test.json").write_text(json.dumps(record))
    table = overview_table([read_run(run)], "test")
    assert [column.label for column in table.columns] == ["run", "RB", "G"]
    assert _texts(subset_table(read_run(run), read_run(run).evaluations["test"]))[0][8] == ""


def test_a_column_is_sorted_by_what_it_shows_where_that_orders_it() -> None:
    rows = (
        (Cell("a"), Cell("21.4", sort=0.214), Cell("21.4", sort=0.214), Cell("1.2 M", sort=1.2e6), Cell("")),
        (Cell("b"), Cell("", sort=None), Cell("7.0", "6–8", 0.07), Cell("900", sort=900.0), Cell("−2.0", sort=-0.02)),
    )
    table = Table("", tuple(Column(name) for name in "vwxyz"), (Group("", rows[:1]), Group("", rows[1:])))
    assert table.sorts_as_shown == (True, True, False, False, False)


def test_cost_table_names_units_size_and_machine(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "first", fills=("zeros",)))
    table = cost_table([run], "test")
    assert table is not None
    assert table.caption == "Cost of one image of 64×64 pixels, measured on Test CPU, 2 threads."
    assert _texts(table)[0] == ["RGB", "11.2 M", "148 M", "28.2 k", "18", "9.81", "101", "42.9", "488"]
    assert table.groups[0].rows[0][5].small == "9.70–10.2"
    assert len(table.groups[0].rows) == 7


def test_no_cost_no_table(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "first"))
    assert cost_table([run], "val") is None


def test_seed_nought_is_a_seed(tmp_path: Path) -> None:
    assert seed_words([read_run(write_run(tmp_path / "a", seed=0))]) == "one run, seed 0"
    assert seed_words([read_run(write_run(tmp_path / "b", seed=None))]) == "one run, seed not recorded"
