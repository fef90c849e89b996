"""What sources report beside what was measured: as recorded, and in the order of recipe and seed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from anychan.cli import main
from anychan.evaluation import Paired
from anychan.experiments import Recipe, reproduction_table
from anychan.report import markdown_reproductions, write_report
from anychan.report._reading.reproductions import read_reproduction, read_reproductions
from anychan.report._tables.reproductions import reproduction_tables

from ._runs import write_ablation, write_reproduction, write_run


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return write_reproduction(tmp_path / "runs" / "000-A-seed0-reproduction.json")


def test_measured_stands_above_reported_with_its_interval(record: Path) -> None:
    found = read_reproduction(record)
    table = reproduction_tables(found)[0]
    assert [column.label for column in table.columns] == ["figure", "RGB", "R"]
    assert [group.title for group in table.groups] == ["plain", "pretrained", "other"]
    told = [[(cell.text, cell.small) for cell in row] for group in table.groups for row in group.rows]
    assert told == [
        [("accuracy, measured", ""), ("37.40", "35.5–39.3"), ("9.00", "")],
        [("accuracy, reported", ""), ("41.25", ""), ("", "")],
        [("accuracy (validation), measured", ""), ("36.00", ""), ("", "")],
        [("epochs, measured", ""), ("10", ""), ("", "")],
        [("epochs, reported", ""), ("12", ""), ("", "")],
        [("inference_s, measured", ""), ("", ""), ("", "")],
        [("inference_s, reported", ""), ("0.0083", ""), ("", "")],
        [("memory_mb (training batch of 64), reported", ""), ("2,086", ""), ("", "")],
        [("f1, reported", ""), ("65.37", ""), ("", "")],
        [("f1, reported", ""), ("60.50", ""), ("", "")],
    ]
    assert table.caption == (
        "000-A, trained as the source says, with data=animals.zip: rates in percent, accuracies with their 95 % Wilson "
        "interval, of 2,500 test and 1,000 validation images, seed 0. "
        "Trained in float32 on Some CPU: plain; in bfloat16 on Some CPU: other."
    )


def test_figures_have_the_decimal_places_of_their_source(record: Path) -> None:
    told = json.loads(record.read_text())
    one = told["rows"][0] | {"figure": "parameters (M)", "measured": {"RGB": 11.2}, "reported": {"RGB": 11.1945}}
    record.write_text(json.dumps(told | {"rows": [one | {"intervals": {}}]}))
    table = reproduction_tables(read_reproduction(record))[0]
    assert [row[1].text for row in table.groups[0].rows] == ["11.2000", "11.1945"]
    words = reproduction_table(json.loads(record.read_text()))
    assert re.search(r"parameters \(M\) +measured +11\.2000\n", words)
    assert re.search(r"parameters \(M\) +reported +11\.1945\n", words)


@pytest.mark.parametrize("fair", [False, True])
def test_each_two_runs_stand_beside_one_another(record: Path, fair: bool) -> None:
    pair = {"a": "plain", "b": "sliced", "subset": "RGB", **Paired(5, 20, 3, 2).to_dict(), "p_holm": 0.0007}
    write_reproduction(record, fair=fair, pairs=[pair, {**pair, "p_holm": 0.2, "verdict": "not distinguishable"}])
    _, beside = reproduction_tables(read_reproduction(record))
    assert [[cell.text for cell in row] for row in beside.groups[0].rows] == [
        ["RGB", "plain", "sliced", "83.3", "26.7", "+56.7", "< 0.001", "< 0.001", "plain is better"],
        ["RGB", "plain", "sliced", "83.3", "26.7", "+56.7", "< 0.001", "0.200", "not distinguishable"],
    ]
    own = "Each was trained as its source says, so two runs may differ in more than their system."
    assert beside.caption.endswith(own) == (not fair)
    text = markdown_reproductions([record])
    assert text.index("accuracy, measured") < text.index("plain is better") < text.index("thop")


def test_what_ours_lack_and_why_they_differ_is_told(record: Path) -> None:
    found = read_reproduction(record)
    recipe = Recipe.read("000-A")
    assert list(found.notes) == [
        "wide failed: no memory.",
        "memory_mb (training batch of 64) of plain was not measured: out of memory.",
        "pretrained and other were not measured: the weights cannot be downloaded.",
        "Measured on A CPU (threads: 1): inference_s.",
        "Beware: they have seen the test images.",
        "Not run: 'sliced', 'plain-pretrained' and 'sliced-pretrained'.",
        *recipe.explained(False, {}),
    ]
    write_reproduction(record, fair=True, note="Alike:  all.", dirty=True, errors={}, rows=[])
    of_twins = read_reproduction(record)
    dirty, lacking, alike, *why = of_twins.notes
    assert (dirty, alike) == ("Made from a working tree with changes that no commit holds.", "Alike: all.")
    assert lacking == "Not run: 'plain' and 'sliced'."
    size = "Our costs and times are of images of 64x64; the recipe's are 128x128."
    assert why == recipe.explained(True, {}) == [size, *found.notes[-2:]]
    but = "all trained alike but for the number format (its effect was not measured), on labels"
    assert of_twins.how == f"{but}, with data=animals.zip"
    runs = {"plain": {"trained": {"precision": "float32"}}, "sliced": {"trained": {"precision": None}, "dirty": True}}
    write_reproduction(record, fair=True, runs=runs)
    again = read_reproduction(record)
    assert again.how == "all trained alike, on labels, with data=animals.zip"
    assert "Trained from a working tree with changes that no commit holds: sliced." in again.notes


def test_depth_stands_beside_the_layers_that_authors_count(record: Path) -> None:
    def titles() -> list[str]:
        return [group.title for group in reproduction_tables(read_reproduction(record))[0].groups]

    write_reproduction(record, "001-B")
    told = json.loads(record.read_text())
    runs = ("resnet34", "residual_attention3", "residual_attention3 or another")
    told |= {"rows": [told["rows"][0] | {"run": run} for run in runs], "runs": {}}
    record.write_text(json.dumps(told))
    assert titles() == ["resnet34 (its author counts 34)", "residual_attention3 (its author counts 3)", runs[2]]
    run = {"seconds": 1.0, "epochs": 1, "data": "a.zip", "commit": None, "trained": {}}
    told["runs"] = {"resnet34": run | {"depth": None}, "residual_attention3": run | {"depth": 9}}
    record.write_text(json.dumps(told))
    assert titles()[:2] == ["resnet34 (its author counts 34)", "residual_attention3 (depth 9, its author counts 3)"]


def test_without_intervals_none_is_spoken_of(record: Path) -> None:
    told = json.loads(record.read_text())
    del told["rows"][0]["intervals"], told["runs"]
    said = "000-A, trained as the source says: rates in percent, of 2,500 test and 1,000 validation images, seed 0."
    for hardware, place in ((None, ""), (told["hardware"], " Recorded on Some Processor.")):
        record.write_text(json.dumps(told | {"changes": {}, "hardware": hardware}))
        assert reproduction_tables(read_reproduction(record))[0].caption == said + place


def test_the_report_takes_a_record_or_a_folder_of_them(record: Path, tmp_path: Path) -> None:
    write_reproduction(record.with_name("000-A-seed10-reproduction.json"), seed=10)
    write_reproduction(record.with_name("000-A-seed2-reproduction.json"), seed=2)
    write_reproduction(tmp_path / "other" / "reproduction.json", "001-A")
    assert main(["report", str(tmp_path / "other"), str(record.parent), "--out", str(tmp_path / "all.html")]) == 0
    text = (tmp_path / "all.html").read_text()
    assert re.findall(r'<section id="(\w+)">', text) == ["question", "sources", "limits", "reproduce"]
    assert "<h2>Sources: what they reached, and what we reach</h2>" in text
    section = text[text.index('<section id="sources">') : text.index('<section id="limits">')]
    assert re.findall(r"<h3>(\S+),", section) == ["000-A", "000-A", "000-A", "001-A"]
    assert re.findall(r"images, seed (\d+)\. Trained in float32[^<]+</figcaption>", section) == [
        "0",
        "2",
        "10",
        "0",
    ]
    assert "experiments 000-A and 001-A?" in text
    assert "no test tells a difference from chance" in text
    alone = write_report(
        [record, write_run(tmp_path / "run"), write_ablation(tmp_path / "ablation")], tmp_path / "one.html"
    )
    sections = re.findall(r'<section id="(\w+)">', alone.read_text())
    assert sections[sections.index("cost") :][:3] == ["cost", "sources", "ablations"]
    assert 'href="#sources"' in alone.read_text()
    assert "sources" not in re.findall(r'<section id="(\w+)">', write_report([tmp_path / "run"], alone).read_text())


def test_a_folder_of_reproductions_stands_for_the_other_runs_in_it_too(record: Path, tmp_path: Path) -> None:
    for name in ("mine", "000-A-plain-seed0", "000-A-plain-seed1"):
        write_run(record.parent / name, pictures=0)
    write_ablation(record.parent / "width")
    whole = write_report([record.parent], tmp_path / "whole.html").read_text()
    named = [record, *(record.parent / name for name in ("000-A-plain-seed1", "mine", "width"))]
    assert whole == write_report(named, tmp_path / "named.html").read_text()
    assert "<h1>Two runs on animals</h1>" in whole


def test_in_markdown_each_has_its_title_and_notes(record: Path) -> None:
    text = markdown_reproductions([record.parent])
    assert text.startswith("**000-A, Channel-sliced stem in MobileNetV3 (\\[000\\] A)**\n\n000-A, trained")
    assert "| accuracy, measured | 37.40 (35.5–39.3) | 9.00 |\n| accuracy, reported | 41.25 |  |\n" in text
    assert "\n- wide failed: no memory.\n" in text


def test_what_is_no_such_record_is_refused(record: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"000-A-seed0-reproduction\.json: this record is given twice"):
        read_reproductions([record, record.parent])
    write_reproduction(record, "999-Z")
    with pytest.raises(ValueError, match=r"unknown recipe '999-Z'; there are 000-A, "):
        write_report([record], tmp_path / "a.html")
    write_reproduction(record, kind="ablation")
    with pytest.raises(ValueError, match="a record of kind 'ablation', not 'reproduction'"):
        write_report([record], tmp_path / "a.html")
    with pytest.raises(FileNotFoundError, match="not a run folder"):
        write_report([tmp_path], tmp_path / "a.html")  # the record lies deeper
