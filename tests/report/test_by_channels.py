"""Where an ablation varies the number of channels, accuracy and cost are drawn against it, a line a strategy."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from anychan.evaluation.intervals import wilson_interval
from anychan.report import channel_figures, write_report
from anychan.report._charts.by_channels import _accuracies, channel_charts
from anychan.report._reading.ablations import read_ablation

from ._runs import cost_record, write_ablation

_CHANGES = {
    "sliced, 4": {"strategy": "sliced"},
    "sliced, 1": {"strategy": "sliced", "channels": "R"},
    "one": {"channels": "R"},
    "wider": {"model_options": {"width": 32}},
    "failed": {"strategy": "sliced", "channels": "RG"},
}


def write(folder: Path, base: dict[str, Any], rows: dict[str, dict[str, Any]]) -> Path:
    path = write_ablation(folder) / "ablation.json"
    record = json.loads(path.read_text())
    told = [{"name": name, "seeds": [0], "errors": {}} | row for name, row in rows.items()]
    path.write_text(json.dumps(record | {"base": base, "changes": _CHANGES, "rows": told}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def row(channels: int, full: float, macs: int, **more: Any) -> dict[str, Any]:
        return {"channels": channels, "full": full, "cost": cost_record("RGB") | {"macs": macs}} | more

    rows = {
        "base": row(4, 0.8, 9000),
        "sliced, 4": row(4, 0.7, 8000, n=400),
        "sliced, 1": row(1, 0.5, 5000, n=400),
        "one": row(1, 0.55, 6000, n=400),
        "wider": row(4, 0.9, 20_000, n=400),
        "failed": {"seeds": []},
    }
    return write(tmp_path / "channels", {"strategy": "completed", "data": "a"}, rows)


def test_each_strategy_is_a_line_from_few_channels_to_many(folder: Path) -> None:
    charts = channel_figures(folder)
    labels = {name: re.findall(r'aria-label="([^"]+)"', chart) for name, chart in charts.items()}
    assert labels == {
        "accuracy": [
            "Accuracy, percent, by the number of channels: completed 55 with 1, 80 with 4; sliced 50 with 1, 70 with 4"
        ],
        "macs": [
            "MACs of one image, thousands, by the number of channels: completed 6 with 1, 9 with 4; sliced 5 with 1, "
            "8 with 4"
        ],
    }
    assert all(chart.count(f">{name}<") == 1 for chart in charts.values() for name in ("completed", "sliced"))


def test_accuracies_have_the_interval_of_their_images(folder: Path) -> None:
    ablation = read_ablation(folder / "ablation.json")
    base, sliced, *_ = ablation.changes
    for change, share in ((base, 0.8), (sliced, 0.7)):  # how many images the base answered its row does not say
        (point,) = _accuracies([change], ablation)
        assert point.interval == pytest.approx([100 * bound for bound in wilson_interval(round(400 * share), 400)])
    path = folder / "ablation.json"
    record = json.loads(path.read_text())
    record["rows"][1]["n"] = 380  # now the base may have answered either
    record["rows"][2]["seeds"] = [0, 1]
    path.write_text(json.dumps(record))
    ablation = read_ablation(path)
    points = [_accuracies([change], ablation)[0].interval for change in ablation.changes[:4]]
    assert [interval is None for interval in points] == [True, False, True, False]


def test_lines_of_one_strategy_are_named_by_a_change(folder: Path) -> None:
    path = folder / "ablation.json"
    record = json.loads(path.read_text())
    record["changes"]["wider, 1"] = {"model_options": {"width": 32}, "channels": "R"}
    record["rows"].append({"name": "wider, 1", "seeds": [0], "errors": {}, "channels": 1, "full": 0.6})
    path.write_text(json.dumps(record))
    accuracy = channel_charts(read_ablation(path))["accuracy"]
    assert "base 55 with 1, 80 with 4; sliced, 4 50 with 1, 70 with 4; wider 60 with 1, 90 with 4" in accuracy


def test_the_page_shows_them_where_there_are_any(folder: Path, tmp_path: Path) -> None:
    other = write_ablation(tmp_path / "width")
    assert channel_figures(other) == {}
    again = shutil.copytree(folder, tmp_path / "again")
    text = write_report([other, folder, again], tmp_path / "a.html").read_text()
    assert "Runs that differ in their channels alone" in text
    assert text.count("by the number of channels: ") == 4
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    markdown = write_report([other, folder], tmp_path / "a.md").read_text()
    assert len(re.findall(r"-channels\.svg\)$", markdown, re.MULTILINE)) == 2
    assert "Runs that differ" not in write_report([other], tmp_path / "b.html").read_text()
