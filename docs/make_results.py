"""Write docs/results.md, its figures, docs/report.html, the other documents' tables, and what recipes came to.

All from docs/records, and the same bytes each time.

python docs/make_results.py [FOLDER]     FOLDER: the project, or a copy of it to write into
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from anychan.cost import recorded_layers
from anychan.experiments import list_recipes, recipe_results
from anychan.nn import list_strategies
from anychan.report import (
    accuracy_figure,
    channel_figures,
    front_figures,
    markdown_ablations,
    markdown_networks,
    markdown_overview,
    markdown_reproductions,
    markdown_searches,
    markdown_specialists,
    markdown_tables,
    retention_figure,
    write_report,
)
from anychan.report._charts.svg import said_in
from anychan.report._reading.ablations import ABLATION, read_ablation
from anychan.report._reading.pooling import pooled
from anychan.report._reading.records import Run
from anychan.report._reading.reproductions import read_reproductions
from anychan.report._reading.runs import main_split, read_runs
from anychan.report._sentences.training_groups import trained_alike, training_words
from anychan.report._tables.markdown import escape
from anychan.report._tables.networks import baseline, strongest

PROJECT = Path(__file__).parents[1]
RECORDS = PROJECT / "docs" / "records"
BEGIN, END = "<!-- made by `make docs` -->\n", "<!-- end -->"
SHIPPED = RECORDS / "wide6-32-any-full"  # what `animals-50` of the package was trained as
SIX = [SHIPPED, *(RECORDS / name for name in ("wide6-32-completed", "network-wide6-32"))]  # on README's first screen
ANY_OF_SIX = ["any-share", "any-every", "any-sliced", "any", "any-taught", "any-one"]  # by how much of a step they see
OTHERS_OF_SIX = [RECORDS / f"wide6-32-{name}" for name in ANY_OF_SIX]
CHOSEN_BEFORE = [path for path in OTHERS_OF_SIX if path.name != "wide6-32-any-sliced"]  # which came later
AGAIN = [RECORDS / f"wide6-32-any-{name}-seed1" for name in ("full", "share")]  # on which nothing was chosen
UNTRAINED_AGAIN = [RECORDS / f"wide6-32-{name}-seed1" for name in ("completed", "sliced")]
RESNETS = [RECORDS / name for name in ("any", "any-affine", "completed", "plain")]
CONVOLUTIONAL = [name for name in list_strategies() if name != "tokens"]
STRATEGIES = [path for name in CONVOLUTIONAL if (path := RECORDS / f"strategy-{name}").is_dir()]
TOKENS = [path for name in ("strategy-tokens", "tokens-plain") if (path := RECORDS / name).is_dir()]
BODY = {"depth": "depth", "patch": "patch_size"}  # of the tokens' transformer
NETWORKS = sorted(RECORDS.glob("network-*"))  # those of part B, network-resnet34 among them
RUNS = list(dict.fromkeys([*SIX, *OTHERS_OF_SIX, *AGAIN, *RESNETS, *STRATEGIES, *TOKENS, *NETWORKS]))
REPRODUCED = sorted(RECORDS.glob("**/*reproduction.json"))
FIRST = ["strategy", "cures", "sampling", "epochs", "initial"]  # of the ablations, what most readers ask
ABLATIONS = sorted(
    (path.parent for path in RECORDS.glob("ablation-*/ablation.json")),
    key=lambda path: (FIRST.index(name) if (name := path.name.removeprefix("ablation-")) in FIRST else 99, name),
)
SEARCHES = sorted(path.parent for path in RECORDS.glob("sweep-*/sweep.json"))
STATISTICS = [RECORDS / f"{stem}-{how}" for stem in ("sliced", "completed") for how in ("mixed", "recalibrated")]
HEAD = """# Results

Made by `make docs` from the records in `docs/records`; do not edit by hand. Rates are percent of the test images of the
data set named, each with its 95 % interval (Wilson).
{seeds}
The same with what was asked, the designs, the protocol, errors and limits, on one page: [report.html](report.html).
What was tried besides, and what is to be learnt from it: [experiments](experiments.md). What [000] to [004] are, and
the data: [sources](sources.md).
"""

OF_SIX = """
## Six layers for every subset, their specialists, and plain ones

