"""One model beside its specialists: pairing, the mean's interval, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anychan.channels import ChannelSet
from anychan.evaluation import Predictions, compare_specialists, specialists_table
from anychan.evaluation.intervals import wilson_interval
from anychan.evaluation.predictions import pack_right, unpack_right
from anychan.report import markdown_tables, write_report

N = 300


def answers(subset: str, right: np.ndarray, order: np.ndarray) -> Predictions:
    """Answers with the images in some order: class 0 where right, else class 1."""
    top = np.stack([np.where(right, 0, 1), np.where(right, 1, 0)], axis=1)[order]
    paths = tuple(f"test/{i}.png" for i in order)
    n = len(order)
    return Predictions(subset, "", paths, np.zeros(n, np.int64), top, np.full((n, 2), 0.5, np.float32), 1.0)


def write_run(
    folder: Path, channels: str, given: list[Predictions], objective: str = "labels", data: str = "a"
) -> Path:
    known = ChannelSet.parse(channels)
    folder.mkdir()
    config = {"epochs": 10, "objective": {"name": objective, "subsets": 2}, "strategy": "plain", "seed": 0}
    record = {"schema": 1, "kind": "run", "name": folder.name, "status": "finished", "config": config}
    record |= {"epochs": 8, "seconds": 60.0, "data": {"name": data, "fingerprints": {"train": data}}}
    (folder / "run.json").write_text(json.dumps(record))
    rows = [
        {
            "subset": g.subset,
            "fill": "",
            "n": len(g.paths),
            "accuracy": float(g.correct.mean()),
            "accuracy_interval": [0.0, 1.0],
        }
        | {"cost": {"parameters": 100 + len(known)}, "calibration": [], "per_class": [], "confusion": []}
        | {"right": pack_right(g)}
        for g in given
    ]
    evaluation: dict[str, Any] = {"schema": 1, "kind": "evaluation", "split": "test", "classes": ["one", "two"]}
    evaluation |= {"model_sha256": folder.name}
    evaluation |= {"channels": known.to_dict(), "results": rows, "data": {"name": data, "fingerprints": {"test": data}}}
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "test.json").write_text(json.dumps(evaluation))
    return folder


def rewrite(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the record of a run's evaluation."""
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, list[Path], dict[str, tuple[np.ndarray, np.ndarray]]]:
    random = np.random.default_rng(0)
    right = {s: (random.random(N) < 0.6, random.random(N) < 0.5) for s in ("R", "RG")}
    straight, shuffled = np.arange(N), random.permutation(N)
    run = write_run(tmp_path / "any", "RGB", [answers(s, right[s][0], straight) for s in right], "sandwich")
    others = [
        write_run(tmp_path / "only-R", "R", [answers("R", right["R"][1], shuffled)]),
        write_run(tmp_path / "only-GR", "GR", [answers("GR", right["RG"][1], shuffled)]),
    ]
    return run, others, right


def test_each_subset_is_paired_with_its_specialist_and_the_mean_over_images(runs: Any) -> None:
    run, others, right = runs
    found = compare_specialists(run, others)
    assert json.loads((run / "specialists" / "test.json").read_text()) == found
    assert [(row["subset"], row["specialist"]) for row in found["rows"]] == [("RG", "only-GR"), ("R", "only-R")]
    for row in found["rows"]:
        mine, theirs = right[row["subset"]]
        assert (row["only_a"], row["only_b"]) == ((mine & ~theirs).sum(), (~mine & theirs).sum())
        by_path = np.argsort([f"test/{i}.png" for i in range(N)])
        np.testing.assert_array_equal(unpack_right(row["specialist_right"], N), theirs[by_path])
    each = np.mean([mine.astype(float) - theirs for mine, theirs in right.values()], axis=0)
    assert found["mean"]["difference"] == pytest.approx(each.mean())
    # The slow way: draw images again and again.
    random = np.random.default_rng(5)
    drawn = [each[random.integers(0, N, N)].mean() for _ in range(4000)]
    assert found["mean"]["difference_interval"] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.005)
    assert found["cost"] == {
        "run": {"parameters": 103, "passes": 24, "seconds": 60.0},  # 8 epochs of 3 passes
        "specialists": {"parameters": 101 + 102, "passes": 16, "seconds": 120.0},
    }
    assert found["differs"] == []
    assert [found["model_sha256"], *(row["model_sha256"] for row in found["rows"])] == ["any", "only-GR", "only-R"]
    text = specialists_table(found)
    assert "mean" in text.splitlines()[-1]
    assert f"{100 * each.mean():+.1f}" in text.splitlines()[-1]


