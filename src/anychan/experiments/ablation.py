"""``ablate``: one recipe and changes to it, a run each, compared with the recipe image by image."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from anychan._files import read_yaml
from anychan._lock import alone
from anychan._records import read_record as read_record_file
from anychan._records import trained_by, write_record
from anychan.environment import checked_device, environment
from anychan.evaluation import HELD_OUT, record_costs
from anychan.evaluation.bootstrap import DRAWS
from anychan.experiments._ablation_rows import BASE, BOOTSTRAP, ablation_row, folder_name
from anychan.experiments.completing import check_answers, check_networks, check_pretrained, check_splits, is_finished
from anychan.experiments.executors import EXECUTORS, Executor
from anychan.experiments.recipes import Recipe
from anychan.experiments.settings import configuration, merged
from anychan.training import TrainConfig
from anychan.training.config import differences, jsonable

RECORD = "ablation.json"
_GIVEN = {"seed", "out", "resume"}
_OF_RECIPE = ("recipe", "run", "fair")


@dataclass(frozen=True)
class Ablation:
    """A recipe, and changes to it.

    Args:
        base: settings of `anychan train`, by their names, in groups or dotted.
        changes: by a name, the settings that differ.
        title: what is asked.
        seeds: each is a run of the base and of every change.
        split: what the runs are compared on; "": "held-out" where the base holds training images out, else "val".
        cost: also measure what a call of a run's model costs, with all its channels, when all are trained: of each
            change the first seed's that did not fail.

    Raises:
        ValueError: if there is nothing to change, a change leaves the base as it is, a name is no text, two names give
            one folder, a seed is given twice or in a change, or settings are wrong.

    Example:
        >>> base = {"data": "photographs.zip", "model": "wide6"}
        >>> ablation = Ablation(base, {"narrow": {"model_options.width": 32}}, seeds=(0, 1))
        >>> [(name, seed, config.model_options) for name, seed, config in ablation.runs(Path("runs"))]
        [('base', 0, {}), ('narrow', 0, {'width': 32}), ('base', 1, {}), ('narrow', 1, {'width': 32})]
    """

    base: Mapping[str, Any]
    changes: Mapping[str, Mapping[str, Any]]
    title: str = ""
    seeds: Sequence[int] = (0,)
    split: str = ""
    cost: bool = False

    def __post_init__(self) -> None:
        changes_are_groups = isinstance(self.changes, Mapping) and all(
            isinstance(change, Mapping) for change in self.changes.values()
        )
        if not isinstance(self.base, Mapping) or not changes_are_groups or not isinstance(self.seeds, list | tuple):
            raise ValueError("an ablation has settings as its base, settings for each name as changes, a list of seeds")
        for name in self.changes:
            if not isinstance(name, str):  # YAML takes `no` for a truth value and `32` for a number
                raise ValueError(f"change {name!r} is no text: put its name in quotes")
        if not isinstance(self.title, str):  # YAML takes 2026-11-28 for a date
            raise ValueError(f"title {self.title!r} is no text: put it in quotes")
        if not isinstance(self.cost, bool):
            raise ValueError(f"cost {self.cost!r} must be true or false")
        if not self.changes or not self.seeds:
            raise ValueError("an ablation needs changes and seeds, one of each at least")
        if not all(isinstance(seed, int) and not isinstance(seed, bool) for seed in self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} must be whole numbers")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)}: one is given twice")
        for name, settings in ((BASE, self.base), *self.changes.items()):
            given = sorted(_GIVEN & settings.keys())
            if given:
                raise ValueError(f"{name}: {given[0]} is given by the ablation itself; name seeds as seeds")
        names = [folder_name(name) for name in (BASE, *self.changes)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two changes would lie in one folder, {twice[0]!r}: give them other names")
        configs = [config for _, _, config in self.runs(Path("unused"))]  # wrong settings are refused before any run
        self._check_changes(*configs[: 1 + len(self.changes)])  # of the first seed
        if not self.split:
            object.__setattr__(self, "split", "val" if configs[0].held_out is None else HELD_OUT)

    def _check_changes(self, base: TrainConfig, *changed: TrainConfig) -> None:
        for name, config in zip(self.changes, changed, strict=True):
            if replace(config, out=base.out) == base:
                raise ValueError(f"{name}: nothing differs from the base, which is a run itself: leave this change out")

    @classmethod
    def read(cls, path: Path, **settings: Any) -> Ablation:
        """From a YAML file with ``base``, ``changes`` or ``grid`` (values for each setting, all combined), and more.

        Of a grid the combination that is the base's own is left out, since the base is a run itself; combinations whose
        runs would lie in one folder are numbered, in their order.

        In place of the base, or below its settings, a ``run`` of a ``recipe``, both by name; with ``fair: true`` its
        fair twin.

        Args:
            path: the file.
            **settings: of the base, in place of the file's; and ``seeds``.

        Raises:
            FileNotFoundError: if it is not there.
            ValueError: if it is no YAML, or no ablation, or there is no such recipe or run.
        """
        told = read_yaml(path)
        known = {"title", "base", *_OF_RECIPE, "changes", "grid", "seeds", "split", "cost"}
        if (
            not isinstance(told, Mapping)
            or not {"base", "recipe"} & told.keys()
            or not told.keys() <= known
            or ("recipe" not in told and told.keys() & set(_OF_RECIPE))
            or ("changes" in told) == ("grid" in told)
        ):
            raise ValueError(
                f"{path} is no ablation: it should have base or recipe (with run, and may have fair), changes or grid, "
                "and may have title, seeds, split, cost"
            )
        told = dict(told)
        of_recipe = {name: told.pop(name) for name in _OF_RECIPE if name in told}
        if of_recipe:
            base = told.get("base", {})
            told["base"] = merged(_recipe_settings(path, **of_recipe), base) if isinstance(base, Mapping) else base
        of_grid = "grid" in told
        if of_grid:
            if not isinstance(told["grid"], Mapping) or not all(isinstance(v, list) for v in told["grid"].values()):
                raise ValueError(f"{path}: a grid has a list of values for each setting")
            told["changes"] = _combined(told.pop("grid"))
        seeds = settings.pop("seeds", None)
        if isinstance(told["base"], Mapping):
            told["base"] = base = merged(told["base"], settings)
            if of_grid:
                told["changes"] = {name: one for name, one in told["changes"].items() if not _is_base(base, one)}
        return cls(**(told if seeds is None else {**told, "seeds": seeds}))

    def runs(self, folder: Path) -> Iterable[tuple[str, int, TrainConfig]]:
        """Each run's change, seed and configuration, the base first of every seed."""
        for seed in self.seeds:
            for name, change in ((BASE, {}), *self.changes.items()):
                place = {"out": str(folder / f"{folder_name(name)}-seed{seed}"), "seed": seed}
                try:
                    yield name, seed, configuration(merged(self.base, change, place))
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error