`wide6` at half its width (0.99 M parameters) from scratch on {classes} kinds of animals at {size}x{size} ({train:,}
training images, {epochs} epochs, one recipe but for channels, stem, objective and what is kept for
a subset).

- *wide6-32-any-full*: one network for every subset, with a *completed* stem, trained by the sandwich rule on all seven
  channel sets in each step, so in as many passes as its seven specialists together; with a scale and shift for each,
  {full} of a step's loss from all channels and {share} of a subset's from the labels. It comes with the package, as
  `animals-50` (`anychan predict animals-50 photo.jpg`): of the any-channel networks that there were then it has the
  highest mean over the subsets on validation, {chosen:.1f}, before {others}.
- *specialists*: plain networks ({specialists}), each trained and tested on one subset alone.
- *network-wide6-32*: the specialist for RGB, asked about subsets through the four naive answers to missing channels.
- *wide6-32-completed*: the same weights without any training: `anychan adapt runs/network-wide6-32`, covariance
  completion in the stem and batch statistics recomputed for each subset on {recomputed:,} training images.

![Accuracy kept on each channel subset](figures/retention.svg)

Accuracy kept when channels are missing, in percent of each network's own on all. Blue: *wide6-32-any-full*. Orange:
*wide6-32-completed*. Green: *network-wide6-32*, its missing planes filled in: black (×), black with the others
rescaled (+), the channel's mean (Y), the mean of those present (⅄).

"""

OF_OTHERS = """
### With another seed, other shares, another stem, in fewer passes, and with a teacher

- *wide6-32-any-full*: that above and another seed, on which nothing was chosen, each beside seven specialists of its
  own seed.
- *wide6-32-any-every*: as *wide6-32-any-full*, but all channels have a seventh of a step's loss, as each subset.
- *wide6-32-any-share*: as the two, with a share between theirs for all channels; of two seeds, each beside seven
  specialists of its own seed. The share was chosen on the first.
- *wide6-32-any-sliced*: as *wide6-32-any-full*, with a *sliced* stem.
- *wide6-32-any-one*: with {one} random subset beside all channels a step, batch statistics kept for each, and neither
  a scale and shift for each nor labels for the subset.
- *wide6-32-any*: the same with two subsets a step, one of them a single channel.
- *wide6-32-any-taught*: as *wide6-32-any*, and all are taught by `network-wide6-scales`, which was trained on the
  same images; half of what they learn is the labels.
- *wide6-32-completed-seed1* and *wide6-32-sliced-seed1*: `wide6-32-seed1`, the plain network of the other seed, with
  either stem and without training; both have batch statistics recomputed for each subset.

"""

OF_RESNETS = """
## A ResNet18 for every subset

ResNet18, timm's, on the same images with as many epochs, and the library's default learning rate.

- *any*: one network for every subset: `anychan train --strategy completed`, which trains by the sandwich rule with
  in-place distillation and keeps batch statistics for each subset.
- *any-affine*: the same with a scale and shift for each subset as well, and {share} of a subset's loss from the labels
  (`--normalisation.affine true --objective.label-share {share}`). On average over the subsets it reaches
  {affine:.1f} on validation, where *any*, the default, reaches {any:.1f}.
- *specialists*: plain networks ({specialists}), each trained and tested on one subset alone.
- *plain*: the specialist for RGB, asked about subsets through the four naive answers to missing channels.
- *completed*: the same weights without any training: `anychan adapt runs/plain`.

"""

OF_STRATEGIES = """
## Every strategy under one recipe

ResNet18 on the same images, again {epochs} epochs with *plain*'s settings, but one random subset with
each batch (hierarchical sampling), trained on labels alone: one pass an image as for the plain network, where *any*
above takes three. Statistics are kept for each subset. What is not listed has not been run.

"""

OF_TOKENS = """
### Tokens, in a vision transformer

*tokens* gives a transformer a token for each channel of each patch, so it has another body: ViT-Tiny of {depth} blocks
with patches of {patch} pixels, all other settings as above. *tokens-plain* is that body with its own stem, on all
channels.

"""

OF_SOURCES = """
## Experiments of the source documents

Each trained as its document describes it (`anychan reproduce`), or alike where its table says so; what was measured
stands above what was reported. {lacking}

"""

OF_NETWORKS = """
## Shallow networks

