"""The words of a report that a reader may not know, those of them that it uses."""

from __future__ import annotations

from collections.abc import Sequence

from anychan.report._reading.pooled_specialists import specialists_of
from anychan.report._reading.records import AblationRecord, Run
from anychan.report._tables.networks import are_networks


def glossary(rows: Sequence[Run], split: str | None, ablations: Sequence[AblationRecord]) -> list[tuple[str, str]]:
    """Words with their meanings, in the order in which the report uses them; none without runs.

    Args:
        rows: a row each; of several seeds one row.
        split: what is reported.
        ablations: those shown.
    """
    if not rows:
        return []
    evaluations = [evaluation for row in rows if (evaluation := row.on(split))]
    beside = specialists_of(rows)
    found = [("stem", "a network's first convolution, which takes the channels; the body is all behind it.")]
    found += [("strategy", "how a stem comes by a kernel for the channels that are there; plain: an ordinary one.")]
    if beside:
        found.append(("specialist", "a plain network that was trained for one subset of the channels alone."))
    if any(passes for one in beside for passes in one.passes):
        found.append(
            ("pass", "one image once through a network: a step that shows seven subsets of an image has seven.")
        )
    if beside or ablations or any(one.comparisons for row in rows for one in row.each_seed):
        found.append(
            (
                "decided, better, worse",
                "the difference has a p below 0.05, corrected by Holm's method for the tests made together. "
                "Ablations and means are not corrected: there the 95 % interval leaves zero out, and of one seed on "
                "one channel set p is below 0.05 too. All other differences are not distinguishable.",
            )
        )
    if split and are_networks(rows, split):
        found.append(("depth, layers", "weighted layers on the longest path from input to logits."))
    if any(evaluation.has_subsets for evaluation in evaluations):
        shared = "accuracy on a subset as a share of the same network's on all channels, over the same images."
        found.append(("kept, retention", shared))
    if any(ablation.split == "held-out" for ablation in ablations):
        found.append(("held-out", "training images that no network compared on them was trained on."))
    if any(change.data == "the synthetic set" for ablation in ablations for change in ablation.changes):
        made = "built-in images of bright shapes, seen in any number of bands; the materials' spectra are smooth."
        found.append(("synthetic set", made))
    return found
