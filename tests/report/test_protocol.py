"""What was asked, how it was made, and what it cannot say: sentences that follow from records."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from anychan.report import write_report
from anychan.report._reading.ablations import read_ablation
from anychan.report._reading.comparisons import told_apart
from anychan.report._reading.pooled_specialists import specialists_of
from anychan.report._reading.pooling import pooled
from anychan.report._reading.records import Run, Specialist, Specialists
from anychan.report._reading.runs import read_run
from anychan.report._sentences.glossary import glossary
from anychan.report._sentences.headlines import headline
from anychan.report._sentences.limits import limits
from anychan.report._sentences.protocol import protocol, settings, settings_of_all
from anychan.report._sentences.questions import pairings, questions
from anychan.report._sentences.summary import summary
from anychan.report._sentences.terms import terms
from anychan.report._tables.answers import answer_beside_resnet34, answer_beside_specialists
from anychan.report._tables.costs import cost_table
from anychan.report._tables.runs import subset_table

from ._runs import seeded_run, write_ablation, write_run


def run(folder: Path, strategy: str = "completed", fills: tuple[str, ...] = (), **record: Any) -> Run:
    return read_run(write_run(folder, strategy=strategy, fills=fills, pictures=0, epochs=0, **record))


def test_a_question_follows_from_the_runs(tmp_path: Path) -> None:
    (alone,) = questions([run(tmp_path / "plain", "plain")], "test", ())
    assert alone == "How well does the network do on the channels that it was made for?"
    filled = run(tmp_path / "filled", "plain", ("zeros",))
    assert questions([filled], "test", ()) == [
        "How much is kept by filling the missing planes of an ordinary network in?"
    ]
    asked = questions([run(tmp_path / "any"), run(tmp_path / "other", "sliced"), filled], "test", ())
    assert (
        asked[0]
        == "How much of its accuracy on all channels does one network keep on each of RGB, RG, RB, GB, R, G and B?"
    )
    assert asked[1:] == [
        "Which way to come by the kernels loses least: completed and sliced?",
        "Is that more than filling the missing planes of an ordinary network in?",
    ]
    without = questions([run(tmp_path / "any", fills=("zeros",))], "test", ())
    assert not any("ordinary network" in sentence for sentence in without)
    ablation = read_ablation(write_ablation(tmp_path / "ablation") / "ablation.json")
    assert questions([], None, [ablation]) == ["Does width help?"]


def test_the_resnet34_of_the_answer_is_asked_about_by_name(tmp_path: Path) -> None:
    def network(name: str, accuracy: float, model: str, depth: int, strategy: str = "plain") -> Run:
        folder = seeded_run(tmp_path / name, 0, accuracy, model)
        record, path = json.loads((folder / "run.json").read_text()), folder / "evaluation" / "test.json"
        record["config"]["strategy"] = strategy
        (folder / "run.json").write_text(json.dumps(record))
        evaluation = json.loads(path.read_text())
        evaluation["results"][0]["cost"]["depth"] = depth
        path.write_text(json.dumps(evaluation))
        return read_run(folder)

    def asked(*runs: Run) -> list[str]:
        return [question for question in questions(runs, "test", ()) if "shallow" in question]

    first, best = network("first", 0.5, "resnet34", 34), network("best", 0.7, "resnet34_half", 34)
    six, middle = network("six", 0.6, "wide6", 6), network("middle", 0.6, "resnet18", 18)
    assert asked(first, middle) == []
    assert asked(network("any", 0.5, "resnet34", 34, "completed"), six) == []
    assert asked(first, best, six) == ["Does a shallow network stand up to best, a ResNet34?"]
    table = answer_beside_resnet34([first, best, six], "test")
    assert table is not None
    assert "best is the best ResNet34" in table.caption


def test_what_is_the_same_stands_once_and_what_differs_in_a_table(tmp_path: Path) -> None:
    one = {"model": "resnet18", "epochs": 5, "image_size": 64, "schedule": {"name": "cosine", "warmup_epochs": 1.0}}
    more = {"optimizer": {"name": "adamw", "learning_rate": 0.001, "weight_decay": 0.05}, "augmentation": {"flip": 0.5}}
    first = run(tmp_path / "first", config=one | more)
    second = run(
        tmp_path / "second", config=one | more | {"epochs": 10}, adapted_from={"name": "first", "images": 2560}
    )
    shared, usual, table = protocol([first, second], "test")
    assert usual == []
    assert dict(shared) == {
        **{"data": "animals", "training images": "24,000", "classes": "4", "channels": "R, G, B"},
        **{"image size": "64×64", "optimiser": "adamw", "learning rate": "0.001", "weight decay": "0.05"},
        **{"schedule": "cosine after 1 epoch of warm-up", "augmentation": "flip 0.5", "weights kept": "the last"},
        **{"network": "resnet18", "strategy": "completed", "starting weights": "random", "objective": "labels"},
        **{"seeds": "0", "trained on": "Test CPU", "reported on": "test, 400 images", "evaluated on": "Test CPU"},
    }
    assert table is not None
    assert [column.label for column in table.columns] == ["run", "epochs", "batch statistics", "made from"]
    assert [[cell.text for cell in row] for row in table.groups[0].rows] == [
        ["first", "5", "shared", ""],
        ["second", "10", "recalibrated", "first, without training; statistics of 2,560 images"],
    ]
    assert protocol([first], "test")[1:] == ([], None)
    assert pairings([first, second], [], "test") == [
        "No paired test of these runs on the test split is recorded: rows are beside each other, and not judged."
    ]


def test_words_are_explained_that_the_report_uses(tmp_path: Path) -> None:
    alone = run(tmp_path / "alone")
    assert [word for word, _ in glossary([alone], "test", [])] == ["stem", "strategy", "kept, retention"]
    row = Specialist("R", "plain-R", 400, 0.5, 0.45, 0.05, (0.01, 0.09), 0.01, 0.02, "a is better")
    mean = (0.5, 0.45, 0.05, (0.01, 0.09))
    beside = Specialists("alone", "test", (row,), *mean, (None, None), (70, 70), ())
    told = dict(glossary([dataclasses.replace(alone, specialists=(beside,))], "test", []))
    assert [*told] == ["stem", "strategy", "specialist", "pass", "decided, better, worse", "kept, retention"]
    other = read_run(seeded_run(tmp_path / "six", 0, 0.5, "wide6"))
    ablation = read_ablation(write_ablation(tmp_path / "ablation") / "ablation.json")
    words = [word for word, _ in glossary([alone, other], "test", [ablation])]
    assert words == ["stem", "strategy", "decided, better, worse", "depth, layers", "kept, retention"]
    assert glossary([], None, [ablation]) == []
    made_up = dataclasses.replace(ablation.changes[0], data="the synthetic set")
    held_out = dataclasses.replace(ablation, split="held-out", changes=(made_up,))
    assert [word for word, _ in glossary([alone], "test", [held_out])][-2:] == ["held-out", "synthetic set"]


def test_where_much_differs_each_run_says_what_is_not_usual(tmp_path: Path) -> None:
    own = {f"model_options.o{i}": i for i in range(11)}
    config = {"model": "wide6", "epochs": 5, "augmentation": {"flip": 0.5}, "model_options": {}}
    odd = config | {"epochs": 10, "augmentation": {}, "model_options": {f"o{i}": i for i in range(len(own))}}
    runs = [run(tmp_path / name, config=config) for name in ("first", "second")] + [run(tmp_path / "odd", config=odd)]
    _, usual, table = protocol(runs, "test")
    assert usual == [("epochs", "5"), ("augmentation", "flip 0.5")]
    assert table is not None
    first, second, last = ([cell.text for cell in row] for row in table.groups[0].rows)
    assert (first, second) == (["first", "nothing"], ["second", "nothing"])
    said = last[1].split("; ")
    assert {"epochs 10", "no augmentation", "model options o0 0", "model options o10 10"} <= {*said}
    assert len(said) == 2 + len(own)


def test_words_of_the_protocol_are_explained_where_they_occur(tmp_path: Path) -> None:
    config = {"objective": {"name": "sandwich"}, "normalisation": {"statistics": "kept", "affine": False}}
    first = run(tmp_path / "first", config=config | {"strategy": "completed", "channel_sampling": "hierarchical"})
    words = dict(terms(settings_of_all([first], "test")))
    assert list(words) == ["objective: sandwich", "channel sampling: by size", "batch statistics: kept"]
    assert "learns the labels" in words["objective: sandwich"]
    six = run(tmp_path / "six", config=first.record["config"] | {"objective": {"name": "sandwich", "subsets": 6}})
    assert [settings(one, None)["channel sampling"] for one in (first, six)] == [
        "by size, 2 smaller subsets in each step",
        "every subset, in each step",
    ]
    assert "0 epochs by the sandwich rule, every subset in each step, on" in headline(six, None)[0]
    second = run(tmp_path / "second", "plain", config={"objective": {"name": "labels"}, "label_smoothing": 0.1})
    both = dict(terms(settings_of_all([first, second], "test")))
    assert list(both)[:2] == ["objective: labels", "objective: sandwich"]
    assert "label smoothing" in both
    page = write_report([first.folder, second.folder], tmp_path / "page.md").read_text("utf-8")
    assert f"- batch statistics: kept: {both['batch statistics: kept']}" in page


def test_many_ablations_are_asked_about_together(tmp_path: Path) -> None:
    ablations = [
        read_ablation(write_ablation(tmp_path / f"{number}", f"How wide the network {number} is.") / "ablation.json")
        for number in range(4)
    ]
    assert questions([], None, ablations[:1]) == ["What does each change do (How wide the network 0 is)?"]
    assert len(questions([], None, ablations[:3])) == 3
    assert questions([], None, ablations) == ["What does one change at a time do, in 4 ablations?"]


def test_what_is_paired_is_named_and_on_the_split_that_is_reported(tmp_path: Path) -> None:
    first = run(tmp_path / "first")
    pair = {"subset": "R", "fill_a": "", "fill_b": "", "n": 400, "accuracy_a": 0.5, "accuracy_b": 0.4}
    pair |= {"difference": 0.1, "difference_interval": [0.05, 0.15], "p": 0.01}
    (first.folder / "comparisons").mkdir()
    for split in ("test", "val"):
        record = {"schema": 1, "kind": "comparison", "split": split, "a": "runs/first", "b": "runs/old"}
        record |= {"b_from_a": "../second", "comparisons": [pair]}
        (first.folder / "comparisons" / f"{split}.json").write_text(json.dumps(record))
    first, second = read_run(first.folder), run(tmp_path / "second")
    assert len(first.comparisons) == 2
    said = "first is held against second in 1 paired test, on the same images."
    assert pairings([first, second], told_apart([first, second]), "test") == [said]
    page = write_report([first.folder, second.folder], tmp_path / "page.md").read_text("utf-8")
    assert said in page
    assert str(tmp_path) not in page


def test_every_setting_that_was_varied_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that an older record does not have yet are no difference, as long as they are at what it trained with."""
    options = {"strategy_options": {"rank": 2}, "normalisation": {"statistics": "shared", "affine": True}}
    objective = {"objective": {"name": "teacher", "teacher": "/somewhere/runs/big", "subsets": 2}, "early_stopping": {}}
    config = {"strategy": "completed", "epochs": 5}
    first = run(tmp_path / "first", config=config)
    second = run(tmp_path / "second", config=config | options | objective, machine={}, strategy="completed")
    third = run(
        tmp_path / "third",
        config=config | {"pretrained": "/somewhere/net.pth", "held_out": 100},
        pretrained={"source": "/somewhere/net.pth", "head": "new", "warning": "seen before"},
    )
    _, _, table = protocol([first, second, third], "test")
    assert table is not None
    found = {cells[0].text: [cell.text for cell in cells[1:]] for cells in table.groups[0].rows}
    columns = [column.label for column in table.columns[1:]]
    assert dict(zip(columns, zip(*found.values(), strict=True), strict=True)) == {
        "training images": ("24,000", "24,000", "23,900"),
        "starting weights": ("random", "random", "pretrained, net.pth"),
        "held out": ("none", "none", "100"),
        "objective": ("labels", "teacher", "labels"),
        "objective teacher": ("", "big", ""),
        "objective temperature": ("", "1", ""),
        "objective label share": ("", "0", ""),
        "normalisation affine": ("no", "yes", "no"),
        "strategy options rank": ("", "2", ""),
    }
    said = limits([first, second, third], "test", ())
    assert (
        "The runs were not made alike: they differ in training images, starting weights, objective, held out, "
        "normalisation affine and strategy options rank (see Protocol)."
    ) in said
    monkeypatch.setattr("anychan.report._sentences.limits._NAMED", 5)
    said = limits([first, second, third], "test", ())
    assert "The runs were not made alike: they differ in six settings (see Protocol)." in said
    assert "third began with pretrained weights: seen before." in said


