"""The command line: ``anychan train | evaluate | compare | report | profile | data | list | demo``.

Nothing heavy is imported before a command runs, so that every ``--help`` answers at once. What a command prints
for programs (``--json``) and for people goes to standard output, progress and errors to standard error. Exit
codes: 0 done; 1 done, with something found unfit or a run that stopped; 2 a user's error; 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anychan import __version__

Parser = argparse.ArgumentParser


@dataclass(frozen=True)
class Command:
    """A command: what it says of itself, its options, and what it does, returning the exit code."""

    summary: str
    examples: str
    options: Callable[[Parser], None]
    run: Callable[[Any], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the words after ``anychan``; None: those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        name, rest = _command_name(words)
        command = COMMANDS[name]
        parser = _train_parser() if name == "train" else _new_parser(Parser, name)
        command.options(parser)
        options = parser.parse_args(_underscored(rest) if name == "train" else rest)
        return command.run(parser.instantiate(options) if name == "train" else options)  # type: ignore[attr-defined]
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0) if not isinstance(stop.code, str) else 2
    except KeyboardInterrupt:
        print("anychan: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        if os.environ.get("ANYCHAN_TRACEBACK"):
            raise
        print(f"anychan: error: {_one_line(error)}", file=sys.stderr)
        return 2


def _command_name(words: list[str]) -> tuple[str, list[str]]:
    parser = Parser(
        prog="anychan",
        description="Image models that take any channels: train once, classify RGB, RG, R, or any bands.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<10} {command.summary}" for name, command in COMMANDS.items())
        + "\n\n`anychan COMMAND --help` gives a command's options and examples.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"anychan {__version__}")
    parser.add_argument("command", metavar="COMMAND", help="one of those below")
    if not words:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    name = parser.parse_args(words[:1]).command
    if name not in COMMANDS:
        parser.error(f"unknown command {name!r}; there are {', '.join(COMMANDS)}")
    return name, words[1:]


def _new_parser(kind: type[Parser], name: str) -> Parser:
    command = COMMANDS[name]
    return kind(
        prog=f"anychan {name}",
        description=command.summary[0].upper() + command.summary[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in command.examples.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


# --- train: its options are the fields of TrainConfig, read by jsonargparse from the command line and YAML ----------


def _train_parser() -> Parser:
    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class Formatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
        """jsonargparse's help, with the examples' line breaks kept."""

    class Hyphenated(ArgumentParser):
        """Options are shown with hyphens, where jsonargparse spells them as Python spells fields."""

        def format_help(self) -> str:
            return _hyphenated(super().format_help().replace(" \b", ""))  # jsonargparse's way to hide a space

        def error(self, message: str, ex: Exception | None = None) -> Any:
            self.exit(2, f"anychan: error: {_hyphenated(_one_line(message))}\n")

    parser = _new_parser(Hyphenated, "train")
    parser.usage = "anychan train --data DATA --out RUN [--config RECIPE.yaml] [options]"
    parser.formatter_class = Formatter
    return parser


def _train_options(parser: Any) -> None:
    from anychan.training.config import TrainConfig

    parser.add_argument("--config", action="config", help="a recipe: YAML of any of the options below")
    parser.add_class_arguments(TrainConfig)


def _train(options: Any) -> int:
    from anychan.training import TrainingStoppedError, train
    from anychan.training.config import TrainConfig

    settings = {key: value for key, value in vars(options).items() if key != "config"}
    try:
        run = train(TrainConfig(**settings))
    except TrainingStoppedError as stop:
        print(f"anychan: {_one_line(stop)}", file=sys.stderr)
        return 1
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        print(run)
    return 0


def _underscored(words: list[str]) -> list[str]:
    """``--early-stopping.patience=3`` as jsonargparse reads it, and ``--resume`` alone as ``--resume true``."""
    from anychan.training.config import TrainConfig

    flags = {f"--{field.name}" for field in dataclasses.fields(TrainConfig) if field.type in ("bool", bool)}
    read: list[str] = []
    for i, word in enumerate(words):
        if not word.startswith("--"):
            read.append(word)
            continue
        name, equals, value = word.partition("=")
        name = "--" + name[2:].replace("-", "_")
        alone = not equals and words[i + 1 : i + 2] not in (["true"], ["false"])
        read.append(f"{name}=true" if name in flags and alone else name + equals + value)
    return read


def _hyphenated(text: str) -> str:
    return re.sub(r"--[a-z][\w.]*|key \"[\w.]+\"", lambda option: option[0].replace("_", "-"), text)


# --- the other commands ---------------------------------------------------------------------------------------------


def _evaluate_options(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument(
        "--channels",
        nargs="+",
        default=["all"],
        metavar="SET",
        help='"all" for every subset, or channel sets ("RGB RG R", "B04,B08"); default: all',
    )
    parser.add_argument("--split", default="test", help="train, val or test; default: test")
    parser.add_argument(
        "--fill",
        nargs="+",
        metavar="NAME",
        help="also answer subsets with all planes, the missing ones filled in: "
        'zeros, zeros-rescaled, mean, mean-of-present, or "all" four',
    )
    parser.add_argument("--data", metavar="DATA", help="read the split from here; default: what the run was trained on")
    parser.add_argument("--cache-dir", type=Path, metavar="FOLDER", help="where decoded images are kept")
    parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="images at once; default: 128")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, ...; default: a GPU where there is one")
    parser.add_argument("--no-cost", action="store_true", help="do not measure latency and memory")
    parser.add_argument("--no-pictures", action="store_true", help="keep no thumbnails in the run folder")
    parser.add_argument("--replace", action="store_true", help="drop answers there of another model or other data")
    _add_json(parser)


def _evaluate(options: Any) -> int:
    from anychan.evaluation import FILLS, evaluate_run, table

    fills = list(FILLS) if options.fill == ["all"] else options.fill
    record = evaluate_run(
        options.run,
        "all" if options.channels == ["all"] else options.channels,
        options.split,
        fills,
        options.data,
        batch_size=options.batch_size,
        device=options.device,
        cache_dir=options.cache_dir,
        cost=not options.no_cost,
        pictures=not options.no_pictures,
        replace=options.replace,
        progress=sys.stderr.isatty(),
    )
    return _print(record, table, options.json)


def _compare_options(parser: Parser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs=2, type=Path, help="two evaluated run folders")
    parser.add_argument("--split", default="test", help="train, val or test; default: test")
    parser.add_argument("--channels", nargs="+", metavar="SET", help="channel sets; default: all that both have")
    _add_json(parser)


def _compare(options: Any) -> int:
    from anychan.evaluation import compare_runs, comparison_table

    a, b = options.runs
    return _print(compare_runs(a, b, options.split, options.channels), comparison_table, options.json)


def _report_options(parser: Parser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page; default: report.html")
    parser.add_argument("--no-pictures", action="store_true", help="leave out the photographs")


def _report(options: Any) -> int:
    from anychan.report import write_report

    print(write_report(options.runs, options.out, pictures=not options.no_pictures))
    return 0


def _profile_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a network's name, a run folder or a model file")
    parser.add_argument("--channels", metavar="SET", help="the channels of the input; default: all")
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="default: the run's, else 224")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="the larger batch; default: 32")
    parser.add_argument(
        "--num-classes", type=int, default=1000, metavar="N", help="of a network by name; default: 1000"
    )
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda, ...; default: cpu")
    _add_json(parser)


def _profile(options: Any) -> int:
    from anychan.cost import profile
    from anychan.models import create_model, load_model

    path = Path(options.model)
    if path.exists():
        model, info = load_model(path if path.is_dir() else path.parent)
        channels, size = options.channels, options.image_size or info.image_size
    else:  # a network by name is made for the channels asked for
        channels, size = None, options.image_size or 224
        model = create_model(options.model, options.channels or "RGB", options.num_classes).eval()
    found = profile(model, channels, size, options.batch_size, device=options.device)
    return _print(found.to_dict(), lambda _: found.table(), options.json)


def _data_options(parser: Parser) -> None:
    parser.add_argument("action", choices=["check"], help="check: decode every file and say what is wrong")
    parser.add_argument("data", metavar="DATA", help='a folder, a zip, or "synthetic"')
    _add_json(parser)


def _data(options: Any) -> int:
    from anychan.data import check_dataset

    found = check_dataset(options.data, progress=sys.stderr.isatty())
    _print(found.to_dict(), lambda _: found.table(), options.json)
    return 1 if found.unfit else 0


def _list_options(parser: Parser) -> None:
    parser.add_argument("what", choices=["models", "strategies", "fills"], help="what to list")
    parser.add_argument("--timm", action="store_true", help="with models: timm's as well")
    _add_json(parser)


def _list(options: Any) -> int:
    if options.what == "models":
        from anychan.models import list_models

        names = list_models(timm=options.timm)
    elif options.what == "strategies":
        from anychan.nn import list_strategies

        names = ["plain", *list_strategies()]
    else:
        from anychan.evaluation import FILLS

        names = list(FILLS)
    return _print(names, "\n".join, options.json)


def _demo_options(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to make; default: runs/demo")


def _demo(options: Any) -> int:
    from anychan.demo import demo

    print(demo(options.out))
    return 0


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _print(record: Any, table: Callable[[Any], str], as_json: bool) -> int:
    print(json.dumps(record, indent=1) if as_json else table(record))
    return 0


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


COMMANDS = {
    "train": Command(
        "train one network on labelled images",
        """anychan train --data photographs.zip --out runs/plain --epochs 10
