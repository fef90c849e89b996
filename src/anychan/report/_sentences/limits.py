"""What the numbers of a report cannot say, from what the records hold; a sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from anychan._records import processor
from anychan.report._reading.comparisons import told_apart
from anychan.report._reading.pooled_specialists import specialists_of
from anychan.report._reading.records import AblationRecord, Change, Evaluation, Run
from anychan.report._reading.reproductions import Reproduction
from anychan.report._reading.searches import Search
from anychan.report._sentences import numbers as fmt
from anychan.report._sentences.headlines import epochs_words, number
from anychan.report._sentences.protocol import evaluation_processors, settings, settings_of_all
from anychan.report._sentences.training_groups import differing

_COVERED = {2: 87, 3: 92}  # by the number of seeds, see ``anychan.evaluation.bootstrap``
_NAMED = 6  # settings that runs differ in; of more their number is told


def limits(
    rows: Sequence[Run],
    split: str | None,
    ablations: Sequence[AblationRecord],
    searches: Sequence[Search] = (),
    sources: Sequence[Reproduction] = (),
) -> list[str]:
    """What the numbers cannot say.

    Args:
        rows: the runs, those with several seeds as one.
        split: what is reported.
        ablations, searches, sources: those shown.
    """
    evaluations = [evaluation for run in rows if (evaluation := run.on(split))]
    said = [*_of_seeds(rows), *_of_data(rows, evaluations), *_of_images(evaluations), *_of_subsets(evaluations)]
    longer = _longer(ablations)
    said += [*_of_machines(rows, evaluations, split), *_of_settings(rows, split, longer), *_of_tests(rows)]
    if ablations:
        seeds = sorted({len(ablation.seeds) for ablation in ablations})
        each = fmt.listing([f"{number(count)} {fmt.plural(count, 'seed')}" for count in seeds])
        splits = fmt.listing(sorted({ablation.split for ablation in ablations}))
        said.append(f"Ablations: {each}, on {splits}; their intervals are not corrected for their number.")
        said += _of_ablated(ablations, "" if any(longer in sentence for sentence in said) else f": {longer}")
    if searches:
        said.append(
            "Of a search's trials the best is so by luck too: what it reached there flatters it, and what it is worth "
            "is what it reaches on images that it was not chosen by."
        )
    if sources:
        said.append(
            "What sources report is of other images and other machines: no test tells a difference from chance, and "
            "their times are not ours."
        )
    return said


def _longer(ablations: Sequence[AblationRecord]) -> str:
    """Where longer training was tried, if at all."""
    asked = [one for one in ablations if len({change.epochs for change in one.changes if change.epochs}) > 1]
    if not asked:
        return "what longer training would change is not known"
    where = fmt.listing([f"“{one.title}”" for one in asked])
    return f"what longer training changes was asked in the ablation{'s' if len(asked) > 1 else ''} {where}"


def _of_ablated(ablations: Sequence[AblationRecord], longer: str) -> list[str]:
    """On what and for how long the runs of ablations were trained, which need not be as the runs beside them were."""
    trained: dict[str, list[Change]] = {}
    for change in (change for ablation in ablations for change in ablation.changes):
        if change.seeds and change.epochs is not None:
            trained.setdefault(change.data, []).append(change)
    each = []
    for data, changes in trained.items():
        sizes = sorted({change.image_size for change in changes if change.image_size})
        epochs = sorted({change.epochs for change in changes if change.epochs})
        images = fmt.listing([f"{size}×{size}" for size in sizes])
        plural = "" if epochs == [1] else "s"
        each.append(f"for {fmt.listing(list(map(str, epochs)))} epoch{plural} on images of {images}")
        each[-1] += f" of {data}" if data else ""
    told = "; ".join(each)
    return [f"Ablations were trained {told}{longer}."] if each else []


def _of_seeds(rows: Sequence[Run]) -> list[str]:
    counts = sorted({len(row.pooled) or 1 for row in rows})
    if not rows:
        return []
    if counts == [1]:
        return ["One seed a run: intervals are over images, and say nothing of what another seed would give."]
    single = [row.name for row in rows if not row.pooled]
    fewest, most = min(count for count in counts if count > 1), max(counts)
    some = number(fewest) if fewest == most else f"{number(fewest)} to {number(most)}"
    found = [f"{some.capitalize()} seeds a row: few to know a spread by."]
    if fewest in _COVERED:
        found.append(
            f"Where the seeds differ by far more than the images explain, an interval over {number(fewest)} of them "
            f"holds the truth in some {_COVERED[fewest]} % of cases, not in 95 %."
        )
    return (
        [*found, f"One seed only: {fmt.listing(single)}; there intervals are over images alone."] if single else found
    )


def _of_data(rows: Sequence[Run], evaluations: Sequence[Evaluation]) -> list[str]:
    names = _distinct(settings(row, None).get("data", "") for row in rows)
    classes = sorted({len(evaluation.classes) for evaluation in evaluations})
    if not evaluations or not names:
        return []
    told = f" of {fmt.listing([fmt.count(count) for count in classes])} classes"
    sizes = _distinct(settings(row, None).get("image size", "") for row in rows)
    told += f", images of {fmt.listing(sizes)}" if sizes else ""
    if len(names) == 1:
        return [f"{_the_runs(rows)} made on one data set ({names[0]}{told}): how it is on another is not known."]
    apart = "rows of different ones cannot be held against each other"
    return [f"The runs were made on several data sets ({fmt.listing(names)}): {apart}."]


def _of_images(evaluations: Sequence[Evaluation]) -> list[str]:
    results = [result for evaluation in evaluations for result in evaluation.results]
    if not results:
        return []
    fewest = min(result.n for result in results)
    of_one, of_several = ([r.interval for r in results if bool(r.rights) is several] for several in (False, True))
    known = [f"{_widest(of_one)} points"] if of_one else []
    known += [f"{_widest(of_several)}{' for a mean of several seeds' if of_one else ' points'}"] if of_several else []
    said = (
        f"{fmt.count(fewest)} images{' at the least' if len({r.n for r in results}) > 1 else ''}: an accuracy is known "
        f"to within {', '.join(known)}. Where two rows are closer than that, only a paired test tells them apart, if "
        "anything does."
    )
    support = min((score.support for r in results for score in r.per_class if score.support), default=0)
    return (
        [said, f"What is said of single classes rests on as few as {fmt.count(support)} images."] if support else [said]
    )


def _widest(intervals: Iterable[tuple[float, float]]) -> str:
    return fmt.percent(max((high - low) / 2 for low, high in intervals))


def _of_subsets(evaluations: Sequence[Evaluation]) -> list[str]:
    said = []
    for evaluation in evaluations:
        asked = len({result.subset for result in evaluation.results})
        possible = 2 ** len(evaluation.channels) - 1
        if 1 < asked < possible:
            said.append(f"{fmt.count(asked)} of the {fmt.count(possible)} subsets were chosen to be evaluated.")
    several = [evaluation for evaluation in evaluations if len({result.subset for result in evaluation.results}) > 1]
    if lacking := max((evaluation.lacking for evaluation in evaluations), default=0):
        said.append(
            f"{fmt.count(lacking)} of the images lack some channels: they are answered by those of a subset's channels "
            "that they have."
        )
    elif several and not any(result.left_out for evaluation in several for result in evaluation.results):
        said.append(
            "Subsets are made by leaving channels out of images that have all of them: a camera without these channels "
            "may differ in other ways too."
        )
    return list(dict.fromkeys(said))


def _of_machines(rows: Sequence[Run], evaluations: Sequence[Evaluation], split: str | None) -> list[str]:
    said = []
    told = [settings(run, None) for run in _each_run(rows)]
    trained = _distinct(one.get("trained on", "") for one in told)
    if len(trained) > 1:
        kinds = f"{number(len(trained))} kinds of processor ({fmt.listing(trained)})"
        said.append(f"{_the_runs(rows)} trained on {kinds}.")
    formats = _distinct(one.get("number format in training", "") for one in told)
    if len(formats) > 1:
        several = f"{number(len(formats))} number formats ({fmt.listing(formats)})"
        said.append(f"{_the_runs(rows)} trained in {several}, which differ by row.")
    costs = [result.cost for evaluation in evaluations for result in evaluation.results if result.cost]
    # Costs may have been measured later and elsewhere, so they are not held against the times of answers.
    timed = _distinct(processor(cost.hardware, cost.device) for cost in costs)
    evaluated = [own for run in _each_run(rows) if (own := run.on(split))]
    answered = _distinct(name for one in evaluated for name in evaluation_processors(one))
    apart = "times of different processors cannot be held against each other"
    if len(timed) > 1:
        said.append(f"Timed on {fmt.listing(timed)}: {apart}.")
    if len(answered) > 1 and not set(answered) <= set(timed):
        said.append(f"Answers were timed on {fmt.listing(answered)}: {apart}.")
    versions = _distinct(str((run.record.get("versions") or {}).get("torch") or "") for run in _each_run(rows))
    if len(versions) > 1:
        said.append(f"Made with several versions of PyTorch ({fmt.listing(versions)}).")
    return said


def _of_settings(rows: Sequence[Run], split: str | None, longer: str) -> list[str]:
    said = []
    told = settings_of_all(rows, split)
    if names := list(differing(rows, split)):
        which = fmt.listing(names) if len(names) <= _NAMED else f"{number(len(names))} settings"
        said.append(f"The runs were not made alike: they differ in {which} (see Protocol).")
    if epochs := _distinct(map(epochs_words, rows)):
        plural = "" if epochs == ["1"] else "s"
        said.append(f"{_the_runs(rows)} trained for {fmt.listing(epochs)} epoch{plural}: {longer}.")
    said += _distinct(
        f"{row.name} began with pretrained weights: {warning}."
        for row in rows
        for run in row.each_seed
        if (warning := str((run.record.get("pretrained") or {}).get("warning") or ""))
    )
    if any(found.get("weights kept") == "the best on validation" for found in told):
        said.append("Where the best weights on validation were kept, numbers on validation are flattered.")
    if split == "val":
        said.append("The numbers are of validation, which choices may have been made on.")
    return said


def _of_tests(rows: Sequence[Run]) -> list[str]:
    pairs = {(c.a, c.b) for c in told_apart(_each_run(rows))}
    several = len(pairs) + len(specialists_of(rows))
    if several > 1:
        return [f"Verdicts are corrected within a comparison, not over the {number(several)} comparisons shown."]
    if len(rows) > 1 and not pairs and not any(run.specialists for run in _each_run(rows)):
        return ["No paired test is recorded: which row is better is not judged."]
    return []


def _the_runs(rows: Sequence[Run]) -> str:
    """Those of the page, as what is said of them need not be true of its ablations."""
    return "The runs were" if len(_each_run(rows)) > 1 else "The run was"


def _each_run(rows: Sequence[Run]) -> list[Run]:
    """The runs that stand behind the rows."""
    return [run for row in rows for run in row.each_seed]


def _distinct(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]
