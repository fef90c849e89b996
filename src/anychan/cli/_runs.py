"""What is asked of runs: ``anychan evaluate | compare | report | profile``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anychan._files import read_text
from anychan.cli._common import MODEL, Command, Parser, add_json, open_model, print_record, refuse


def _evaluate_options(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument(
        "--channels",
        nargs="+",
        metavar="SET",
        help='"all" for every subset, "some" for a few of each size, or sets ("RGB RG", "B04,B08"); default: those '
        "that it has statistics for, else all, of more than 8 channels some; of a plain network without --fill its own",
    )
    parser.add_argument("--split", default="test", help="train, val, test or held-out; default: test")
    parser.add_argument(
        "--fill",
        nargs="+",
        metavar="NAME",
        help="also answer subsets with all planes, the missing ones filled in: "
        'zeros, zeros-rescaled, mean, mean-of-present, or "all" four',
    )
    parser.add_argument("--data", metavar="DATA", help="read the split from here; default: what the run was trained on")
    parser.add_argument("--bands", metavar="BANDS", help="what the planes of --data are: a sensor, names, a bands.yaml")
    parser.add_argument("--cache-dir", type=Path, metavar="FOLDER", help="where decoded images are kept")
    parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="images at once; default: 128")
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, mps, ...; default: cuda where it is there, else cpu"
    )
    parser.add_argument(
        "--no-cost",
        action="store_true",
        help="do not measure latency and memory; `anychan profile --record` can, later",
    )
    parser.add_argument("--flips", action="store_true", help="also answer from each image with its mirror image")
    parser.add_argument("--no-pictures", action="store_true", help="keep no thumbnails in the run folder")
    parser.add_argument("--replace", action="store_true", help="drop answers there of another model or other data")
    add_json(parser)


def _evaluate(options: Any) -> int:
    from anychan.evaluation import evaluate_run, table

    record = evaluate_run(
        options.run,
        options.channels,
        options.split,
        "all" if options.fill == ["all"] else options.fill,
        options.data,
        bands=options.bands,
        batch_size=options.batch_size,
        device=options.device,
        cache_dir=options.cache_dir,
        cost=not options.no_cost,
        flips=options.flips,
        pictures=not options.no_pictures,
        replace=options.replace,
        progress=sys.stderr.isatty(),
    )
    return print_record(record, table, options.json)


def _compare_options(parser: Parser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="evaluated run folders")
    parser.add_argument(
        "--specialists",
        action="store_true",
        help="the runs after the first are plain ones, each trained for one subset: pair the first with each on that",
    )
    parser.add_argument("--split", default="test", help="train, val, test or held-out; default: test")
    parser.add_argument("--channels", nargs="+", metavar="SET", help="channel sets; default: all that both have")
    add_json(parser)


def _compare(options: Any) -> int:
    from anychan.evaluation import compare_runs, compare_specialists, comparison_table, specialists_table

    if options.specialists:
        if options.channels:
            raise ValueError("--channels does not go with --specialists, which say what they see")
        run, *specialists = options.runs
        return print_record(compare_specialists(run, specialists, options.split), specialists_table, options.json)
    if len(options.runs) != 2:
        raise ValueError(f"{len(options.runs)} runs are given; two are compared, or one with its --specialists")
    a, b = options.runs
    return print_record(compare_runs(a, b, options.split, options.channels), comparison_table, options.json)


def _report_options(parser: Parser) -> None:
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        type=Path,
        help="run folders, folders of ablations or searches, and records of reproductions; "
        "another folder, such as a study's: all such in it",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("report.html"),
        help="the page; or Markdown where it ends in .md, with charts in NAME-figures beside it; default: report.html",
    )
    parser.add_argument("--title", default="", help="of the page; default: what the runs are")
    parser.add_argument(
        "--abstract",
        type=Path,
        metavar="FILE",
        help="a text that the page begins with: paragraphs, a blank line between; `code` and *words* as in Markdown",
    )
    parser.add_argument("--no-pictures", action="store_true", help="leave out the photographs")


def _report(options: Any) -> int:
    from anychan.report import write_report

    said = {"title": options.title, "abstract": read_text(options.abstract) if options.abstract else ""}
    print(write_report(options.runs, options.out, not options.no_pictures, _layers, **said))
    return 0


def _layers(record: Mapping[str, Any]) -> Sequence[Any]:
    """A network's layers; torch is imported where there is one to be drawn, and not before."""
    from anychan.cost import recorded_layers

    return recorded_layers(record)


