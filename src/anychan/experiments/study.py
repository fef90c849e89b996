"""``study``: many runs that belong together, what tunes them and what teaches them, several at once.

A study's file names searches and runs in order of priority. Runs may take their settings from searches, learn from
other runs, and have several seeds; a run begins when what it needs is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from anychan._files import read_yaml
from anychan._lock import alone
from anychan._records import RUN, read_run_record
from anychan.experiments._shapes import check_shapes
from anychan.experiments.completing import Costs, attempt, check_networks, check_pretrained, check_splits
from anychan.experiments.pool import Task, work_through
from anychan.experiments.search import check_search, sweep
from anychan.experiments.search_space import SearchSpace
from anychan.experiments.settings import configuration, merged, says
from anychan.training import TrainConfig
from anychan.training.config import differences

_GIVEN = ("out", "seed", "resume", "objective.teacher", "initial")
_IMAGES = ("data", "bands", "held_out")  # settings that say on which images a search chooses
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Search:
    """A search of a study: `sweep`'s settings, what is varied, and how many trials there are.

    Raises:
        ValueError: for what has another shape.
    """

    space: Mapping[str, Any]
    trials: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        check_shapes(self)


@dataclass(frozen=True)
class StudyRun:
    """A run of a study, once for each seed.

    Args:
        settings: those of `anychan train` in which it differs from the study's.
        tuned_by: searches, of which the best trial's settings are taken; all of the same images.
        tuned: only those settings of it that begin so ("optimizer"), some of every search; empty: all.
        taught_by: the run of the study, of the same seed, that teaches it, with objective.name sandwich or teacher: as
            settings say, else what auto comes to, a sandwich for what samples channels. Not with labels.
        starts_from: the run of the study, of the same seed, whose weights it starts from.
        seeds: in place of the study's.
        flips: also evaluate with test-time flips.

    Raises:
        ValueError: for what has another shape, or a seed given twice.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    tuned_by: Sequence[str] = ()
    tuned: Sequence[str] = ()
    taught_by: str | None = None
    starts_from: str | None = None
    seeds: Sequence[int] | None = None
    flips: bool = False

    def __post_init__(self) -> None:
        check_shapes(self)


