"""The tables of a report, made from records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anychan.report import _format as fmt
from anychan.report._place import place, place_words
from anychan.report._pooling import interval_words, seed_words
from anychan.report._records import Comparison, Cost, Evaluation, Result, Run, Specialists, Spread
from anychan.report._table import Cell, Column, Group, Table
from anychan.report._yardstick import specialists_group

# What the naive answers put in the place of a missing channel; a name not listed stands for itself.
FILLS = {
    "zeros": "black",
    "zeros-rescaled": "black, others rescaled",
    "mean": "its mean",
    "mean-of-present": "mean of those present",
}


MACRO = "macro average over classes, percent, with its 95 % interval (delta method)"


def fill_name(fill: str) -> str:
    """What a naive answer puts in the place of a missing channel, in words."""
    return FILLS.get(fill, fill)


def series(evaluation: Evaluation) -> dict[str, list[Result]]:
    """The results by fill in recorded order, the model's own (fill "") first."""
    found: dict[str, list[Result]] = {"": []}
    for result in evaluation.results:
        found.setdefault(result.fill, []).append(result)
    return {fill: results for fill, results in found.items() if results}


def subset_order(evaluations: Iterable[Evaluation]) -> list[str]:
    """Every subset that was evaluated, larger ones first, else in recorded order."""
    sizes = {r.subset: e.size(r) for e in evaluations for r in e.results}
    return sorted(sizes, key=lambda subset: -sizes[subset])


def overview_table(runs: Sequence[Run], split: str) -> Table:
    """Accuracy of every run, and of its naive answers, on every subset: a row each, a column a subset."""
    evaluated = [(run, evaluation) for run in runs if (evaluation := run.on(split))]
    subsets = subset_order(e for _, e in evaluated)
    groups = []
    for run, evaluation in evaluated:
        rows = {fill: {r.subset: r for r in results} for fill, results in series(evaluation).items()}
        for kind, fills in ("", [f for f in rows if not f]), ("naive", [f for f in rows if f]):
            if fills:
                cells = (
                    (Cell(fill_name(f) if f else run.name), *(accuracy_cell(rows[f].get(s)) for s in subsets))
                    for f in fills
                )
                groups.append(Group("" if not kind else f"{run.name}, missing channels filled", tuple(cells), kind))
        yardstick = specialists_group(run, split, subsets)
        groups += [] if yardstick is None else [yardstick]
    counted = image_count(e for _, e in evaluated)
    caption = (
        f"Accuracy in percent with its {interval_words(runs)}: {counted} of the {split} split, {seed_words(runs)}."
    )
    return Table(caption, (Column("run", numeric=False), *(Column(s) for s in subsets)), tuple(groups))


def subset_table(run: Run, evaluation: Evaluation) -> Table:
    """Every metric of one run, a row a subset; the naive answers are grouped beneath.

    How long answering took stands there only where no cost was measured, which tells it better.
    """
    timed = not any(result.cost for result in evaluation.results)
    columns = (
        Column("channels", numeric=False),
        Column("accuracy", "percent of images named right"),
        Column("95 % interval", "Wilson score interval of the accuracy over images"),
        Column("top 5", "percent of images whose class is among the five likeliest"),
        Column("precision", MACRO),
        Column("recall", MACRO),
        Column("F1", MACRO),
        Column("ECE", "expected calibration error: mean distance of confidence and accuracy, points of percent"),
        Column("retention", "accuracy on the subset over accuracy on all channels, percent"),
        *([Column("ms", "milliseconds an image while it was evaluated")] if timed else []),
    )
    groups = [
        Group(
            f"missing channels filled: {fill_name(fill)}" if fill else "",
            tuple(_metrics(r, timed) for r in results),
            "naive" if fill else "",
        )
        for fill, results in series(evaluation).items()
    ]
    own = [found for one in run.pooled or (run,) if (found := one.on(evaluation.split))]
    places = {_place(r.device, r.hardware, r.hardware.get("threads")) for found in own for r in found.results}
    gone = [f"{fmt.count(r.left_out)} of {r.subset}" for r in series(evaluation).get("", []) if r.left_out]
    counted = f"{image_count([evaluation])} of the {evaluation.split} split"
    on = f"; timed on {' and on '.join(sorted(places))}" if timed else ""
    caption = f"{run.name}: {counted}, {seed_words([run])}{on}."
    caption += f" Images with none of a subset's channels are left out: {fmt.listing(gone)}." if gone else ""
    return Table(caption, columns, tuple(groups))


