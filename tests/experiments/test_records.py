"""Records against their schema: the committed ones hold to it, and a fault is named in a line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from anychan._records import read_record
from anychan.cli import main
from anychan.experiments import record_kinds, record_schema, validate_records
from anychan.experiments._schema import faults

PROJECT = Path(__file__).parents[2]
RECORDS = PROJECT / "docs" / "records"
BENCHMARKS = PROJECT / "benchmarks" / "results"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDS / "any", tmp_path / "any"))


def change(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_all_committed_records_are_valid() -> None:
    count, found = validate_records([RECORDS])
    assert found == []
    assert count == sum(1 for path in RECORDS.rglob("*.json*"))


def test_benchmarks_and_what_recipes_came_to_are_records_too(tmp_path: Path) -> None:
    shipped = PROJECT / "src" / "anychan" / "experiments" / "recipes" / "results.json"
    count = sum(1 for _ in BENCHMARKS.glob("*.json"))
    assert count
    assert validate_records([BENCHMARKS, shipped]) == (count + 1, [])
    for path, keys, said in (
        (BENCHMARKS / "epoch.json", {"ratios": {"timm": {"median": 1.5}}}, "ratios.timm.min is missing"),
        (BENCHMARKS / "epoch.json", {"images_per_second": {"timm": [1.0, -2.0]}}, "images_per_second.timm[1] is -2.0"),
        (BENCHMARKS / "inference.json", {"milliseconds": {"plain": []}}, "milliseconds.plain is []; it should be a li"),
        (BENCHMARKS / "mini_imagenet.json", {"steps": {"check": {"seconds": "1"}}}, "steps.check.seconds is '1'"),
        (BENCHMARKS / "mini_imagenet.json", {"schema": 2}, "schema is 2; this version of anychan reads 1"),
        (shipped, {"recipes": {"000-A": {"seconds": 1.0, "hardware": "EPYC"}}}, "recipes.000-A.runs is missing"),
    ):
        copied = tmp_path / path.name
        shutil.copy(path, copied)
        change(copied, **keys)
        assert validate_records([tmp_path])[1][0].startswith(f"{copied}: {said}")
        copied.unlink()


def test_a_record_that_is_nested_too_deep_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    for file in (path, tmp_path / "other.json"):  # the second need not be a record
        file.write_text("[" * 200_000)
    assert main(["records", "validate", str(tmp_path)]) == 1
    assert f"{path}: is nested too deep to be read" in capsys.readouterr().out
    assert validate_records([tmp_path])[0] == 1
    with pytest.raises(ValueError, match=r"run\.json is damaged: nested too deep"):
        read_record(path, "run")


def test_pictures_may_carry_schema_and_kind_and_then_the_right_ones(tmp_path: Path) -> None:
    path = tmp_path / "pictures.json"
    path.write_text('{"split": "test", "pictures": []}')  # as older ones are
    assert validate_records([path]) == (1, [])
    change(path, schema=1, kind="pictures")
    assert validate_records([path]) == (1, [])
    change(path, schema=2)
    assert validate_records([path])[1] == [f"{path}: schema is 2; it should be 1"]
    change(path, schema=1, kind="run")
    assert validate_records([path])[1] == [f"{path}: kind is 'run'; it should be 'pictures'"]


@pytest.mark.parametrize(
    ("file", "keys", "said"),
    [
        ("run.json", {"seed": "0"}, "seed is '0'; it should be an integer"),
        ("run.json", {"seed": True}, "seed is True; it should be an integer"),
        ("run.json", {"seed": 0.5}, "seed is 0.5; it should be an integer"),
        ("run.json", {"selected": "mean"}, "selected is 'mean'; it should be one of 'last', 'best'"),
        ("run.json", {"schema": 2}, "schema is 2; this version of anychan reads 1"),
        ("run.json", {"kind": "model"}, "kind is 'model'; it should be 'run'"),
        ("run.json", {"skipped": [["a.png"]]}, "skipped[0] is ['a.png']; it should be a list of 2 or more"),
        ("model.json", {"classes": None}, "classes is None; it should be a list"),
        ("evaluation/test.json", {"results": []}, "results is []; it should be a list of 1 or more"),
        ("evaluation/test.json", {"data": {}}, "data.name is missing"),
        ("comparisons/plain-test.json", {"comparisons": [{}]}, "comparisons[0].p is missing"),
    ],
)
def test_a_fault_names_file_key_value_and_what_was_allowed(
    run: Path, file: str, keys: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(run / file, **keys)
    assert main(["records", "validate", str(run)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"{run / file}: {said}") for line in lines), lines
    assert main(["records", "validate", str(run / file)]) == 1


def test_values_deep_inside_and_lines_are_looked_at(run: Path) -> None:
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"][1]["accuracy"] = 42.7
    record["results"][1]["cost"]["latency_ms"]["32"] = {"median": 1}
    path.write_text(json.dumps(record))
    lines = (run / "records.jsonl").read_text().splitlines()
    (run / "records.jsonl").write_text("\n".join([lines[0], '{"kind": "epoch"', lines[2].replace("375", "-1"), '{"']))
    (run / "config.json").write_text("{}")  # somebody's own file
    _, found = validate_records([run, path])
    assert f"{path}: results[1].accuracy is 42.7; it should be 1 or less" in found
    assert f"{path}: results[1].cost.latency_ms.32.q25 is missing" in found
    assert [line for line in found if "records.jsonl: line 2: is not JSON" in line]
    assert not [line for line in found if "line 4" in line]  # what a killed run leaves behind
    assert len(found) == 4


def test_what_is_no_record_is_a_fault_or_a_users_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, said in (
        ("[1]", "is [1]; it should be an object"),
        ("{}", "kind is None; it should be one of 'run'"),
        ('{"a": NaN}', "NaN is no number of JSON"),
    ):
        (tmp_path / "a.json").write_text(text)
        assert said in validate_records([tmp_path / "a.json"])[1][0]
    (tmp_path / "a.json").write_bytes(b"\xff")
    assert "is not a text file" in validate_records([tmp_path / "a.json"])[1][0]
    (tmp_path / "a.json").unlink()
    for words in ([str(tmp_path)], [str(tmp_path / "gone")], []):
        assert main(["records", "validate", *words]) == 2
    assert "there is no record in this folder" in capsys.readouterr().err
    assert main(["records", "schema", "a"]) == 2


@pytest.mark.parametrize("name", ["ablation.json", "sweep.json", "002-A-fair-seed0-reproduction.json"])
def test_a_damaged_record_of_an_experiment_is_not_passed_over(run: Path, name: str) -> None:
    (run / name).write_text('{"schema": 1, "kind": "abl')
    _, found = validate_records([run])
    assert [line.startswith(f"{run / name}: is not JSON") for line in found] == [True]


def test_the_schema_is_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["records", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == record_schema()
    assert {"run", "epoch", "evaluation", "ablation", "sweep", "reproduction"} <= set(record_kinds())


def test_a_keyword_that_is_not_checked_is_refused() -> None:
    with pytest.raises(ValueError, match="keyword 'pattern' of the schema is not known"):
        list(faults("a", {"pattern": "b"}, {}))


def test_another_schema_is_refused_wherever_records_are_read(run: Path) -> None:
    from anychan.evaluation import compare_runs
    from anychan.report import write_report

    change(run / "evaluation" / "test.json", schema=2)
    with pytest.raises(ValueError, match=r"test\.json: a record of schema 2; this version of anychan reads schema 1"):
        compare_runs(run, run.parent / "other")
    with pytest.raises(ValueError, match=r"test\.json: a record of schema 2; this version of anychan reads schema 1"):
        write_report([run], run / "report.html")
    with pytest.raises(ValueError, match=r"run\.json: a record of kind 'run', not 'ablation'"):
        read_record(run / "run.json", "ablation")


def example(schema: Mapping[str, Any]) -> Any:
    """A value that a schema takes, with all that may be in it."""
    if "$ref" in schema:
        return example(record_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return example(schema["anyOf"][-1])
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type", "string")
    kind = kind if isinstance(kind, str) else kind[0]
    if kind == "array":
        return [example(schema.get("items", {})) for _ in range(schema.get("minItems", 1) or 1)]
    if kind == "object":
        others = {"other": schema["additionalProperties"]} if schema.get("additionalProperties") else {}
        return {name: example(inner) for name, inner in {**schema.get("properties", {}), **others}.items()}
    return {"string": "a", "boolean": True, "null": None}.get(kind, schema.get("minimum", 0))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each list or object in a value with each of its keys."""
    keys = [*value] if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *places(value[key]))]


