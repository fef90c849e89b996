"""The command line: ``anychan train``, ``evaluate``, ``report`` and the rest, listed at the end.

Nothing heavy is imported before a command runs, so that every ``--help`` answers at once. What a command prints
for programs (``--json``) and for people goes to standard output, progress and errors to standard error. Exit
codes: 0 done; 1 done, with something found unfit or a run that stopped; 2 a user's error; 130 interrupted; 141 whoever
read what is printed has gone, as ``head`` does.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from anychan import __version__
from anychan.cli._ablate import ABLATE
from anychan.cli._adapt import ADAPT
from anychan.cli._around import DATA, DEMO, LIST
from anychan.cli._common import Parser, one_line, parsed
from anychan.cli._export import EXPORT
from anychan.cli._predict import PREDICT
from anychan.cli._records import RECORDS
from anychan.cli._reproduce import REPRODUCE
from anychan.cli._runs import COMPARE, EVALUATE, PROFILE, REPORT
from anychan.cli._serve import SERVE
from anychan.cli._study import STUDY
from anychan.cli._sweep import SWEEP
from anychan.cli._train import TRAIN, parsed_train

_NOBODY_READS = 141  # what a shell gives for a program that SIGPIPE ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the words after ``anychan``; None: those of this process.
    """
    _print_any_text()
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:  # what was to be printed: nothing else that is written to a pipe comes this far
        _nobody_reads()
        return _NOBODY_READS
    return _NOBODY_READS if _nobody_reads() else code


def _run(words: list[str]) -> int:
    options = None
    try:
        name, rest = _command_name(words)
        command = COMMANDS[name]
        read = parsed_train if name in ("train", "sweep") else parsed
        options = read(name, command, rest)
        return command.run(options)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0) if not isinstance(stop.code, str) else 2
    except KeyboardInterrupt:
        print("anychan: interrupted", file=sys.stderr)
        return 130
    except (RuntimeError, MemoryError) as error:
        from anychan.training import InterruptedRunError

        if _is_out_of_memory(error) and not os.environ.get("ANYCHAN_TRACEBACK"):
            smaller = ": a smaller --batch-size may do" if hasattr(options, "batch_size") else ""
            print(f"anychan: error: out of memory{smaller}", file=sys.stderr)
            return 2
        if not isinstance(error, InterruptedRunError):
            raise
        print("anychan: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        return _told(error)


def _told(error: Exception) -> int:
    """The exit code of a user's error, which is printed."""
    if os.environ.get("ANYCHAN_TRACEBACK"):
        raise error
    print(f"anychan: error: {one_line(error)}", file=sys.stderr)
    return 2


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    # For memory other than an NVIDIA GPU's own PyTorch raises errors of no kind of their own.
    said = str(error).lower()
    of_words = any(words in said for words in ("out of memory", "can't allocate memory", "not enough memory"))
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or of_words


def _nobody_reads() -> bool:
    """Whether what is printed goes to a program that has ended, such as ``head``; the rest is thrown away then."""
    gone = False
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # so that Python finds nothing wrong at its end
            os.close(nowhere)
            gone = True
        except OSError:  # such as a full disk, which Python tells at its end
            continue
    return gone


def _print_any_text() -> None:
    """No name stops what is printed: programs and files get UTF-8, and what cannot be written at all is escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not os.environ.get("PYTHONIOENCODING"):
        sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="backslashreplace")


def _command_name(words: list[str]) -> tuple[str, list[str]]:
    parser = Parser(
        prog="anychan",
        description="Image models that take any channels: train once, classify RGB, RG, R, or any bands.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<10} {command.summary}" for name, command in COMMANDS.items())
        + "\n\nexit codes: 0 done; 1 done, but something is unfit, or a run stopped; 2 wrong input; 130 interrupted\n"
        + "`anychan COMMAND --help` gives a command's options and examples.",
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


COMMANDS = {
    "train": TRAIN,
    "sweep": SWEEP,
    "ablate": ABLATE,
    "study": STUDY,
    "reproduce": REPRODUCE,
    "adapt": ADAPT,
    "evaluate": EVALUATE,
    "compare": COMPARE,
    "report": REPORT,
    "records": RECORDS,
    "export": EXPORT,
    "profile": PROFILE,
    "predict": PREDICT,
    "serve": SERVE,
    "data": DATA,
    "list": LIST,
    "demo": DEMO,
}