@dataclass(frozen=True)
class Study:
    """Runs and searches in order of priority.

    Args:
        runs: by name.
        searches: by name.
        settings: of every run, by their names, in groups or dotted, as `anychan train` takes them.
        title: what is asked.
        seeds: of every run that does not name its own.
        split: what runs are evaluated on.
        cost: of which channel sets a run's cost is measured too ("none", "full", "all"): beside other runs it would be
            measured wrong, and `anychan profile --record` fills it in.

    Raises:
        ValueError: for wrong settings, what has another shape, a seed given twice, names that are not those of folders
            or stand twice, be it in capitals, a search or run that is named and is not there, or ``tuned`` that takes
            nothing from a search.

    Example:
        >>> study = Study({"wide6": StudyRun({"model": "wide6"})}, settings={"data": "a.zip"}, seeds=(0, 1))
        >>> study.folders()
        ['wide6-seed0', 'wide6-seed1']
    """

    runs: Mapping[str, StudyRun]
    searches: Mapping[str, Search] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    seeds: Sequence[int] = (0,)
    split: str = "test"
    cost: Costs = "none"

    def __post_init__(self) -> None:
        check_shapes(self)
        if not self.runs:
            raise ValueError("a study needs one run at least")
        for name in (*self.searches, *self.runs):
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} names no folder: letters, digits, '.', '_' and '-' alone")
        twice = sorted(self.searches.keys() & set(self.folders()))
        if twice:
            raise ValueError(f"{twice[0]!r} is a search and a run: give one another name")
        folders: dict[str, str] = {}
        for name in (*self.searches, *self.folders()):
            other = folders.setdefault(name.casefold(), name)
            if other != name:
                raise ValueError(f"{other!r} and {name!r} are one folder on Windows and macOS: give one another name")
        for name, search in self.searches.items():
            self._check_search(name, search)
        before: list[str] = []
        for name, run in self.runs.items():
            self._check_tuned(name, run)
            for other in filter(None, (run.taught_by, run.starts_from)):
                lacking = other not in before or set(self._seeds(run)) - set(self._seeds(self.runs[other]))
                if lacking:
                    raise ValueError(f"{name}: no run {other!r} with its seeds stands before it")
            before.append(name)
        list(self.configurations(Path("unused")))  # wrong settings are refused before any run

    @classmethod
    def read(cls, path: Path, **settings: Any) -> Study:
        """From a YAML file with ``runs``, and ``searches``, ``settings`` and the rest as they are named above.

        Args:
            path: the file.
            **settings: of all runs and searches, in place of the file's; and ``seeds``.

        Raises:
            FileNotFoundError: if it is not there.
            ValueError: if it is no YAML, or no study.
        """
        told = read_yaml(path)
        told = _checked(f"{path}", told, cls)
        seeds = settings.pop("seeds", None)
        for group, kind in (("runs", StudyRun), ("searches", Search)):
            parts = _given(told.get(group))
            if not isinstance(parts, Mapping):
                raise ValueError(f"{path}: {group} should have a name for each, not {parts!r}")
            told[group] = {name: _part(f"{path}: {name}", _given(part), kind) for name, part in parts.items()}
        told["settings"] = _given(told.get("settings"))
        if isinstance(told["settings"], Mapping):
            told["settings"] = merged(told["settings"], settings)
        return cls(**(told if seeds is None else {**told, "seeds": seeds}))

    def folders(self) -> list[str]:
        """The folders of all runs, in their order."""
        return [_folder(name, seed) for name, run in self.runs.items() for seed in self._seeds(run)]

    def tuned_folders(self) -> set[str]:
        """The folders of runs that take settings from searches, without which theirs may not go together."""
        return {_folder(name, seed) for name, run in self.runs.items() if run.tuned_by for seed in self._seeds(run)}

    def configurations(self, folder: Path) -> Iterable[tuple[str, TrainConfig]]:
        """Each run's folder and configuration, before what a search finds goes into it.

        Raises:
            ValueError: for wrong settings.
        """
        for name, run in self.runs.items():
            for seed in self._seeds(run):
                try:
                    yield _folder(name, seed), configuration(self._settled(name, seed, folder))
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error

    def searched(self, folder: Path) -> Iterable[tuple[str, dict[str, Any], SearchSpace]]:
        """Each search's folder, its settings before what a trial chooses goes into them, and what it chooses from."""
        for name, search in self.searches.items():
            yield name, self._search_settings(search, folder / name), SearchSpace(search.space)

    def tasks(self, folder: Path) -> list[Task]:
        """All that is to be done, searches first."""
        found = [
            Task(name, partial(_search, self._search_settings(search, folder / name), search), folder / f"{name}.log")
            for name, search in self.searches.items()
        ]
        for name, run in self.runs.items():
            for seed in self._seeds(run):
                own = _folder(name, seed)
                others = [_folder(other, seed) for other in (run.taught_by, run.starts_from) if other]
                settings = self._settled(name, seed, folder)
                work = partial(_run, settings, [folder / s for s in run.tuned_by], run, self.split, self.cost)
                found.append(Task(own, work, folder / f"{own}.log", (*run.tuned_by, *others)))
        return found

    def _seeds(self, run: StudyRun) -> Sequence[int]:
        return self.seeds if run.seeds is None else run.seeds

    def _settled(self, name: str, seed: int, folder: Path) -> dict[str, Any]:
        run = self.runs[name]
        _refuse_given(self.settings, run.settings)
        told, place = merged(self.settings, run.settings), {"out": str(folder / _folder(name, seed)), "seed": seed}
        if run.taught_by:
            objective = told.get("objective")
            if isinstance(objective, Mapping) and objective.get("name") == "labels":
                raise ValueError(
                    f"objective.name 'labels' with taught_by {run.taught_by!r}, from which it would learn nothing: it "
                    "must be sandwich, teacher or auto"
                )
            place["objective.teacher"] = str(folder / _folder(run.taught_by, seed))
        if run.starts_from:
            place["initial"] = str(folder / _folder(run.starts_from, seed))
        return merged(told, place)

    def _search_settings(self, search: Search, folder: Path) -> dict[str, Any]:
        _refuse_given(self.settings, search.settings)
        return merged(self.settings, search.settings, {"out": str(folder)})

    def _images_of(self, search: Search) -> list[Any]:
        """What says on which images a search chooses."""
        settings = configuration(self._search_settings(search, Path("unused"))).to_dict()
        return [settings[name] for name in _IMAGES]

    def _check_search(self, name: str, search: Search) -> None:
        try:
            configuration(self._search_settings(search, Path("unused")))
            SearchSpace(search.space)
            if given := [setting for setting in search.space if setting in _GIVEN]:
                raise ValueError(f"{given[0]!r} cannot be searched: the study gives it to each of its runs")
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def _check_tuned(self, name: str, run: StudyRun) -> None:
        """That a run's searches are there, can be compared, and give what is to be taken from them."""
        if unknown := [search for search in run.tuned_by if search not in self.searches]:
            raise ValueError(f"{name}: no search {unknown[0]!r}; there are {', '.join(self.searches) or 'none'}")
        if run.tuned and not run.tuned_by:
            raise ValueError(f"{name}: tuned {', '.join(run.tuned)} goes with tuned_by, which names searches")
        chosen_on = [self._images_of(self.searches[search]) for search in run.tuned_by]
        if any(images != chosen_on[0] for images in chosen_on):
            raise ValueError(f"{name} is tuned by searches of other {' or '.join(_IMAGES)}: the best of these is none")
        spaces = {search: list(self.searches[search].space) for search in run.tuned_by}
        searched = list(dict.fromkeys(setting for space in spaces.values() for setting in space))
        for one in run.tuned:
            if not any(_is_taken(setting, [one]) for setting in searched):
                raise ValueError(f"{name}: tuned {one!r} is nothing that was searched; that is {', '.join(searched)}")
        if twice := [one for one in searched if _is_taken(one, run.tuned) and says(run.settings, one)]:
            raise ValueError(
                f"{name}: {twice[0]} is said of the run, and searched by what it is tuned by: leave one out"
            )
        for search, space in spaces.items():  # which of them is the best is not known yet
            if not any(_is_taken(setting, run.tuned) for setting in space):
                raise ValueError(
                    f"{name}: search {search!r} varies nothing of tuned {', '.join(run.tuned)}, only {', '.join(space)}"
                )