def test_channels_are_the_runs_own_and_not_all_of_the_data(tmp_path: Path) -> None:
    folder = run(tmp_path / "red").folder
    described = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(described | {"channels": [{"name": "R", "wavelength": 0.6}]}))
    assert settings(read_run(folder), "test")["channels"] == "R"


def test_limits_follow_from_the_records(tmp_path: Path) -> None:
    said = limits([run(tmp_path / "alone")], "test", ())
    assert "One seed a run: intervals are over images, and say nothing of what another seed would give." in said
    assert "The run was made on one data set (animals of 4 classes): how it is on another is not known." in said
    assert any(sentence.startswith("400 images: an accuracy is known to within 2.0 points.") for sentence in said)
    assert "What is said of single classes rests on as few as 100 images." in said
    assert not any(
        "processor" in sentence or "number format" in sentence or "made alike" in sentence for sentence in said
    )

    hardware = {"cpu": "Other CPU", "gpu": None}
    other = run(
        tmp_path / "other",
        hardware=hardware,
        machine={"device": "cpu", "precision": "bfloat16"},
        config={"strategy": "completed", "label_smoothing": 0.1},
        versions={"torch": "2.16.0"},
    )
    path = tmp_path / "other" / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"] = record["results"][:3]
    record["results"][0]["cost"]["hardware"] = hardware
    path.write_text(json.dumps(record))
    first = run(tmp_path / "first", machine={"device": "cpu", "precision": "float32"})
    said = limits([first, read_run(other.folder)], "test", ())
    assert "3 of the 7 subsets were chosen to be evaluated." in said
    assert "The runs were trained on two kinds of processor (Test CPU and Other CPU)." in said
    assert "The runs were trained in two number formats (float32 and bfloat16), which differ by row." in said
    assert any(sentence.startswith("Timed on Test CPU and Other CPU:") for sentence in said)
    assert "Made with several versions of PyTorch (2.15.0 and 2.16.0)." in said
    assert "The runs were not made alike: they differ in epochs and label smoothing (see Protocol)." in said
    assert "No paired test is recorded: which row is better is not judged." in said


