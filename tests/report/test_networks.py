"""Networks beside each other: the records' numbers in the table and on the charts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from anychan.evaluation.intervals import macro_intervals
from anychan.evaluation.paired import Paired
from anychan.evaluation.predictions import unpack_right
from anychan.report import front_figures, markdown_networks, write_report
from anychan.report._reading.pooling import pooled
from anychan.report._reading.records import Run
from anychan.report._reading.runs import read_run
from anychan.report._reading.source_figures import reported_figures
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.networks import front_charts, network_table, shallow_words, without_other_stems

from ._runs import seeded_run, write_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [write_run(tmp_path / "deep", accuracy=0.6), write_run(tmp_path / "wide", accuracy=0.66)]


def test_the_table_says_what_each_reaches_and_costs(runs: list[Path]) -> None:
    table = network_table([read_run(run) for run in runs], "test", "deep", {"author's layers": {"wide": "2"}})
    assert [column.label for column in table.columns] == [
        "network", "accuracy", "of deep", "depth", "author's layers", "parameters", "MACs", "ms, batch of 1",
        "ms, batch of 32", "MiB at inference, batch of 32", "MiB in training, batch of 32", "precision", "recall", "F1",
    ]  # fmt: skip
    wide, deep = ([cell.text for cell in row] for row in table.groups[0].rows)  # the most accurate first
    assert deep[:5] == ["deep", "60.0", "100.0", "18", ""]
    assert wide[:5] == ["wide", "66.0", "110.0", "18", "2"]
    assert all(wide[5:])
    assert "| wide | 66.0 (" in markdown_networks(runs, "deep")


def test_macro_averages_have_intervals_of_one_seed_and_of_several(tmp_path: Path) -> None:
    runs = [seeded_run(tmp_path / f"a-seed{seed}", seed, 0.5 + seed / 50, "wide6") for seed in (0, 1)]
    (row,) = network_table(pooled([read_run(run) for run in runs]), "test").groups[0].rows
    matrices = [json.loads((run / "evaluation" / "test.json").read_text())["results"][0]["confusion"] for run in runs]
    found = macro_intervals(matrices)
    assert [cell.small for cell in row[-3:]] == [fmt.interval(found[name]) for name in ("precision", "recall", "f1")]
    (alone,) = network_table([read_run(runs[0])], "test").groups[0].rows
    assert alone[-1].small == fmt.interval(macro_intervals(matrices[:1])["f1"])


def test_depth_stands_beside_the_layers_that_authors_count(tmp_path: Path) -> None:
    names = ("resnet34", "residual_attention3", "patch_transformer", "graph4", "wide6", "vgg11")
    runs = [seeded_run(tmp_path / name, 0, 0.5, name) for name in names]
    record = json.loads((runs[2] / "run.json").read_text())
    record["config"]["model_options"] = {"layers": 3}
    (runs[2] / "run.json").write_text(json.dumps(record))
    heading, _, *rows = markdown_networks(runs).splitlines()[-8:]
    place = heading.split(" | ").index("author's layers")
    assert heading.split(" | ")[place - 1] == "depth"
    assert [row.split(" | ")[place] for row in rows] == ["34", "3", "3", "1", "18", ""]  # of our own its depth
    assert "author's layers" not in markdown_networks(runs[-2:])  # the one's is its depth, the other's is not known


def test_what_sources_report_of_a_network_stands_beside_it(tmp_path: Path) -> None:
    names = ("resnet34", "ghostnet_100", "attention_rrdb_3x3", "rrdb3", "ghost2")
    found = [_plain(tmp_path / name, 0.5, name, 30) for name in names]
    stem = _plain(tmp_path / "stem", 0.5, "resnet18", 18, "completed")
    assert reported_figures([*found, stem]) == {
        "resnet34": "40.0 %, 21.2 M parameters ([000] B); 59.8 % ([001] B); 41.8 % on validation ([002] B)",
        "ghostnet_100": "34.9 %, 3.97 M parameters in its pretrained row ([000] B)",
        "attention_rrdb_3x3": "44.7 %, 205 k parameters ([004] B)",
        "rrdb3": "10.2 % on validation ([002] B)",
    }
    lines = markdown_networks([run.folder for run in found]).splitlines()
    assert lines[0].endswith(" What sources report is of other images.")
    assert lines[2].endswith(" | reported |")
    assert [lines[row].split(" | ")[-1] for row in (5, 8)] == [
        "34.9 %, 3.97 M parameters in its pretrained row (\\[000\\] B) |",
        " |",
    ]
    assert "source" not in markdown_networks([stem.folder])
    record = json.loads((found[3].folder / "run.json").read_text())
    record["config"]["model_options"] = {"blocks": 4}
    (found[3].folder / "run.json").write_text(json.dumps(record))
    assert reported_figures([read_run(found[3].folder)]) == {}  # another network


def test_answers_with_flips_stand_apart(runs: list[Path]) -> None:
    assert "with flips" not in markdown_networks(runs)
    path = runs[1] / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"][0]["flips"] = {"accuracy": 0.675, "accuracy_interval": [0.65, 0.7]}
    path.write_text(json.dumps(record))
    heading, _, wide, deep = markdown_networks(runs).splitlines()[-4:]
    place = heading.split(" | ").index("with flips")
    assert [deep.split(" | ")[i] for i in (1, place)] == ["60.0 (58.0–61.9)", ""]
    assert [wide.split(" | ")[i] for i in (1, place)] == ["66.0 (64.0–67.9)", "67.5 (65.0–70.0)"]


def test_with_flips_there_is_no_interval_over_seeds(tmp_path: Path) -> None:
    runs = [seeded_run(tmp_path / f"a-seed{seed}", seed, 0.5, "wide6") for seed in (0, 1)]
    for run, accuracy in zip(runs, (0.5, 0.52), strict=True):
        path = run / "evaluation" / "test.json"
        record = json.loads(path.read_text())
        record["results"][0]["flips"] = {"accuracy": accuracy, "accuracy_interval": [0.4, 0.6]}
        path.write_text(json.dumps(record))
    table = network_table(pooled([read_run(run) for run in runs]), "test")
    place = [column.label for column in table.columns].index("with flips")
    (row,) = table.groups[0].rows
    assert (row[place].text, row[place].small) == ("51.0", "")


def test_the_gap_to_the_yardstick_is_paired(tmp_path: Path) -> None:
    runs = [seeded_run(tmp_path / "deep", 0, 0.6, "resnet34"), seeded_run(tmp_path / "wide", 1, 0.5, "wide6")]
    deep, wide = (read_run(run).evaluations["test"].full for run in runs)
    assert deep is not None
    assert wide is not None
    paired = Paired.of(unpack_right(wide.right, wide.n), unpack_right(deep.right, deep.n))
    low, high = (f"{100 * bound:+.1f}".replace("-", "−") for bound in paired.interval)
    told = f"{100 * paired.difference:+.1f} ({low} to {high})".replace("-", "−")
    lines = markdown_networks(runs, "deep", minus="deep").splitlines()
    assert " | of deep | minus deep | " in lines[2]
    assert lines[-2].split(" | ")[3] == ""
    assert lines[-1].split(" | ")[3] == told
    assert "less" not in markdown_networks(runs).splitlines()[2]


def test_a_network_that_was_not_evaluated_cannot_be_compared_with(runs: list[Path]) -> None:
    with pytest.raises(ValueError, match="'narrow' was not evaluated on all channels of test"):
        markdown_networks(runs, "narrow")
    with pytest.raises(ValueError, match="'narrow' was not evaluated on all channels of test"):
        markdown_networks(runs, minus="narrow")
    (runs[0] / "evaluation" / "test.json").unlink()
    assert "deep" not in markdown_networks(runs)
    (runs[1] / "evaluation" / "test.json").unlink()
    with pytest.raises(ValueError, match="none of deep, wide has been evaluated"):
        markdown_networks(runs)


def test_the_charts_name_every_point_and_join_the_best(runs: list[Path]) -> None:
    charts = front_figures(runs)
    assert list(charts) == ["depth", "parameters", "macs", "latency", "latency-32"]
    where = "on Test CPU, 2 threads"
    assert f"ms, batch of 32, {where}: deep 60.0 % at 101; wide 66.0 % at 101" in charts["latency-32"]
    label = re.search(r'aria-label="([^"]+)"', charts["depth"])
    assert label is not None
    assert label[1] == "Accuracy against depth, weighted layers: deep 60.0 % at 18; wide 66.0 % at 18"
    assert charts["macs"].count(">wide<") == 1
    assert not any("$" in chart for chart in charts.values())  # as markup of mathematics would show


def test_times_of_two_machines_are_not_drawn_together(runs: list[Path], tmp_path: Path) -> None:
    elsewhere = write_run(tmp_path / "else", accuracy=0.7)
    path = elsewhere / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"][0]["cost"] |= {"threads": 7}
    path.write_text(json.dumps(record))
    charts = front_figures([elsewhere, *runs])
    assert "else 70.0 %" in charts["macs"]
    assert "else" not in charts["latency"]
    assert "ms, batch of 1, on Test CPU, 2 threads: deep 60.0 %" in charts["latency"]
    assert "on Test CPU, 7 threads: else 70.0 %" in front_figures([elsewhere, runs[0]])["latency"]


def _plain(folder: Path, accuracy: float, model: str, depth: int, strategy: str = "plain") -> Run:
    """A run of a network of some depth, whose answers can be paired."""
    seeded_run(folder, 0, accuracy, model)
    for name, change in (("run.json", _with_strategy), ("evaluation/test.json", _with_depth)):
        path = folder / name
        record = json.loads(path.read_text())
        change(record, strategy if name == "run.json" else depth)
        path.write_text(json.dumps(record))
    return read_run(folder)


def _with_strategy(record: dict[str, Any], strategy: Any) -> None:
    record["config"]["strategy"] = strategy


def _with_depth(record: dict[str, Any], depth: Any) -> None:
    for row in record["results"]:
        row["cost"]["depth"] = depth


def test_the_batch_of_a_memory_is_named_where_all_have_the_same(runs: list[Path]) -> None:
    path = runs[1] / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    latency = record["results"][0]["cost"]["latency_ms"]

    def columns(of: list[Path], **cost: Any) -> dict[str, str]:
        record["results"][0]["cost"] |= cost
        path.write_text(json.dumps(record))
        table = network_table([read_run(run) for run in of], "test")
        told = zip(table.columns, table.groups[0].rows[0], strict=True)
        return {column.label: cell.text for column, cell in told if "MiB" in column.label}

    at_32, trained_at_32 = "MiB at inference, batch of 32", "MiB in training, batch of 32"
    assert columns(runs) == {at_32: "42.9", trained_at_32: "488"}
    assert columns(runs, latency_ms={"1": latency["1"]}) == {"MiB at inference": "42.9", "MiB in training": "488"}
    assert columns(runs, latency_ms=latency, memory={"inference_bytes": 2**20}) == {at_32: "1.00", trained_at_32: ""}
    assert columns(runs[1:]) == {at_32: "1.00"}
    record["results"][0]["cost"] = None
    path.write_text(json.dumps(record))
    assert markdown_networks(runs).splitlines()[-1].count("|") == markdown_networks(runs).splitlines()[2].count("|")


def test_a_network_is_shown_by_its_runs_with_an_ordinary_stem(tmp_path: Path) -> None:
    found = [
        _plain(tmp_path / "any", 0.5, "resnet18", 18, "completed"),
        _plain(tmp_path / "deep", 0.5, "resnet34", 34),
        _plain(tmp_path / "plain", 0.5, "resnet18", 18),
        _plain(tmp_path / "again", 0.5, "resnet18", 18),
        _plain(tmp_path / "wide", 0.6, "wide6", 6, "sliced"),
    ]
    shown = without_other_stems(found, "test")
    assert [run.name for run in shown] == ["deep", "plain", "again", "wide"]
    charts, of_all = front_charts(found, "test", shown), front_charts(found, "test")
    assert charts["depth"].count(">plain<") == of_all["depth"].count(">any<") == 1
    assert ">any<" not in charts["depth"]
    wide = re.compile(r"var\(--series-4\)")  # the fifth of all, also beside fewer
    assert wide.search(charts["depth"])


def test_a_network_that_was_trained_in_two_ways_is_held_against_the_better(tmp_path: Path) -> None:
    runs = [
        _plain(tmp_path / name, accuracy, model, depth).folder
        for name, accuracy, model, depth in (
            ("deep-adamw", 0.45, "resnet34", 34),
            ("deep-sgd", 0.65, "resnet34", 34),
            ("wide", 0.55, "wide6", 6),
        )
    ]
    path = runs[1] / "run.json"
    record = json.loads(path.read_text())
    record["config"]["optimizer"] = {"name": "sgd"}
    path.write_text(json.dumps(record))
    text = write_report(runs, tmp_path / "a.md").read_text("utf-8")
    table = text.split("## Results B")[1].split("\n## ")[0]
    assert "| minus deep-sgd |" in table
    assert [name for name in re.findall(r"^\| ([\w-]+) \|", table, re.M) if name != "network"] == [
        "deep-sgd",
        "wide",
        "deep-adamw",
    ]


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """A table looks up by its name what else stands beside a run."""
    better, worse = (
        _plain(tmp_path / of / "resnet34", accuracy, "resnet34", 34).folder for of, accuracy in (("p", 0.6), ("q", 0.4))
    )
    wide = _plain(tmp_path / "wide", 0.5, "wide6", 6).folder
    pair = {"subset": "RGB", "fill_a": "", "fill_b": "", "n": 400, "accuracy_a": 0.6, "accuracy_b": 0.5, "p": 0.001}
    pair |= {"difference": 0.1, "difference_interval": [0.05, 0.15]}
    record = {
        "schema": 1,
        "kind": "comparison",
        "split": "test",
        "a": "resnet34",
        "b": "wide",
        "b_from_a": "../../wide",
    }
    (better / "comparisons").mkdir()
    (better / "comparisons" / "wide-test.json").write_text(json.dumps(record | {"comparisons": [pair]}))
    text = write_report([worse, wide, better], tmp_path / "a.md").read_text("utf-8")
    assert "p/resnet34 against wide, 1 paired comparison: p/resnet34 is better in 1." in text
    table = text.split("## Results B")[1].split("\n## ")[0]
    assert "| minus p/resnet34 |" in table
    rows = {cells[0]: cells for line in table.splitlines() if len(cells := line.strip("| ").split(" | ")) > 3}
    assert [name for name in rows if name not in ("network", "---")] == ["p/resnet34", "wide", "q/resnet34"]
    assert [rows[name][2][:1] for name in ("p/resnet34", "wide", "q/resnet34")] == ["", "−", "−"]
    heading, _, *lines = markdown_networks([worse, better], notes={"a": {"p/resnet34": "1"}}).splitlines()[2:]
    place = heading.split(" | ").index("a")
    assert [line.split(" | ")[place] for line in lines] == ["1", ""]


def test_the_best_shallow_network_is_set_beside_the_best_resnet34(tmp_path: Path) -> None:
    deep = _plain(tmp_path / "deep", 0.45, "resnet34", 34)
    half = _plain(tmp_path / "half", 0.5, "resnet34_half", 34)
    wide = _plain(tmp_path / "wide", 0.6, "wide6", 6)
    narrow = _plain(tmp_path / "narrow", 0.55, "wide6", 6)
    assert shallow_words([deep, half], "test") == shallow_words([wide, narrow], "test") == ""
    one, other = wide.evaluations["test"].full, half.evaluations["test"].full
    assert one is not None
    assert other is not None
    paired = Paired.of(unpack_right(one.right, one.n), unpack_right(other.right, other.n))
    gap, low, high = (f"{100 * share:+.1f}" for share in (paired.difference, *paired.interval))
    words = shallow_words([narrow, deep, wide, half], "test")
    assert words.startswith(
        "Of networks of at most 6 layers, trained for as many epochs on the same images as a ResNet34, wide is most "
        f"accurate: {100 * one.accuracy:.1f} % with "
    )
    assert f", {gap} points ({low} to {high}, paired by image) beside half, the best ResNet34 with " in words
    assert "beside deep, a ResNet34 with" in shallow_words([deep, wide], "test")
