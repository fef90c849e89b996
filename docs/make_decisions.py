"""Write the tables of docs/guide/strategies.md: when to take which strategy, and what the records say it reaches.

The advice is written here; every number comes from docs/records, and what was not run is an empty cell.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from anychan.evaluation import wilson_interval
from anychan.nn import describe_strategies
from anychan.report._reading.runs import read_runs

PROJECT = Path(__file__).parents[1]
RECORDS = PROJECT / "docs" / "records"
BEGIN, END = "<!-- {}: made by `make docs` -->\n", "<!-- end -->"
SPLIT = "test"

# In the order in which one would try them.
WHEN = {
    "completed": "first, where channels tell much of each other (a camera's): what is missing is made up for, and "
    "a trained model takes subsets without training. Not where each carries something of its own (stains, thermal "
    "infrared)",
    "sliced": "the pixels' covariance is not to be had, or a learned baseline is wanted",
    "spectral": "the model is to meet bands it was not trained with, and every channel has a wavelength",
    "pooled": "planes have no names, or their number is open (z-slices, repeated exposures)",
    "tokens": "the body is timm's VisionTransformer, and which channel matters differs from place to place",
    "mixed": "images differ much in colour cast or illumination, and the model need not be folded",
    "attentive": "some channels are only good in places (clouds, glare), and the model need not be folded",
    "masked": "which channels are missing should change what the others do, and there are few of them",
    "by_count": "only how many channels are missing should change what the others do",
    "template": "there are many channels alike, and the stem's parameters are to be few",
    "generated": "channels share structure, and training is long; no channel is new at test time",
}
# What else one can do, and the record that says what it reaches.
WAYS = {
    "any": "train one network with `completed`, the default: the full set and two subsets a step, statistics kept",
    "strategy-completed": "the same with one random subset a batch, on labels alone: a third of the passes",
    "completed": "adapt a trained plain network, without any training: `anychan adapt`",
}
SAID = {"exact": "exact", "foldable": "folds", "unseen": "unseen bands", "unnamed": "unnamed planes"}
SPECIALISTS = "train a plain network for every subset"


def main(project: Path = PROJECT) -> None:
    page = project / "docs" / "guide" / "strategies.md"
    text = page.read_text(encoding="utf-8")
    for name, table in (("ways", ways_table()), ("strategies", strategies_table())):
        before, rest = text.split(BEGIN.format(name))
        text = before + BEGIN.format(name) + "\n" + table + "\n" + END + rest.split(END, 1)[1]
    page.write_text(text, encoding="utf-8")


def ways_table() -> str:
    """A row for each way to come by an answer for every subset."""
    rows = [[way, *_reached(RECORDS / run)] for run, way in WAYS.items() if (RECORDS / run).is_dir()]
    rows.append([SPECIALISTS, *_specialists()])
    runs = [RECORDS / run for run in WAYS if (RECORDS / run).is_dir()]
    return _caption(runs) + _table(["what one can do", *_HEADS], rows)


def strategies_table() -> str:
    """A row for each strategy: when to take it, some of its promises, and what its record says.

    Raises:
        ValueError: for a strategy without advice, or advice for one that is not there.
    """
    promises = {record["name"]: record for record in describe_strategies()}
    if promises.keys() != WHEN.keys():
        raise ValueError(
            f"advice for {', '.join(promises.keys() ^ WHEN.keys())} is missing, or for nothing that is there"
        )
    rows = [
        [
            f"[{name}](../theory/{name}.md)",
            when,
            ", ".join(said for promise, said in SAID.items() if promises[name][promise]),
            *_reached(RECORDS / f"strategy-{name}"),
        ]
        for name, when in WHEN.items()
    ]
    runs = [path for name in WHEN if (path := RECORDS / f"strategy-{name}").is_dir()]
    return _caption(runs) + _table(["strategy", "take it where", "promises", *_HEADS], rows)


_HEADS = ("RGB", "two channels", "one channel")


def _caption(runs: Sequence[Path]) -> str:
    """On how many images and with which seeds the runs were made: what stands behind a table's numbers."""
    records = read_runs(runs)
    counts = sorted({result.n for run in records if (found := run.on(SPLIT)) for result in found.results})
    seeds = sorted({run.seed for run in records if run.seed is not None})
    numbers = f"n = {' or '.join(f'{n:,}' for n in counts)} images", f"seed {', '.join(map(str, seeds))}"
    return f"Accuracy in percent with 95 %: {' of the test split, '.join(numbers)}, one run a row.\n\n"


def _reached(run: Path) -> list[str]:
    """Mean accuracy on the subsets of three channels, of two and of one; empty where the run is not there."""
    evaluation = read_runs([run])[0].on(SPLIT) if run.is_dir() else None
    if evaluation is None:
        return ["", "", ""]
    own = [(evaluation.size(result), result.accuracy, result.n) for result in evaluation.results if not result.fill]
    return _by_size(own)


def _specialists() -> list[str]:
    found = [found for found in read_runs([RECORDS / "any"])[0].specialists if found.split == SPLIT]
    return _by_size((len(row.subset), row.specialist, row.n) for one in found for row in one.rows)


def _by_size(answers: Iterable[tuple[int, float, int]]) -> list[str]:
    rows = list(answers)
    return [_cell([(accuracy, n) for size, accuracy, n in rows if size == wanted]) for wanted in (3, 2, 1)]


def _cell(answers: Sequence[tuple[float, int]]) -> str:
    """The mean over subsets, with an interval.

    Each image has a share of the subsets on which it is named right. That share lies in 0 to 1, so its variance is at
    most that of one answer right with the mean as its chance: Wilson's interval is wide enough, mostly too wide.
    """
    if not answers:
        return ""
    accuracy, n = sum(accuracy for accuracy, _ in answers) / len(answers), min(n for _, n in answers)
    low, high = wilson_interval(round(accuracy * n), n)
    return f"{100 * accuracy:.1f}<br>({100 * low:.1f}–{100 * high:.1f})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numeric = len(heads) - len(_HEADS)
    rule = ["---" if i < numeric else "---:" for i in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)) + "\n"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
