"""``anychan adapt``: an any-channel run out of a trained one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from anychan.cli._common import MODEL, Command, Parser


def _adapt_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help=f"{MODEL}; run.json beside it says what it was trained on")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run folder to make")
    parser.add_argument("--strategy", metavar="NAME", help="of the stem that a plain model gets; default: completed")
    parser.add_argument(
        "--subsets",
        nargs="+",
        metavar="SET",
        help='recompute batch statistics for these, "some" for a few of each size; default: all, of up to 6 channels',
    )
    parser.add_argument("--data", metavar="DATA", help="where the training images are; default: where the run had them")
    parser.add_argument("--bands", metavar="BANDS", help="what the planes of --data are: a sensor, names, a bands.yaml")
    parser.add_argument("--images", type=int, metavar="N", help="how many to look at; default: 2560")
    parser.add_argument("--seed", type=int, metavar="N", help="which images; default: 0")
    parser.add_argument("--cache-dir", type=Path, metavar="FOLDER", help="where decoded images are kept")


def _adapt(options: Any) -> int:
    from anychan.models import find_model
    from anychan.training import adapt_run

    run = adapt_run(
        find_model(options.model),
        options.out,
        options.strategy,
        options.subsets,
        options.data,
        bands=options.bands,
        images=options.images,
        seed=options.seed,
        cache_dir=options.cache_dir,
        progress=sys.stderr.isatty(),
    )
    print(run)
    return 0


ADAPT = Command(
    "make a trained model take any channels, without training",
    """anychan adapt runs/plain --out runs/completed
anychan adapt runs/any --out runs/recalibrated --subsets RGB RG --images 5000""",
    _adapt_options,
    _adapt,
)