def test_the_report_shows_it(runs: Any, tmp_path: Path) -> None:
    run, others, right = runs
    found = compare_specialists(run, others)
    overview = markdown_tables([run, others[0]])
    low, high = (100 * bound for bound in wilson_interval(int(right["RG"][1].sum()), N))
    assert f"| specialists of any | {100 * right['RG'][1].mean():.1f} ({low:.1f}–{high:.1f}) |" in overview
    words = f"{found['mean']['difference'] * 100:.1f}".replace("-", "−")
    text = markdown_tables([run])
    assert "a plain network trained for each subset alone" in text
    unknown = {"precision": None, "processor": None}
    assert found["trained"] == unknown
    assert [row["trained"] for row in found["rows"]] == [unknown, unknown]
    assert "what is kept for a subset. All were trained in a number format and on a processor not recorded." in text
    assert "All were trained with the same settings" in text
    assert "24 passes through the network in training for each image against 16" in text
    assert words in next(line for line in text.splitlines() if line.startswith("| mean"))
    assert "trained for each subset alone" in write_report([run], tmp_path / "page.html").read_text()


def test_what_was_held_against_a_specialist_that_is_another_now_is_left_out(runs: Any, tmp_path: Path) -> None:
    run, others, _ = runs
    found = compare_specialists(run, others)
    assert [row["specialist_from_run"] for row in found["rows"]] == ["../only-GR", "../only-R"]
    path = run / "specialists" / "test.json"
    older = json.loads(path.read_text())
    for row in older["rows"]:
        del row["specialist_from_run"]  # taken for runs beside it
    rewrite(others[0], lambda record: record.update(model_sha256="trained anew"))
    for record in (found, older):
        path.write_text(json.dumps(record))
        text = write_report([run, *others], tmp_path / "page.html").read_text("utf-8")
        assert "Compared before they were evaluated anew, and so left out: any and its specialists." in text
        assert "specialists of any" not in text
        assert "specialists of any" in markdown_tables([run, others[1]])  # which says nothing of the other


def test_number_formats_and_processors_of_training_are_recorded_and_told(runs: Any) -> None:
    run, others, _ = runs
    hardware = {"cpu": "A CPU", "gpu": "A GPU"}
    places = (("cpu", "float32"), ("cpu", "float32"), ("cuda:0", "bfloat16"))
    for path, (device, precision) in zip((run, *others), places, strict=True):
        record = json.loads((path / "run.json").read_text())
        record |= {"machine": {"device": device, "precision": precision}, "hardware": hardware}
        (path / "run.json").write_text(json.dumps(record))
    found = compare_specialists(run, others)
    assert found["trained"] == {"precision": "float32", "processor": "A CPU"}
    rg, r = (row["trained"] for row in found["rows"])
    assert r == {"precision": "float32", "processor": "A CPU"}
    assert rg == {"precision": "bfloat16", "processor": "A GPU"}
    assert found["differs"] == []
    told = "Trained in float32 on A CPU: any and the specialist for R; in bfloat16 on A GPU: the specialist for RG."
    assert told in markdown_tables([run])


def test_subsets_of_other_images_have_no_mean(runs: Any, tmp_path: Path) -> None:
    _, (_, of_both), right = runs
    some = np.arange(0, N, 3)  # the others have none of R
    given = [answers("RG", right["RG"][0], np.arange(N)), answers("R", right["R"][0], some)]
    run = write_run(tmp_path / "partial", "RGB", given, "sandwich")
    of_one = write_run(tmp_path / "only-R-of-some", "R", [answers("R", right["R"][1], some)])
    assert compare_specialists(run, [of_one])["rows"][0]["n"] == 100
    with pytest.raises(ValueError, match="are of 100 or 300 images, as some have none of a subset's channels"):
        compare_specialists(run, [of_both, of_one])


