"""Write docs/results.md, its figures, the tables of README and guide, and what recipes came to, from docs/records.

The same bytes each time.

python docs/make_results.py [FOLDER]     FOLDER: the project, or a copy of it to write into
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

from anychan.experiments import recipe_results
from anychan.nn import list_strategies
from anychan.report import (
    front_figures,
    markdown_ablations,
    markdown_networks,
    markdown_overview,
    markdown_tables,
    retention_figure,
)

PROJECT = Path(__file__).parents[1]
RECORDS = PROJECT / "docs" / "records"
BEGIN, END = "<!-- made by `make docs` -->\n", "<!-- end -->"
RUNS = [RECORDS / name for name in ("any", "completed", "plain")]
AND_ANOTHER = [RECORDS / name for name in ("any", "any-affine", "completed", "plain")]
STRATEGIES = [path for name in list_strategies() if (path := RECORDS / f"strategy-{name}").is_dir()]
NETWORKS = sorted(RECORDS.glob("network-*"))  # those of part B, network-resnet34 among them
ABLATIONS = sorted(path.parent for path in RECORDS.glob("ablation-*/ablation.json"))
HEAD = """# Results

Made by `make docs` from the records in `docs/records`; do not edit by hand. Rates are percent of the test images of the
data set named, each with its 95 % interval (Wilson); one seed a run, so the intervals hold for these weights and say
nothing about other seeds. What was tried besides, and what is to be learnt from it: `docs/experiments.md`.

## One network for every subset, its specialists, and a plain network

ResNet18 from scratch on 50 kinds of animals at 64x64 (24,000 training images, 10 epochs, one recipe for all).

- *any*: one network for every subset: `anychan train --strategy completed`, which trains by the sandwich rule with
  in-place distillation and keeps batch statistics for each subset.
- *any-affine*: the same with a scale and shift for each subset as well, and 0.3 of a subset's loss from the labels
  (`--normalisation.affine true --objective.label-share 0.3`). On validation it is no better than *any*, which stays the
  default: 38.2 against 38.5 on average over the subsets.
- *specialists*: seven plain networks, each trained and tested on one subset alone.
- *plain*: the specialist for RGB, asked about subsets through the four naive answers to missing channels.
- *completed*: the same weights without any training: `anychan adapt runs/plain`, covariance completion in the stem and
  batch statistics recomputed for each subset on 2,560 training images.

![Accuracy kept on each channel subset](figures/retention.svg)

Accuracy kept when channels are missing, in percent of that on all. Blue: *any*. Orange: *completed*. Green: *plain*,
its missing planes filled in: black (×), black with the others rescaled (+), the channel's mean (Y), the mean of those
present (⅄).

"""

OF_STRATEGIES = """
## Every strategy under one recipe

ResNet18 on the same images, again 10 epochs with the plain network's settings, but one random subset with each batch
(hierarchical sampling), trained on labels alone: one pass an image as for the plain network, where *any* above takes
three. Statistics are kept for each subset. What is not listed has not been run.

"""

OF_NETWORKS = """
## Shallow networks

Each trained from scratch on the same images by the same recipe as ResNet34, and evaluated on all channels.

"""

OF_ABLATIONS = """
## Ablations

"""


def main(project: Path = PROJECT) -> None:
    docs, readme = project / "docs", project / "README.md"
    (docs / "figures").mkdir(parents=True, exist_ok=True)
    (docs / "figures" / "retention.svg").write_text(retention_figure(RUNS), encoding="utf-8")
    results = HEAD + markdown_tables(AND_ANOTHER)
    if STRATEGIES:
        results += OF_STRATEGIES + markdown_overview(STRATEGIES) + "\n" + markdown_networks(STRATEGIES)
    if NETWORKS:
        results += OF_NETWORKS + markdown_networks(NETWORKS, "network-resnet34") + "\n"
        for name, figure in front_figures(NETWORKS).items():
            (docs / "figures" / f"front-{name}.svg").write_text(figure, encoding="utf-8")
            results += f"![Accuracy against {name}](figures/front-{name}.svg)\n"
    if ABLATIONS:
        results += OF_ABLATIONS + markdown_ablations(ABLATIONS)
    (docs / "results.md").write_text(results, encoding="utf-8")
    shipped = project / "src" / "anychan" / "experiments" / "recipes" / "results.json"
    shipped.parent.mkdir(parents=True, exist_ok=True)
    shipped.write_text(json.dumps(recipe_results(RECORDS), indent=1) + "\n", encoding="utf-8")
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(before + BEGIN + "\n" + markdown_overview(RUNS) + "\n" + END + after, encoding="utf-8")
    runpy.run_path(str(Path(__file__).with_name("make_decisions.py")))["main"](project)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