def test_images_that_lack_channels_are_said_to(tmp_path: Path) -> None:
    made = "Subsets are made by leaving channels out of images that have all of them"
    whole = run(tmp_path / "run")
    assert any(sentence.startswith(made) for sentence in limits([whole], "test", ()))
    path = whole.folder / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"][0]["lacking"] = 3
    path.write_text(json.dumps(record))
    lacking = read_run(whole.folder)
    said = limits([lacking], "test", ())
    assert not any(sentence.startswith(made) for sentence in said)
    assert (
        "3 of the images lack some channels: they are answered by those of a subset's channels that they have." in said
    )
    caption = subset_table(lacking, lacking.evaluations["test"]).caption
    assert "n = 400 images of the test split, of which 3 lack some channels, one run" in caption


def test_costs_measured_apart_are_not_held_against_the_times_of_answers(tmp_path: Path) -> None:
    """Answers of a GPU, costs of a processor: each kind of time is of one machine, so nothing is to be said."""
    for name in ("first", "second"):
        path = run(tmp_path / name).folder / "evaluation" / "test.json"
        record = json.loads(path.read_text())
        for row in record["results"]:
            row |= {"device": "cuda", "hardware": {"cpu": "Test CPU", "gpu": "Test GPU"}}
        path.write_text(json.dumps(record))
    runs = [read_run(tmp_path / name) for name in ("first", "second")]
    assert not [sentence for sentence in limits(runs, "test", ()) if "held against" in sentence and "imed" in sentence]
    assert settings(runs[0], "test")["evaluated on"] == "Test GPU"
    table = cost_table(runs, "test")
    assert table is not None
    assert table.caption.endswith("measured on Test CPU, 2 threads.")


