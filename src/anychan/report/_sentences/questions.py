"""What is asked of the runs of a report, in sentences that follow from which runs they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from anychan._plain import PLAIN
from anychan.report._reading.pooled_specialists import specialists_of
from anychan.report._reading.records import AblationRecord, Comparison, Run
from anychan.report._reading.reproductions import Reproduction
from anychan.report._reading.searches import Search
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.networks import against_resnet34, are_networks
from anychan.report._tables.runs import subset_order

_MOST_TITLES = 3  # of ablations that are named among the questions


def questions(
    runs: Sequence[Run],
    split: str | None,
    ablations: Sequence[AblationRecord],
    searches: Sequence[Search] = (),
    sources: Sequence[Reproduction] = (),
) -> list[str]:
    """A sentence for each thing that is asked of runs, a row each, of ablations, searches and reproductions."""
    asked = [*_of_subsets(runs, split), *_of_networks(runs, split)]
    if any(run.pooled for run in runs):
        asked.append("Does it hold for other seeds?")
    if recipes := list(dict.fromkeys(found.recipe for found in sources)):
        which = fmt.plural(len(recipes), "experiment")
        asked.append(f"How near do we come to what the sources report of their {which} {fmt.listing(recipes)}?")
    if len(ablations) > _MOST_TITLES:
        asked.append(f"What does one change at a time do, in {len(ablations)} ablations?")
    else:
        titles = [ablation.title for ablation in ablations]
        asked += [title if "?" in title else f"What does each change do ({title.rstrip('.')})?" for title in titles]
    if models := list(dict.fromkeys(search.model for search in searches)):
        asked.append(f"Which settings suit {fmt.listing(models)} best?")
    return asked or ["How well does the network do on the channels that it was made for?"] if runs else asked


def pairings(runs: Sequence[Run], comparisons: Sequence[Comparison], split: str | None) -> list[str]:
    """What is held against what by a paired test on a split, a sentence each; that there is none, where there is none.

    Args:
        runs: a row each; of several seeds one row.
        comparisons: those of the runs, with names in place of paths (`told_apart`).
        split: what is reported.
    """
    beside: dict[str, list[str]] = {}
    for found in (found for found in specialists_of(runs) if found.split == split):
        subsets = fmt.listing([row.subset for row in found.rows])
        each = f", with seeds {fmt.listing(list(map(str, found.seeds)))} each" if found.seeds else ""
        beside.setdefault(f"held against a specialist for each of {subsets}{each}, on the same images.", []).append(
            found.run
        )
    said = [f"{fmt.listing(runs)} {'is' if len(runs) == 1 else 'are each'} {how}" for how, runs in beside.items()]
    pairs = Counter((comparison.a, comparison.b) for comparison in comparisons if comparison.split == split)
    said += [
        f"{a} is held against {b} in {fmt.counted(count, 'paired test')}, on the same images."
        for (a, b), count in pairs.items()
    ]
    where = f" on the {split} split" if split else ""
    return said or [f"No paired test of these runs{where} is recorded: rows are beside each other, and not judged."]


def _of_subsets(runs: Sequence[Run], split: str | None) -> list[str]:
    evaluations = [evaluation for run in runs if (evaluation := run.on(split))]
    subsets = subset_order(evaluations)
    if len(subsets) < 2:
        return []
    strategies = list(dict.fromkeys(run.strategy or PLAIN for run in runs))
    made = [name for name in strategies if name != PLAIN]
    named = fmt.listing(subsets) if len(subsets) <= 8 else f"{subsets[0]} and {len(subsets) - 1} of its subsets"
    asked = []
    if made:
        asked.append(f"How much of its accuracy on all channels does one network keep on each of {named}?")
    if len(made) > 1:
        asked.append(f"Which way to come by the kernels loses least: {fmt.listing(made)}?")
    ordinary = [run.on(split) for run in runs if (run.strategy or PLAIN) == PLAIN]
    if any(result.fill for evaluation in ordinary if evaluation for result in evaluation.results):
        what = "Is that more than" if made else "How much is kept by"
        asked.append(f"{what} filling the missing planes of an ordinary network in?")
    if any(one.specialists for run in runs for one in run.each_seed):
        asked.append("How near does it come to a plain network trained for each subset alone?")
    if any(run.record.get("adapted_from") for run in runs):
        asked.append("How far does one get without any training?")
    return asked


def _of_networks(runs: Sequence[Run], split: str | None) -> list[str]:
    if split is None or not are_networks(runs, split):
        return []
    beside = against_resnet34(runs, split)
    asked = ["What does each network reach on all channels, at what depth and at what cost?"]
    return [*asked, f"Does a shallow network stand up to {beside.against}, a ResNet34?"] if beside else asked
