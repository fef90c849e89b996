"""What a report says in sentences: what was run, what came of it, what is missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from anychan._plain import PLAIN
from anychan.report._reading.comparisons import outdated
from anychan.report._reading.parts import was_dirty
from anychan.report._reading.records import Comparison, Evaluation, Result, Run
from anychan.report._reading.settings import filled
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.runs import series

EVERY = "every subset"
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def title(runs: Sequence[Run]) -> str:
    """What the page is about, in a line."""
    data = sorted({name for run in runs if (name := data_name(run.record.get("data")))})
    where = f" on {fmt.listing(data)}" if data else ""
    return f"{model_name(runs[0])}{where}" if len(runs) == 1 else f"{number(len(runs)).capitalize()} runs{where}"


def model_name(run: Run) -> str:
    """The network and its stem: "resnet18, completed stem"."""
    architecture = run.architecture or run.name
    if not run.strategy:
        return architecture
    return f"{architecture}, {'ordinary' if run.strategy == PLAIN else run.strategy} stem"


def channel_names(run: Run) -> list[str]:
    """The names of the run's own channels, which need not be all that the data have."""
    own = run.model.get("channels") or (run.record.get("data") or {}).get("channels") or []
    return [str(one.get("name") if isinstance(one, Mapping) else one) for one in own]


def data_name(data: Any) -> str:
    """The data set's name; that of the built-in one without its settings, which stand under Data."""
    name = str(data.get("name") or "") if isinstance(data, Mapping) else ""
    return "the synthetic set" if name.partition(":")[0] == "synthetic" else name


def headline(run: Run, split: str | None) -> list[str]:
    """What was run and what came of it: a few sentences with the main numbers and their intervals."""
    sentences = [_trained(run)]
    evaluation = run.on(split)
    if evaluation is None:
        return sentences
    full = evaluation.full
    if full is not None:
        low, high = full.interval
        sentences.append(
            f"On all channels ({full.subset}) it names {fmt.percent(full.accuracy)} % of {fmt.count(full.n)} "
            f"{evaluation.split} images right (95 % interval {fmt.percent(low)} to {fmt.percent(high)})."
        )
    own = [r for r in evaluation.results if not r.fill and r is not full]
    if kept := _kept(evaluation, own):
        sentences.append(f"Of that accuracy it keeps {kept}.")
    fills = [name for name in series(evaluation) if name]
    if kept := _kept(evaluation, _best_fills(evaluation.results)):
        best = (
            f", the best of {number(len(fills))} ways chosen for each subset with hindsight" if len(fills) > 1 else ""
        )
        sentences.append(f"With missing channels filled in naively{best}, it keeps {kept}.")
    if best_of_them := best_subset(run):
        sentences.append(best_of_them)
    return sentences


def best_subset(run: Run) -> str:
    """The best proper subset, chosen on validation and reported on test; "" where it was not evaluated on both.

    Where several are level on validation it is the first of them, and that is said.
    """
    validation, test = run.on("val"), run.on("test")
    if validation is None or test is None:
        return ""
    smaller = [r for r in validation.results if not r.fill and validation.size(r) < len(validation.channels)]
    if len(smaller) < 2:
        return ""
    chosen = max(smaller, key=lambda result: result.accuracy)
    found = next((r for r in test.results if not r.fill and r.subset == chosen.subset), None)
    if found is None:
        return ""
    level = sum(math.isclose(result.accuracy, chosen.accuracy) for result in smaller)
    best = (
        f"The best smaller subset on validation is {chosen.subset} ({fmt.percent(chosen.accuracy)} %); on test it"
        if level == 1
        else f"Of the {len(smaller)} smaller subsets {level} are level as the best on validation "
        f"({fmt.percent(chosen.accuracy)} %); on test the first of them, {chosen.subset},"
    )
    low, high = map(fmt.percent, found.interval)
    return f"{best} reaches {fmt.percent(found.accuracy)} % (95 % interval {low} to {high})."


