"""``anychan serve``: a page to try models on."""

from __future__ import annotations

from typing import Any

from anychan.cli._common import MODEL, Command, Parser


def _serve_options(parser: Parser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="*", help=f"{MODEL}; default: all packaged models")
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="0 takes a free one; default: 7860")
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, mps, ...; default: cuda where it is there, else cpu"
    )


def _serve(options: Any) -> int:
    from anychan.serve import serve

    if not 0 <= options.port <= 65535:
        raise ValueError(f"port {options.port} is not one of 0 to 65535")
    serve(options.models, options.port, device=options.device)
    return 0


SERVE = Command(
    "show a page to try models on, on this machine alone",
    """anychan serve
anychan serve runs/any runs/plain --port 8000""",
    _serve_options,
    _serve,
)
