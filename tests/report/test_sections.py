"""Sections that are there where records are: networks, ablations, class losses, the best subset, drawings."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anychan.evaluation.paired import Paired
from anychan.evaluation.predictions import unpack_right
from anychan.report import write_report
from anychan.report._charts.differences import ablation_charts
from anychan.report._reading.ablations import read_ablation
from anychan.report._reading.runs import read_run
from anychan.report._sentences.class_losses import why_words
from anychan.report._sentences.headlines import best_subset
from anychan.report._tables.ablations import table_of_ablation
from anychan.report._tables.classes import loss_table, recall_tables, unlost_words
from anychan.report._tables.networks import are_networks, authors_counts, network_table

from ._runs import seeded_run, write_ablation, write_run


def page(runs: list[Path], out: Path) -> str:
    return write_report(runs, out).read_text("utf-8")


def sections(text: str) -> list[str]:
    return re.findall(r'<section id="(\w+)">', text)


def test_networks_are_held_against_a_resnet34(tmp_path: Path) -> None:
    of = {"deep": (0.6, "resnet34"), "ghost": (0.5, "ghost2")}
    runs = [seeded_run(tmp_path / name, 0, *its, epochs=0) for name, its in of.items()]
    run = json.loads((runs[0] / "run.json").read_text())
    run["config"]["strategy"] = "plain"
    (runs[0] / "run.json").write_text(json.dumps(run))
    text = page(runs, tmp_path / "a.html")
    assert "networks" in sections(text)
    assert 'href="#networks"' in text
    assert text.count('aria-label="Accuracy against') == 5
    read = [read_run(run) for run in runs]
    assert authors_counts(read) == {"deep": "34", "ghost": "2"}
    table = network_table(read, "test", minus="deep")
    column = [c.label for c in table.columns].index("minus deep")
    cells = [row[column] for row in table.groups[0].rows]
    a, b = (unpack_right(r.evaluations["test"].results[0].right, 400) for r in (read[1], read[0]))
    paired = Paired.of(a, b)
    assert cells[0].text == ""
    assert cells[1].sort == pytest.approx(paired.difference)
    assert f"{100 * paired.interval[0]:+.1f}".replace("-", "−") in cells[1].small


def test_what_answered_all_channels_alone_stands_with_the_networks_only(tmp_path: Path) -> None:
    runs = [seeded_run(tmp_path / name, 0, 0.6, name, epochs=0) for name in ("resnet34", "wide6")]
    deep = runs[0] / "evaluation" / "test.json"
    record = json.loads(deep.read_text())
    deep.write_text(json.dumps(record | {"results": record["results"][:1]}))
    text = page(runs, tmp_path / "a.md")
    by_subset, beside = text.split("## Results A")[1].split("## Results B")
    beside = beside.split("## ")[0]
    assert "| resnet34 |" in beside
    assert "| resnet34 |" not in by_subset.split("Answered on all")[0]
    assert "Answered on all channels alone, and so in the table of Results B: resnet34." in by_subset
    assert "| wide6 |" in by_subset
    retention = next((tmp_path / "a-figures").glob("*retention*")).read_text("utf-8")
    all_channels, two = (
        row["accuracy"] for row in json.loads((runs[1] / "evaluation/test.json").read_text())["results"][:2]
    )
    assert f"percent. wide6: RG {100 * two / all_channels:.0f}, RB" in retention
    assert "Answered on all channels alone" not in page(runs[1:], tmp_path / "b.md")


def test_one_network_with_two_stems_is_no_section_of_networks(tmp_path: Path) -> None:
    runs = [read_run(seeded_run(tmp_path / name, 0, 0.6)) for name in "ab"]
    assert not are_networks(runs, "test")


def test_an_ablation_is_drawn_with_its_verdicts(tmp_path: Path) -> None:
    folder = write_ablation(tmp_path / "width")
    text = page([folder, write_ablation(tmp_path / "flips", "Do flips?")], tmp_path / "a.html")
    assert sections(text) == ["question", "ablations", "limits", "reproduce"]
    assert 'aria-label="Does width help? wide +5.0 (+3.0 to +7.0), better' in text
    assert (
        "<figcaption>Does width help? Base: wide6, width 32, sliced stem, 64×64, 3 epochs; n = 2,400 images of the val "
        "split. On average over the subsets above the base: wide +5.0 (+3.0 to +7.0); "
        "below it: narrow −6.0 (−8.0 to −4.0); not distinguishable: 1 of 3.<"
    ) in text
    assert text.count("<li>Do flips?</li>") == 1
    assert "seed 0 failed: width is 3, but must be even" in text
    chart = re.findall(r'<svg class="plot".*?</svg>', text, flags=re.DOTALL)
    assert len(chart) == 2
    assert {"--series-0", "--series-1", "--ink"} <= set(re.findall(r"var\((--[\w-]+)\)", chart[0]))
    with_run = page([write_run(tmp_path / "run"), folder], tmp_path / "b.html")
    assert sections(with_run)[-5:] == ["ablations", "disagreement", "pictures", "limits", "reproduce"]
    assert [change.name for change in read_ablation(folder / "ablation.json").changes][1] == "wide"
    path = folder / "ablation.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(ValueError, match="a record of schema 2"):
        page([folder], tmp_path / "a.html")


def test_the_caption_of_an_ablations_chart_says_what_is_known(tmp_path: Path) -> None:
    path = write_ablation(tmp_path / "width", "Flips") / "ablation.json"
    record = json.loads(path.read_text())

    def caption(**change: Any) -> str:
        path.write_text(json.dumps(record | change))
        ((_, said),) = ablation_charts([read_ablation(path)])
        return said.split(" On average")[0]

    uncounted = [{name: value for name, value in row.items() if name != "n"} for row in record["rows"]]
    base = "Base: wide6, width 32, sliced stem, 64×64, 3 epochs"
    assert caption() == f"Flips. {base}; n = 2,400 images of the val split."
    assert caption(rows=uncounted) == f"Flips. {base}; on the val split."
    assert caption(base={}) == "Flips. On 2,400 images of the val split."


def test_a_difference_of_fewer_seeds_than_the_others_says_so(tmp_path: Path) -> None:
    """A seed of the first change failed; which seeds are paired follows from the seeds that rows have."""
    folder = write_ablation(tmp_path / "width")
    path = folder / "ablation.json"
    whole = table_of_ablation(read_ablation(path)).caption
    assert "seeds 0 and 1; 95 % intervals over images and seeds, not corrected. Trained" in whole
    record = json.loads(path.read_text())
    record["rows"][1] |= {"seeds": [0], "errors": {"1": "out of memory"}}
    path.write_text(json.dumps(record))
    why = "Where runs failed, a difference is of the seeds that both have, so that columns need not subtract: "
    assert f"not corrected. {why}wide, seed 0, interval over images alone. Trained" in page([folder], tmp_path / "a.md")
    record["seeds"] = [0, 1, 2]
    record["rows"][0]["seeds"] = record["rows"][1]["seeds"] = [0, 2]
    path.write_text(json.dumps(record))
    said = f"{why}wide, seeds 0 and 2; narrow, seed 0, interval over images alone; no flips, seed 0, interval over"
    assert said in table_of_ablation(read_ablation(path)).caption


def test_a_table_of_an_ablation_has_the_columns_that_say_something(tmp_path: Path) -> None:
    path = write_ablation(tmp_path / "width") / "ablation.json"
    whole = table_of_ablation(read_ablation(path))
    assert [column.label for column in whole.columns] == [
        "change", "all channels", "mean over subsets", "difference", "verdict",
    ]  # fmt: skip
    assert whole.caption.endswith("Differences are of the mean over subsets.")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"split": "val", "base": {"early_stopping": {"patience": 2}}}))
    said = "subsets. Of all runs early stopping kept the epoch that is best on the very images compared: "
    assert said in table_of_ablation(read_ablation(path)).caption
    record["rows"][1]["difference_full"] = record["rows"][1].pop("difference_mean")
    path.write_text(json.dumps(record))
    both = table_of_ablation(read_ablation(path))
    assert [row[-2].text for row in both.groups[0].rows] == ["", "all channels", *["mean over subsets"] * 2, ""]
    for row in record["rows"]:
        row.pop("mean", None)
        row["difference_full"] = row.pop("difference_mean", record["rows"][1]["difference_full"])
    path.write_text(json.dumps(record))
    plain = table_of_ablation(read_ablation(path))
    assert [column.label for column in plain.columns] == ["change", "all channels", "difference", "verdict"]
    assert "Differences" not in plain.caption


def test_classes_that_lose_most_stand_first(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    for row in record["results"]:
        for i, score in enumerate(row["per_class"]):
            score["recall"] = 0.9 if row["subset"] == "RGB" else 0.9 - 0.1 * i
    path.write_text(json.dumps(record))
    evaluation = read_run(run).evaluations["test"]
    table = loss_table(evaluation, {})
    assert table is not None
    assert [group.title for group in table.groups] == ["without R, on GB", "without G, on RB", "without B, on RG"]
    assert [cell.text for cell in table.groups[0].rows[0]] == [
        "king penguin",
        "100",
        "90.0",
        "60.0",
        "30.0",
        "goldfish",
    ]
    # of a hundred king penguins 60 are right on all and 51 on two channels: 27 and 33 are taken for the next class
    assert table.groups[0].rows[0][-1].small == "+6"
    assert len(table.groups[0].rows) == 3  # the first class loses nothing
    assert "a loss below 14 points may be chance, and of the largest of 4 so may be a larger one." in table.caption
    text = page([run], tmp_path / "a.html")
    assert "without R, on GB" in text
    assert "Which classes lose is measured; why they do is not." in text


def test_where_nothing_is_lost_or_confused_words_stand_in_place_of_a_table(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    for row in record["results"]:
        row["confusion"] = [[100 * (i == j) for j in range(4)] for i in range(4)]
        for score in row["per_class"]:
            score["recall"] = 0.8 if row["subset"] == "RG" else 0.9
    path.write_text(json.dumps(record))
    evaluation = read_run(run).evaluations["test"]
    table = loss_table(evaluation, {})
    assert table is not None
    assert [group.title for group in table.groups] == ["without B, on RG"]
    assert unlost_words(evaluation) == "No class lost any recall where one of R and G was left out."
    alone = replace(evaluation, results=tuple(r for r in evaluation.results if r.subset != "RG"))
    assert loss_table(alone, {}) is None
    unknown = [replace(result, per_class=()) for result in alone.results]
    assert unlost_words(replace(alone, results=tuple(unknown))) == ""
    for out in ("a.html", "a.md"):
        text = page([run], tmp_path / out)
        assert "No class was taken for another." in text
        assert "Most frequent confusions." not in text
        assert "No class lost any recall where one of R and G was left out." in text


def test_the_best_subset_is_chosen_on_validation(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    path = run / "evaluation" / "test.json"
    assert best_subset(read_run(run)) == ""
    record = json.loads(path.read_text()) | {"split": "val"}
    for row in record["results"]:
        row["accuracy"] = 0.59 if row["subset"] == "GB" else 0.1
    path.with_name("val.json").write_text(json.dumps(record))
    tested = json.loads(path.read_text())
    for row in tested["results"]:
        if row["subset"] == "GB":
            row |= {"accuracy": 0.31, "accuracy_interval": [0.29, 0.33]}
    path.write_text(json.dumps(tested))
    reached = "reaches 31.0 % (95 % interval 29.0 to 33.0)."
    assert best_subset(read_run(run)) == f"The best smaller subset on validation is GB (59.0 %); on test it {reached}"
    for row in record["results"]:
        row["accuracy"] = 0.59 if row["subset"] in {"GB", "R", "B"} else 0.1
    path.with_name("val.json").write_text(json.dumps(record))
    level = "Of the 6 smaller subsets 3 are level as the best on validation (59.0 %); on test the first of them, GB,"
    assert best_subset(read_run(run)) == f"{level} {reached}"


def test_drawings_are_shown_where_they_were_kept(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=1)
    path = run / "pictures" / "pictures.json"
    record = json.loads(path.read_text())
    record["pictures"][0]["activation"] = {"RG": "000.png", "R": "gone.png"}
    record["kernels"] = [{"subset": "RG", "file": "000.png"}, {"subset": "R", "file": "gone.png"}]
    path.write_text(json.dumps(record))
    text = page([run], tmp_path / "a.html")
    assert 'the places that speak for the answer on RG brightest"' in text
    assert "the brighter a place, the more it speaks for the answer" in " ".join(text.split())
    assert """alt="run: the stem's kernels for RG, a tile each\"""" in text
    assert text.count("data:image/png;base64,") == 3
    assert "on which the answer changes most" not in text
    assert "small maps" not in write_report([run], tmp_path / "b.html", pictures=False).read_text("utf-8")
    record["pictures"][0]["chosen"] = "by disagreement"
    path.write_text(json.dumps(record))
    disputed = re.search(r'<section id="disagreement">.*?</section>', page([run], tmp_path / "a.html"), re.DOTALL)
    assert disputed is not None
    assert disputed[0].count('<article class="picture">') == 1
    (chosen := record["pictures"]).append({**chosen[0], "chosen": "by lot"})
    path.write_text(json.dumps(record))
    for pictures, there in ((True, [2, 1, 5]), (False, [0, 0, 0])):
        text = " ".join(write_report([run], tmp_path / "a.html", pictures).read_text("utf-8").split())
        told = ("speak for the answer on RG brightest", "the brighter a place, the more it speaks", "data:image/")
        assert [text.count(words) for words in told] == there
    record["kernels"][0]["file"] = "../000.png"
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"picture '\.\./000\.png' does not lie in this folder"):
        page([run], tmp_path / "a.html")


