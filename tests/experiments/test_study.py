"""Studies: runs tuned by searches and taught by runs, what goes on, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from anychan._records import write_record
from anychan.cli import main
from anychan.data import open_dataset
from anychan.evaluation import record_costs
from anychan.experiments import Search, Study, StudyRun, ablate, conduct, validate_records
from anychan.experiments import ablation as ablation_module
from anychan.experiments.ablation import Ablation
from anychan.experiments.completing import attempt
from anychan.experiments.settings import configuration, merged
from anychan.experiments.study import _run, _tuned

DATA = "synthetic:bands=2,train=32,val=24,test=8,size=16,classes=3"
SMALL: dict[str, Any] = {"model": "wide3", "model_options.width": 4}
TOLD: dict[str, Any] = {
    "title": "How small can it be?",
    "settings": {"data": DATA, "epochs": 1, "batch_size": 16, "image_size": 16, "device": "cpu"},
    "searches": {
        "rates": {
            "settings": {**SMALL, "held_out": 8},
            "trials": 2,
            "space": {"optimizer.learning_rate": {"low": 1e-3, "high": 6e-3, "log": True}},
        }
    },
    "runs": {
        "big": {"settings": {"model": "wide4", "model_options.width": 6}, "seeds": [0, 1]},
        "small": {"settings": SMALL, "tuned_by": ["rates"], "taught_by": "big", "flips": True},
        "more": {"settings": SMALL, "starts_from": "small"},
    },
}
PROJECT = Path(__file__).parents[2]


def written(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**TOLD, **changes}, sort_keys=False))
    return path


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({}, "teacher"),
        ({"strategy": "sliced"}, "sandwich"),
        ({"strategy": "sliced", "objective.subsets": 1, "objective.temperature": 2.0}, "sandwich"),
        ({"strategy": "sliced", "objective.name": "teacher"}, "teacher"),
        ({"strategy": "sliced", "channel_sampling": "all", "objective.label_share": 0.5}, "teacher"),
    ],
)
def test_who_is_taught_keeps_the_sandwich(tmp_path: Path, settings: dict[str, Any], how: str) -> None:
    runs = {"big": {}, "any": {"settings": settings, "taught_by": "big"}}
    study = Study.read(written(tmp_path, runs=runs))
    objective = dict(study.configurations(tmp_path))["any-seed0"].objective
    assert (objective.name, objective.teacher) == (how, tmp_path / "big-seed0")


def test_what_a_study_names_is_searched_trained_and_evaluated_and_then_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    words = ["study", str(path), "--out", str(out), "--workers", "2", "--cache-dir", str(tmp_path / "cache")]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert printed.out == "5 of 5 done\n"
    assert "small-seed0: done (" in printed.err
    names = ["big-seed0", "big-seed1", "more-seed0", "rates", "small-seed0"]
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == names
    configs = {name: read(out / name / "run.json")["config"] for name in names if name != "rates"}
    best = read(out / "rates" / "sweep.json")["best"]["settings"]["optimizer.learning_rate"]
    assert configs["small-seed0"]["optimizer"]["learning_rate"] == best
    assert configs["small-seed0"]["objective"]["teacher"] == str(out / "big-seed0")
    assert configs["more-seed0"]["initial"] == str(out / "small-seed0")
    assert configs["more-seed0"]["optimizer"]["learning_rate"] == 0.001
    assert configs["big-seed1"]["seed"] == 1
    for name in configs:
        (row,) = read(out / name / "evaluation" / "test.json")["results"]
        assert row["cost"] is None
        assert ("flips" in row) == (name == "small-seed0")
        assert validate_records([out / name])[1] == []
    before = {name: (out / name / "model.safetensors").stat().st_mtime_ns for name in configs}
    assert main(words) == 0  # what is there is not made again
    assert before == {name: (out / name / "model.safetensors").stat().st_mtime_ns for name in configs}


def test_what_fails_is_told_and_ends_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = {"big": {"settings": {"model": "wide4", "objective.penalty": 0.5}}, "small": {**TOLD["runs"]["small"]}}
    path = written(tmp_path, runs=runs, searches={"rates": TOLD["searches"]["rates"]})
    assert main(["study", str(path), "--out", str(tmp_path / "out"), "--cache-dir", str(tmp_path / "cache")]) == 1
    printed = capsys.readouterr()
    assert printed.out == "1 of 3 done; not big-seed0, small-seed0\n"
    assert "big-seed0: objective.penalty 0.5" in printed.err
    assert "small-seed0: was not begun, since big-seed0 failed" in printed.err


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("tset", "big-seed0: synthetic:.* has no split 'tset'; it has train, val, test"),
        ("held-out", "big-seed0: split 'held-out' needs held_out"),
    ],
)
def test_a_split_there_is_not_is_said_before_the_first_run(tmp_path: Path, split: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        conduct(Study.read(written(tmp_path, split=split)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("runs", "search", "said"),
    [
        ({"tuned": {"settings": {"pretrained": "typo.pth"}}}, {}, "^typo.pth, where pretrained weights .*, is no file"),
        ({"a": {}}, {"data": "photographs"}, "rates: photographs has no validation split to choose on"),
        (
            {"a": {"settings": {"model_options.widht": 4}}},
            {},
            "a-seed0: model '.*' does not take these options: .*widht",
        ),
        ({"a": {}}, {"model_options.widht": 4}, "rates: no choice of the search gives a network; .*widht"),
        ({"a": {}}, {"pretrained": __file__}, "rates: .*test_study.py holds no weights that can be read"),
    ],
)
def test_what_searches_and_weights_lack_is_said_before_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: dict[str, Any], search: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):  # training images alone
        folder = tmp_path / "photographs" / "train" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(folder / "0.png")
    rates = {**TOLD["searches"]["rates"], "settings": {**SMALL, **search}}
    study = Study.read(written(tmp_path, runs=runs, searches={"rates": rates}))
    with pytest.raises((FileNotFoundError, ValueError), match=said):
        conduct(study, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["teacher", "initial"])
def test_weights_that_are_gone_fail_the_run_that_takes_them_alone(tmp_path: Path, name: str) -> None:
    setting = {"teacher": {"objective": {"name": "teacher", "teacher": "gone"}}, "initial": {"initial": "gone"}}[name]
    config = configuration(merged(TOLD["settings"], SMALL, setting, {"out": str(tmp_path / "run")}))
    said = attempt(config, "test")  # a sentence, and no OSError, after which no other run is begun
    assert said == f"{name}: {Path('gone/model.safetensors')}, whose weights the run takes, is not there"


def test_what_a_study_gives_its_runs_is_not_searched(tmp_path: Path) -> None:
    rates = {**TOLD["searches"]["rates"], "space": {"seed": [5, 6]}}
    with pytest.raises(ValueError, match="rates: 'seed' cannot be searched: the study gives it to each of its runs"):
        Study.read(written(tmp_path, searches={"rates": rates}))


def test_a_run_does_not_name_what_it_is_tuned_by(tmp_path: Path) -> None:
    runs = {"small": {"settings": {**SMALL, "optimizer": {"learning_rate": 0.1}}, "tuned_by": ["rates"]}}
    with pytest.raises(ValueError, match=r"small: optimizer\.learning_rate is said of the run, and searched"):
        Study.read(written(tmp_path, runs=runs))
    runs["small"]["tuned"] = ["model_options"]
    searches = {
        "rates": {
            **TOLD["searches"]["rates"],
            "space": {**TOLD["searches"]["rates"]["space"], "model_options.grid": [1, 2]},
        }
    }
    assert Study.read(written(tmp_path, runs=runs, searches=searches)).folders() == ["small-seed0"]


def test_without_time_nothing_is_begun(tmp_path: Path) -> None:
    study = Study.read(written(tmp_path))
    found = conduct(study, tmp_path / "out", seconds=0.0)
    assert set(found.values()) == {"was not begun: the time was up"}


def test_seeds_and_settings_of_the_command_line_come_before_the_files(tmp_path: Path) -> None:
    runs = {"big": {"settings": {"model": "wide4"}, "seeds": [0, 1]}, "small": {"settings": SMALL}}
    study = Study.read(written(tmp_path, runs=runs), seeds=[3], data="other.zip")
    configs = dict(study.configurations(tmp_path))
    assert list(configs) == study.folders() == ["big-seed0", "big-seed1", "small-seed3"]
    assert {config.data for config in configs.values()} == {"other.zip"}


def test_the_best_of_several_searches_is_taken_whole_or_in_part(tmp_path: Path) -> None:
    for name, accuracy, rate in (("a", 0.4, 0.1), ("b", 0.6, 0.2)):
        (tmp_path / name).mkdir()
        settings = {"optimizer.learning_rate": rate, "model_options.width": 8}
        best = {"best": {"val_accuracy": accuracy, "settings": settings}}
        (tmp_path / name / "sweep.json").write_text(json.dumps(best))
    searches = [tmp_path / "a", tmp_path / "b"]
    assert _tuned(searches, ()) == ("b", {"optimizer.learning_rate": 0.2, "model_options.width": 8})
    assert _tuned(searches, ["optimizer"]) == ("b", {"optimizer.learning_rate": 0.2})
    assert _tuned([], ()) == ("", {})


@pytest.mark.parametrize(
    ("rate", "chosen"), [(0.1, ": search rates now chooses optimizer.learning_rate 0.2"), (0.2, "")]
)
def test_a_tuned_run_that_is_refused_is_told_what_its_search_chooses_now(
    tmp_path: Path, rate: float, chosen: str
) -> None:
    (tmp_path / "rates").mkdir()
    best = {"val_accuracy": 0.5, "settings": {"optimizer.learning_rate": 0.2}}
    (tmp_path / "rates" / "sweep.json").write_text(json.dumps({"best": best}))
    settings = {**TOLD["settings"], **SMALL, "out": str(tmp_path / "run")}
    before = configuration(merged(settings, {"optimizer.learning_rate": rate, "epochs": 3}))
    told = {"config": before.to_dict(), "data": open_dataset(DATA).description, "status": "finished"}
    write_record(tmp_path / "run" / "run.json", "run", told)
    changed = "optimizer.learning_rate: 0.1 -> 0.2" if chosen else ""
    refused = _run(settings, [tmp_path / "rates"], StudyRun(tuned_by=["rates"]), "test", "none")
    assert refused is not None
    assert "epochs: 3 -> 1" in refused
    assert changed in refused
    assert refused.endswith(f"){chosen}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"runs": {}}, "a study needs one run at least"),
        ({"runs": ["big"]}, "runs should have a name for each"),
        ({"runs": {"a": []}}, "a should have flips, seeds, settings"),
        ({"runs": {"a": {"settings": "wide4"}}}, "a: settings 'wide4' must be given by names"),
        ({"runs": {"a": {"tuned_by": "rates"}}}, "a: tuned_by 'rates' must be a list of names, such as [rates]"),
        ({"runs": {"a": {"tuned": "optimizer"}}}, "a: tuned 'optimizer' must be a list of names"),
        ({"runs": {"a": {"tuned": ["optimizer"]}}}, "a: tuned optimizer goes with tuned_by, which names searches"),
        (
            {"runs": {"a": {"tuned_by": ["rates"], "tuned": ["optimizer", "optimiser"]}}},
            "a: tuned 'optimiser' is nothing that was searched; that is optimizer.learning_rate",
        ),
        (
            {
                "runs": {"a": {"tuned_by": ["rates", "widths"], "tuned": ["optimizer"]}},
                "searches": {
                    "rates": TOLD["searches"]["rates"],
                    "widths": TOLD["searches"]["rates"] | {"space": {"model_options.width": [4, 6]}},
                },
            },
            "a: search 'widths' varies nothing of tuned optimizer, only model_options.width",
        ),
        (
            {"runs": {"b": {}, "a": {"settings": {"objective": 3}, "taught_by": "b"}}},
            "a: objective 3 must be settings by",
        ),
        (
            {"runs": {"b": {}, "a": {"settings": {"objective.name": "labels"}, "taught_by": "b"}}},
            "a: objective.name 'labels' with taught_by 'b', from which it would learn nothing: it must be sandwich",
        ),
        ({"runs": {"a": {"seeds": []}}}, "a: seeds [] must be a list of whole numbers, one at least and each once"),
        ({"runs": {"a": {"flips": "no"}}}, "a: flips 'no' must be true or false"),
        ({"searches": {"rates": {"trials": 0, "space": {}}}}, "rates: trials 0 must be a whole number, 1 or more"),
        ({"settings": [TOLD["settings"]]}, "must be given by names"),
        ({"seeds": 3}, "seeds 3 must be a list of whole numbers, one at least and each once"),
        ({"seeds": [0, 0]}, "seeds [0, 0] must be a list of whole numbers, one at least and each once"),
        ({"title": 2026}, "title 2026 must be a text"),
        ({"cost": True}, "cost True must be none or full or all"),
        ({"runs": {"a/b": {}}}, "'a/b' names no folder"),
        ({"runs": {"a": {"model": "wide3"}}}, "a should have flips, seeds, settings"),
        ({"runs": {"a": {"settings": {"epoch": 3}}}}, "a: "),
        ({"runs": {"a": {"settings": {"seed": 3}}}}, "a: seed is given by the study itself"),
        ({"runs": {"a": {"settings": {"objective.teacher": "b"}}}}, "a: objective.teacher is given by the study"),
        ({"runs": {"a": {"tuned_by": ["b"]}}}, "a: no search 'b'; there are rates"),
        (
            {
                "runs": {"a": {"tuned_by": ["rates", "more"]}},
                "searches": {
                    "rates": TOLD["searches"]["rates"],
                    "more": TOLD["searches"]["rates"] | {"settings": {"held_out": 6}},
                },
            },
            "a is tuned by searches of other data or bands or held_out",
        ),
        ({"runs": {"a": {"taught_by": "b"}, "b": {}}}, "a: no run 'b' with its seeds stands before it"),
        ({"runs": {"b": {"seeds": [0]}, "a": {"taught_by": "b", "seeds": [1]}}}, "a: no run 'b' with its seeds"),
        ({"runs": {"a": {}}, "searches": {"a-seed0": TOLD["searches"]["rates"]}}, "'a-seed0' is a search and a run"),
        ({"runs": {"a": {}, "A": {}}}, "'a-seed0' and 'A-seed0' are one folder on Windows and macOS"),
        ({"searches": {"rates": {"trials": 3}}}, "rates should have space, trials"),
        ({"searches": {"rates": {"trials": 3, "space": {"epoch": [1]}}}}, "rates: "),
        ({"settings": {**TOLD["settings"], "out": "here"}}, "out is given by the study itself"),
        ({"more": 3}, "should have runs, cost, searches"),
    ],
)
def test_what_is_no_study_is_refused_before_any_run(
    changes: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", str(written(tmp_path, **changes)), "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("minutes", ["-3", "0", "nan", "inf"])
def test_minutes_that_never_pass_or_have_passed_are_refused(
    minutes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", str(written(tmp_path)), "--out", str(tmp_path / "out"), "--minutes", minutes]) == 2
    assert capsys.readouterr().err == f"anychan: error: --minutes {minutes} must be more than 0, and finite\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", sorted((PROJECT / "docs" / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_of_the_documents_can_be_asked_for(path: Path) -> None:
    study = Study.read(path, data="photographs.zip")
    assert len(study.folders()) == len(set(study.folders())) > len(study.searches)
    assert f"anychan study docs/studies/{path.name}" in path.read_text(encoding="utf-8")


def test_an_ablation_may_make_its_runs_in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here: list[str] = []

    def noted(runs: list[Path], *words: Any, **options: Any) -> list[dict[str, Any]]:
        here.extend(run.name for run in runs)
        return record_costs(runs, *words, **options)

    base = {**TOLD["settings"], **SMALL, "cache_dir": str(tmp_path / "cache")}
    ablation = Ablation(base, {"wider": {"model_options.width": 6}}, cost=True)
    with monkeypatch.context() as patched:
        patched.setattr(ablation_module, "record_costs", noted)
        side_by_side = ablate(ablation, tmp_path / "out", "processes", workers=2)
    assert here == ["base-seed0", "wider-seed0"]  # costs are measured here, when nothing else runs
    assert all(row["cost"]["macs"] for row in side_by_side["rows"])
    one_by_one = ablate(ablation, tmp_path / "again")
    assert [row["full"] for row in side_by_side["rows"]] == [row["full"] for row in one_by_one["rows"]]
    assert (tmp_path / "out" / "wider-seed0.log").is_file()
    with pytest.raises(ValueError, match="workers 3 go with executor 'processes', not 'sequential'"):
        ablate(ablation, tmp_path / "out", workers=3)


def test_a_search_is_that_of_sweep() -> None:
    search = Search({"optimizer.learning_rate": [0.1]}, trials=1)
    study = Study({"a": StudyRun()}, {"rates": search}, {"data": "a.zip"})
    assert [task.name for task in study.tasks(Path("runs"))] == ["rates", "a-seed0"]