def conduct(
    study: Study,
    folder: Path | str,
    workers: int = 1,
    *,
    seconds: float | None = None,
    tell: Callable[[str, float, str | None], None] | None = None,
) -> dict[str, str | None]:
    """Search, train and evaluate what is not there yet.

    Asked again it goes on where it was interrupted, in the middle of a run too. What fails is told, such as a run whose
    teacher's weights are gone, and the rest is finished, but for what needs it; after data that are not there or files
    that cannot be written nothing more is begun.

    Args:
        study: what to do.
        folder: where the runs go, a folder each, and a log of each beside it.
        workers: how many at once; on one GPU small networks train side by side nearly as fast as alone.
        seconds: after which what runs stops at a checkpoint and nothing is begun any more; None: no limit.
        tell: called with each name, its seconds and what went wrong, when it has ended.

    Returns:
        By name what went wrong as a sentence, or None.

    Raises:
        InterruptedRunError: if it was interrupted.
        FileExistsError: if another process is at the folder.
        FileNotFoundError: if data or a file of pretrained weights are not there.
        ValueError: for fewer than one worker, a run whose data have no such split as it is to be evaluated on or
            a broken image in it, a run that no search tunes whose network does not take its options, a search
            whose data have no validation split or of which no choice gives a network, or pretrained weights that
            cannot be read.
    """
    folder = Path(folder)
    runs, searches = list(study.configurations(folder)), list(study.searched(folder))
    check_splits(runs, study.split)
    for name, settings, space in searches:
        try:
            check_search(settings, space)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    check_pretrained([*runs, *((name, configuration(settings)) for name, settings, _ in searches)])
    tuned = study.tuned_folders()
    check_networks((name, config) for name, config in runs if name not in tuned)
    with alone(folder):
        return work_through(study.tasks(folder), workers, seconds=seconds, tell=tell)