def _is_base(base: Mapping[str, Any], change: Mapping[str, Any]) -> bool:
    """Whether a change leaves the base as it is; settings that are none are refused elsewhere."""
    place = {"out": "unused"}
    try:
        return configuration(merged(base, change, place)) == configuration(merged(base, place))
    except ValueError:
        return False


def _recipe_settings(path: Path, recipe: str = "", run: str = "", fair: bool = False) -> dict[str, Any]:
    if not isinstance(fair, bool):
        raise ValueError(f"{path}: fair {fair!r} must be true or false")
    found = Recipe.read(recipe)
    if not isinstance(run, str) or not run:
        raise ValueError(f"{path}: name a run of recipe {recipe}: {', '.join(found.runs)}")
    return found.settings_of(run, fair)


def ablate(
    ablation: Ablation, folder: Path | str, executor: str = "sequential", workers: int | None = None
) -> dict[str, Any]:
    """Run what is not there yet, and compare every change with the base.

    Asked again, it goes on where it was interrupted, in the middle of a run too. A run that fails is noted, and the
    rest is finished. Files that are not there or cannot be written end it; with executor "processes" what runs is
    finished, and the rest is noted as not begun.

    Args:
        ablation: what to run.
        folder: where the runs lie, and ``ablation.json``.
        executor: a key of ``EXECUTORS``: "sequential", "processes" for several at once on this machine, or "ray" for
            many machines.
        workers: how many processes; None: two.

    Returns:
        The record, also written to ``ablation.json``: ``rows``, one a change, with the accuracy on all channels and the
        mean over the subsets, averaged over seeds, the differences from the base with their 95 % intervals, a verdict,
        and errors. Of one seed and one channel set, interval and verdict are those of `anychan compare`
        (`anychan.evaluation.paired`); of the mean over subsets an interval is a bootstrap over images, of several seeds
        Student's t over images and seeds (`anychan.evaluation.bootstrap`). ``method`` says which, and ``draws`` how
        many a bootstrap took, None where there was none. Where runs failed, a difference is of those ``seeds`` that
        both have. A row also has the number of the run's channels, its mean accuracy on its subsets of each size, in
        which number format and on what the run of each seed was trained, by which commits where that is not the
        record's own alone, and, where it was asked for, what a call with all channels costs, or in ``cost_error`` why
        that could not be measured.

    Raises:
        InterruptedRunError: if it was interrupted.
        OSError: if the data, a file of pretrained weights or the weights that a run there took are not there, or runs
            cannot be written.
        FileExistsError: if another process is at the folder.
        ValueError: for an unknown executor, one that is not installed or has no workers, if there is nothing to compare
            the runs on or an image of it is broken, a network does not take its options, an earlier record in the
            folder is of another split, has seeds or changes that are not asked for now or with other settings, a run
            there is one of other settings, data or weights or has answers of other images, or no run could be
            completed.
    """
    if executor not in EXECUTORS:
        raise ValueError(f"unknown executor {executor!r}; there are {', '.join(EXECUTORS)}")
    if workers is not None and executor != "processes":
        raise ValueError(f"workers {workers} go with executor 'processes', not {executor!r}")
    made_by = EXECUTORS[executor] if workers is None else partial(EXECUTORS[executor], workers=workers)
    folder = Path(folder)
    configs = [(name, config) for name, _, config in ablation.runs(folder)]
    check_splits(configs, ablation.split)
    check_pretrained(configs)
    check_networks(configs)
    with alone(folder):  # what is there is looked at inside: another process may just have written it
        _check_earlier(ablation, folder / RECORD)
        for _, config in configs:  # all before the first is trained: as errors they would lose rows
            if is_finished(config):
                check_answers(config, ablation.split)
        return _made(ablation, folder, made_by)