def test_limits_of_seeds(tmp_path: Path) -> None:
    seeds = [read_run(seeded_run(tmp_path / f"any-seed{seed}", seed, 0.5)) for seed in range(3)]
    rows = pooled([*seeds, run(tmp_path / "alone")])
    said = limits(rows, "test", ())
    assert said[:3] == [
        "Three seeds a row: few to know a spread by.",
        "Where the seeds differ by far more than the images explain, an interval over three of them holds the truth in "
        "some 92 % of cases, not in 95 %.",
        "One seed only: alone; there intervals are over images alone.",
    ]
    assert settings(rows[0], "test")["seeds"] == "0, 1 and 2"
    widest = max((high - low) / 2 for low, high in (r.interval for r in rows[0].evaluations["test"].results))
    known = (
        f"400 images: an accuracy is known to within 2.0 points, {100 * widest:.1f} for a mean of several seeds. Where"
    )
    assert any(sentence.startswith(known) for sentence in said)
    assert "No paired test is recorded: which row is better is not judged." in said
    two = dataclasses.replace(rows[0], pooled=rows[0].pooled[:2])
    spread, covered, *_ = limits([rows[0], two], "test", ())
    assert spread == "Two to three seeds a row: few to know a spread by."
    assert "an interval over two of them holds the truth in some 87 %" in covered
    assert "Does it hold for other seeds?" in questions(rows, "test", ())
    ablation = read_ablation(write_ablation(tmp_path / "ablation") / "ablation.json")
    assert limits([], None, [ablation]) == [
        "Ablations: two seeds, on val; their intervals are not corrected for their number.",
        "Ablations were trained for 3 epochs on images of 64×64: what longer training would change is not known.",
    ]