def missing(run: Run, split: str | None, pictures: bool) -> list[str]:
    """What this run's folder does not hold, and what a reader should beware of; a sentence each."""
    sentences = []
    if run.status != "finished":
        done = f"{fmt.counted(len(run.epochs), 'epoch')} recorded"
        sentences.append(f"Training has not finished (status “{run.status}”, {done}).")
    if not run.epochs:
        sentences.append("No epoch has been recorded, so there are no curves.")
    if not run.evaluations:
        sentences.append("It has not been evaluated yet; run anychan evaluate on its folder.")
    elif (evaluation := run.on(split)) is None:
        sentences.append(f"It was not evaluated on the {split} split, only on {fmt.listing(sorted(run.evaluations))}.")
    elif evaluation.full is None:
        sentences.append("It was not evaluated on all channels, so there is neither retention nor a confusion matrix.")
    gone = sum(picture.pixels is None for picture in run.pictures)
    if pictures and gone:
        sentences.append(f"{gone} of its {len(run.pictures)} thumbnails are gone from the folder.")
    if was_dirty(run.record):
        sentences.append("It was trained from a working tree with changes that no commit holds.")
    if skipped := run.record.get("skipped"):
        sentences.append(f"{len(skipped)} broken files were skipped in training; they are listed under Data.")
    return sentences


def cautions(runs: Sequence[Run], split: str | None) -> list[str]:
    """What to beware of when the runs are held against each other."""
    evaluations = [evaluation for run in runs if (evaluation := run.on(split))]
    sentences = []
    if len({evaluation.images for evaluation in evaluations}) > 1:
        sentences.append(
            "These runs were evaluated on different data; their rows do not stand for the same images and cannot "
            "be compared one by one."
        )
    sentences += outdated(runs)
    if split is not None and split != "test":
        sentences.append(f"The numbers are of the {split} split: there is no evaluation on a test split.")
    return sentences


def verdicts(comparisons: Sequence[Comparison]) -> list[str]:
    """How often each verdict was recorded of two runs; a sentence a pair of runs."""
    pairs: dict[tuple[str, str], Counter[str]] = {}
    for comparison in comparisons:
        pairs.setdefault((comparison.a, comparison.b), Counter())[comparison.named_verdict] += 1
    return [
        f"{a} against {b}, {fmt.counted(counts.total(), 'paired comparison')}: "
        f"{', '.join(f'{verdict} in {count}' for verdict, count in counts.most_common())}."
        for (a, b), counts in pairs.items()
    ]


def training(run: Run) -> str:
    """How long training took: wall time, epochs, images a second."""
    seconds = [epoch.seconds for epoch in run.epochs if epoch.seconds is not None]
    rates = [epoch.images_per_second for epoch in run.epochs if epoch.images_per_second is not None]
    parts = [f"{fmt.counted(len(run.epochs), 'epoch')}"]
    if run.seconds is not None:
        parts.append(f"{fmt.duration(run.seconds)} in all")
    if seconds:
        parts.append(f"{fmt.duration(median(seconds))} an epoch (median)")
    if rates:
        parts.append(f"{fmt.count(round(median(rates)))} images/s (median)")
    if run.record.get("selected") == "best" and run.record.get("best_epoch") is not None:
        parts.append(f"the model of epoch {run.record['best_epoch']} was kept, the best on validation")
    return "; ".join(parts) + "."


def _trained(run: Run) -> str:
    data = run.record.get("data")
    config = run.configuration
    images = trained_images(run.record)
    source = run.record.get("adapted_from")
    if isinstance(source, Mapping):
        looked = f", statistics from {fmt.count(source['images'])} training images" if source.get("images") else ""
        return f"{model_name(run)}: made from {source.get('name')} without training{looked}."
    epochs = epochs_words(run) or "0"
    words = f"{model_name(run)}: trained for {epochs} epoch{'' if epochs == '1' else 's'}"
    known = filled(config)
    subsets = sandwich_subsets(known, len(channel_names(run))) if known else ""
    sampling = config.get("channel_sampling", "all")
    if sampling != "all" and not subsets:
        words += f" with {sampling} channel sampling"
    objective = config.get("objective") or {}
    how = ["the sandwich rule"] if objective.get("name") == "sandwich" else []
    how += ["a trained teacher"] if objective.get("teacher") is not None else []
    words += f" by {' and '.join(how)}" if how else ""
    words += f", {subsets} in each step," if subsets else ""
    if isinstance(images, int):
        words += f" on {fmt.count(images)} images"
    if name := data_name(data):
        words += f" of {name}" if isinstance(images, int) else f" on {name}"
    if isinstance(data, Mapping) and isinstance(classes := data.get("classes"), int):
        words += f" ({classes} classes)"
    return f"{words}, {_seeds(run)}."


