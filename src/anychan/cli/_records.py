"""``anychan records``: are records what their schema says?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anychan.cli._common import Command, Parser, add_json, print_record


def _options(parser: Parser) -> None:
    parser.add_argument("action", choices=["validate", "schema"], help="validate: hold records against the schema; "
                        "schema: print it")  # fmt: skip
    parser.add_argument("paths", metavar="PATH", nargs="*", type=Path, help="run folders, other folders, record files")
    add_json(parser)


def _records(options: Any) -> int:
    import json

    from anychan.experiments.records import record_schema, validate_records

    if options.action == "schema":
        if options.paths:
            raise ValueError(f"`anychan records schema` takes no path, but {options.paths[0]} is given")
        print(json.dumps(record_schema(), indent=1))
        return 0
    count, faults = validate_records(options.paths)
    record = {"files": count, "faults": faults}
    print_record(record, lambda _: "\n".join(faults) or f"{count} files, no fault", options.json)
    return 1 if faults else 0


RECORDS = Command(
    "hold records against their published schema",
    """anychan records validate runs/any docs/records
anychan records schema > records.schema.json""",
    _options,
    _records,
)
