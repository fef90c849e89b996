"""The first of a report: what came of it, in two small tables and a chart."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anychan.evaluation.paired import Paired
from anychan.evaluation.predictions import pack_bits, unpack_right
from anychan.report import accuracy_figure, write_report
from anychan.report._charts.differences import answer_chart
from anychan.report._reading.pooled_specialists import specialists_of
from anychan.report._reading.runs import read_run
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.answers import answer_beside_resnet34, answer_beside_specialists
from anychan.report._tables.networks import strongest

from ._runs import seeded_run, write_run


def beside_specialists(folder: Path, fewer: dict[str, int], mean: tuple[float, float, float]) -> Path:
    """A run that has so many images of 400 fewer right than its specialist for a subset."""
    run = seeded_run(folder, 0, 0.5)
    record = json.loads((run / "evaluation" / "test.json").read_text())
    right = {row["subset"]: unpack_right(row["right"], row["n"]) for row in record["results"]}
    rows: list[dict[str, Any]] = []
    for subset, count in fewer.items():
        other = right[subset].copy()
        other[np.flatnonzero(~other if count > 0 else other)[: abs(count)]] = count > 0
        told = Paired.of(right[subset], other).to_dict()
        rows.append({"subset": subset, "specialist": f"plain-{subset}", "specialist_right": pack_bits(other), **told})
    difference, *interval = mean
    of_all = {"accuracy": 0.5, "specialists": 0.5, "difference": difference, "difference_interval": interval}
    costs = {of: {"parameters": 100, "passes": 15, "seconds": 1.0} for of in ("run", "specialists")}
    told = {"schema": 1, "kind": "specialists", "split": "test", "run": run.name, "differs": [], "rows": rows}
    (run / "specialists").mkdir()
    (run / "specialists" / "test.json").write_text(json.dumps(told | {"mean": of_all, "cost": costs}))
    return run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [
        beside_specialists(tmp_path / "level", {"RGB": -3, "RG": 2, "R": 4}, (0.002, -0.01, 0.014)),
        beside_specialists(tmp_path / "behind", {"RGB": 1, "RG": 40, "R": 9}, (-0.042, -0.06, -0.02)),
    ]


def test_each_network_has_its_mean_all_channels_and_its_worst_subset(runs: list[Path]) -> None:
    found = specialists_of([read_run(run) for run in runs])
    table = answer_beside_specialists(found)
    assert table is not None
    level, behind = ([cell.text for cell in row] for row in table.groups[0].rows)
    assert level == ["level", "+0.2", "+0.8", "R −1.0", "none", "15"]
    assert behind == ["behind", "−4.2", "−0.2", "RG −10.0", "behind on RG and R", "15"]
    assert table.groups[0].rows[0][-1].small == "against 15"
    assert table.caption.endswith("those of all its specialists together.")
    assert answer_beside_specialists(found[:1]) is None
    chart = answer_chart(found)
    assert "level on average +0.2 (−1.0 to +1.4), not distinguishable, on all channels +0.8" in chart
    assert "behind on average −4.2 (−6.0 to −2.0), below zero" in chart


def test_without_a_specialist_for_all_channels_nothing_is_said_of_them(tmp_path: Path) -> None:
    fewer = {"RG": -3, "R": 4}
    runs = [beside_specialists(tmp_path / name, fewer, (0.002, -0.01, 0.014)) for name in ("one", "other")]
    found = specialists_of([read_run(run) for run in runs])
    table = answer_beside_specialists(found)
    assert table is not None
    assert [cell.text for cell in table.groups[0].rows[0]] == ["one", "+0.2", "", "R −1.0", "none", "15"]
    assert "all channels" not in answer_chart(found)


def test_the_best_of_each_depth_stands_beside_every_resnet34(tmp_path: Path) -> None:
    runs = []
    networks = {
        "deep": ("resnet34", 0.5, 34), "half": ("resnet34_half", 0.53, 34), "six": ("wide6", 0.6, 6),
        "other-six": ("wide6", 0.58, 6), "four": ("wide4", 0.55, 4), "middle": ("resnet18", 0.9, 18),
    }  # fmt: skip
    for seed, (name, (model, accuracy, depth)) in enumerate(networks.items()):
        run = seeded_run(tmp_path / name, seed, accuracy, model)
        record, path = json.loads((run / "run.json").read_text()), run / "evaluation" / "test.json"
        record["config"] |= {"strategy": "plain", "model_options": {"width": seed}}
        (run / "run.json").write_text(json.dumps(record))
        evaluation = json.loads(path.read_text())
        evaluation["results"][0]["cost"]["depth"] = depth
        path.write_text(json.dumps(evaluation))
        runs.append(read_run(run))
    table = answer_beside_resnet34(runs, "test")
    assert table is not None
    rows = table.groups[0].rows
    assert [(row[0].text, row[1].text) for row in rows] == [("4", "four"), ("6", "six"), ("34", "half"), ("34", "deep")]
    of_six, of_half = (runs[i].evaluations["test"].results[0] for i in (2, 1))
    paired = Paired.of(unpack_right(of_six.right, 400), unpack_right(of_half.right, 400))
    assert rows[1][3].text == fmt.difference(paired.difference)
    assert rows[1][3].small == " to ".join(map(fmt.difference, paired.interval))
    assert (rows[2][3].text, rows[2][4].text) == ("", "100.0")
    assert strongest(runs, "test") == "half"  # which all tables of networks are held against
    assert answer_beside_resnet34(runs[2:], "test") is None
    any_stem = dataclasses.replace(
        runs[2], record={**runs[2].record, "config": {**runs[2].configuration, "strategy": "sliced"}}
    )
    table = answer_beside_resnet34([any_stem, runs[0]], "test")
    assert table is not None
    assert [row[1].text for row in table.groups[0].rows] == ["six", "deep"]


def test_the_answers_stand_before_all_else(runs: list[Path], tmp_path: Path) -> None:
    text = write_report(runs, tmp_path / "a.html").read_text("utf-8")
    assert text.index('<section id="answers"') < text.index('<section id="question"')
    assert 'href="#answers"' in text
    said = write_report(runs, tmp_path / "a.md").read_text("utf-8")
    assert said.index("## Answers") < said.index("| level | +0.2 (−1.0 to +1.4) |") < said.index("## Question")
    alone = write_report(runs[:1], tmp_path / "b.html").read_text("utf-8")
    assert "#answers" not in alone


def test_the_figure_of_accuracies_has_the_specialists(runs: list[Path], tmp_path: Path) -> None:
    text = accuracy_figure([*runs, write_run(tmp_path / "plain", strategy="plain", fills=("zeros",))])
    level = read_run(runs[0])
    beside = ", ".join(f"{row.subset} {100 * row.specialist:.1f}" for row in level.specialists[0].rows)
    own = f"RGB {100 * level.evaluations['test'].results[0].accuracy:.1f}"
    assert f"Accuracy by channel subset, percent. specialists: {beside}; level: {own}, RG " in text
    assert text.count("prefers-color-scheme: dark") == 1
    (runs[0] / "evaluation" / "test.json").unlink()
    with pytest.raises(ValueError, match="no answers to subsets are recorded of level"):
        accuracy_figure(runs[:1])
