"""What the commands share: how each says what it is, and how its answer is printed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Parser = argparse.ArgumentParser


@dataclass(frozen=True)
class Command:
    """A command: what it says of itself, its options, and what it does, returning the exit code."""

    summary: str
    examples: str
    options: Callable[[Parser], None]
    run: Callable[[Any], int]


def new_parser(kind: type[Parser], name: str, command: Command) -> Parser:
    """A command's parser without its options; ``kind`` is argparse's or jsonargparse's class."""
    return kind(
        prog=f"anychan {name}",
        description=command.summary[0].upper() + command.summary[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in command.examples.splitlines()),
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


def one_line(error: object) -> str:
    return " ".join(str(error).split())