Trained on the same images and evaluated on all channels. Those that were trained for as many epochs, on images of one
size and by the same objective stand in one table; below it stands in what else they were not trained alike.

"""

TITLE = "Any channels in one network, and six layers beside ResNet34"
ABSTRACT = PROJECT / "docs" / "abstract.md"
OF_REPRODUCED = """The report also repeats the experiments of four unpublished documents, [000], [001], [002] and
[004], each of an any-channel stem and of a shallow network on mini-ImageNet, which a brief, [003], asked for; what they
report stands below what was measured."""
OF_ABLATIONS = """
## Ablations

"""
OF_SEARCHES = """
## Searches

Settings that were tried for the networks above (`anychan sweep`, spaces in `docs/sweeps`), the best first.

"""


def main(project: Path = PROJECT) -> None:
    docs = project / "docs"
    (docs / "figures").mkdir(parents=True, exist_ok=True)
    (docs / "figures" / "accuracy.svg").write_text(accuracy_figure(SIX), encoding="utf-8")
    (docs / "figures" / "retention.svg").write_text(retention_figure(SIX), encoding="utf-8")
    results = HEAD.format(seeds=_of_seeds(RUNS, ABLATIONS, REPRODUCED))
    results += OF_SIX.format(**_of_six()) + markdown_tables(SIX)
    results += OF_OTHERS.format(one=_settled([RECORDS / "wide6-32-any-one"], "config", "objective", "subsets"))
    others = [SHIPPED, *OTHERS_OF_SIX, *AGAIN, *UNTRAINED_AGAIN]
    results += "\n".join(made(others) for made in (markdown_overview, markdown_specialists, markdown_networks))
    results += OF_RESNETS.format(**_of_resnets()) + markdown_tables(RESNETS)
    if STRATEGIES:
        results += (
            OF_STRATEGIES.format(epochs=_settled(STRATEGIES, "config", "epochs"))
            + markdown_overview(STRATEGIES)
            + "\n"
            + markdown_networks(STRATEGIES)
        )
    if TOKENS:
        of_body = {key: _settled(TOKENS, "config", "model_options", name) for key, name in BODY.items()}
        results += OF_TOKENS.format(**of_body) + markdown_overview(TOKENS) + "\n" + markdown_networks(TOKENS)
    if REPRODUCED:
        results += OF_SOURCES.format(lacking=_not_reproduced()) + markdown_reproductions(REPRODUCED)
    if NETWORKS:
        results += OF_NETWORKS + _of_networks()
        for name, figure in front_figures(NETWORKS).items():
            (docs / "figures" / f"front-{name}.svg").write_text(figure, encoding="utf-8")
            results += f"![{escape(said_in(figure))}](figures/front-{name}.svg)\n"
    if ABLATIONS:
        results += OF_ABLATIONS + "\n".join(_ablation(folder, docs / "figures") for folder in ABLATIONS)
    if SEARCHES:
        results += OF_SEARCHES + markdown_searches(SEARCHES)
    (docs / "results.md").write_text(results, encoding="utf-8")
    of_all = [*RUNS, *REPRODUCED, *ABLATIONS, *SEARCHES]
    abstract = f"{ABSTRACT.read_text(encoding='utf-8')}\n{OF_REPRODUCED} {_not_reproduced()}"
    write_report(of_all, docs / "report.html", layers=recorded_layers, title=TITLE, abstract=abstract)
    shipped = project / "src" / "anychan" / "experiments" / "recipes" / "results.json"
    shipped.parent.mkdir(parents=True, exist_ok=True)
    shipped.write_text(json.dumps(recipe_results(RECORDS), indent=1) + "\n", encoding="utf-8")
    _put(project / "README.md", markdown_overview(SIX))
    _put(docs / "experiments.md", markdown_overview(STATISTICS))
    runpy.run_path(str(Path(__file__).with_name("make_decisions.py")))["main"](project)


def _not_reproduced() -> str:
    """Which experiments have not been run as they are described, and which of them not with our training either."""
    found = read_reproductions(REPRODUCED)
    described, alike = ({one.recipe for one in found if one.fair is fair} for fair in (False, True))
    every = list_recipes()
    lacking = [name for name in every if name not in described]
    if not lacking:
        return ""
    only_alike, neither = ([name for name in lacking if (name in alike) is there] for there in (True, False))
    said = [f"Run with our training only: {', '.join(only_alike)}."] if only_alike else []
    said += [f"Not run yet: {', '.join(neither)}."] if neither else []
    return " ".join(said)


def _of_networks() -> str:
    """A table for each group of networks that were trained alike, held against its ResNet34 where it has one."""
    text = ""
    rows = pooled(read_runs(NETWORKS))
    split, groups = main_split(rows) or "", trained_alike(rows)
    for heading, alike in groups:
        folders = [run.folder for row in alike for run in row.each_seed]
        table = markdown_networks(folders, baseline(alike, split), minus=strongest(alike, split))
        text += f"### Trained {heading}\n\n{table}\n{escape(training_words(alike, split))}\n\n"
    return f"{text}Accuracy against cost, of those trained {groups[0][0]}:\n\n"


def _ablation(folder: Path, figures: Path) -> str:
    """An ablation's table, and its charts by the number of channels where it varies that."""
    text = markdown_ablations([folder])
    for name, figure in channel_figures(folder).items():
        (figures / f"{folder.name}-{name}.svg").write_text(figure, encoding="utf-8")
        text += f"\n![{escape(said_in(figure))}](figures/{folder.name}-{name}.svg)\n"
    return text