def _search(settings: Mapping[str, Any], search: Search) -> str | None:
    found = sweep(settings, SearchSpace(search.space), search.trials, search.seed)
    return None if found["best"] else f"no trial could be completed; the first: {found['trials'][0]['error']}"


def _run(settings: Mapping[str, Any], searches: Sequence[Path], run: StudyRun, split: str, cost: Costs) -> str | None:
    try:
        search, chosen = _tuned(searches, run.tuned)
        config = configuration(merged(settings, chosen))
        anew = _chosen_anew(config, chosen)
    except ValueError as error:
        return str(error)
    refused = attempt(config, split, cost=cost, flips=run.flips)
    return f"{refused}: search {search} now chooses {', '.join(anew)}" if refused and anew else refused


def _chosen_anew(config: TrainConfig, chosen: Mapping[str, Any]) -> list[str]:
    """What a search chose of a run's settings otherwise than they were when the run was begun; its record names none.

    Raises:
        ValueError: for a run.json that cannot be read.
    """
    if not (config.out / RUN).is_file():
        return []
    before = TrainConfig.from_dict(read_run_record(config.out)["config"]).to_dict()
    changed = [line.partition(":")[0] for line in differences(before, config.to_dict())]
    return [f"{name} {value}" for name, value in chosen.items() if any(_is_taken(one, [name]) for one in changed)]


def _tuned(searches: Sequence[Path], taken: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The search whose best trial is the best of all, the first of equals, and that trial's settings."""
    bests = {
        search.name: json.loads((search / "sweep.json").read_text(encoding="utf-8"))["best"] for search in searches
    }
    if not bests:
        return "", {}
    search = max(bests, key=lambda name: bests[name]["val_accuracy"])
    return search, {name: value for name, value in bests[search]["settings"].items() if _is_taken(name, taken)}


def _is_taken(setting: str, tuned: Sequence[str]) -> bool:
    return not tuned or any(setting == one or setting.startswith(f"{one}.") for one in tuned)


def _folder(name: str, seed: int) -> str:
    return f"{name}-seed{seed}"


def _refuse_given(*settings: Mapping[str, Any]) -> None:
    for some in settings:
        together = merged(some)
        for name in _GIVEN:
            group, _, rest = name.partition(".")
            there = together.get(group)
            if there is not None and (not rest or (isinstance(there, Mapping) and rest in there)):
                raise ValueError(f"{name} is given by the study itself: name seeds, taught_by or starts_from")


def _given(told: Any) -> Any:
    """What stands behind a name in YAML, where nothing may."""
    return {} if told is None else told


def _part(what: str, told: Any, kind: type) -> Any:
    told = _checked(what, told, kind)
    try:
        return kind(**told)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def _checked(what: str, told: Any, kind: type) -> dict[str, Any]:
    """What YAML says, if it has only the keys of a class, and those without a default."""
    known = {one.name for one in fields(kind)}
    needed = {"runs"} if kind is Study else {"space", "trials"} if kind is Search else set()
    if not isinstance(told, Mapping) or not needed <= told.keys() <= known:
        raise ValueError(
            f"{what} should have {', '.join([*sorted(needed), *sorted(known - needed)])}, no other, and "
            f"of these {', '.join(sorted(needed)) or 'none'} always"
        )
    return dict(told)