def test_the_gap_to_specialists_is_drawn(tmp_path: Path) -> None:
    run = write_run(tmp_path / "any")
    pair = {"n": 400, "accuracy_a": 0.5, "accuracy_b": 0.4, "only_a": 60, "only_b": 20, "difference": 0.1}
    pair |= {"difference_interval": [0.05, 0.15], "p": 1e-5, "verdict": "a is better", "specialist": "plain-R"}
    rows = [{"subset": "R", **pair}, {"subset": "G", **pair, "p": 0.04}]
    mean = {"accuracy": 0.5, "specialists": 0.45, "difference": 0.05, "difference_interval": [-0.01, 0.11]}
    cost = {name: {"parameters": 1, "passes": 2, "seconds": 3.0} for name in ("run", "specialists")}
    record = {"schema": 1, "kind": "specialists", "split": "test", "run": "any", "differs": [], "rows": rows}
    (run / "specialists").mkdir()
    (run / "specialists" / "test.json").write_text(json.dumps(record | {"mean": mean, "cost": cost}))
    text = page([run], tmp_path / "a.html")
    assert "any minus the specialists: R +10.0 (+5.0 to +15.0), above zero" in text
    assert "mean +5.0 (−1.0 to +11.0), not distinguishable" in text


def test_many_runs_are_shown_small_but_for_the_first_of_a_data_set(tmp_path: Path) -> None:
    def drawn(runs: list[Path]) -> list[bool]:
        text = page(runs, tmp_path / "a.html")
        matrices = re.findall(r'<svg class="(confusion[^"]*)"', text)
        assert text.count("<summary>Most frequent confusions") == sum("small" in kind for kind in matrices)
        crowded = len(runs) > 3
        assert text.count('<details class="again">') == (len(runs) - 1 if crowded else 0)
        assert text.count("<summary>Loss") == (len(runs) if crowded else 0)
        assert text.count("<dt>python</dt>") == text.count("loss by epoch") == len(runs)  # nothing is left out for it
        return ["small" in kind for kind in matrices]

    runs = [write_run(tmp_path / name) for name in ("one", "two", "three")]
    assert drawn(runs) == [False, False, False]
    runs.append(write_run(tmp_path / "four", classes=["ant", "bee", "cat"]))
    assert drawn(runs) == [False, False, True, True]  # those in full come first
    small = re.search(r'<svg class="[^"]*small".*?</svg>', (tmp_path / "a.html").read_text(), re.DOTALL)
    assert small is not None
    assert "<title>" not in small[0]


