"""Put the model of a run into the package, in half precision, with a card made from the run's records.

python docs/make_packaged.py RUN NAME     e.g. runs/wide6-32-any-full animals-50

Not a part of `make docs`: it needs the weights, which are not committed elsewhere.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from anychan.models.hub import PretrainedModel
from anychan.packaged import FOLDER

ABOUT = """# {name}

The model of the run `{run}` (its records: `docs/records/{run}`), its weights in half precision.

"""


def main(run: Path, name: str) -> None:
    pretrained = PretrainedModel.from_run(run)
    title = f"# {run.name}\n\n"
    if title not in pretrained.card:
        raise ValueError(f"the card of {run} has no title {run.name!r}")
    pretrained.card = pretrained.card.replace(title, ABOUT.format(name=name, run=run.name), 1)
    pretrained.model.half()
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    pretrained.save_pretrained(FOLDER / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