def cost_table(runs: Sequence[Run], split: str) -> Table | None:
    """What one image costs in every run and subset, or None where nothing was profiled."""
    profiled = [(run, _costs(run, split)) for run in runs]
    costs = [cost for _, found in profiled for _, cost in found]
    if not costs:
        return None
    batches = sorted({batch for cost in costs for batch in cost.latency})
    columns = (
        Column("channels", numeric=False),
        Column("parameters"),
        Column("MACs", "multiply-accumulates of one image, of the channels given"),
        Column("kernel MACs", "multiply-accumulates of making the kernel, once a channel set"),
        Column("depth", "weighted layers on the longest path from input to logits"),
        *(Column(f"ms, batch of {batch}", "median and quartiles of the latency of a whole batch") for batch in batches),
        *memory_columns(costs),
    )
    groups = tuple(
        Group(run.name if len(runs) > 1 else "", tuple(_cost_row(subset, cost, costs) for subset, cost in found))
        for run, found in profiled
        if found
    )
    return Table(f"Cost of one image{conditions(costs)}.", columns, groups)


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Paired comparisons of runs on the same images, with their verdicts as they were recorded."""
    columns = (
        Column("channels", numeric=False),
        Column("a", numeric=False),
        Column("b", numeric=False),
        Column("accuracy a"),
        Column("accuracy b"),
        Column("a − b", "difference in points of percent, with its paired 95 % interval"),
        Column("p", "exact McNemar test, two-sided"),
        Column("p, Holm", "corrected for the number of tests by Holm's method; the verdict goes by it"),
        Column("verdict", numeric=False),
    )
    rows = tuple(
        (
            Cell(c.subset),
            Cell(c.a, f"filled: {fill_name(c.fill_a)}" if c.fill_a else ""),
            Cell(c.b, f"filled: {fill_name(c.fill_b)}" if c.fill_b else ""),
            share_cell(c.accuracy_a),
            share_cell(c.accuracy_b),
            difference_cell(c.difference, c.interval),
            _p_cell(c.p),
            _p_cell(c.p_holm),
            Cell(c.named_verdict),
        )
        for c in comparisons
    )
    counts = fmt.listing([fmt.count(n) for n in sorted({c.n for c in comparisons})])
    splits = fmt.listing(sorted({c.split for c in comparisons}))
    caption = f"Paired comparisons, in percent: the same {counts} images of the {splits} split for both runs. "
    caption += "Verdicts are corrected by Holm's method for all tests of the same two runs."
    return Table(caption, columns, (Group("", rows),))


def specialists_table(found: Specialists) -> Table:
    """One model beside a plain one trained for each subset, with their mean."""
    columns = (
        Column("channels", numeric=False),
        Column(found.run),
        Column("specialist", "a plain network trained for these channels alone"),
        Column("difference", "in points of percent, with its paired 95 % interval"),
        Column("p", "Student's t over seeds and images, two-sided" if found.seeds else "exact McNemar test, two-sided"),
        Column("p, Holm", "corrected for the number of tests by Holm's method; the verdict goes by it"),
        Column("verdict", numeric=False),
    )
    better = {"a is better": f"{found.run} is better", "b is better": "the specialist is better"}
    rows = tuple(
        (
            Cell(row.subset),
            share_cell(row.accuracy),
            share_cell(row.specialist),
            difference_cell(row.difference, row.interval),
            _p_cell(row.p),
            _p_cell(row.p_holm),
            Cell(better.get(row.verdict, row.verdict)),
        )
        for row in found.rows
    )
    blank = Cell("")
    mean = (
        Cell("mean"),
        share_cell(found.accuracy),
        share_cell(found.specialist),
        difference_cell(found.difference, found.interval),
        blank,
        blank,
        blank,
    )
    counts = fmt.listing([fmt.count(n) for n in sorted({row.n for row in found.rows})])
    seeds = f", {len(found.seeds)} seeds ({fmt.listing(list(map(str, found.seeds)))}) of each" if found.seeds else ""
    interval = (
        "95 % intervals and p are Student's t over seeds and images, the intervals not corrected"
        if found.seeds
        else "the mean's interval is a bootstrap over images"
    )
    caption = (
        f"{found.run} and a plain network trained for each subset alone{seeds}, in percent: the same {counts} images "
        f"of the {found.split} split. Verdicts are corrected by Holm's method for the number of subsets; {interval}."
        f"{_alike(found)} {_where_trained(found)}{_saving(found)}"
    )
    return Table(caption, columns, (Group("", (*rows, mean)),))


def _p_cell(p: float) -> Cell:
    return Cell("< 0.001" if p < 0.001 else f"{p:.3f}", sort=p)


def _alike(found: Specialists) -> str:
    if not found.differs:
        all_ = "All of one seed" if found.seeds else "All"
        return f" {all_} were trained with the same settings, but for channels, objective and batch statistics."
    return f" They were not trained alike: they differ in {fmt.listing(found.differs)}."


def _where_trained(found: Specialists) -> str:
    """In which number format on what they were trained, each place with those that were trained there."""
    places = dict.fromkeys((found.trained, *(row.trained for row in found.rows)))
    if not any(places):
        return "In which number format and on which processor each was trained is not recorded."
    named = {}
    for where in places:
        subsets = [row.subset for row in found.rows if row.trained == where]
        others = [f"the specialist{'s' if len(subsets) > 1 else ''} for {fmt.listing(subsets)}"] if subsets else []
        named[where or place("", "")] = [found.run, *others] if where == found.trained else others
    return place_words(named)


def _saving(found: Specialists) -> str:
    """What one network costs beside its specialists, in a sentence; nothing where it was not counted."""
    (one, all_of_them), (passes, all_passes) = found.parameters, found.passes
    said = []
    if one and all_of_them:
        said.append(f"{fmt.count(one)} parameters against {fmt.count(all_of_them)}")
    if passes and all_passes:
        said.append(f"{passes} passes through the network in training for each image against {all_passes}")
    return f" One network has {' and '.join(said)}." if said else ""


def difference_cell(difference: float, interval: tuple[float, float]) -> Cell:
    return Cell(fmt.difference(difference), " to ".join(map(fmt.difference, interval)), difference)


def class_table(result: Result) -> Table:
    """Precision, recall and F1 of every class, the ones that are told worst first."""
    columns = (Column("class", numeric=False), *(Column(name) for name in ("images", "precision", "recall", "F1")))
    scores = sorted(result.per_class, key=lambda score: score.f1 or 0.0)
    rows = tuple(
        (
            Cell(s.name),
            Cell(fmt.count(s.support), sort=s.support),
            share_cell(s.precision),
            share_cell(s.recall),
            share_cell(s.f1),
        )
        for s in scores
    )
    return Table(f"Classes on {result.subset}, in percent, the lowest F1 first.", columns, (Group("", rows),))


def confusion_table(pairs: Sequence[tuple[str, str, int, int]]) -> Table:
    """The pairs of classes that are mistaken most: true class, answer, how often, of how many images."""
    columns = (Column("is", numeric=False), Column("was called", numeric=False), Column("times"), Column("of"))
    rows = tuple((Cell(true), Cell(said), Cell(str(times)), Cell(str(of))) for true, said, times, of in pairs)
    return Table("Most frequent confusions.", columns, (Group("", rows),))


def accuracy_cell(result: Result | None) -> Cell:
    if result is None:
        return Cell("")
    return Cell(fmt.percent(result.accuracy), fmt.interval(result.interval), result.accuracy)


def _metrics(result: Result, timed: bool) -> tuple[Cell, ...]:
    return (
        Cell(result.subset),
        share_cell(result.accuracy),
        Cell(fmt.interval(result.interval), sort=result.interval[0]),
        share_cell(result.top5),
        *macro_cells(result),
        share_cell(result.calibration_error),
        share_cell(result.retention),
        *([Cell(fmt.milliseconds(result.inference_ms), sort=result.inference_ms)] if timed else []),
    )


def macro_cells(result: Result) -> tuple[Cell, ...]:
    """Macro precision, recall and F1, each with its interval where the confusion matrix tells it."""
    intervals = result.macro_intervals
    shares = {"precision": result.precision, "recall": result.recall, "f1": result.f1}
    return tuple(
        Cell(fmt.percent(share), fmt.interval(intervals[name]) if name in intervals else "", share)
        for name, share in shares.items()
    )


def share_cell(share: float | None) -> Cell:
    return Cell(fmt.percent(share), sort=share)


def image_count(evaluations: Iterable[Evaluation]) -> str:
    counts = sorted({result.n for evaluation in evaluations for result in evaluation.results})
    return "no images" if not counts else f"n = {' or '.join(fmt.count(n) for n in counts)} images"


def _costs(run: Run, split: str) -> list[tuple[str, Cost]]:
    evaluation = run.on(split)
    results = evaluation.results if evaluation else ()
    return [(result.subset, result.cost) for result in results if result.cost is not None]


def memory_columns(costs: Sequence[Cost]) -> tuple[Column, ...]:
    """Those of peak memory: of which batch it is where that is the same for all, and of training where it is known."""
    batches = {max(cost.latency) for cost in costs if cost.latency}
    of = f", batch of {batches.pop()}" if len(batches) == 1 else ""
    whose = "of the largest batch that was timed"
    training = any(cost.training_bytes is not None for cost in costs)
    return (
        Column(f"MiB at inference{of}", f"peak memory of inference {whose}"),
        *([Column(f"MiB in training{of}", f"peak memory of a training step {whose}")] if training else []),
    )


def memory_cells(cost: Cost, costs: Sequence[Cost]) -> tuple[Cell, ...]:
    """What stands in `memory_columns` of all costs for one of them."""
    sizes = (cost.inference_bytes, cost.training_bytes)
    return tuple(Cell(fmt.mebibytes(size), sort=size) for size in sizes[: len(memory_columns(costs))])


def _cost_row(subset: str, cost: Cost, costs: Sequence[Cost]) -> tuple[Cell, ...]:
    batches = sorted({batch for one in costs for batch in one.latency})
    return (
        Cell(subset),
        Cell(fmt.scaled(cost.parameters), sort=cost.parameters),
        Cell(fmt.scaled(cost.macs), sort=cost.macs),
        Cell(fmt.scaled(cost.kernel_macs), sort=cost.kernel_macs),
        Cell(fmt.count(cost.depth), sort=cost.depth),
        *(latency_cell(cost.latency.get(batch)) for batch in batches),
        *memory_cells(cost, costs),
    )


def latency_cell(spread: Spread | None) -> Cell:
    if spread is None:
        return Cell("")
    quartiles = f"{fmt.milliseconds(spread.q25)}–{fmt.milliseconds(spread.q75)}"
    return Cell(fmt.milliseconds(spread.median), quartiles, spread.median)


def conditions(costs: Sequence[Cost]) -> str:
    """Where and at what size the costs were measured, every different answer once."""
    sizes = sorted({cost.image_size for cost in costs if cost.image_size is not None})
    places = sorted({_place(cost.device, cost.hardware, cost.threads) for cost in costs})
    pixels = f" of {' or '.join(f'{s}×{s}' for s in sizes)} pixels" if sizes else ""
    return f"{pixels}, measured on {' and on '.join(places)}"


def _place(device: str, hardware: Mapping[str, Any], threads: Any) -> str:
    name = hardware.get("cpu" if device == "cpu" else "gpu") or f"a {device} that is not recorded"
    return f"{name}, {threads} thread{'' if threads == 1 else 's'}" if threads and device == "cpu" else str(name)