def test_subsets_of_as_many_images_that_may_be_others_have_no_mean(runs: Any) -> None:
    run, others, _ = runs
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    next(row for row in record["results"] if row["subset"] == "R")["left_out"] = 5
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="answers to R leave images out that have none of its channels"):
        compare_specialists(run, others)


def test_what_was_not_trained_alike_is_said(runs: Any, tmp_path: Path) -> None:
    run, others, _ = runs
    for other, changes in zip(others, ({"epochs": 5}, {"strategy": "sliced"}), strict=True):
        record = json.loads((other / "run.json").read_text())
        record["config"] |= changes
        record["data"]["fingerprints"]["train"] = "b"
        (other / "run.json").write_text(json.dumps(record))
    assert compare_specialists(run, others)["differs"] == ["data", "epochs", "strategy"]
    assert "They were not trained alike: they differ in data, epochs and strategy." in markdown_tables([run])


def test_a_setting_that_came_later_is_no_difference(runs: Any) -> None:
    run, others, _ = runs
    record = json.loads((run / "run.json").read_text())
    for changed, differs in (
        ({"sampling_unit": "batch"}, []),
        ({"sampling_unit": "image"}, ["sampling_unit"]),
        ({"bands": "bands.yaml", "skip_broken": True}, ["bands", "skip_broken"]),
        ({"bands": None, "skip_broken": False}, []),
        ({"normalisation": {"statistics": "kept"}}, []),  # specialists have no subsets to keep statistics for
        ({"normalisation": {"kind": "group", "statistics": "shared"}}, ["normalisation.kind"]),
    ):
        (run / "run.json").write_text(json.dumps({**record, "config": record["config"] | changed}))
        assert compare_specialists(run, others)["differs"] == differs


def test_what_cannot_be_compared_is_refused(runs: Any, tmp_path: Path) -> None:
    run, others, right = runs
    with pytest.raises(ValueError, match="no specialist is given"):
        compare_specialists(run, [])
    with pytest.raises(ValueError, match="only-R is a second specialist for R"):
        compare_specialists(run, [others[0], others[0]])
    straight = np.arange(N)
    other = write_run(tmp_path / "only-B", "B", [answers("B", right["R"][1], straight)])
    with pytest.raises(ValueError, match=r"any was not evaluated on B: .* --split test"):
        compare_specialists(run, [other])
    unknown = write_run(tmp_path / "only-X", "X", [answers("X", right["R"][1], straight)])
    with pytest.raises(ValueError, match=r"sees channel 'X', which .* does not know"):
        compare_specialists(run, [unknown])
    elsewhere = write_run(tmp_path / "other-R", "R", [answers("R", right["R"][1], straight)], data="b")
    with pytest.raises(ValueError, match="evaluated on different data"):
        compare_specialists(run, [elsewhere])
    for path, decoding in ((run, ""), (others[0], "of a bands.yaml")):
        rewrite(path, lambda record, decoding=decoding: record["data"].update(decoding=decoding))
    with pytest.raises(ValueError, match="read otherwise"):
        compare_specialists(run, others)


def test_right_answers_are_packed_in_the_order_of_paths() -> None:
    random = np.random.default_rng(1)
    right, order = random.random(N) < 0.5, random.permutation(N)
    given = answers("R", right, order)
    by_path = [right[i] for i in sorted(range(N), key=lambda i: f"test/{i}.png")]
    assert unpack_right(pack_right(given), N).tolist() == by_path
    with pytest.raises(ValueError, match="take 1 bytes, not 38"):
        unpack_right(pack_right(given), 7)


def test_a_record_without_answers_is_to_be_made_again(runs: Any) -> None:
    run, others, _ = runs
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    for row in record["results"]:
        del row["right"]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="anychan evaluate"):
        compare_specialists(run, others)