def test_what_ablations_were_trained_on_is_told_beside_what_the_runs_were(tmp_path: Path) -> None:
    folders = [write_ablation(tmp_path / name) for name in ("one", "two", "old")]
    records = [json.loads((folder / "ablation.json").read_text()) for folder in folders]
    records[0]["base"] |= {"data": "a/folder/animals.zip", "image_size": 32}
    records[0]["changes"] = {"wide": {"image_size": 128, "epochs": 10}, "odd": {"epochs": 99}}  # odd failed
    records[1]["base"] = {"data": "synthetic:bands=16,size=16", "image_size": 16, "epochs": 1}
    records[2]["base"] = {}
    for folder, record in zip(folders, records, strict=True):
        (folder / "ablation.json").write_text(json.dumps(record))
    found = [read_ablation(folder / "ablation.json") for folder in folders]
    runs = [run(tmp_path / name, config={"model": "wide6", "epochs": 5}) for name in ("alone", "other")]
    said = limits(runs, "test", found)
    assert "The runs were made on one data set (animals of 4 classes): how it is on another is not known." in said
    asked = "what longer training changes was asked in the ablation “Does width help?”."
    assert f"The runs were trained for 5 epochs: {asked}" in said
    assert (
        "Ablations were trained for 3 and 10 epochs on images of 32×32 and 128×128 of animals.zip; for 1 epoch on "
        "images of 16×16 of the synthetic set."  # what was asked of longer training is said above
    ) in said
    assert limits([], None, found)[1].endswith(f"of 16×16 of the synthetic set: {asked}")
    assert not any("Ablations were trained" in one for one in limits([], None, found[2:]))


def test_a_row_of_several_seeds_speaks_for_all_of_them(tmp_path: Path) -> None:
    """Their specialists and their machines, not only those of the first."""
    machines = [{"device": "cpu", "precision": "float32"}, {"device": "cuda", "precision": "bfloat16"}]
    seeds = []
    for seed, machine in enumerate(machines):
        folder = seeded_run(tmp_path / f"any-seed{seed}", seed, 0.5)
        record = json.loads((folder / "run.json").read_text())
        hardware = record["hardware"] | {"gpu": "Test GPU"}
        (folder / "run.json").write_text(json.dumps(record | {"machine": machine, "hardware": hardware}))
        mean = (0.5, 0.45, 0.05, (0.01, 0.09))
        specialist = Specialist("R", f"plain-R-seed{seed}", 400, *mean, 0.01, 0.02, "a is better")
        found = Specialists(folder.name, "test", (specialist,), *mean, (None, None), (None, None), ())
        seeds.append(dataclasses.replace(read_run(folder), specialists=(found,)))
    path = tmp_path / "any-seed1" / "evaluation" / "test.json"
    evaluation = json.loads(path.read_text())
    for row in evaluation["results"]:
        row |= {"hardware": {"cpu": "Other CPU"}, "device": "cpu"}
    path.write_text(json.dumps(evaluation))
    seeds[1] = dataclasses.replace(seeds[1], evaluations=read_run(tmp_path / "any-seed1").evaluations)
    alone = run(tmp_path / "alone")
    (row, other) = rows = pooled([*seeds, alone])
    assert (len(row.pooled), other.name) == (2, "alone")
    found = settings(row, "test")
    assert found["trained on"] == "Test CPU and Test GPU"
    assert found["number format in training"] == "float32 and bfloat16"
    assert found["evaluated on"] == "Test CPU and Other CPU"
    said = limits(rows, "test", ())
    assert any(sentence.startswith("Answers were timed on Test CPU and Other CPU:") for sentence in said)
    assert not any("No paired test" in sentence for sentence in said)
    assert "How near does it come to a plain network trained for each subset alone?" in questions(rows, "test", ())
    assert not any("trained for each" in sentence for sentence in summary(rows, "test"))  # a table has both
    table = answer_beside_specialists(specialists_of(rows))
    assert table is not None
    assert [line[0].text for line in table.groups[0].rows] == ["any-seed0", "any-seed1"]


@pytest.mark.parametrize("field", ["schedule", "optimizer", "augmentation", "label_smoothing", "epochs"])
def test_what_no_record_says_is_left_out(field: str, tmp_path: Path) -> None:
    found = settings(run(tmp_path / "run", config={field: None}), "test")
    assert not {"schedule", "optimiser", "augmentation", "label smoothing", "epochs"} & set(found)
