"""The cost of evaluated runs, measured later: what evaluating with cost counts, and nothing else of the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anychan.evaluation import costs, costs_table, evaluate_run, record_costs
from anychan.experiments import validate_records

from ._runs import write_run

COUNTED = ("channels", "image_size", "parameters", "macs", "kernel_macs", "depth")
SUBSETS = ["RGB", "R"]


def evaluate(run: Path, subsets: list[str], **options: Any) -> dict[str, Any]:
    return evaluate_run(run, subsets, cache_dir=run.parent / "cache", pictures=False, **options)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An any-channel run that was evaluated without cost, with a filled answer too."""
    made = write_run(tmp_path / "run", tmp_path / "cache")
    evaluate(made, SUBSETS, fills=["zeros"], cost=False)
    return made


def record_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "evaluation/test.json").read_text())
    return found


def costs_of(run: Path) -> dict[tuple[str, str], Any]:
    return {(row["subset"], row["fill"]): row["cost"] for row in record_of(run)["results"]}


def counted(cost: dict[str, Any]) -> dict[str, Any]:
    return {name: cost[name] for name in COUNTED}


@pytest.mark.parametrize("weights", ["own", "random"])
def test_it_is_the_cost_of_evaluating_with_cost(run: Path, weights: str) -> None:
    """With the weights, and from the description alone."""
    before, weights_file = record_of(run), run / "model.safetensors"
    evaluated = write_run(run.parent / "evaluated", run.parent / "cache")
    expected = {
        (row["subset"], row["fill"]): row["cost"]
        for row in evaluate(evaluated, SUBSETS, fills=["zeros"], cost=True)["results"]
    }
    if weights == "random":
        weights_file.unlink()
    (told,) = record_costs([run], batch_size=2)
    assert told == {
        "run": str(run), "split": "test", "device": "cpu", "weights": weights, "measured": SUBSETS, "kept": [],
    }  # fmt: skip
    found = costs_of(run)
    assert found["R", "zeros"] is None
    for subset in SUBSETS:
        cost = found[subset, ""]
        assert counted(cost) == counted(expected[subset, ""])
        assert (list(cost["latency_ms"]), cost["device"]) == (["1", "2"], "cpu")
        assert cost["hardware"]
        assert cost["memory"]["training_bytes"] > 0
        assert cost["apart"]["weights"] == weights
        assert "torch" in cost["apart"]["versions"]
        assert cost["apart"]["created"] >= before["created"]
    after = record_of(run)
    for record in (before, after):
        for row in record["results"]:
            del row["cost"]
    assert after == before
    assert weights_file.exists() == (weights == "own")
    assert validate_records([run / "evaluation/test.json"]) == (1, [])


def test_a_cost_that_is_there_is_kept_unless_asked(run: Path) -> None:
    evaluate(run, ["R"], cost=True)
    of_red = costs_of(run)["R", ""]
    (told,) = record_costs([run], batch_size=2)
    assert (told["measured"], told["kept"]) == (["RGB"], ["R"])
    assert "R had a cost, which is kept" in costs_table([told])
    assert costs_of(run)["R", ""] == of_red
    assert "apart" not in of_red
    written = (run / "evaluation/test.json").read_bytes()
    (told,) = record_costs([run], batch_size=2)
    assert (told["measured"], told["kept"]) == ([], SUBSETS)
    assert (run / "evaluation/test.json").read_bytes() == written
    (told,) = record_costs([run], batch_size=2, replace=True)
    assert (told["measured"], told["kept"]) == (SUBSETS, [])
    replaced = costs_of(run)["R", ""]
    assert counted(replaced) == counted(of_red)
    assert list(replaced["latency_ms"]) == ["1", "2"] != list(of_red["latency_ms"])


def test_rows_that_another_process_writes_meanwhile_are_kept(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = costs.profile

    def while_another_evaluates(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(costs, "profile", measure)
        evaluate(run, ["G"], cost=False)
        return measure(*arguments, **options)

    monkeypatch.setattr(costs, "profile", while_another_evaluates)
    (told,) = record_costs([run], batch_size=2)
    assert told["measured"] == SUBSETS
    assert [key for key, cost in costs_of(run).items() if cost] == [(subset, "") for subset in SUBSETS]
    assert ("G", "") in costs_of(run)


def test_a_model_with_statistics_for_some_subsets_answers_these_only(tmp_path: Path) -> None:
    run = write_run(tmp_path / "kept", tmp_path / "cache", kept_subsets=("RGB", "R"))
    evaluate(run, SUBSETS, cost=False)
    (run / "model.safetensors").unlink()
    record = record_of(run)
    record["results"].append({**record["results"][1], "subset": "G"})
    (run / "evaluation/test.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"kept: there are no normalisation statistics for G, only for RGB, R"):
        record_costs([run], batch_size=2)
    assert record_of(run) == record
    record["results"].pop()
    (run / "evaluation/test.json").write_text(json.dumps(record))
    assert record_costs([run], batch_size=2)[0]["measured"] == SUBSETS


def test_what_cannot_be_measured_is_refused_before_any_run_is(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", tmp_path / "cache", "plain")
    before = (run / "evaluation/test.json").read_bytes()

    def refuses(error: type[Exception], said: str, second: Path = other, split: str = "test") -> None:
        with pytest.raises(error, match=said):
            record_costs([run, second], split, batch_size=2)
        assert (run / "evaluation/test.json").read_bytes() == before

    refuses(FileNotFoundError, "nowhere is no run folder", tmp_path / "nowhere")
    refuses(FileNotFoundError, "is no run folder", run / "model.safetensors")
    refuses(FileNotFoundError, r"other/evaluation/test\.json is not there: run `anychan evaluate .*other --split test`")
    refuses(FileNotFoundError, r"run/evaluation/val\.json is not there", split="val")
    (other / "evaluation").mkdir()
    (other / "evaluation/test.json").write_bytes(before)
    refuses(ValueError, r"test\.json is about another model than .*other/model\.safetensors: evaluate it again")
    (other / "model.safetensors").unlink()
    told = json.loads((other / "model.json").read_text())
    (other / "model.json").write_text(json.dumps({**told, "classes": [*told["classes"][1:], "yak"]}))
    refuses(ValueError, r"test\.json is about classes .*, but .*other/model\.json has .*,yak")
    (other / "model.json").write_text("{")
    refuses(ValueError, r"other/model\.json is damaged")
    (other / "model.json").unlink()
    refuses(FileNotFoundError, r"other/model\.json is not there")


@pytest.mark.parametrize(("options", "said"), [({"device": "abacus"}, "'abacus' cannot"), ({"batch_size": 0}, "0 is")])
def test_how_it_cannot_be_measured_is_refused(run: Path, options: dict[str, Any], said: str) -> None:
    before = (run / "evaluation/test.json").read_bytes()
    with pytest.raises(ValueError, match=said):
        record_costs([run], **options)
    assert (run / "evaluation/test.json").read_bytes() == before


def test_a_failure_leaves_the_whole_record_that_was_there(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def half(_: dict[str, Any], path: Path) -> None:
        path.write_text("{")
        raise OSError("the disk is full")

    monkeypatch.setattr("anychan.evaluation.costs.write_record", half)
    with pytest.raises(OSError, match="disk is full"):
        record_costs([run], batch_size=2)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