def epochs_words(run: Run) -> str:
    """For how many epochs a run was trained, by its records, and of how many where it was to be more.

    Of several seeds the fewest and the most: "3 to 5 of 10". A run that is finished without a record of its epochs is
    taken to have had all; "" where nothing tells of any.
    """
    asked = run.configuration.get("epochs")
    counts = [len(one.epochs) or (asked if one.status == "finished" and asked else 0) for one in run.each_seed]
    if asked is None and not any(counts):
        return ""
    fewest, most = fmt.count(min(counts)), fmt.count(max(counts))
    words = most if fewest == most else f"{fewest} to {most}"
    return f"{words} of {fmt.count(asked)}" if asked is not None and min(counts) < asked else words


def sandwich_subsets(known: Mapping[str, Any], channels: int) -> str:
    """How many subsets below the full one a step of the sandwich rule shows, where their sizes are drawn first.

    Args:
        known: every setting, see ``filled``.
        channels: how many the run has.

    Returns:
        ``EVERY`` where a step shows them all, else "2 smaller subsets"; "" of other objectives and ways to draw them.
    """
    if known["objective.name"] != "sandwich" or known["channel_sampling"] != "hierarchical":
        return ""
    count = int(known["objective.subsets"])
    return EVERY if 0 < 2**channels - 2 <= count else fmt.counted(count, "smaller subset")


def trained_images(record: Mapping[str, Any]) -> int | None:
    """How many images a run was trained on, without those held out and broken ones; None where no record says it.

    Args:
        record: its run.json; older ones say how many were listed and held out, and which of any split were broken.
    """
    if isinstance(told := record.get("training_images"), int):
        return told
    counts = (record.get("data") or {}).get("splits")
    listed = counts.get("train") if isinstance(counts, Mapping) else None
    if not isinstance(listed, int) or record.get("skipped"):
        return None
    return listed - ((record.get("config") or {}).get("held_out") or 0)


def _seeds(run: Run) -> str:
    if run.pooled:
        return f"{number(len(run.pooled))} seeds ({fmt.listing([str(one.seed) for one in run.pooled])})"
    return "seed not recorded" if run.seed is None else f"one seed ({run.seed})"


def _kept(evaluation: Evaluation, results: Iterable[Result]) -> str:
    """Retention by number of channels: "83 to 88 % with two channels and 61 to 70 % with one"."""
    by_size: dict[int, list[float]] = {}
    for result in results:
        if result.retention is not None and (size := evaluation.size(result)) < len(evaluation.channels):
            by_size.setdefault(size, []).append(100 * result.retention)
    sizes = sorted(by_size, reverse=True)
    nouns = ["" if i else f" {fmt.plural(size, 'channel')}" for i, size in enumerate(sizes)]
    return fmt.listing(
        [f"{_range(by_size[size])} % with {number(size)}{noun}" for size, noun in zip(sizes, nouns, strict=True)]
    )


def _best_fills(results: Iterable[Result]) -> list[Result]:
    best: dict[str, Result] = {}
    for result in results:
        if result.fill and result.accuracy > (best[result.subset].accuracy if result.subset in best else -1.0):
            best[result.subset] = result
    return list(best.values())


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low} to {high}"


def number(count: int) -> str:
    """A count in a sentence: small ones as words."""
    return _NUMBERS[count] if count < len(_NUMBERS) else fmt.count(count)
