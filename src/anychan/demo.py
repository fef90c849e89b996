"""The main job on built-in data: train, evaluate on every channel subset, compare, report. Some two minutes.

A plain network and an any-channel one, alike in all else, learn eight classes of shapes and materials seen in four
bands. Then both meet images that lack bands: the plain one with the missing planes filled in by the four naive
answers, the any-channel one as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

COMMON = {
    "data": "synthetic:bands=4,classes=8,train=3000,val=400,test=1000,size=32",
    "model": "wide4",
    "model_options": {"width": 48},
    "image_size": 32,
    "epochs": 16,
}
RUNS = {
    "any-channel": {"strategy": "completed"},
    "plain": {},
}


def demo(out: Path) -> Path:
    """Run the main job and return the path of its report.

    Args:
        out: folder for the runs and the report; what an earlier, interrupted demo finished there is kept.

    Raises:
        ValueError: if the folder holds runs of other settings.
    """
    from anychan.cost import recorded_layers
    from anychan.evaluation import compare_runs, evaluate_run, table
    from anychan.report import write_report
    from anychan.training import TrainConfig, train

    runs = []
    for name, settings in RUNS.items():
        _say(f"train {name} on {COMMON['data']}")
        runs.append(train(TrainConfig(out=out / name, resume=True, **{**COMMON, **settings})))  # type: ignore[arg-type] # by name
        _say(f"evaluate {name} on all 15 subsets of its four bands")
        record = evaluate_run(runs[-1], "all", "test", "all" if name == "plain" else None)
        print(table(record), end="\n\n")
    any_channel, plain = runs
    compare_runs(any_channel, plain, "test")
    _say("write the report")
    return write_report(runs, out / "report.html", layers=recorded_layers)


def _say(what: str) -> None:
    print(f"anychan demo: {what}", file=sys.stderr)