def _put(page: Path, table: str) -> None:
    """Write a table into a page, between its marks."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(before + BEGIN + "\n" + table + "\n" + END + rest.split(END, 1)[1], encoding="utf-8")


def _of_six() -> dict[str, object]:
    """What the text above the tables of six layers quotes of the records."""
    shipped = read_runs([SHIPPED])[0]
    trained = [SHIPPED, RECORDS / "network-wide6-32"]
    return {
        "classes": _settled(trained, "data", "classes"),
        "size": _settled(trained, "config", "image_size"),
        "train": _settled(trained, "data", "splits", "train"),
        "epochs": _settled(trained, "config", "epochs"),
        "share": shipped.record["config"]["objective"]["label_share"],
        "full": shipped.record["config"]["objective"]["full_share"],
        "chosen": _mean_on_validation(shipped),
        "others": ", ".join(f"{_mean_on_validation(run):.1f} (*{run.name}*)" for run in read_runs(CHOSEN_BEFORE)),
        "specialists": _specialists(shipped),
        "recomputed": _settled([RECORDS / "wide6-32-completed"], "adapted_from", "images"),
    }


def _of_resnets() -> dict[str, object]:
    """The same of ResNet18."""
    first, affine = read_runs([RECORDS / "any", RECORDS / "any-affine"])
    return {
        "share": affine.record["config"]["objective"]["label_share"],
        "any": _mean_on_validation(first),
        "affine": _mean_on_validation(affine),
        "specialists": _specialists(first),
    }


def _specialists(run: Run) -> int:
    """How many a run was compared with, on test."""
    (found,) = [found for found in run.specialists if found.split == "test"]
    return len(found.rows)


def _settled(runs: Sequence[Path], *keys: str) -> object:
    """What run.json says under these keys.

    Raises:
        ValueError: where the runs do not all say the same, so that a text on all of them cannot quote it.
    """
    found = []
    for run in read_runs(runs):
        value = run.record
        for key in keys:
            value = value[key]
        found.append(value)
    if any(value != found[0] for value in found):
        raise ValueError(f"{'.'.join(keys)} differs between {', '.join(run.name for run in runs)}: {found}")
    return found[0]


def _of_seeds(runs: Sequence[Path], ablations: Sequence[Path], reproductions: Sequence[Path] = ()) -> str:
    """What the intervals do not say, by the seeds of all runs, those of ablations and reproductions too."""
    others = {seed for folder in ablations for seed in read_ablation(folder / ABLATION).seeds}
    others |= {found.seed for found in read_reproductions(reproductions)}
    seeds = sorted({run.seed for run in read_runs(runs) if run.seed is not None} | others)
    if len(seeds) == 1:
        return f"All runs have seed {seeds[0]}: the intervals hold for these weights and say nothing about other seeds."
    return f"Seeds are {', '.join(map(str, seeds))}; the interval of a row of one seed says nothing about other seeds."


def _mean_on_validation(run: Run) -> float:
    """Percent, over the subsets that the run answers by itself."""
    return 100 * mean(result.accuracy for result in run.evaluations["val"].results if not result.fill)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