@pytest.mark.parametrize("name", record_schema()["$defs"])
def test_it_is_the_json_schema_that_others_read(name: str) -> None:
    """What is wrong there is wrong here, at each place of a record, and nothing else."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = record_schema()
    theirs = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
    theirs.check_schema(dict(schema))

    def alike(said: Any) -> bool:
        """Whether the record is as good here as there."""
        fine = not list(faults(whole[0], schema["$defs"][name], schema))
        assert fine == theirs.is_valid(whole[0]), said
        return fine

    whole = [example(schema["$defs"][name])]
    assert alike("unbroken")
    broken = 0
    for inside, key in places(whole):
        good = inside[key]
        for inside[key] in (None, True, 0, -1, 2, 1.0, 0.5, "a", [], [None], [1, 2], ["a"], {}, {"a": None}):
            broken += not alike((key, inside[key]))
        if isinstance(inside, dict):
            del inside[key]
            alike(key)
        inside[key] = good
    assert broken


def test_of_several_schemas_a_value_need_keep_to_one(run: Path) -> None:
    for kept, said in (
        ([["R"], "RG"], "kept_subsets[0][0] is 'R'; it should be an object"),
        ([42, "RG"], "kept_subsets[0] is 42; it should be a text or a list"),
        ([[], "RG"], "kept_subsets[0] is []; it should be a text or a list of 1 or more"),
        ([[{"name": "R"}], "RG"], None),
    ):
        change(run / "model.json", kept_subsets=kept)
        assert validate_records([run / "model.json"])[1] == ([f"{run / 'model.json'}: {said}"] if said else [])
