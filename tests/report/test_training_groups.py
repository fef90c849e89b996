"""Networks stand in one table only if they were trained alike, and the table says on what each was trained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from anychan.report import front_figures, write_report
from anychan.report._reading.pooling import pooled
from anychan.report._reading.records import Run
from anychan.report._reading.runs import read_run
from anychan.report._sentences.headlines import headline
from anychan.report._sentences.training_groups import differing, trained_alike, training_words
from anychan.report._tables.networks import shallow_words

from ._runs import seeded_run


def trained(folder: Path, model: str, accuracy: float = 0.5, depth: int = 18, seed: int = 0, **record: Any) -> Path:
    """A run of a plain network; keywords replace fields of run.json, those of ``config`` settings."""
    seeded_run(folder, seed, accuracy, model)
    run = json.loads((folder / "run.json").read_text())
    run["config"] |= {"strategy": "plain", "seed": seed} | record.pop("config", {})
    (folder / "run.json").write_text(json.dumps(run | record))
    evaluation = json.loads((folder / "evaluation" / "test.json").read_text())
    for row in evaluation["results"]:
        row["cost"]["depth"] = depth
    (folder / "evaluation" / "test.json").write_text(json.dumps(evaluation))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Of four recipes: two networks a recipe but for the last."""
    longer = {"epochs": 30}
    taught = {"objective": {"name": "teacher", "teacher": "runs/deep"}}
    return [
        trained(tmp_path / "deep", "resnet34", 0.45, 34),
        trained(tmp_path / "wide", "wide6", 0.5, 6),
        trained(tmp_path / "narrow", "wide4", 0.4, 4),
        trained(tmp_path / "deep-long", "resnet34", 0.6, 34, config=longer),
        trained(tmp_path / "wide-long", "wide6", 0.58, 6, config=longer),
        trained(tmp_path / "wide-taught", "wide6", 0.7, 6, config=longer | taught),
        trained(tmp_path / "wide-large", "wide6", 0.55, 6, config={"image_size": 128}),
    ]


def rows(runs: list[Path]) -> list[Run]:
    return pooled([read_run(run) for run in runs])


def test_those_of_other_epochs_sizes_and_objectives_stand_apart(runs: list[Path], tmp_path: Path) -> None:
    found = {heading: [run.name for run in alike] for heading, alike in trained_alike(rows(runs))}
    assert found == {
        "5 epochs at 64×64, on labels": ["deep", "wide", "narrow"],
        "30 epochs at 64×64, on labels": ["deep-long", "wide-long"],
        "30 epochs at 64×64, taught by another network": ["wide-taught"],
        "5 epochs at 128×128, on labels": ["wide-large"],
    }
    text = write_report(runs, tmp_path / "a.html").read_text()
    section = re.search(r'<section id="networks">.*?</section>', text, re.DOTALL)
    assert section is not None
    first, second, *few = found
    headings = [f"Trained {first}", f"Trained {second}", "Trained in other ways"]
    assert re.findall("<h3>(.*?)</h3>", section[0]) == headings
    assert sorted(re.findall(r'<td class="text">(\d+ epochs at .*?)</td>', section[0])) == sorted(few)
    backwards = write_report(runs[::-1], tmp_path / "c.html").read_text()
    assert re.findall("<h3>Trained (.*?)</h3>", backwards)[:2] == list(found)[:2]
    assert re.findall(r">minus ([\w-]+)</th>", section[0]) == ["deep", "deep-long"]
    assert ">wide-taught<" not in "".join(re.findall("<svg.*?</svg>", section[0], re.DOTALL))
    assert "Those drawn are those of the first table." in section[0]
    chart = front_figures(runs)["depth"]
    assert all(f">{name}<" in chart for name in found["5 epochs at 64×64, on labels"])
    assert ">deep-long<" not in chart
    alone = write_report(runs[:3], tmp_path / "b.html").read_text()
    assert "<h3>Trained" not in alone
    assert "Those drawn" not in alone


def test_those_of_other_training_images_stand_apart(tmp_path: Path) -> None:
    runs = [
        trained(tmp_path / "deep", "resnet34", 0.45, 34, config={"held_out": 2400}),
        trained(tmp_path / "wide", "wide6", 0.5, 6),
        trained(tmp_path / "narrow", "wide4", 0.5, 4, training_images=23_999, skipped=[["a.png", "broken"]]),
    ]
    found = {heading: [run.name for run in alike] for heading, alike in trained_alike(rows(runs))}
    assert found == {
        f"5 epochs at 64×64, on labels, on {images} images of animals": [name]
        for images, name in (("21,600", "deep"), ("24,000", "wide"), ("23,999", "narrow"))
    }
    assert shallow_words(rows(runs), "test") == ""


def test_records_that_tell_how_many_images_were_trained_on_stand_with_older_ones(tmp_path: Path) -> None:
    runs = [
        trained(tmp_path / "deep", "resnet34", 0.45, 34),
        trained(tmp_path / "deeper", "resnet34", 0.5, 34, training_images=24_000, skipped=[]),
        trained(tmp_path / "wide", "wide6", 0.5, 6),
    ]
    ((_, alike),) = trained_alike(rows(runs))
    assert [run.name for run in alike] == ["deep", "deeper", "wide"]


