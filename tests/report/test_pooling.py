"""Seeds of one configuration are one row; what is not of one configuration stays apart."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anychan.evaluation.bootstrap import paired_interval
from anychan.evaluation.intervals import wilson_interval
from anychan.evaluation.predictions import pack_bits
from anychan.report import markdown_overview, write_report
from anychan.report._reading.pooling import pooled, seed_words
from anychan.report._reading.runs import read_run, read_runs

from ._runs import seeded_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [seeded_run(tmp_path / f"any-seed{seed}", seed, 0.5 + 0.03 * seed) for seed in range(3)]


def change(run: Path, **keys: Any) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | keys))


def test_a_row_is_the_mean_with_an_interval_over_seeds_and_images(runs: list[Path]) -> None:
    read = [read_run(run) for run in runs]
    (row,) = pooled(read)
    assert (row.name, [run.seed for run in row.pooled], row.seed) == ("any", [0, 1, 2], None)
    for i, result in enumerate(row.evaluations["test"].results):
        of_seeds = [run.evaluations["test"].results[i] for run in read]
        rights = np.stack([np.unpackbits(np.frombuffer(_bytes(r.right), np.uint8), count=r.n) for r in of_seeds])
        assert result.accuracy == pytest.approx(rights.mean())
        assert result.interval == pytest.approx(paired_interval(rights))
        assert result.f1 == pytest.approx(np.mean([r.f1 for r in of_seeds]))
        assert sum(map(sum, result.confusion)) == sum(sum(map(sum, r.confusion)) for r in of_seeds)
        assert sum(b.count for b in result.calibration) == sum(b.count for r in of_seeds for b in r.calibration)
    full, other = row.evaluations["test"].results[:2]
    assert other.retention == pytest.approx(other.accuracy / full.accuracy)
    assert seed_words([row]) == "3 runs, seeds 0, 1 and 2"


def _bytes(packed: str) -> bytes:
    import base64

    return base64.b64decode(packed)


def test_tables_and_page_have_one_row(runs: list[Path], tmp_path: Path) -> None:
    other = seeded_run(tmp_path / "other", 0, 0.4, model="wide6")
    told = markdown_overview([*runs, other])
    assert "1 or 3 runs a row, seeds 0, 1 and 2" in told.splitlines()[0]
    assert [line.split(" | ")[0] for line in told.splitlines()[4:]] == ["| any", "| other"]
    page = write_report([*runs, other], tmp_path / "report.html").read_text("utf-8")
    assert "three seeds (0, 1 and 2)" in page
    assert "one seed (0)" in page
    footer = " ".join(page[page.index("<footer>") :].split())
    assert (
        "a row is their mean, and its interval is Student&#39;s t on the variances of seeds and of images.</p>"
        in footer
    )


def test_what_shows_one_seed_names_it(runs: list[Path], tmp_path: Path) -> None:
    change(runs[0], name="any")  # as one may be called that was the only one
    page = write_report(runs, tmp_path / "report.html").read_text("utf-8")
    named = re.findall(r'<h3 class="runname">[^\n]*</svg>\n? ?(.*?) <span', page)
    assert set(named) == {"any", "any, seed 0", "any-seed1", "any-seed2"}
    errors = page[page.index('<section id="errors">') :]
    assert errors.index("any, seed 0 <span") < errors.index("any-seed1 <span")


def test_seeds_of_one_name_in_different_folders_have_a_row_of_its_own_name(tmp_path: Path) -> None:
    folders = [seeded_run(tmp_path / f"{of}/seed{seed}/any", seed, 0.5) for of in "pq" for seed in (0, 1)]
    (row,) = pooled(read_runs(folders[:2]))
    assert (row.name, [run.name for run in row.pooled]) == ("any", ["seed0/any", "seed1/any"])
    rows = pooled(read_runs([*folders, seeded_run(tmp_path / "any", 0, 0.5, "wide6")]))
    assert len({row.name for row in rows}) == 3
    assert [row.name for row in rows][:2] == ["p/any", "q/any"]


def test_a_row_of_seeds_is_not_called_like_another_run(runs: list[Path], tmp_path: Path) -> None:
    rows = pooled(read_runs([*runs, seeded_run(tmp_path / "any", 0, 0.5, "wide6")]))
    assert [row.name for row in rows] == ["any-seed0", "any"]


def compare_with_specialists(run: Path, right: Any, recorded: bool = True) -> None:
    row = {
        **{"subset": "R", "specialist": "plain-R", "n": len(right), "accuracy_a": 0.5, "accuracy_b": right.mean()},
        **{"difference": 0.1, "difference_interval": [0.0, 0.2], "p": 0.04},
        **({"specialist_right": pack_bits(right)} if recorded else {}),
    }
    mean = {"accuracy": 0.5, "specialists": 0.4, "difference": 0.1, "difference_interval": [0.0, 0.2]}
    record = {"schema": 1, "kind": "specialists", "split": "test", "run": run.name, "differs": [], "rows": [row]}
    (run / "specialists").mkdir(exist_ok=True)
    told = record | {"mean": mean, "cost": {"run": {}, "specialists": {}}}
    (run / "specialists" / "test.json").write_text(json.dumps(told))


def test_specialists_of_seeds_are_pooled_too(runs: list[Path]) -> None:
    rights = np.random.default_rng(5).random((3, 400)) < 0.4
    for run, right in zip(runs, rights, strict=True):
        compare_with_specialists(run, right)
    mean, (low, high) = 100 * rights.mean(), paired_interval(rights)
    told = f" | {mean:.1f} ({100 * low:.1f}–{100 * high:.1f}) | "
    (line,) = [line for line in markdown_overview(runs).splitlines() if line.startswith("| specialists of any |")]
    assert told in line
    compare_with_specialists(runs[1], rights[1], recorded=False)  # as older records are
    (line,) = [line for line in markdown_overview(runs).splitlines() if line.startswith("| specialists of any |")]
    assert f" | {mean:.1f} | " in line
    (runs[1] / "specialists" / "test.json").unlink()
    some = f"| specialists of any (2 of 3 seeds) |  |  |  |  | {100 * rights[::2].mean():.1f} ("
    assert some in markdown_overview(runs)


@pytest.mark.parametrize(
    "keys",
    [
        {"seed": 0},
        {"status": "running"},
        {"config": {"model": "resnet18", "strategy": "sliced", "epochs": 5}},
        {"data": {"name": "animals", "fingerprints": {"train": "other"}}},
        {"data": {"name": "animals"}},
        {"adapted_from": {"name": "plain", "images": 10}},
    ],
)
def test_what_is_not_another_seed_of_the_same_stays_apart(runs: list[Path], keys: dict[str, Any]) -> None:
    change(runs[1], **keys)
    assert [len(row.pooled) for row in pooled([read_run(run) for run in runs])] == [2, 0]


def test_settings_newer_than_a_record_keep_no_seeds_apart(runs: list[Path]) -> None:
    config = {"model": "resnet18", "strategy": "completed", "epochs": 5}
    later = {"pretrained": False, "sampling_unit": "batch", "objective": {"name": "labels", "penalty": 0.0}}
    change(runs[1], config=config | later)
    assert [len(row.pooled) for row in pooled([read_run(run) for run in runs])] == [3]
    change(runs[1], config=config | {"pretrained": "net.pth"}, pretrained={"source": "net.pth"})
    assert [len(row.pooled) for row in pooled([read_run(run) for run in runs])] == [2, 0]


def test_seeds_taught_by_and_begun_from_seeds_of_one_network_are_pooled(runs: list[Path]) -> None:
    def rows(name: str, folders: list[str]) -> list[int]:
        for run, folder in zip(runs, folders, strict=True):
            objective = {"name": "sandwich", "teacher": folder} if name == "teacher" else {"name": "labels"}
            config = {"model": "resnet18", "strategy": "completed", "epochs": 5, "objective": objective}
            change(run, config=config | ({"initial": folder} if name == "initial" else {}))
        return [len(row.pooled) for row in pooled([read_run(run) for run in runs])]

    for name in ("teacher", "initial"):
        assert rows(name, ["runs/deep-seed0", "runs/deep-seed1", "runs/deep-seed2"]) == [3]
        assert rows(name, ["runs/deep"] * 3) == rows(name, ["runs/deep-seed0"] * 3) == [3]
        assert rows(name, ["runs/deep-seed0", "runs/wide6-32", "runs/deep-seed2"]) == [2, 0]


def test_what_is_kept_is_of_the_images_that_have_the_subsets_channels(runs: list[Path]) -> None:
    """On which a seed may be better than on all; one that has nothing right says nothing of that."""
    for run, (accuracy, kept) in zip(runs, ((0.4, 0.5), (0.6, 0.75), (0.0, 0.0)), strict=True):
        path = run / "evaluation" / "test.json"
        record = json.loads(path.read_text())
        record["results"][1] |= {"accuracy": accuracy, "retention": kept, "left_out": 30}
        path.write_text(json.dumps(record))
    (row,) = pooled([read_run(run) for run in runs])
    assert row.evaluations["test"].results[1].retention == pytest.approx((1.0 / 3) / 0.8)


def test_seeds_that_are_all_right_are_not_sure_to_be_so_again(runs: list[Path]) -> None:
    for run in runs:
        path = run / "evaluation" / "test.json"
        record = json.loads(path.read_text())
        record["results"][0] |= {"accuracy": 1.0, "right": pack_bits(np.ones(400, bool))}
        path.write_text(json.dumps(record))
    (row,) = pooled([read_run(run) for run in runs])
    assert row.evaluations["test"].results[0].interval == pytest.approx(wilson_interval(400, 400))


@pytest.mark.parametrize("what", ["images", "right", "questions"])
def test_other_images_or_questions_stay_apart(runs: list[Path], what: str) -> None:
    path = runs[1] / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    if what == "images":
        record["data"]["fingerprints"]["test"] = "others"
    elif what == "right":
        del record["results"][1]["right"]
    else:
        record["results"].pop()
    path.write_text(json.dumps(record))
    assert [len(row.pooled) for row in pooled([read_run(run) for run in runs])] == [2, 0]
