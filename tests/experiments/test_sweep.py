"""Searches: what is varied, what is kept, what goes on after a break."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anychan._lock import alone
from anychan.cli import main
from anychan.experiments import SearchSpace, search, sweep, sweep_table
from anychan.experiments.search import check_search
from anychan.training import InterruptedRunError, TrainConfig, train
from anychan.training.machine import choose
from anychan.training.stopping import NotFiniteError

DATA = "synthetic:bands=3,train=32,val=8,test=8,size=16,classes=4"
SPACE = SearchSpace(
    {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "model_options.width": [3, 6]}
)


def config(out: Path, **settings: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"data": DATA, "model": "wide4", "image_size": 16, "epochs": 1, "batch_size": 16}
    return {**given, "out": str(out), "cache_dir": str(out.parent / "cache"), **settings}


def photographs(folder: Path) -> Path:
    """A training split alone: two classes of grey squares."""
    for number in range(24):
        place = folder / "train" / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (10 * number,) * 3).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A search of three trials, to be read, and what it returned."""
    out = tmp_path_factory.mktemp("finished") / "sweep"
    return out, sweep(config(out, device="cpu"), SPACE, trials=3)


@pytest.fixture
def out(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """The folder of a finished search, a test's own."""
    return shutil.copytree(finished[0], tmp_path / "sweep")


def test_each_trial_is_a_run_with_settings_of_the_space(finished: tuple[Path, dict[str, Any]]) -> None:
    out, record = finished
    assert record == json.loads((out / "sweep.json").read_text())
    assert [trial["state"] for trial in record["trials"]] == ["complete"] * 3
    for trial in record["trials"]:
        run = out / f"trial-{trial['number']:03}"
        made = json.loads((run / "run.json").read_text())["config"]
        assert made["optimizer"]["learning_rate"] == trial["settings"]["optimizer.learning_rate"]
        assert made["model_options"] == {"width": trial["settings"]["model_options.width"]}
        assert trial["val_accuracy"] == json.loads((run / "records.jsonl").read_text())["val_accuracy"]
    assert record["best"]["val_accuracy"] == max(trial["val_accuracy"] for trial in record["trials"])
    assert len({trial["settings"]["optimizer.learning_rate"] for trial in record["trials"]}) == 3
    best = f"{100 * record['best']['val_accuracy']:.1f}"
    assert best in sweep_table(record).splitlines()[1]


def test_a_model_with_new_statistics_is_measured_with_these(tmp_path: Path) -> None:
    """No epoch of training has seen them."""
    recalibrated = {"statistics": "recalibrated", "images": 8}
    settings = config(tmp_path / "sweep", strategy="sliced", normalisation=recalibrated, held_out=8)
    (trial,) = sweep(settings, SearchSpace({"model_options.width": [6]}), trials=1)["trials"]
    record = json.loads((tmp_path / "sweep" / "trial-000" / "evaluation" / "held-out.json").read_text())
    (row,) = record["results"]
    assert (row["n"], trial["val_accuracy"]) == (8, row["accuracy"])


@pytest.mark.parametrize("setting", ["data", "bands", "held_out", "skip_broken", "out"])
def test_all_trials_choose_on_the_same_images(setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting!r} cannot be searched: it must be one for all trials"):
        SearchSpace({setting: [1, 2]})


def test_it_begins_with_the_values_that_are_first(tmp_path: Path) -> None:
    rates = {"low": 1e-4, "high": 1e-2, "log": True, "first": 2e-3}
    smoothing = {"low": 0.0, "high": 0.3, "step": 0.1, "first": 0.3}
    space = SearchSpace({"optimizer.learning_rate": rates, "model_options.width": [3, 6], "label_smoothing": smoothing})
    tried = [trial["settings"] for trial in sweep(config(tmp_path / "sweep"), space, trials=2)["trials"]]
    assert tried[0] == {"optimizer.learning_rate": 2e-3, "model_options.width": 3, "label_smoothing": 0.3}
    assert len(tried) == 2
    assert tried[1]["optimizer.learning_rate"] != 2e-3


def test_a_first_trial_that_was_not_begun_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optuna = pytest.importorskip("optuna")
    rates = {"low": 1e-4, "high": 1e-2, "log": True, "first": 2e-3}
    space = SearchSpace({"optimizer.learning_rate": rates})
    with monkeypatch.context() as broken:
        broken.setattr(optuna.study.Study, "ask", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sweep(config(tmp_path / "sweep"), space, trials=1)
    (trial,) = sweep(config(tmp_path / "sweep"), space, trials=1)["trials"]
    assert (trial["state"], trial["settings"]) == ("complete", {"optimizer.learning_rate": 2e-3})


def test_it_goes_on_in_the_middle_of_an_interrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[TrainConfig] = []

    def interrupted_once(settings: TrainConfig) -> Path:
        given.append(settings)
        if len(given) == 2:
            settings.out.mkdir()
            raise InterruptedRunError("interrupted")
        return train(settings)

    monkeypatch.setattr(search, "train", interrupted_once)
    with pytest.raises(InterruptedRunError):
        sweep(config(tmp_path / "sweep"), SPACE, trials=3)
    record = sweep(config(tmp_path / "sweep"), SPACE, trials=3)
    assert [settings.out.name for settings in given] == ["trial-000", "trial-001", "trial-001", "trial-002"]
    assert [settings.resume for settings in given] == [False, False, True, False]
    assert given[1].optimizer == given[2].optimizer
    assert len({settings.optimizer.learning_rate for settings in given}) == 3
    assert [trial["state"] for trial in record["trials"]] == ["complete"] * 3
    assert all("trained_by" not in trial for trial in record["trials"])
    run = tmp_path / "sweep" / "trial-001" / "run.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | {"commit": "a"}))
    trials = sweep(config(tmp_path / "sweep"), SPACE, trials=3)["trials"]
    assert trials[1]["trained_by"] == [{"commit": "a", "dirty": record["dirty"]}]
    assert not any("trained_by" in trials[number] for number in (0, 2))


def test_what_cannot_go_on_here_stops_the_search_and_is_no_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(settings: TrainConfig) -> Path:
        train(settings)
        raise InterruptedRunError("interrupted")

    with monkeypatch.context() as patched:
        patched.setattr(search, "train", interrupted)
        with pytest.raises(InterruptedRunError):
            sweep(config(tmp_path / "sweep"), SPACE, trials=1)
    (damaged,) = (tmp_path / "sweep").rglob("last.pt")
    whole = damaged.read_bytes()
    damaged.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"last\.pt is damaged"):
        sweep(config(tmp_path / "sweep"), SPACE, trials=1)
    damaged.write_bytes(whole)
    (trial,) = sweep(config(tmp_path / "sweep"), SPACE, trials=1)["trials"]
    assert (trial["state"], trial["error"]) == ("complete", None)


def test_trials_in_another_number_format_do_not_compete(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that was begun on a GPU and goes on on a CPU."""
    settings = config(out, device="cpu")
    trials = json.loads((out / "sweep.json").read_text())["trials"]
    monkeypatch.setattr(search, "choose", lambda *words: replace(choose(*words), precision="bfloat16"))
    with pytest.raises(ValueError, match="trial-000 was trained in float32, and on this machine it would be in bfloat"):
        sweep(settings, SPACE, trials=4)
    assert sweep(settings, SPACE, trials=3)["trials"] == trials  # nothing is trained


def test_a_trial_killed_before_its_settings_were_noted_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: SearchSpace, trial: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SearchSpace, "suggest", killed)
        with pytest.raises(KeyboardInterrupt):
            sweep(config(tmp_path / "sweep"), SPACE, trials=2)
    record = sweep(config(tmp_path / "sweep"), SPACE, trials=2)
    assert [trial["state"] for trial in record["trials"]] == ["fail", "complete"]
    assert record["trials"][0]["error"] == "was interrupted before its settings were noted"
    assert not (tmp_path / "sweep" / "trial-000").exists()


def test_a_run_that_fails_is_noted_and_the_search_goes_on(tmp_path: Path) -> None:
    space = SearchSpace({"model_options.stem_kernel_size": [3, 4]})  # odd ones are refused
    record = sweep(config(tmp_path / "sweep"), space, trials=6)
    by_state = {trial["state"]: trial for trial in record["trials"]}
    assert set(by_state) == {"complete", "fail"}
    assert by_state["fail"]["settings"] == {"model_options.stem_kernel_size": 3}
    assert by_state["fail"]["error"] == "stem_kernel_size is 3, but must be even, as its stride is"
    assert record["best"]["settings"] == {"model_options.stem_kernel_size": 4}
    assert "(stem_kernel_size is 3, but" in sweep_table(record)


def test_a_space_without_a_network_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    space = SearchSpace({"model": ["wide3", "wide4"], "model_options.widht": {"low": 4, "high": 8}, "seed": [1, 2]})
    said = "no choice of the search gives a network; the first, model=wide3, model_options.widht=4: model 'wide3' does"
    with pytest.raises(ValueError, match=said):
        sweep(config(tmp_path / "sweep"), space, trials=1)
    wrong = config(tmp_path / "sweep", model_options={"widht": 4})
    with pytest.raises(ValueError, match=r"the first, every trial: model 'wide4' does not take .*widht"):
        sweep(wrong, SearchSpace({"seed": [1, 2]}), trials=1)
    assert not (tmp_path / "sweep").exists()
    some = SearchSpace({"model": ["resnet18", "wide4"], "model_options.width": [3, 4]})  # no choice of the first fits
    assert len(sweep(config(tmp_path / "sweep"), some, trials=1)["trials"]) == 1


def test_a_network_between_the_ends_of_a_range_is_one(tmp_path: Path) -> None:
    settings = config(tmp_path / "sweep")
    kernel = "model_options.stem_kernel_size"
    check_search(settings, SearchSpace({kernel: {"low": 3, "high": 7}}))  # 4 and 6 are
    check_search(settings, SearchSpace({kernel: {"low": 3, "high": 2001}}))  # too many to try each
    with pytest.raises(ValueError, match=r"the first, model_options.stem_kernel_size=3: stem_kernel_size is 3"):
        check_search(settings, SearchSpace({kernel: {"low": 3, "high": 7, "step": 2}}))
    with pytest.raises(ValueError, match=r"no choice of the search gives a network; .*widht"):
        check_search(settings, SearchSpace({"model_options.widht": {"low": 0.5, "high": 2.5}}))


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: unspecified\nand a page"), NotFiniteError("loss is nan")])
def test_a_sick_machine_costs_two_trials_and_not_all(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(config: TrainConfig) -> Path:
        raise error

    def search_with(trials: int) -> list[str]:
        return [trial["state"] for trial in sweep(config(tmp_path / "sweep"), SPACE, trials)["trials"]]

    with monkeypatch.context() as sick:
        sick.setattr(search, "train", broken)
        if isinstance(error, NotFiniteError):  # which is the settings' fault
            assert search_with(3) == ["fail"] * 3
            return
        with pytest.raises(ValueError, match=r"2 trials in a row .* by RuntimeError: CUDA error: unspecified; when"):
            search_with(5)
    assert search_with(3) == ["fail", "fail", "complete"]


def test_a_line_that_a_full_disk_cut_is_not_written_on(out: Path) -> None:
    journal = out / "optuna.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole.splitlines()[-1][:-9])
    record = sweep(config(out, device="cpu"), SPACE, trials=4)
    assert [trial["state"] for trial in record["trials"]] == ["complete"] * 4


def test_another_search_or_data_without_validation_is_refused(out: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a search with epochs: 1 -> 2; choose"):
        sweep(config(out, epochs=2), SPACE, trials=4)
    with pytest.raises(ValueError, match="holds a search with other space"):
        sweep(config(out), SearchSpace({"seed": [1, 2]}), trials=4)
    more_to_validate = config(out, data=DATA.replace("val=8", "val=16"))
    with pytest.raises(ValueError, match="holds a search with other images"):
        sweep(more_to_validate, SPACE, trials=4)
    with pytest.raises(ValueError, match="holds a search with other precision"):
        sweep(config(out, precision="float32"), SPACE, trials=4)
    elsewhere = config(out, cache_dir=str(tmp_path / "other cache"), checkpoint_every_seconds=9.0)
    assert len(sweep(elsewhere, SPACE, trials=3)["trials"]) == 3  # which changes no model
    study = search._study(out, 0)  # as one begun before there was a setting
    study.set_user_attr(
        "config", {name: told for name, told in study.user_attrs["config"].items() if name != "trained_on"}
    )
    assert len(sweep(config(out), SPACE, trials=3)["trials"]) == 3
    with pytest.raises(ValueError, match="holds a search with other proposals_seed"):
        sweep(config(out), SPACE, trials=4, seed=1)
    with pytest.raises(FileExistsError, match="is not empty and holds no search"):
        sweep(config(out / "trial-000"), SPACE, trials=1)
    with pytest.raises(ValueError, match="0 trials"):
        sweep(config(tmp_path / "none"), SPACE, trials=0)
    without = str(photographs(tmp_path / "photographs"))
    with pytest.raises(ValueError, match="no validation split to choose on"):
        sweep(config(tmp_path / "none", data=without), SPACE, trials=1)
    assert not (tmp_path / "none").exists()
    assert sweep(config(tmp_path / "held", data=without, held_out=8), SPACE, trials=1)["best"]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_of_the_proposals_that_optuna_cannot_take_is_named(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.yaml").write_text("seed: [1, 2]")
    words = ["--data", DATA, "--out", str(tmp_path / "new"), "--space", str(tmp_path / "space.yaml")]
    assert main(["sweep", *words, "--proposals-seed", str(seed)]) == 2
    said = f"proposals_seed {seed} must be a whole number from 0 to 4,294,967,295"
    assert capsys.readouterr().err == f"anychan: error: {said}\n"
    assert not (tmp_path / "new").exists()


def test_a_search_goes_on_from_the_largest_seed(tmp_path: Path) -> None:
    for trials in (1, 2):
        record = sweep(config(tmp_path / "sweep"), SPACE, trials=trials, seed=2**32 - 1)
    assert len(record["trials"]) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, "a search space names settings"),
        ({}, "a search space names settings"),
        ({"rate": [1]}, "'rate' is no setting that can be searched"),
        ({"out": ["a"]}, "'out' cannot be searched: it must be one for all trials"),
        ({"optimizer": ["adamw"]}, "'optimizer' is a group of settings; name one of name, learning_rate"),
        ({"seed": []}, "seed has no values"),
        ({"seed": 3}, "seed is 3; it should be a list of values, or low and high"),
        ({"seed": {"low": 1, "hi": 3}}, "seed is .*; it should be a list"),
        ({"seed": {"low": 3, "high": 3}}, "goes from 3 to 3, which is no range"),
        ({"optimizer.learning_rate": {"low": 0, "high": 1, "log": True}}, "which is no range"),
        ({"seed": {"low": 1, "high": 3, "log": True, "step": 1}}, "has log and step"),
        ({"seed": {"low": 1, "high": 3, "log": "no"}}, "seed has log 'no'; it should be true or false"),
        ({"batch_size": {"low": 4, "high": 8, "step": 0}}, "batch_size goes in steps of 0, which must be more than 0"),
        ({"batch_size": {"low": 4, "high": float("inf")}}, "batch_size is .*; it should be a list"),
        ({"seed": {"low": 1, "high": 3, "first": 4}}, "seed is 4 first, which is not in its range"),
        ({"seed": {"low": 1, "high": 3, "first": 1.5}}, "seed is 1.5 first"),
        ({"seed": {"low": 1, "high": 9, "step": 4, "first": 3}}, "seed is 3 first"),
        ({"seed": {"low": 1, "high": 9, "first": "two"}}, "seed is .*; it should be a list"),
    ],
)
def test_bad_spaces_are_refused(settings: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SearchSpace(settings)


def test_lists_can_be_chosen_and_whole_numbers_stay_whole(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    space = SearchSpace({"model_options.branches": [[1], [3, 1]], "batch_size": {"low": 8, "high": 16, "step": 8}})
    chosen = space.suggest(optuna.trial.FixedTrial({"model_options.branches": 1, "batch_size": 16}))
    settings = space.applied(config(tmp_path), chosen)
    assert settings.model_options == {"branches": [3, 1]}
    assert settings.batch_size == 16
    assert isinstance(settings.batch_size, int)


def test_what_follows_from_a_choice_is_not_that_of_another(tmp_path: Path) -> None:
    space = SearchSpace({"optimizer.name": ["sgd"], "strategy": ["sliced"]})
    given = {**config(tmp_path / "sweep"), "optimizer": {"weight_decay": 0.25}}
    settings = space.applied(given, {"optimizer.name": "sgd", "strategy": "sliced"})
    assert (settings.optimizer.learning_rate, settings.optimizer.weight_decay) == (0.05, 0.25)
    assert (settings.channel_sampling, settings.objective.name) == ("hierarchical", "sandwich")
    adamw = space.applied(given, {"strategy": "plain"})
    assert (adamw.optimizer.learning_rate, adamw.channel_sampling) == (1e-3, "all")


def test_the_score_is_that_of_the_model_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(settings: TrainConfig) -> Path:
        run = train(settings)
        lines = [(2.0, 0.9), (1.0, 0.25), (3.0, 0.5)]  # the least loss is not where the accuracy is best
        text = [json.dumps({"epoch": i, "val_loss": a, "val_accuracy": b}) for i, (a, b) in enumerate(lines, 1)]
        (run / "records.jsonl").write_text("\n".join(text) + "\n")
        record = json.loads((run / "run.json").read_text())
        if settings.early_stopping.patience is not None:
            assert settings.early_stopping.metric == "loss"
            record |= {"selected": "best", "best_epoch": 2}
        (run / "run.json").write_text(json.dumps(record))
        return run

    monkeypatch.setattr(search, "train", trained)
    early = {"early_stopping": {"patience": 2, "metric": "loss"}}
    space = SearchSpace({"seed": [3]})
    assert sweep(config(tmp_path / "early", **early), space, trials=1)["best"]["val_accuracy"] == 0.25
    assert sweep(config(tmp_path / "whole"), space, trials=1)["best"]["val_accuracy"] == 0.5


def test_two_searches_do_not_meet_in_one_folder(out: Path) -> None:
    with alone(out), pytest.raises(FileExistsError, match="sweep is in use by another process"):
        sweep(config(out), SPACE, trials=3)
    assert sweep(config(out), SPACE, trials=3)["best"]


def test_a_lock_that_a_killed_process_left_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, link = tmp_path / "optuna.log.lock", os.symlink
    monkeypatch.setattr(os, "symlink", lambda *_: pytest.fail("needs a privilege on Windows"))
    monkeypatch.setattr(time, "sleep", lambda *_: pytest.fail("is waited for"))
    lock.touch()
    search._study(tmp_path, 0).set_user_attr("said", 1)
    link("sweep/optuna.log", lock)  # as Optuna's own lock is for a folder that is named from here: it dangles
    assert search._study(tmp_path, 0).user_attrs == {"said": 1}
    assert not lock.is_symlink()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "space.yaml").write_text("model_options.width: [3]\n")
    words = ["sweep", "--data", DATA, "--model", "wide4", "--image-size", "16", "--epochs", "1", "--trials", "1"]
    words += ["--space", str(tmp_path / "space.yaml"), "--out", str(tmp_path / "sweep"), "--cache-dir", str(tmp_path)]
    assert main(words) == 0
    assert "model_options.width=3" in capsys.readouterr().out
    (tmp_path / "space.yaml").write_text("optimizer.name: [sgd]\n")
    again = [*words[:-3], str(tmp_path / "again"), *words[-2:], "--optimizer.momentum", "0.5"]
    assert main([*again, "--proposals-seed", "7"]) == 0
    assert json.loads((tmp_path / "again" / "sweep.json").read_text())["proposals_seed"] == 7
    optimizer = json.loads((tmp_path / "again" / "trial-000" / "run.json").read_text())["config"]["optimizer"]
    assert (optimizer["name"], optimizer["learning_rate"], optimizer["momentum"]) == ("sgd", 0.05, 0.5)
    (tmp_path / "space.yaml").write_text("[")
    assert main(words) == 2
    assert "space.yaml is no YAML" in capsys.readouterr().err
