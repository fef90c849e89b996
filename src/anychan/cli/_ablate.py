"""``anychan ablate``: a recipe and changes to it, a run each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anychan.cli._common import Command, Parser, add_json, print_record


def _options(parser: Parser) -> None:
    parser.add_argument(
        "ablation", metavar="ABLATION.yaml", type=Path, help="base or a recipe's run, and changes or grid"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the runs go")
    parser.add_argument("--data", metavar="DATA", help="in place of the base's")
    parser.add_argument("--bands", metavar="BANDS", help="what the planes of the images are, in place of the base's")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="in place of the file's")
    parser.add_argument("--cache-dir", metavar="FOLDER", help="where decoded images are kept")
    parser.add_argument(
        "--executor",
        choices=["sequential", "processes", "ray"],
        default="sequential",
        help="sequential: one run after another; processes: several at once on this machine, for which small networks "
        "leave a GPU room; ray: at once, on as many machines as Ray has (extra ray)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="how many processes (default: 2)")
    add_json(parser)


def _ablate(options: Any) -> int:
    from anychan.experiments import Ablation, ablate, ablation_table

    given = {"data": options.data, "bands": options.bands, "cache_dir": options.cache_dir, "seeds": options.seeds}
    settings = {name: value for name, value in given.items() if value is not None}
    record = ablate(Ablation.read(options.ablation, **settings), options.out, options.executor, options.workers)
    print_record(record, ablation_table, options.json)
    return 1 if any(row["errors"] for row in record["rows"]) else 0


ABLATE = Command(
    "train a recipe and changes to it, and compare them image by image",
    """anychan ablate branches.yaml --out runs/branches --data photographs.zip --seeds 0 1 2
cat branches.yaml
  title: What do the branches give?
  base: {model: wide6, model_options: {branches: [1]}}
  changes:
    no branches: {model_options.branches: []}
    narrow: {model_options.width: 32}
cat of-000.yaml
  title: What do statistics for each subset give [000]'s stem?
  recipe: 000-A
  run: sliced
  base: {epochs: 5}
  changes:
    own statistics: {normalisation.statistics: kept}""",
    _options,
    _ablate,
)
