"""The evaluation table for people."""

from __future__ import annotations

from typing import Any

from anychan.evaluation import table


def row(subset: str, fill: str, accuracy: float, retention: float | None) -> dict[str, Any]:
    return {
        "subset": subset, "fill": fill, "n": 2500, "accuracy": accuracy,
        "accuracy_interval": [accuracy - 0.02, accuracy + 0.02], "top5": 0.9, "precision_macro": 0.51,
        "recall_macro": 0.52, "f1_macro": 0.53, "expected_calibration_error": 0.0404, "retention": retention,
        "inference_ms": 1.25,
    }  # fmt: skip


def test_what_is_left_out_is_told_and_that_retention_leaves_it_out_too() -> None:
    results = [row("RGB", "", 0.333, 1.0), row("R", "", 0.364, 1.333)]
    record = {"split": "test", "classes": ["a"] * 50, "results": results}
    assert "left out" not in table(record)
    results[1]["left_out"] = 1
    *_, last = table(record).splitlines()
    assert last.endswith("retention is over the accuracy of the same images on all channels")


def test_a_row_a_result_in_aligned_columns() -> None:
    results = [row("RGB", "", 0.44, 1.0), row("RG", "mean-of-present", 0.162, 0.162 / 0.44), row("R", "", 0.0, None)]
    lines = table({"split": "test", "classes": ["a"] * 50, "results": results}).splitlines()
    assert lines[0] == "test: 2500 images, 50 classes; rates in percent"
    assert " ".join(lines[4].split()) == "RGB - 44.0 42.0 to 46.0 90.0 51.0 52.0 53.0 4.0 100.0 1.250"
    assert " ".join(lines[5].split()) == "RG mean-of-present 16.2 14.2 to 18.2 90.0 51.0 52.0 53.0 4.0 36.8 1.250"
    assert lines[6].split()[-2] == "-"
    few = results[0] | {"top5": None, "inference_ms": None}
    last = table({"split": "test", "classes": ["a"] * 5, "results": [few]}).splitlines()[4]
    assert " ".join(last.split()) == "RGB - 44.0 42.0 to 46.0 - 51.0 52.0 53.0 4.0 100.0 -"
    ends = [lines[2].index(name) + len(name) for name in ("accuracy", "retention")]
    assert all(line[: ends[0]].endswith(share) for line, share in zip(lines[4:], ("44.0", "16.2", "0.0"), strict=True))
    assert all(line[: ends[1]].endswith(share) for line, share in zip(lines[4:], ("100.0", "36.8", "-"), strict=True))
