"""``sweep``: a search for settings that do best on validation, a run each, by Optuna."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anychan._errors import first_line
from anychan._lock import LOCK, alone
from anychan._records import RUN, read_run_record, trained_by, write_record
from anychan.data import open_dataset
from anychan.environment import environment
from anychan.evaluation import HELD_OUT, evaluate_run
from anychan.experiments._kept import has_new_statistics, kept_epoch
from anychan.experiments.completing import check_networks
from anychan.experiments.search_space import SearchSpace
from anychan.experiments.settings import configuration, merged
from anychan.models.files import read_info
from anychan.training import InterruptedRunError, TrainConfig, train
from anychan.training.checkpoint import CheckpointError
from anychan.training.config import differences
from anychan.training.initial import weights_taken
from anychan.training.machine import choose, start_accelerator
from anychan.training.stopping import NotFiniteError

if TYPE_CHECKING:
    from optuna import Study
_JOURNAL, _RECORD = "optuna.log", "sweep.json"
_BROKEN = 2  # trials in a row that a search gives up after, as the machine may be at fault
# Settings that a network is made by.
_OF_NETWORKS = ("model", "model_options", "strategy", "strategy_options", "channels", "normalisation.kind")
_SEEDS = 2**32  # that Optuna's random numbers can begin with
_ACCURACY, _CHOSEN, _SEED = "val_accuracy", "chosen", "proposals_seed"


def sweep(settings: Mapping[str, Any], space: SearchSpace, trials: int, seed: int = 0) -> dict[str, Any]:
    """Train with settings that Optuna's tree of Parzen estimators proposes, one run after another.

    What is maximised is the accuracy on validation, with the channels that training validates with, of the model that
    is kept: that of the last epoch, or with early stopping that of the best one by the metric it watches; where
    training ends with new batch statistics, that of the model with these. Nothing looks at test. The state is kept in
    the folder: asked again, the search goes on where it was interrupted, in the middle of a run too, until it has as
    many trials as asked for. A run that fails is noted and the search goes on; it stops where two in a row fail by
    something else than their settings.

    Args:
        settings: of every run, by their names, in groups or dotted, as `anychan train` takes them: what is left out or
            "auto" follows from what a trial chooses. ``out`` is the folder of the search, with a run in ``trial-000``
            and so on.
        space: what is varied.
        trials: how many runs there shall be, those of before included.
        seed: of the proposals; a search that goes on keeps it.

    Returns:
        The record that is also written to ``sweep.json``: ``trials``, each with its number, state, settings, accuracy
        and error, and which commits trained it where that is not the record's own alone, and ``best``, one of them or
        None.

    Raises:
        ValueError: without Optuna (``pip install anychan[sweep]``), for fewer than one trial, a seed below 0 or above
            2^32 - 1, wrong settings, a data set without validation, a space of which no choice gives a network, a
            folder that holds another search, a machine that would train in another number format than the trials there,
            an interrupted run that cannot go on from its checkpoint here, or two trials in a row that failed by
            something else than their settings.
        FileExistsError: if the folder holds something else, or another process is at it.
        InterruptedRunError: if it was interrupted.
    """
    if trials < 1:
        raise ValueError(f"{trials} trials: there must be 1 at least")
    if not 0 <= seed < _SEEDS:
        raise ValueError(f"{_SEED} {seed} must be a whole number from 0 to {_SEEDS - 1:,}")
    check_search(settings, space)
    config = configuration(settings)
    _check_folder(config.out)
    with alone(config.out):
        search = _Search(_study(config.out, seed), settings, space, seed)
        search.go_on(trials)
        return search.record()


def check_search(settings: Mapping[str, Any], space: SearchSpace) -> None:
    """That there will be images to choose on, and that some choice of the space gives a network, as far as is seen.

    Raises:
        FileNotFoundError: if the data are not there.
        ValueError: if they have no validation split, and none is held out, or no choice's network takes its options.
    """
    config = configuration(settings)
    if not open_dataset(config.data, config.bands).splits.get("val") and config.held_out is None:
        raise ValueError(f"{config.data} has no validation split to choose on: hold training images out with held_out")
    refused, reasons = [], set()
    choices, are_all = space.choices(_OF_NETWORKS)
    for chosen in choices:
        told = ", ".join(f"{name}={value}" for name, value in chosen.items()) or "every trial"
        try:
            check_networks([(told, space.applied(settings, chosen))])
        except ValueError as error:  # of settings that do not fit one another it says nothing of the choice
            refused.append(str(error))
            reasons.add(str(error).removeprefix(told))
        else:
            return
    if are_all or len(reasons) == 1:  # else values between may
        raise ValueError(f"no choice of the search gives a network; the first, {refused[0]}")


def _check_folder(folder: Path) -> None:
    content = {path.name for path in folder.iterdir()} - {LOCK} if folder.exists() else set()
    if content and _JOURNAL not in content:
        raise FileExistsError(f"{folder} is not empty and holds no search; choose another folder")


def _study(folder: Path, seed: int) -> Study:
    try:
        import optuna
    except ImportError as error:
        raise ValueError("a search needs Optuna: pip install anychan[sweep]") from error
    from optuna.samplers import TPESampler
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Optuna's own lock is a link, which needs a privilege on Windows and is waited for for ever where it dangles.
    # The folder is ours alone: what lock lies there a killed process has left.
    journal = str(folder / _JOURNAL)
    Path(f"{journal}.lock").unlink(missing_ok=True)
    _cut_torn_line(Path(journal))
    study = optuna.create_study(
        study_name="sweep",
        storage=JournalStorage(JournalFileBackend(journal, JournalFileOpenLock(journal))),
        direction="maximize",
        load_if_exists=True,
    )
    # A search that goes on does not propose again what it proposed first.
    study.sampler = TPESampler(seed=(seed + len(study.trials)) % _SEEDS)
    return study


def _cut_torn_line(journal: Path) -> None:
    """Take out the end of a line that a full disk or a power cut left: Optuna would write the next one behind it."""
    if not journal.is_file():
        return
    with journal.open("rb+") as file:
        written = file.read()
        file.truncate(written.rfind(b"\n") + 1)


class _Search:
    """A study with the runs that stand for its trials."""

    def __init__(self, study: Study, settings: Mapping[str, Any], space: SearchSpace, seed: int) -> None:
        self._study, self._settings, self._space = study, settings, space
        self._broken = 0  # trials in a row that something else than their settings ended
        self._config = config = configuration(settings)
        settled = {**config.to_dict(), "out": None, "resume": None}
        there = open_dataset(config.data, config.bands).description
        images = {split: there["fingerprints"].get(split) for split in ("train", "val")}
        images["decoding"] = there["decoding"]
        asked: dict[str, Any] = {"config": settled, "space": dict(space.settings), _SEED: seed}
        asked |= {"images": images, "weights": weights_taken(config), "precision": config.precision}
        noted = dict(study.user_attrs)
        if noted and "images" not in noted:  # begun before they were noted
            noted["images"] = images if noted["config"]["data"] == settled["data"] else None
        elif noted:  # or before all of what tells them apart was
            noted["images"] = {**dict.fromkeys(("train", "val")), "decoding": images["decoding"], **noted["images"]}
        for name, value in asked.items():
            now = json.loads(json.dumps(value))
            if name not in noted:  # of a new search, or of one from before this was noted
                study.set_user_attr(name, value)
                continue
            if name == "config":
                what = "; ".join(_differences(noted[name], now, config.out))
            else:
                what = "" if noted[name] == now else f"other {name}"
            if what:
                raise ValueError(f"{config.out} holds a search with {what}; choose another folder")

    def go_on(self, trials: int) -> None:
        """Finish what was interrupted, and run what is lacking."""
        from optuna.trial import TrialState

        running = self._study.get_trials(states=[TrialState.RUNNING])
        if running or self._finished < trials:
            self._check_precision()
        for interrupted in running:
            if _CHOSEN in interrupted.user_attrs:
                self._run(interrupted.number, interrupted.user_attrs[_CHOSEN], resume=True)
            else:  # nothing was trained, and with the settings given it would stand for a choice that nobody made
                self._fail(interrupted.number, "was interrupted before its settings were noted")
        if not self._study.trials and (first := self._space.first()):
            self._study.enqueue_trial(first)
        while self._finished < trials:
            trial = self._study.ask()
            chosen = self._space.suggest(trial)
            trial.set_user_attr(_CHOSEN, chosen)
            self._run(trial.number, chosen, resume=False)

    @property
    def _finished(self) -> int:
        return sum(trial.state.is_finished() for trial in self._study.trials)

    def _check_precision(self) -> None:
        """That what is to come is trained in the number format of the trials that it competes with."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(states=[TrialState.COMPLETE, TrialState.RUNNING]):
            folder = self._folder(trial.number)
            if not (folder / RUN).is_file():
                continue
            before = read_run_record(folder).get("machine", {}).get("precision")
            config = self._trial(trial.number, trial.user_attrs[_CHOSEN])
            now = choose(config, start_accelerator(config).device).precision
            if before not in (None, now):
                raise ValueError(
                    f"{folder} was trained in {before}, and on this machine it would be in {now}: go on where that is "
                    "as before, or choose another folder"
                )

    def _folder(self, number: int) -> Path:
        return self._config.out / f"trial-{number:03}"

    def _trial(self, number: int, chosen: Mapping[str, Any], resume: bool = False) -> TrainConfig:
        place = {"out": str(self._folder(number)), "resume": resume}
        return self._space.applied(merged(self._settings, place), chosen)

    def _run(self, number: int, chosen: dict[str, Any], resume: bool) -> None:
        """One trial: trained, told to the study, recorded."""
        try:
            run = train(self._trial(number, chosen, resume and self._folder(number).exists()))
            self._study.tell(number, self._accuracy(run))
            self._broken = 0
        except (InterruptedRunError, CheckpointError, OSError):  # it may go on later, or elsewhere
            raise
        except Exception as error:  # such as a GPU's memory that does not suffice
            said = f"{type(error).__name__}: {first_line(error)}"
            self._fail(number, str(error) if isinstance(error, ValueError) else said)
            self._broken = 0 if isinstance(error, ValueError | NotFiniteError) else self._broken + 1
            if self._broken >= _BROKEN:
                self.record()
                raise ValueError(
                    f"{_BROKEN} trials in a row were ended by something else than their settings, the last by {said}; "
                    "when the machine is well, the same command goes on with those that are left"
                ) from error
        self.record()

    def _accuracy(self, run: Path) -> float:
        """Of the model that the run kept, on what it was validated on."""
        if not has_new_statistics(run):
            return float(kept_epoch(run)[_ACCURACY])
        config, known = TrainConfig.from_dict(read_run_record(run)["config"]), read_info(run).channels
        subset = known.subset(config.fixed_subset or str(known))
        record = evaluate_run(
            run, str(subset), "val" if config.held_out is None else HELD_OUT, data=config.data, bands=config.bands,
            cache_dir=config.cache_dir, device=None if config.device == "auto" else config.device, cost=False,
            pictures=False,
        )  # fmt: skip
        (row,) = (row for row in record["results"] if not row["fill"] and row["subset"] == str(subset))
        return float(row["accuracy"])

    def _fail(self, number: int, said: str) -> None:
        from optuna.trial import TrialState

        self._study.set_user_attr(_error_of(number), said)
        self._study.tell(number, state=TrialState.FAIL)

    def record(self) -> dict[str, Any]:
        """What is known so far, also written to the folder."""
        made = environment()
        trials = [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "settings": trial.user_attrs.get(_CHOSEN, {}),
                _ACCURACY: trial.value,
                "error": self._study.user_attrs.get(_error_of(trial.number)),
                **self._trained_by(trial.number, made),
            }
            for trial in self._study.trials
        ]
        done = [trial for trial in trials if trial[_ACCURACY] is not None]
        record = {
            "config": {**self._config.to_dict(), "out": self._config.out.name},
            "space": dict(self._space.settings),
            _SEED: self._study.user_attrs[_SEED],
            **made,
            "trials": trials,
            "best": max(done, key=lambda trial: trial[_ACCURACY], default=None),
        }
        return write_record(self._config.out / _RECORD, "sweep", record)

    def _trained_by(self, number: int, made: dict[str, Any]) -> dict[str, Any]:
        """Which commits trained a trial's run, where it is there and was not trained by today's alone."""
        folder = self._folder(number)
        found = trained_by(read_run_record(folder)) if (folder / RUN).is_file() else []
        return {"trained_by": found} if found and found != trained_by(made) else {}


