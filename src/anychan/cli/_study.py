"""``anychan study``: runs that belong together, with their searches, several at once."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from anychan.cli._common import Command, Parser


def _options(parser: Parser) -> None:
    parser.add_argument("study", metavar="STUDY.yaml", type=Path, help="runs, searches, settings that all share")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the runs go")
    parser.add_argument("--data", metavar="DATA", help="in place of the file's")
    parser.add_argument("--bands", metavar="BANDS", help="what the planes of the images are, in place of the file's")
    parser.add_argument(
        "--seeds", type=int, nargs="+", metavar="N", help="of runs that name none, in place of the file's"
    )
    parser.add_argument("--cache-dir", metavar="FOLDER", help="where decoded images are kept")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="how many at once (default: 1)")
    parser.add_argument("--minutes", type=float, metavar="M", help="stop at a checkpoint when so many have passed")


def _study(options: Any) -> int:
    from anychan.experiments import Study, conduct

    if options.minutes is not None and not 0 < options.minutes < math.inf:
        raise ValueError(f"--minutes {options.minutes:g} must be more than 0, and finite")
    given = {"data": options.data, "bands": options.bands, "cache_dir": options.cache_dir, "seeds": options.seeds}
    study = Study.read(options.study, **{name: value for name, value in given.items() if value is not None})
    seconds = None if options.minutes is None else 60 * options.minutes
    ended = conduct(study, options.out, options.workers, seconds=seconds, tell=_tell)
    failed = [name for name, said in ended.items() if said]
    print(f"{len(ended) - len(failed)} of {len(ended)} done" + (f"; not {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _tell(name: str, seconds: float, failed: str | None) -> None:
    print(f"{name}: {failed or 'done'}{f' ({seconds:.0f} s)' if seconds else ''}", file=sys.stderr, flush=True)


STUDY = Command(
    "search, train and evaluate runs that belong together, several at once",
    """anychan study networks.yaml --out runs --data photographs.zip --workers 8 --seeds 0 1 2
cat networks.yaml
  settings: {epochs: 30, batch_size: 128}
  searches:
    rates: {settings: {model: wide6, epochs: 8, held_out: 2400}, trials: 10,
            space: {optimizer.learning_rate: {low: 1.0e-3, high: 6.0e-3, log: true}}}
  runs:
    resnet34: {settings: {model: resnet34}}
    wide6: {settings: {model: wide6}, tuned_by: [rates]}
    wide4: {settings: {model: wide4}, tuned_by: [rates], taught_by: resnet34}""",
    _options,
    _study,
)
