"""``anychan export``: a model as one file that runs without anychan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from anychan.cli._common import Command, Parser, add_json, print_record, refuse


def _export_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="a run folder, a model file or a packaged model")
    parser.add_argument(
        "--format", choices=["onnx", "torch"], default="onnx", help="ONNX, or torch.export's .pt2; default: onnx"
    )
    parser.add_argument(
        "--channels", metavar="SET", help="an ordinary network for these; default: all subsets in one graph"
    )
    parser.add_argument(
        "--subsets", nargs="+", metavar="SET", help="those that the graph takes; default: those with statistics, or all"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: named after the model, in this folder")
    parser.add_argument("--fixed-size", action="store_true", help="take images of the model's own size only")
    parser.add_argument("--quantize", choices=["int8"], help="keep weights in 8 bits (ONNX)")
    parser.add_argument("--data", metavar="DATA", help="measure what int8 costs in accuracy on these images")
    parser.add_argument("--bands", metavar="BANDS", help="what the planes of --data are: a sensor, names, a bands.yaml")
    parser.add_argument("--split", help="of the data: train, val or test; default: test")
    parser.add_argument("--cache-dir", type=Path, metavar="FOLDER", help="where decoded images are kept")
    parser.add_argument("--replace", action="store_true", help="write over a file that is there")
    add_json(parser)


def _export(options: Any) -> int:
    from anychan.exporting import CheckFailedError, export

    if options.data is None:
        refuse(options, ("bands", "split", "cache_dir"), "needs --data")
    try:
        made = export(
            options.model,
            options.out or _default_path(options),
            options.channels,
            options.format,
            subsets=options.subsets,
            any_size=not options.fixed_size,
            quantize=options.quantize,
            data=options.data,
            bands=options.bands,
            split="test" if options.split is None else options.split,
            cache_dir=options.cache_dir,
            replace=options.replace,
        )
    except CheckFailedError as error:
        print(f"anychan: not exported: {error}", file=sys.stderr)
        return 1
    return print_record(made.to_dict(), lambda _: made.table(), options.json)


def _default_path(options: Any) -> Path:
    """``any-RG-int8.onnx`` for the run ``runs/any``."""
    folder = options.model.parent if options.model.is_file() else options.model
    parts = [folder.resolve().name, (options.channels or "").replace(",", "-"), options.quantize or ""]
    suffix = ".onnx" if options.format == "onnx" else ".pt2"
    return Path("-".join(filter(None, parts)) + suffix)


EXPORT = Command(
    "write a model as one file that runs without anychan",
    """anychan export runs/any --format onnx --out any.onnx
anychan export runs/any --channels RG --format torch
anychan export runs/any --subsets RGB RG R
anychan export runs/any --quantize int8 --data photographs.zip""",
    _export_options,
    _export,
)