anychan train --data photographs.zip --out runs/any --strategy completed --channel-sampling hierarchical
anychan train --config runs/any/config.yaml --out runs/again --seed 1 --optimizer.learning-rate 5e-4
anychan train --config runs/any/config.yaml --resume
torchrun --standalone --nproc-per-node 2 -m anychan train --data photographs.zip --out runs/two""",
        _train_options,
        _train,
    ),
    "evaluate": Command(
        "measure a run on every channel subset",
        """anychan evaluate runs/any --channels all --split test
anychan evaluate runs/plain --channels all --fill all
anychan evaluate runs/any --channels RG B04,B08 --json""",
        _evaluate_options,
        _evaluate,
    ),
    "compare": Command(
        "pair two evaluated runs image by image",
        "anychan compare runs/plain runs/any --split test",
        _compare_options,
        _compare,
    ),
    "report": Command(
        "write one self-contained page about runs",
        "anychan report runs/plain runs/any --out report.html",
        _report_options,
        _report,
    ),
    "profile": Command(
        "count a model's parameters, MACs and depth; time it",
        """anychan profile resnet18 --channels RG --image-size 64
anychan profile runs/any --channels R --json""",
        _profile_options,
        _profile,
    ),
    "data": Command(
        "check a data set before training on it",
        """anychan data check photographs.zip
anychan data check folder --json""",
        _data_options,
        _data,
    ),
    "list": Command(
        "list models, strategies, or answers to missing channels",
        """anychan list strategies
anychan list models --timm""",
        _list_options,
        _list,
    ),
    "demo": Command(
        "run the main job on built-in data and write a report",
        "anychan demo --out runs/demo",
        _demo_options,
        _demo,
    ),
}