def _made(ablation: Ablation, folder: Path, executor: Executor) -> dict[str, Any]:
    asked = [*ablation.runs(folder)]
    outcomes = executor([config for _, _, config in asked], ablation.split)
    told = zip(asked, outcomes, strict=True)
    errors = {(name, seed): failed for (name, seed, _), failed in told if failed is not None}
    if len(errors) == len(ablation.seeds) * (1 + len(ablation.changes)):
        raise ValueError(f"no run could be completed, so nothing is written; the first: {next(iter(errors.values()))}")
    costed: dict[str, TrainConfig] = {}  # by change the run that its row's cost is of
    for name, seed, config in asked if ablation.cost else ():
        if (name, seed) not in errors:
            costed.setdefault(name, config)
    uncosted = {name: said for name, config in costed.items() if (said := _measure(config, ablation.split))}
    rows = [ablation_row(name, ablation.seeds, ablation.split, folder, errors) for name in (BASE, *ablation.changes)]
    made = environment()
    for row in rows:
        if row.get("trained_by") == trained_by(made):  # told where it was not the record's own commit alone
            del row["trained_by"]
        if row["name"] in uncosted:
            row["cost_error"] = uncosted[row["name"]]
    methods = {found["method"] for row in rows for name, found in row.items() if name.startswith("difference_")}
    record = {
        "title": ablation.title,
        "base": jsonable(ablation.base),
        "changes": jsonable(ablation.changes),
        "seeds": list(ablation.seeds),
        "split": ablation.split,
        "draws": DRAWS if BOOTSTRAP in methods else None,
        **made,
        "rows": rows,
    }
    return write_record(folder / RECORD, "ablation", record)


def _measure(config: TrainConfig, split: str) -> str:
    """Put what a call with all channels costs beside a run's answers, here, and say why that cannot be; else ""."""
    try:
        device = str(checked_device()) if config.device == "auto" else config.device
        record_costs([config.out], split, device=device, whole=True)
    except (ValueError, RuntimeError) as error:  # the latter such as a GPU's memory that does not suffice
        return " ".join(str(error).split())
    return ""


def _check_earlier(ablation: Ablation, path: Path) -> None:
    """That no row of an earlier record would be lost."""
    if not path.is_file():
        return
    earlier = read_record_file(path, "ablation")
    if earlier["split"] != ablation.split:
        raise ValueError(
            f"{path} holds answers on {earlier['split']!r}, which would be lost for {ablation.split!r}: "
            "name that split, or another folder"
        )
    changes = {  # one that is the base is in its row; earlier versions took it
        name: change for name, change in earlier["changes"].items() if not _is_base(earlier["base"], change)
    }
    for what, before, now in (("seed", earlier["seeds"], ablation.seeds), ("change", changes, ablation.changes)):
        lost = [item for item in before if item not in now]
        if lost:
            raise ValueError(f"{path} holds {what} {lost[0]!r}, which would be lost: name it too, or another folder")
    for name in (BASE, *changes):
        before, now = (
            configuration(merged(base, every.get(name, {}), {"out": "unused"})).to_dict()
            for base, every in ((earlier["base"], changes), (ablation.base, ablation.changes))
        )
        if changed := differences(before, now):
            raise ValueError(
                f"{path} holds {name!r} with other settings ({'; '.join(changed)}): name another, or another folder"
            )


def _combined(grid: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """A grid's changes by name; numbered where two would lie in one folder, such as those of -1 and 1."""
    found: dict[str, dict[str, Any]] = {}
    folders: set[str] = set()
    known: list[tuple[str, dict[str, Any]]] = []
    for values in itertools.product(*grid.values()):
        change = dict(zip(grid, values, strict=True))
        name = ", ".join(f"{setting}={value}" for setting, value in change.items())
        if (name, change) in known:  # a value that is given twice
            continue
        known.append((name, change))
        numbered = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
        told = next(one for one in numbered if folder_name(one) not in folders)
        folders.add(folder_name(told))
        found[told] = change
    return found
