"""What the benchmarks share: interleaved repetitions, ratios of a repetition's figures, and the record of a run.

A figure of one moment says little on a machine that does other things too. So all candidates are measured in turn
within a repetition, a ratio is that of two figures of the same repetition, and what is said is the median of the
ratios with their range.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anychan.environment import environment

RESULTS = Path(__file__).parent / "results"


def interleaved(candidates: Mapping[str, Callable[[], float]], repeats: int, unit: str) -> dict[str, list[float]]:
    """A figure of each candidate in each repetition; progress goes to standard error."""
    figures: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(repeats):
        for name, measure in candidates.items():
            figures[name].append(measure())
            print(f"{repeat + 1}/{repeats} {name}: {figures[name][-1]:.4g} {unit}", file=sys.stderr)
    return figures


def spread(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Our figures over theirs: median, smallest and largest ratio over the repetitions."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def finish(
    options: argparse.Namespace,
    name: str,
    unit: str,
    figures: dict[str, list[float]],
    pairs: Mapping[str, tuple[str, str]],
) -> None:
    """Print the ratios, and write benchmarks/results/<name>.json where ``--save`` asks for it.

    Args:
        options: the script's; all but ``save`` are noted, of ``data`` the file's name.
        name: of the benchmark.
        unit: of the figures, in words that a key can have ("images_per_second").
        figures: of each candidate, one a repetition.
        pairs: of each ratio its key in the record, and the two candidates it is of, ours first.
    """
    ratios = {title: spread(figures[ours], figures[theirs]) for title, (ours, theirs) in pairs.items()}
    for (ours, theirs), ratio in zip(pairs.values(), ratios.values(), strict=True):
        print(f"{ours} / {theirs}: {ratio['median']:.3f} ({ratio['min']:.3f} to {ratio['max']:.3f})")
    if not options.save:
        return
    settings = {key: value for key, value in vars(options).items() if key != "save"}
    if settings.get("data") is not None:
        settings["data"] = Path(settings["data"]).name
    record: dict[str, Any] = {
        "schema": 1,
        "kind": "benchmark",
        "name": name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings,
        unit: figures,
        "ratios": ratios,
        **environment(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


def new_parser(description: str | None, name: str, *, image_size: int, batch_size: int, repeats: int) -> Any:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--image-size", type=int, default=image_size)
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--save", action="store_true", help=f"write benchmarks/results/{name}.json")
    return parser