def test_no_two_headings_are_the_same(tmp_path: Path) -> None:
    fingerprints = [{"train": "a" * 16}, {"train": "b" * 16}, {}]
    runs = [trained(tmp_path / name, "wide6") for name in ("first", "second", "third")]
    for folder, found in zip(runs, fingerprints, strict=True):
        record = json.loads((folder / "run.json").read_text())
        record["data"]["fingerprints"] = found
        (folder / "run.json").write_text(json.dumps(record))
    same = "5 epochs at 64×64, on labels, on 24,000 images of animals"
    assert [heading for heading, _ in trained_alike(rows(runs))] == [
        f"{same}, fingerprint aaaaaaaa",
        f"{same}, fingerprint bbbbbbbb",
        f"{same}, whose fingerprint is not recorded",
    ]


def test_a_shallow_network_is_held_against_a_resnet34_that_was_trained_alike(runs: list[Path]) -> None:
    said = shallow_words(rows(runs), "test")
    assert said.startswith(
        "Of networks of at most 6 layers, trained for as many epochs on the same images as a ResNet34, "
        "wide-long is most accurate"
    )
    assert "beside deep-long, a ResNet34 with" in said
    assert shallow_words(rows([runs[0], runs[4]]), "test") == ""


def test_what_a_table_says_of_training(tmp_path: Path) -> None:
    there = {"machine": {"device": "cpu", "precision": "bfloat16"}, "hardware": {"cpu": "An EPYC"}}
    on_gpu = {"machine": {"device": "cuda", "precision": "bfloat16"}, "hardware": {"cpu": "An EPYC", "gpu": "A GPU"}}
    faster = {"optimizer": {"learning_rate": 0.002}}
    found = rows([
        trained(tmp_path / "a", "wide6", **there),
        trained(tmp_path / "b", "wide4", dirty=True, config=faster, **on_gpu),
        trained(tmp_path / "c-seed0", "wide3", hardware={}),
        trained(tmp_path / "c-seed1", "wide3", seed=1, dirty=True, **there),
        trained(tmp_path / "d", "wide5", **there),
    ])  # fmt: skip
    assert [run.name for run in found] == ["a", "b", "c", "d"]
    assert training_words(found, "test") == (
        "Trained in bfloat16 on An EPYC: a, c-seed1 and d; in bfloat16 on A GPU: b; in a number format and on a "
        "processor not recorded: c-seed0. From a working tree with changes that no commit holds: b and c-seed1. They "
        "differ in learning rate: none or not recorded (a, c and d) or 0.002 (b)."
    )
    assert training_words([found[0], found[3]], "test") == "All were trained in bfloat16 on An EPYC."
    apart = training_words(found, "test", [[found[0], found[3]], [found[1], found[2]]])
    assert apart.endswith(" b and c-seed1. b and c differ in learning rate: 0.002 (b) or none or not recorded (c).")


def test_of_many_values_only_the_setting_is_named(tmp_path: Path) -> None:
    found = rows([
        trained(tmp_path / f"run{i}", "wide6", config={"batch_size": 32 + i, "model_options": {"width": i}})
        for i in range(5)
    ])  # fmt: skip
    assert list(differing(found, "test")) == ["batch size", "model options width"]
    assert training_words(found, "test").endswith(". They differ in batch size.")
    assert training_words(found[:4], "test").endswith(" 32 (run0) or 33 (run1) or 34 (run2) or 35 (run3).")


def test_runs_are_not_listed_of_what_most_have(tmp_path: Path) -> None:
    found = rows([
        trained(tmp_path / f"run{i}", "wide6", config={"batch_size": 32 if i < 5 else 64}, machine=machine)
        for i, machine in enumerate([{"precision": "float32"}] * 2 + [{"precision": "bfloat16"}] * 5)
    ])  # fmt: skip
    assert training_words(found, "test") == (
        "Trained in float32 on Test CPU: run0 and run1; all others in bfloat16 on Test CPU. They differ in batch size: "
        "64 (run5 and run6), all others 32."
    )
    assert training_words(found[:5], "test").endswith("; in bfloat16 on Test CPU: run2, run3 and run4.")


@pytest.mark.parametrize(
    ("objective", "heading", "sentence"),
    [
        ({"name": "sandwich"}, "by the sandwich rule", " by the sandwich rule on "),
        (
            {"name": "sandwich", "teacher": "runs/deep"},
            "by the sandwich rule, taught by another network",
            " by the sandwich rule and a trained teacher on ",
        ),
        ({"name": "teacher", "teacher": "runs/deep"}, "taught by another network", " by a trained teacher on "),
    ],
)
def test_a_taught_sandwich_is_told_from_one_in_place(
    objective: dict[str, Any], heading: str, sentence: str, tmp_path: Path
) -> None:
    run = read_run(trained(tmp_path / "run", "wide6", config={"objective": objective}))
    ((found, _),) = trained_alike([run])
    assert found.partition(", ")[2] == heading
    assert sentence in headline(run, "test")[0]
