"""Write docs/results.md, its figures, docs/report.html, the other documents' tables, and what recipes came to.

All from docs/records, and the same bytes each time.

python docs/make_results.py [FOLDER]     FOLDER: the project, or a copy of it to write into
"""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Sequence
from html import unescape
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
ANY_OF_SIX = ["any-share", "any-every", "any", "any-taught", "any-one"]  # by how much of a step they see
OTHERS_OF_SIX = [RECORDS / f"wide6-32-{name}" for name in ANY_OF_SIX]
AGAIN = [RECORDS / "wide6-32-any-share-seed1"]  # on which nothing was chosen
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
  `animals-50` (`anychan predict animals-50 photo.jpg`): of these any-channel networks it has the highest mean over the
  subsets on validation, {chosen:.1f}, before {others}.
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
### With other shares, in fewer passes, and with a teacher

- *wide6-32-any-every*: as *wide6-32-any-full*, but all channels have a seventh of a step's loss, as each subset.
- *wide6-32-any-share*: as the two, with a share between theirs for all channels; of two seeds, each beside seven
  specialists of its own seed. The share was chosen on the first.
- *wide6-32-any-one*: with {one} random subset beside all channels a step, batch statistics kept for each, and neither
  a scale and shift for each nor labels for the subset.
- *wide6-32-any*: the same with two subsets a step, one of them a single channel.
- *wide6-32-any-taught*: as *wide6-32-any*, and all are taught by `network-wide6-scales`, which was trained on the
  same images; half of what they learn is the labels.

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
ABSTRACT = """
Two questions, asked of photographs of 50 kinds of animals (64×64; 24,000 to train on, 2,500 to test on) with networks
trained from random weights for ten epochs. A: can one network answer any subset of its channels as well as networks
that were trained for that subset alone? Level, as far as 2,500 images can tell: six layers (`wide6-32-any-full`) have
+0.2 points over their seven specialists on average (-0.7 to 1.0) and at worst, on R, -1.1 (-2.7 to 0.4). B: can a
network of at most six weighted layers stand up to ResNet34? Yes: six (`network-wide6`) name 60.4 % right, 8.3 points
more (6.6 to 10.0) than the best ResNet34 that was trained as long (`network-resnet34_small`, 52.1 %). One data set,
CPUs alone, and one seed, but for one network and its specialists. In a run's name *network* is a network on all
channels, *any* one for every subset of them, *32* half of the width; RGB has 0.3 of the loss in *full*, 0.22 in *share*
and a seventh in *every*; *strategy* is a stem in front of a ResNet18; *tuned*: with settings from a search.

A. `wide6-32-any-full` has 1.00 M parameters and a *completed* stem, and was trained on all seven channel sets in each
step: 70 passes an image, where each specialist, of the same layers, had 10, all seven together 70. Beside them it has
+0.8 points on RGB (-0.7 to 2.3), and none of the seven differences is decided; that it is more than a point behind is
ruled out on average, on RGB, RB and GB, but not on RG and on single channels. The goal was set by point estimates: not
below them on average and on RGB, and on no subset by more than one point; it is missed on R by a tenth. Of the six
any-channel networks of this size, of first seeds, `wide6-32-any-full` was chosen on 1,000 validation images, by half a
point, which these do not tell apart; that RGB should weigh more was decided after a look at these test images.
The goal is reached by the first seed of `wide6-32-any-share`, with +0.9 points on average (0.1 to 1.8) and above zero
on each subset; but it is one of three shares for RGB that were tried on these test images, and its lead may be luck. On
the validation images it has 49.1 on average and its specialists, after their last epochs, 48.9. With another seed, on
which nothing was chosen
(`wide6-32-any-share-seed1`), it has +0.6 points on average (-0.3 to 1.5), +0.9 on RGB, and at worst, on G, -1.2 (-2.8
to 0.3): level again, and two tenths short of the goal. Both seeds together, as the table has them, it has +0.8 points
on average (0.0 to 1.5). Nor is the lead of `wide6-32-any-every` on GB to be seen on validation, where it has 49.2 and
`wide6-32-GB`, after its last epoch, 51.1.

With two subsets a step (`wide6-32-any`) six layers have -0.7 points on average (-1.6 to 0.2), with one
(`wide6-32-any-one`, in float32 on an Intel Xeon) -2.1 points on average (-3.0 to -1.3). These have fewer passes, no
scale and shift for each subset and no labels for the subsets; what each of the three gives is not separated. A
ResNet18 (`any`) has -0.6 points on average beside specialists of its own (-1.4 to 0.1).

Without any training, *completed* in front of plain six layers (`wide6-32-completed`) names 44.8 to 47.0 % right on two
channels and 32.4 to 34.0 % on one, more than each of four simple ways of filling the missing planes in, but on RB not
decidedly. Its kernel does what filling each missing pixel with its best linear guess would do, and it has batch
statistics of each subset, which those were not given; such statistics with a *sliced* stem are not enough, they give
8.6 to 15.1 points less (`wide6-32-sliced-seed1` beside `wide6-32-completed-seed1`). In front of a ResNet18, and
trained on one random subset a batch, *completed* has 2.2 points more than *sliced* on average (1.4 to 3.0,
`ablation-strategy`, not corrected for nine stems) and *attentive* 1.9 more than *sliced* (1.0 to 2.9); between
*completed* and *attentive* no test was made.

B. Six layers of full width (`network-wide6`, 3.94 M parameters) take a seventeenth of the MACs of
`network-resnet34_small`, whose stem keeps all pixels, and less than a quarter of those of `network-resnet34_half`; five
(`network-wide5`) name 58.7 %, four (`network-wide4`) 56.3 %. Three (`network-wide3-grid`) name 48.2 %, 2.2 points less
than half ResNet34 (0.3 to 4.1), and not to be told from timm's own ResNet34 (`network-resnet34`, 47.9 %; with tuned
settings, `network-resnet34-tuned`, 48.7 %). The learning rates are 2e-3 for ours, taken over from a prototype, and 1e-3
for ResNets; with a shape and settings from a search of twelve trials six layers (`network-wide6-tuned`) name 60.1 %,
and ResNet34's search had five. `network-wide6`, `network-wide4` and `network-resnet34` were trained in float32 on an
Intel Xeon, the others named here in bfloat16 on an AMD EPYC. A ResNet34 trained for the twenty epochs of [002], by SGD
of our settings (`002-B-resnet34-seed0`), names 53.1 %; after ten `network-wide6` has 7.2 points more (5.4 to 9.1) and
`network-wide4` 3.2 more (1.3 to 5.1).

What this does not show. Real images had three channels, closely correlated; more were seen on built-in images only,
and none of a multispectral camera. Intervals are over images: another seed moved one network by as much as most
differences between a network and its specialists (`wide6-32-R` 48.2 on R, `wide6-32-R-seed1` 46.5). What specialists
would reach if they were trained as long was not measured; on RGB alone thirty and fifty epochs gave six layers +0.8
and +1.4 points on held out images, neither distinguishable from ten (`ablation-epochs`). Times were measured on one
thread of one machine, nothing beside.
"""
OF_REPRODUCED = """Beside them stand the experiments of [000], [001], [002] and [004], with what these report:
unpublished documents on mini-ImageNet, each of an any-channel stem and of a shallow network, which a brief, [003],
asked for."""
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
    others = [*OTHERS_OF_SIX, *AGAIN]
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
            results += f"![{_said_in(figure)}](figures/front-{name}.svg)\n"
    if ABLATIONS:
        results += OF_ABLATIONS + "\n".join(_ablation(folder, docs / "figures") for folder in ABLATIONS)
    if SEARCHES:
        results += OF_SEARCHES + markdown_searches(SEARCHES)
    (docs / "results.md").write_text(results, encoding="utf-8")
    of_all = [*RUNS, *REPRODUCED, *ABLATIONS, *SEARCHES]
    abstract = f"{ABSTRACT}\n{OF_REPRODUCED} {_not_reproduced()}"
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
    neither = [name for name in lacking if name not in alike]
    besides = f", and {', '.join(neither)} not with ours either" if neither else ""
    return f"Not run with the training of its source: {', '.join(lacking)}{besides}."


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
        text += f"\n![{_said_in(figure)}](figures/{folder.name}-{name}.svg)\n"
    return text


def _said_in(figure: str) -> str:
    """What a figure shows, in the words that it has for those who do not see it."""
    label = re.search('aria-label="([^"]*)"', figure)
    return escape(unescape(label[1])) if label else ""


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
        "others": ", ".join(f"{_mean_on_validation(run):.1f} (*{run.name}*)" for run in read_runs(OTHERS_OF_SIX)),
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