def _differences(known: Mapping[str, Any], now: Mapping[str, Any], out: Path) -> list[str]:
    """What of a search's settings would give other models; those that there were none of when it began are as today."""
    try:
        before: Mapping[str, Any] = TrainConfig.from_dict({**known, "out": out, "resume": False}).to_dict()
    except (TypeError, ValueError):  # settings that are none today
        before = known
    return differences(json.loads(json.dumps(before)), now)


def _error_of(number: int) -> str:
    return f"error of trial {number}"


def sweep_table(record: dict[str, Any]) -> str:
    """A search's record as lines for people, the best first; accuracies in percent."""
    trials = sorted(
        record["trials"], key=lambda trial: -1 if trial[_ACCURACY] is None else trial[_ACCURACY], reverse=True
    )
    lines = [f"{len(trials)} trials by accuracy on validation, percent"]
    for trial in trials:
        settings = ", ".join(f"{name}={_short(value)}" for name, value in trial["settings"].items())
        accuracy = trial["state"] if trial[_ACCURACY] is None else f"{100 * trial[_ACCURACY]:.1f}"
        lines.append(f"{trial['number']:>4}  {accuracy:>8}  {settings}{_because(trial)}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _because(trial: dict[str, Any]) -> str:
    return f"  ({trial['error']})" if trial["error"] else ""
