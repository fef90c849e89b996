"""What goes on around runs: ``anychan data | list | demo``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anychan._plain import PLAIN
from anychan._plugins import load_plugins
from anychan.cli._common import Command, Parser, add_json, print_record, refuse


def _data_options(parser: Parser) -> None:
    parser.add_argument("action", choices=["check"], help="check: decode every file and say what is wrong")
    parser.add_argument("data", metavar="DATA", help='a folder, a zip, or "synthetic"')
    parser.add_argument("--bands", metavar="BANDS", help="what the images' planes are: a sensor, names, a bands.yaml")
    add_json(parser)


def _data(options: Any) -> int:
    from anychan.data import check_dataset

    found = check_dataset(options.data, options.bands, progress=sys.stderr.isatty())
    print_record(found.to_dict(), lambda _: found.table(), options.json)
    return 1 if found.unfit else 0


def _list_options(parser: Parser) -> None:
    parser.add_argument("what", choices=["models", "packaged", "strategies", "fills", "recipes"], help="what to list")
    parser.add_argument("--timm", action="store_true", help="with models: timm's as well")
    add_json(parser)


def _list(options: Any) -> int:
    if options.what != "models":
        refuse(options, ("timm",), f"goes with models, not {options.what}")
    if options.what in ("models", "strategies"):
        for broken in load_plugins():
            print(f"anychan: warning: {broken}", file=sys.stderr)
    if options.what == "strategies":
        return print_record(_strategies(), _strategy_table, options.json)
    if options.what == "packaged":
        return print_record(_packaged(), _packaged_table, options.json)
    if options.what == "recipes":
        from anychan.experiments import list_recipes_with_results, recipes_table

        return print_record(list_recipes_with_results(), lambda _: recipes_table(), options.json)
    if options.what == "fills":
        from anychan.evaluation.fills import describe_fills

        fills = describe_fills()
        lines = "\n".join(f"{name:<17}{what}" for name, what in fills.items())
        return print_record(list(fills), lambda _: lines, options.json)
    from anychan.models import list_models

    return print_record(list_models(timm=options.timm), "\n".join, options.json)


def _packaged() -> list[dict[str, Any]]:
    """What model.json says of each trained model that comes with the package."""
    import json

    from anychan.channels import ChannelSet
    from anychan.packaged import list_packaged, packaged_folder

    records = []
    for name in list_packaged():
        folder = packaged_folder(name)
        said = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        kept = {key: said[key] for key in ("architecture", "strategy")}
        channels = str(ChannelSet.from_dict(said))
        size = sum(path.stat().st_size for path in folder.iterdir())
        shape = {"channels": channels, "classes": said["num_classes"], "image_size": said["image_size"], "bytes": size}
        records.append({"name": name, **kept, **shape})
    return records


def _packaged_table(records: Sequence[Mapping[str, Any]]) -> str:
    lines = (
        f"{found['name']}  {found['architecture']}, {found['strategy']}; {found['classes']} classes from "
        f"{found['channels']}, {found['image_size']} pixels; {found['bytes'] / 1e6:.1f} MB"
        for found in records
    )
    return "\n".join(lines) or "no trained model comes with this version"


# What a strategy promises, as the table has it: see `anychan.nn.Promises`.
PROMISES = {
    "subsets": "takes every subset of its channels, by name",
    "any_order": "planes in another order, named in that order, give the same",
    "exact": "on all channels it is the ordinary convolution whose kernel it was given",
    "foldable": "for a fixed channel set it is an ordinary convolution, so it costs nothing more",
    "unseen": "takes channels it was not made with, by their wavelengths",
    "unnamed": "takes any number of planes, whatever they are called",
    "tells_zeros": "a plane of zeros is not an absent plane",
    "merges": "channels become one map; otherwise each keeps its own, for a body that takes any number of tokens",
}


def _strategies() -> list[dict[str, Any]]:
    from anychan.nn import describe_strategies

    kept = ("any_order", "exact", "foldable", "tells_zeros", "merges")
    plain = {
        "name": PLAIN,
        "summary": "an ordinary convolution, which takes all its channels and no subset of them",
        **{promise: promise in kept for promise in PROMISES},
    }
    return [plain, *describe_strategies()]


def _strategy_table(records: Sequence[Mapping[str, Any]]) -> str:
    """A row of marks for each strategy, what each is, and what the columns mean."""
    heads = [promise.replace("_", " ") for promise in PROMISES]
    width = 2 + max(len(record["name"]) for record in records)
    rows = ["".ljust(width) + "  ".join(heads)]
    for record in records:
        marks = ["yes" if record[promise] else "-" for promise in PROMISES]
        cells = (mark.ljust(len(head)) for mark, head in zip(marks, heads, strict=True))
        rows.append((record["name"].ljust(width) + "  ".join(cells)).rstrip())
    rows += ["", *(f"{record['name']:<{width}}{record['summary']}" for record in records)]
    rows += ["", *(f"{head:<13}{meaning}" for head, meaning in zip(heads, PROMISES.values(), strict=True))]
    return "\n".join(rows)


def _demo_options(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to make; default: runs/demo")


def _demo(options: Any) -> int:
    from anychan.demo import demo

    print(demo(options.out))
    return 0


DATA = Command(
    "check a data set before training on it",
    """anychan data check photographs.zip
anychan data check folder --json""",
    _data_options,
    _data,
)
LIST = Command(
    "list networks, packaged models, strategies, fills for missing channels, or recipes of the sources' experiments",
    """anychan list packaged
anychan list recipes
anychan list strategies
anychan list strategies --json
anychan list models --timm""",
    _list_options,
    _list,
)
DEMO = Command(
    "run the main job on built-in data and write a report",
    "anychan demo --out runs/demo",
    _demo_options,
    _demo,
)