def test_the_recall_of_every_class_in_many_runs_is_one_table(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / name, accuracy=0.5, epochs=0) for name in ("one", "two", "three")]
    folders += [write_run(tmp_path / "other", classes=["ant", "bee"], epochs=0)]
    path = folders[1] / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    for score, recall in zip(record["results"][0]["per_class"], (0.9, 0.104, None, 0.6), strict=True):
        score["recall"] = recall
    path.write_text(json.dumps(record))
    [table] = recall_tables([read_run(folder) for folder in folders], "test")
    assert [column.label for column in table.columns] == ["class", "one", "two", "three"]
    told = {row[0].text: row[2] for row in table.groups[0].rows}
    assert {name: cell.text for name, cell in told.items()} == {
        "goldfish": "90", "tabby cat": "10", "red fox": "", "king penguin": "60",
    }  # fmt: skip
    assert told["tabby cat"].shade == pytest.approx(0.104)
    assert next(iter(told)) == "tabby cat"  # named least, on average
    for folder in folders[:3]:
        path = folder / "evaluation" / "test.json"
        record = json.loads(path.read_text())
        record["results"][0]["per_class"][0] |= {"support": 0, "recall": 0.0, "f1": 0.0}
        path.write_text(json.dumps(record))
    [table] = recall_tables([read_run(folder) for folder in folders], "test")
    assert [cell.text for cell in table.groups[0].rows[-1]] == ["goldfish", "", "", ""]  # there is no image of it
    assert "Recall of every class on all channels" in page(folders, tmp_path / "a.html")
    assert "Recall of every class on all channels" in page(folders, tmp_path / "a.md")
    assert "Recall of every class on all channels" not in page(folders[:3], tmp_path / "a.html")
    assert recall_tables([read_run(folder) for folder in folders], "val") == []


