"""Evaluations and comparisons as text for people; all rates in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anychan._columns import columns, points
from anychan.evaluation.paired import named

_INTERVAL, _TESTED = "95 % interval", ("p", "p, Holm", "verdict")
_LEFT_OUT = (
    "left out: images with none of the channels; retention is over the accuracy of the same images on all channels"
)
_CORRECTED = "one test a row, verdicts corrected by Holm"


def table(record: Mapping[str, Any]) -> str:
    """An evaluation record as a table: a row a subset and fill.

    Args:
        record: what ``evaluate_run`` returns and ``run/evaluation/<split>.json`` holds.

    Returns:
        Lines of equal columns: accuracy with its 95 % interval, top-5, macro precision, recall and F1, expected
        calibration error, retention, all in percent, and milliseconds an image; the accuracy with flips where it was
        asked for, and how many images were left out where some have none of a subset's channels.
    """
    names = [
        "channels", "fill", "accuracy", _INTERVAL, "top-5", "precision", "recall", "F1", "ECE", "retention",
        "ms/image",
    ]  # fmt: skip
    flipped = any("flips" in result for result in record["results"])
    left_out = any(result.get("left_out") for result in record["results"])  # older records do not say
    rows = [
        (
            result["subset"],
            result["fill"] or "-",
            _percent(result["accuracy"]),
            _span(result["accuracy_interval"]),
            *(_percent(result[name]) for name in ("top5", "precision_macro", "recall_macro", "f1_macro")),
            _percent(result["expected_calibration_error"]),
            _percent(result["retention"]),
            "-" if result["inference_ms"] is None else f"{result['inference_ms']:.3f}",
            *([_percent(result["flips"]["accuracy"]) if "flips" in result else "-"] if flipped else []),
            *([str(result.get("left_out", 0))] if left_out else []),
        )
        for result in record["results"]
    ]
    images = " or ".join(sorted({str(result["n"]) for result in record["results"]}))
    title = f"{record['split']}: {images} images, {len(record['classes'])} classes; rates in percent"
    names += ["with flips"] * flipped + ["left out"] * left_out
    below = f"\n\n{_LEFT_OUT}" if left_out else ""
    return f"{title}\n\n{_aligned(names, rows, left=2)}{below}"


def comparison_table(record: Mapping[str, Any]) -> str:
    """A comparison record (see ``compare_runs``) as a table: a row a subset and pair of fills.

    Returns:
        Both accuracies and their difference with its 95 % interval in percent, the images that only one of the two
        has right, the p value of the exact McNemar test, the same corrected by Holm's method for the number of tests,
        and the verdict.
    """
    names = ("channels", "fill a", "fill b", "n", "a", "b", "a - b", _INTERVAL, "only a", "only b", *_TESTED)
    rows = [
        (
            row["subset"],
            row["fill_a"] or "-",
            row["fill_b"] or "-",
            str(row["n"]),
            _percent(row["accuracy_a"]),
            _percent(row["accuracy_b"]),
            *_difference(row),
            str(row["only_a"]),
            str(row["only_b"]),
            *_tested(row, "a", "b"),
        )
        for row in record["comparisons"]
    ]
    title = f"{record['split']}: a = {record['a']}, b = {record['b']}; rates in percent, {_CORRECTED}"
    return f"{title}\n\n{_aligned(names, rows, left=3)}"


def pairs_table(pairs: Sequence[Mapping[str, Any]]) -> str:
    """Paired tests of several runs as a table: a row for each two of them and subset, without fills.

    Args:
        pairs: each with ``a``, ``b``, ``subset``, ``p_holm`` and what ``Paired.to_dict`` holds.
    """
    names = ("a", "b", "channels", "a - b", _INTERVAL, *_TESTED)
    rows = [(row["a"], row["b"], row["subset"], *_difference(row), *_tested(row, row["a"], row["b"])) for row in pairs]
    images = " or ".join(sorted({f"{row['n']:,}" for row in pairs}))
    title = f"Each two on the same {images} images; rates in percent, {_CORRECTED} for the subsets of the two"
    if len({(row["a"], row["b"]) for row in pairs}) > 1:
        title += ", not for the number of pairs"
    return f"{title}\n\n{_aligned(names, rows, left=3)}"


def specialists_table(record: Mapping[str, Any]) -> str:
    """A comparison with specialists as text: a row a subset, and their mean.

    Args:
        record: as ``compare_specialists`` gives it.
    """
    names = ("channels", "specialist", "n", "run", "specialist's", "difference", _INTERVAL, *_TESTED)
    rows = [
        (
            row["subset"],
            row["specialist"],
            str(row["n"]),
            _percent(row["accuracy_a"]),
            _percent(row["accuracy_b"]),
            *_difference(row),
            *_tested(row, "run", "specialist"),
        )
        for row in record["rows"]
    ]
    mean = record["mean"]
    shares = _percent(mean["accuracy"]), _percent(mean["specialists"])
    rows.append(("mean", "", "", *shares, *_difference(mean), "", "", ""))
    title = f"{record['split']}: {record['run']} against a specialist for each subset; rates in percent, {_CORRECTED}"
    return f"{title}\n\n{_aligned(names, rows, left=2)}"


def _difference(row: Mapping[str, Any]) -> tuple[str, str]:
    """A difference in percentage points, with its interval."""
    low, high = (points(bound, signed=False) for bound in row["difference_interval"])
    return points(row["difference"]), f"{low} to {high}"


def _tested(row: Mapping[str, Any], a: str, b: str) -> tuple[str, str, str]:
    """What stands under ``_TESTED``, with the names of those that were compared."""
    return _p(row["p"]), _p(row["p_holm"]), named(row["verdict"], a, b)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _span(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _aligned(names: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Names over rows: the first ``left`` columns and the verdict are words, the others numbers."""
    words = {*range(left), *(number for number, name in enumerate(names) if name == "verdict")}
    return "\n".join(columns([names, *rows], words, ruled=True))
