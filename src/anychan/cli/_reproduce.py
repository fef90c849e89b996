"""``anychan reproduce``: an experiment of a source document beside what it reported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from anychan.cli._common import Command, Parser, add_json, print_record

if TYPE_CHECKING:
    from anychan.experiments import Recipe


def _options(parser: Parser) -> None:
    from anychan.training.config import Device, Precision

    parser.add_argument("recipe", metavar="RECIPE", help="such as 000-A; `anychan list recipes` shows all")
    parser.add_argument("--data", required=True, metavar="DATA", help="a folder, a zip, or synthetic")
    parser.add_argument("--bands", metavar="BANDS", help="what the planes of the images are, as for `anychan train`")
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="FOLDER", help="where the runs go; default: runs"
    )
    parser.add_argument("--runs", nargs="+", metavar="RUN", help="only these of the recipe's")
    parser.add_argument(
        "--fair",
        action="store_true",
        help="train its systems alike instead, to compare them with one another: `anychan list recipes` says how",
    )
    parser.add_argument(
        "--pretrained",
        nargs="+",
        metavar="[RUN=]FILE",
        help="weights for the runs that start from pretrained ones, or for one of them; default: timm's download",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="in place of the recipe's")
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="in place of the recipe's")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random; default: 0")
    parser.add_argument("--cache-dir", metavar="FOLDER", help="where decoded images are kept")
    parser.add_argument("--device", choices=get_args(Device), help="default: an accelerator where there is one")
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        help="of training; default: bfloat16 where it is native, else float32",
    )
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        default=None,
        help="leave unreadable training images out and say how many, instead of stopping",
    )
    add_json(parser)


def _reproduce(options: Any) -> int:
    from anychan.experiments import Recipe, reproduce, reproduction_table
    from anychan.experiments.recipes import LEFT_OPEN

    changes = {name: value for name in LEFT_OPEN if (value := getattr(options, name)) is not None}
    recipe = Recipe.read(options.recipe)
    weights = _weights(recipe, options.pretrained or ())
    record = reproduce(recipe, options.out, changes, runs=options.runs, fair=options.fair, weights=weights)
    print_record(record, reproduction_table, options.json)
    return 1 if record["errors"] else 0


def _weights(recipe: Recipe, words: Sequence[str]) -> dict[str, str]:
    """By run, the file of its weights: one named with a run is its own, another is of all that none is named for.

    Raises:
        ValueError: for a file that would be of no run: a second one for the same, or of a recipe without such runs.
    """
    found: dict[str, str] = {}
    of_all: str | None = None
    for word in words:
        name, equals, file = word.partition("=")
        if equals and name in recipe.runs:
            if name in found:
                raise ValueError(f"run {name!r} has one file of weights, not {found[name]} and {file}")
            found[name] = file
        elif not recipe.from_pretrained:
            raise ValueError(f"recipe {recipe.name} has no run from pretrained weights, which {word} could be of")
        elif of_all is not None:
            raise ValueError(
                f"{of_all} and {word} would be of the same runs: say whose a file is, RUN=FILE, of "
                f"{', '.join(recipe.from_pretrained)}"
            )
        else:
            of_all = word
    if of_all is None:
        return found
    if not (rest := [name for name in recipe.from_pretrained if name not in found]):
        raise ValueError(f"{of_all} is of no run: each has a file of its own")
    return {**dict.fromkeys(rest, of_all), **found}


REPRODUCE = Command(
    "run an experiment of a source document and put it beside what was reported",
    """anychan reproduce 000-A --data images.zip
anychan reproduce 000-A --data images.zip --pretrained mobilenetv3_small_100.safetensors
anychan reproduce 004-B --data images.zip --runs resnet34 v2
anychan reproduce 001-A --data photographs.zip --fair --image-size 64
anychan reproduce 002-A --data photographs.zip --device cpu --precision float32 --skip-broken""",
    _options,
    _reproduce,
)