def test_why_classes_lose_is_told_by_what_the_other_channels_leave_untold(tmp_path: Path) -> None:
    names = [f"class {i}" for i in range(12)]
    run = write_run(tmp_path / "run", classes=names)
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    for row in record["results"]:
        for i, score in enumerate(row["per_class"]):
            score["recall"] = 0.9 if row["subset"] == "RGB" else 0.9 - 0.05 * i
    assert why_words(read_run(run).evaluations["test"]) == ""

    def told(**shares: list[float | None]) -> str:
        path.write_text(json.dumps(record | {"untold": shares}))
        return why_words(read_run(run).evaluations["test"])

    rising = [0.01 * i for i in range(12)]
    assert told(R=rising, G=rising, B=rising) == (
        "Over 12 classes the rank correlation of the mean loss on the subsets with the mean untold share is +1.00 "
        "(p < 0.001): classes with more untold lose more."
    )
    assert told(R=rising[::-1], G=rising, B=rising[::-1]).endswith(
        "is −1.00 (p < 0.001): classes with more untold lose less."
    )
    assert "not distinguishable from none." in told(R=[0.3, 0.1] * 6, G=[0.2, 0.1] * 6, B=[0.1, 0.2] * 6)
    assert told(R=[0.3, 0.1] * 6, G=[0.2, 0.3] * 6, B=[0.1, 0.2] * 6) == ""  # 0.2 of each class, but for rounding
    few: list[float | None] = [None, None, None, *rising[3:]]
    assert told(R=few, G=rising, B=rising) == ""  # nine classes are too few
    told(R=rising, G=rising, B=rising)
    text = page([run], tmp_path / "a.html")
    assert "classes with more untold lose more." in text
    assert "Untold is the share of a channel" in text
    table = loss_table(read_run(run).evaluations["test"], {})
    assert table is not None
    assert [column.label for column in table.columns][5] == "untold"
    assert table.groups[0].rows[0][5].text == "11.0"
    with pytest.raises(ValueError, match="untold R: there must be a number from 0 for each of 12 classes, or null"):
        told(R=[0.1])


def test_a_change_that_helps_subsets_and_harms_all_channels_shows_both(tmp_path: Path) -> None:
    folder = write_ablation(tmp_path / "width", "Does it help to be wide, " + "very " * 8 + "wide?")
    path = folder / "ablation.json"
    record = json.loads(path.read_text())
    record["rows"][1]["difference_full"] = {"difference": -0.03, "interval": [-0.05, -0.01], "verdict": "worse"}
    path.write_text(json.dumps(record))
    text = page([folder], tmp_path / "a.html")
    both = "wide on average +5.0 (+3.0 to +7.0), better, on all channels −3.0 (−5.0 to −1.0), worse; narrow on average"
    assert both in text
    drawn = re.sub(r"<[^>]*>", "", text[text.index('<svg class="plot"') : text.index("</svg>")])
    assert "very very very wide?" in drawn  # the second line of the title, whole
    assert "…" not in drawn