def _profile_options(parser: Parser) -> None:
    parser.add_argument(
        "models", metavar="MODEL", nargs="+", help=f"a network's name, {MODEL}; with --record run folders, any number"
    )
    parser.add_argument("--channels", metavar="SET", help="the channels of the input; default: all")
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="default: the run's, else 224")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="the larger batch; default: 32")
    parser.add_argument("--num-classes", type=int, metavar="N", help="of a network by name; default: 1000")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda, ...; default: cpu")
    parser.add_argument(
        "--record",
        action="store_true",
        help="write the cost of runs evaluated with --no-cost into their evaluations, for each subset that they "
        "answered by themselves; model.safetensors may be missing, as cost does not depend on the weights",
    )
    parser.add_argument("--split", metavar="NAME", help="with --record: whose evaluation; default: test")
    parser.add_argument("--replace", action="store_true", help="with --record: measure again what has a cost")
    add_json(parser)


def _profile(options: Any) -> int:
    if options.record:
        return _record_costs(options)
    from anychan.cost import profile

    refuse(options, ("split", "replace"), "needs --record")
    if len(options.models) != 1:
        raise ValueError(f"{len(options.models)} models are given; one is profiled, or evaluated runs with --record")
    classes = 1000 if options.num_classes is None else options.num_classes
    if classes < 1:
        raise ValueError(f"--num-classes {classes} must be 1 or more")
    model, info = open_model(options.models[0], options.channels, classes)
    if info is not None:
        refuse(options, ("num_classes",), "goes with a network's name; a trained model has its classes")
    # A network by name is made for the channels asked for.
    channels, size = (None, 224) if info is None else (options.channels, info.image_size)
    size = size if options.image_size is None else options.image_size
    found = profile(model, model.resolve(channels), size, options.batch_size, device=options.device)
    return print_record(found.to_dict(), lambda _: found.table(), options.json)


def _record_costs(options: Any) -> int:
    from anychan.evaluation import costs_table, record_costs

    of_the_runs = ("channels", "image_size", "num_classes")
    refuse(options, of_the_runs, "does not go with --record, which measures runs as they were evaluated")
    found = record_costs(
        options.models,
        "test" if options.split is None else options.split,
        device=options.device,
        batch_size=options.batch_size,
        replace=options.replace,
        progress=sys.stderr.isatty(),
    )
    return print_record(found, costs_table, options.json)


EVALUATE = Command(
    "measure a run on every channel subset",
    """anychan evaluate runs/any --channels all --split test
anychan evaluate runs/plain --channels all --fill all
anychan evaluate runs/any --channels RG B04,B08 --json""",
    _evaluate_options,
    _evaluate,
)
COMPARE = Command(
    "pair two evaluated runs image by image",
    """anychan compare runs/plain runs/any --split test
anychan compare runs/any runs/plain-RGB runs/plain-RG runs/plain-R --specialists""",
    _compare_options,
    _compare,
)
REPORT = Command(
    "write one self-contained page about runs",
    """anychan report runs/plain runs/any --out report.html
anychan report runs/plain runs/any --out report.md
anychan report runs/* --title "Which bands do we need?" --abstract abstract.txt""",
    _report_options,
    _report,
)
PROFILE = Command(
    "count a model's parameters, MACs and depth; time it",
    """anychan profile resnet18 --channels RG --image-size 64
anychan profile runs/any --channels R --json
anychan profile runs/any runs/plain --record""",
    _profile_options,
    _profile,
)
