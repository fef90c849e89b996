"""``anychan predict``: the most likely classes of photographs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from anychan.cli._common import MODEL, Command, Parser

if TYPE_CHECKING:
    from anychan.prediction import Prediction

CSV_COLUMNS = ("image", "channels", "rank", "label", "class", "probability", "error")


def _predict_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="files, folders and globs")
    parser.add_argument("--channels", metavar="SET", help="what the model is shown; default: all it knows")
    parser.add_argument("--bands", metavar="BANDS", help="what the planes of files are: a sensor, names, a bands.yaml")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many classes; default: 5")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="images at once; default: 32")
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, mps, ...; default: cuda where it is there, else cpu"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of text")
    form.add_argument("--csv", action="store_true", help="print CSV, a line a class")


def _predict(options: Any) -> int:
    from anychan.prediction import Predictor, find_images

    predictor = Predictor.load(options.model, device=options.device, batch_size=options.batch_size, bands=options.bands)
    asked = predictor.asked(options.channels)
    images = find_images(options.images, predictor.bands)
    if options.csv:
        csv.writer(sys.stdout, lineterminator="\n").writerow(CSV_COLUMNS)
    show = None if options.json else _show_csv if options.csv else _show_text
    answers = list(_watched(predictor.predict(images, asked, options.top, options.images), len(images), show))
    if options.json:
        record = {"schema": 1, "kind": "predictions", "model": options.model, "channels": str(asked)}
        print(json.dumps({**record, "images": [answer.to_dict() for answer in answers]}, indent=1))
    failed = sum(bool(answer.error) for answer in answers)
    return 0 if not failed else 1 if failed < len(answers) else 2


def _watched(
    answers: Iterable[Prediction], count: int, show: Callable[[Prediction], None] | None
) -> Iterator[Prediction]:
    """The same; each is shown as soon as it is there, beside a progress bar on a terminal."""
    from tqdm import tqdm

    with tqdm(total=count, desc="predicting", unit=" images", disable=not sys.stderr.isatty(), leave=False) as bar:
        for answer in answers:
            with tqdm.external_write_mode(file=sys.stderr):
                if answer.error:
                    print(f"anychan: {answer.image} {answer.error}", file=sys.stderr)
                if show is not None:
                    show(answer)
            yield answer
            bar.update()


def _show_csv(answer: Prediction) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    if answer.error:
        table.writerow((answer.image, answer.channels, "", "", "", "", answer.error))
    ranked = zip(answer.labels, answer.classes, answer.probabilities, strict=True)
    for rank, (label, name, share) in enumerate(ranked, start=1):
        table.writerow((answer.image, answer.channels, rank, label, name, share, ""))


def _show_text(answer: Prediction) -> None:
    if answer.error:  # standard error has it
        return
    print(f"{answer.image} ({answer.channels})")
    for name, share in zip(answer.classes, answer.probabilities, strict=True):
        print(f"  {share:6.1%}  {name}")


PREDICT = Command(
    "name the most likely classes of photographs",
    """anychan predict runs/any photo.jpg --channels RG
anychan predict animals-50 holiday/ "more/*.png" --top 3
anychan predict runs/any photos/ --json > answers.json
anychan predict runs/bands tile.tif --bands sentinel-2-l2a""",
    _predict_options,
    _predict,
    "exit codes: 0 all images are answered; 1 some cannot be read; 2 none can",
)
