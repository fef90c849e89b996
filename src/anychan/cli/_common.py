"""What the commands share: how each says what it is, and how its answer is printed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anychan.adaptation import AnyChannelModel
    from anychan.models import ModelInfo

Parser = argparse.ArgumentParser


@dataclass(frozen=True)
class Command:
    """A command: what it says of itself, its options, what it does, returning the exit code, and what else to know."""

    summary: str
    examples: str
    options: Callable[[Parser], None]
    run: Callable[[Any], int]
    notes: str = ""


def new_parser(kind: type[Parser], name: str, command: Command) -> Parser:
    """A command's parser without its options; ``kind`` is argparse's or jsonargparse's class."""
    examples = "examples:\n" + "\n".join(f"  {line}" for line in command.examples.splitlines())
    return kind(
        prog=f"anychan {name}",
        description=command.summary[0].upper() + command.summary[1:] + ".",
        epilog=f"{examples}\n\n{command.notes}" if command.notes else examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parsed(name: str, command: Command, words: list[str]) -> Any:
    """The options that ``words`` give; argparse ends the program where they are wrong."""
    parser = new_parser(Parser, name, command)
    command.options(parser)
    return parser.parse_args(words)


def add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def print_record(record: Any, table: Callable[[Any], str], as_json: bool) -> int:
    print(json.dumps(record, indent=1) if as_json else table(record))
    return 0


def refuse(options: Any, names: Sequence[str], why: str) -> None:
    """Refuse the first of these options that is given."""
    for name in names:
        given = getattr(options, name)
        if given is not None and given is not False:
            raise ValueError(f"--{name.replace('_', '-')} {why}")


def one_line(error: object) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:  # the system's own: file first, and no number
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


MODEL = "a run folder, a model file, or a packaged model's name"  # what a command takes that needs a trained model


def open_model(model: str, channels: str | None, num_classes: int) -> tuple[AnyChannelModel, ModelInfo | None]:
    """The model that MODEL names, for a command that also takes a network's name.

    Args:
        model: a network's name, or what `anychan.models.find_model` takes, which comes first.
        channels, num_classes: those of a network that is named; it has random weights then.

    Returns:
        The model in evaluation mode, and its description; None for a network.

    Raises:
        FileNotFoundError: for a folder or file without a model.
        ValueError: if there is nothing of that name, or the model's files are damaged.
    """
    from anychan._plugins import load_plugins
    from anychan.models import create_model, is_network, load_model
    from anychan.packaged import list_packaged

    if Path(model).exists() or model in list_packaged():
        return load_model(model)
    if is_network(model):
        return create_model(model, channels or "RGB", num_classes).eval(), None
    packaged = ", ".join(list_packaged()) or "none yet"
    there = (
        f"unknown model {model!r}: there is no run folder or model file of that name, "
        f"packaged models are {packaged}, and networks those of `anychan list models --timm`"
    )
    raise ValueError("; ".join([there, *load_plugins()]))
