"""The page: whole, self-contained, the same each time, and safe with whatever names users give."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from anychan.report import write_report
from anychan.report._reading.comparisons import told_apart
from anychan.report._reading.runs import main_split, read_run
from anychan.report._sentences.headlines import cautions, verdicts
from anychan.report._templates import templates

from ._runs import FILLS, write_ablation, write_run, write_search

_VOID = {"meta", "img", "br", "link", "input", "hr"}


class _Page(HTMLParser):
    """Checks that tags are closed in order, and gathers attributes and what is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown = ""
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> where another tag is open"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.shown += data


def _page(runs: list[Path], out: Path, pictures: bool = True) -> tuple[str, _Page]:
    assert write_report(runs, out, pictures) == out
    text = out.read_text("utf-8")
    return text, _Page(text)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two, to be read."""
    folder = tmp_path_factory.mktemp("two")
    first = write_run(folder / "first", fills=FILLS, accuracy=0.44)
    return [first, write_run(folder / "plain", fills=FILLS, strategy="plain")]


@pytest.fixture(scope="module")
def two(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, _Page]:
    return _page(runs, tmp_path_factory.mktemp("page") / "out" / "report.html")


def test_every_section_is_there(two: tuple[str, _Page]) -> None:
    _, page = two
    sections = [attrs["id"] for tag, attrs in page.tags if tag == "section"]
    said = [
        *("question", "words", "designs", "data", "protocol", "training", "subsets", "errors", "cost", "disagreement")
    ]
    assert sections == [*said, "pictures", "limits", "reproduce"]
    assert [attrs["href"] for tag, attrs in page.tags if tag == "a"] == [f"#{name}" for name in ("top", *sections)]
    for words in (
        "Two runs on animals",
        "On all channels (RGB) it names 44.0\u00a0% of 400 test images right (95\u00a0% interval 42.0 to 45.9).",
        "13 min 32 s in all",
        "Confusion matrix",
        "Most frequent confusions",
        "Expected calibration error 4.3 points",
        "measured on Test CPU, 2 threads",
        "anychan train --data animals.zip --strategy completed --out runs/first",
        "0123456789abcdef",
    ):
        assert words in page.shown


def test_nothing_is_fetched(two: tuple[str, _Page]) -> None:
    text, page = two
    for tag, attrs in page.tags:
        for name in ("src", "href", "srcset", "xlink:href", "data", "action"):
            assert (attrs.get(name) or "#").startswith(("#", "data:image/png;base64,")), (tag, attrs)
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_every_figure_has_words_and_its_own_references(two: tuple[str, _Page]) -> None:
    text, page = two
    drawings = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("aria-hidden") != "true"]
    assert len(drawings) == 2 + 1 + 2 * (2 + 1 + 1)  # stems; retention; a run: two curves, confusion, calibration
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawings)
    assert all(attrs["alt"] for tag, attrs in page.tags if tag == "img")
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', text)) <= set(ids)


def test_figures_take_their_colours_from_the_page(two: tuple[str, _Page]) -> None:
    text, _ = two
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}", drawn)
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert {"--ink", "--faint", "--series-0", "--series-1"} <= used
    assert used <= set(re.findall(r"(--[\w-]+):", text))


def test_the_same_runs_give_the_same_page(runs: list[Path], two: tuple[str, _Page], tmp_path: Path) -> None:
    """In another process as well, in which sets of texts have another order."""
    code = "import sys; from anychan.report import write_report; write_report(sys.argv[2:], sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "a.html"), *map(str, runs)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "1"})
    assert (tmp_path / "a.html").read_text("utf-8") == two[0]


def test_pictures_can_be_left_out(two: tuple[str, _Page], tmp_path: Path) -> None:
    with_them, _ = two
    without, page = _page([write_run(tmp_path / "first", epochs=0)], tmp_path / "b.html", pictures=False)
    assert with_them.count("data:image/png;base64,") == 2 * 4
    assert "choice of the test split of zoo.zip, right and wrong ones" in with_them
    assert "No pictures were kept" not in with_them
    assert "data:image/png" not in without
    assert "pictures" not in [attrs.get("id") for _, attrs in page.tags]


def test_a_picture_shows_one_answer_a_subset(tmp_path: Path) -> None:
    run = write_run(tmp_path / "plain", pictures=1)
    path = run / "pictures" / "pictures.json"
    record = json.loads(path.read_text())
    right, wrong = [["goldfish", 0.9], ["red fox", 0.1]], [["red fox", 0.6], ["goldfish", 0.4]]
    record["pictures"][0]["answers"] = {"RGB": right, "RG zeros": right, "RG mean": wrong}
    path.write_text(json.dumps(record))
    _, page = _page([run], tmp_path / "a.html")
    said = ["right", "wrong"]
    assert [attrs["class"] for tag, attrs in page.tags if tag == "tr" and attrs.get("class") in said] == said
    assert "RG*✗ red fox60" in "".join(page.shown.split("\n"))
    assert "At an asterisk, missing channels are\nfilled: its mean." in page.shown
    assert "RG zerosgoldfish\xa090, red fox\xa010" in page.shown


def test_what_users_name_is_never_markup(tmp_path: Path) -> None:
    evil = '<script>alert("1")</script>&$x^2$'
    channels = '<i>,"&$y_1$'
    run = write_run(tmp_path / "first", channels, [evil, "b'\"", "<b>", "d"], command=evil, name=evil, status=evil)
    (run / "config.yaml").write_text(evil)
    text, page = _page([run, write_run(tmp_path / "other", channels)], tmp_path / "a.html")
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "i" not in [tag for tag, _ in page.tags]
    assert "<script>alert" not in text
    assert page.shown.count(evil) > 5
    chart = re.search(r'<svg class="plot"[^>]*aria-label="Accuracy kept.*?</svg>', text, flags=re.DOTALL)
    assert chart is not None
    assert "$y_1$" in re.sub(r"<[^>]*>", "", chart[0])


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1, "kind": "run", "name": "new", "status": "running"}')
    _, page = _page([tmp_path], tmp_path / "a.html")
    for sentence in (
        "Training has not finished (status “running”, 0 epochs recorded).",
        "It has not been evaluated yet; run anychan evaluate on its folder.",
        "No pictures were kept of new.",
        "Nothing was profiled.",
        "The command is not recorded, or has settings that there are no longer.",
    ):
        assert sentence in page.shown


def test_many_runs_without_pictures_are_the_others_of_those_with(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "first"), *(write_run(tmp_path / name, pictures=0) for name in "abcd")]
    assert "No pictures were kept of the others." in _page(runs, tmp_path / "a.html")[1].shown
    assert "No pictures were kept of a, b and c." in _page(runs[:4], tmp_path / "a.html")[1].shown
    assert "No pictures were kept of a, b, c and d." in _page(runs[1:], tmp_path / "a.html")[1].shown


def test_an_evaluation_of_one_subset_only(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first", pictures=0)
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"] = [r | {"retention": None, "cost": None} for r in record["results"] if r["subset"] == "RB"]
    path.write_text(json.dumps(record))
    _, page = _page([run], tmp_path / "a.html")
    assert "It was not evaluated on all channels, so there is neither retention nor a confusion matrix." in page.shown
    assert "Retention is not known" in page.shown


def test_of_many_runs_the_first_that_answered_all_channels_is_shown_in_full(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, epochs=0, pictures=0) for name in "abcd"]
    path = runs[0] / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"results": record["results"][1:]}))
    text, _ = _page(runs, tmp_path / "a.html")
    errors = text[text.index('id="errors"') : text.index("The other 2 runs, smaller")]
    assert re.findall(r"</svg>\s*(\w) <span", errors) == ["a", "b"]
    assert "Every class" in errors


def test_verdicts_come_from_comparison_records_only(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, epochs=0) for name in ("first", "second")]
    _, page = _page(runs, tmp_path / "a.html")
    assert "not distinguishable" not in page.shown
    assert "No paired comparison of these runs is recorded" in page.shown
    pair = {
        **{"subset": "RG", "fill_a": "", "fill_b": "zeros", "n": 400, "accuracy_a": 0.51, "accuracy_b": 0.5},
        **{"difference": 0.01, "difference_interval": [-0.02, 0.04], "p": 0.62, "verdict": "not distinguishable"},
    }
    clear = {"subset": "R", "difference": -0.06, "difference_interval": [-0.09, -0.03], "p": 0.001}
    unclear = clear | {"subset": "G", "p": 0.03, "verdict": "b is better"}  # of before the correction
    record = {"schema": 1, "kind": "comparison", "split": "test", "a": "runs/first", "b": "runs/second"}
    (runs[0] / "comparisons").mkdir()
    (runs[0] / "comparisons" / "second.json").write_text(
        json.dumps(record | {"comparisons": [pair, pair | clear, pair | unclear]})
    )
    _, page = _page(runs, tmp_path / "a.html")
    assert page.shown.count("not distinguishable") == 4  # in words, in the sentence and in the table
    assert "first against second, 3 paired comparisons: not distinguishable in 2, second is better in 1." in page.shown
    assert "0.0300.060" in page.shown
    assert "−2.0 to +4.0" in page.shown
    assert "+1.0" in page.shown
    assert page.shown.count("second is better") == 2


def test_what_was_compared_before_a_run_was_evaluated_anew_is_left_out(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "first"), write_run(tmp_path / "second")]
    for run in runs:
        path = run / "evaluation" / "test.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model_sha256": f"of {run.name}"}))
    pair = {
        **{"subset": "RG", "fill_a": "", "fill_b": "", "n": 400, "accuracy_a": 0.51, "accuracy_b": 0.57, "p": 0.001},
        **{"difference": -0.06, "difference_interval": [-0.09, -0.03]},
    }
    record = {"schema": 1, "kind": "comparison", "split": "test", "a": "first", "b": "second", "b_from_a": "../second"}
    (runs[0] / "comparisons").mkdir()
    hashes = {"a": "of first", "b": "of second"}

    def said(**told: Any) -> tuple[list[str], list[str]]:
        text = json.dumps(record | {"comparisons": [pair], "model_sha256": hashes, "images": "b"} | told)
        (runs[0] / "comparisons" / "second-test.json").write_text(text)
        read = [read_run(run) for run in runs]
        return verdicts(told_apart(read)), cautions(read, "test")

    left_out = "Compared before they were evaluated anew, and so left out: {}. Compare again."
    assert said() == (["first against second, 1 paired comparison: second is better in 1."], [])
    for stale in ({"images": "others"}, {"model_sha256": hashes | {"a": "?"}}, {"model_sha256": hashes | {"b": "?"}}):
        assert said(**stale) == ([], [left_out.format("first and second")])
    found = {"schema": 1, "kind": "specialists", "split": "test", "run": "first", "differs": [], "images": "b"}
    mean = {"accuracy": 0.5, "specialists": 0.4, "difference": 0.1, "difference_interval": [0.0, 0.2]}
    found |= {"mean": mean, "cost": {"run": {}, "specialists": {}}, "rows": [pair | {"specialist": "plain-RG"}]}
    (runs[0] / "specialists").mkdir()
    for model, there in (("of first", True), ("of another", False)):
        (runs[0] / "specialists" / "test.json").write_text(json.dumps(found | {"model_sha256": model}))
        assert said()[1] == ([] if there else [left_out.format("first and its specialists")])
        assert [found.run for found in read_run(runs[0]).specialists] == (["first"] if there else [])


def test_compared_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "first")
    pair = {
        **{"subset": "RG", "fill_a": "", "fill_b": "", "n": 400, "accuracy_a": 0.51, "accuracy_b": 0.57, "p": 0.001},
        **{"difference": -0.06, "difference_interval": [-0.09, -0.03]},
    }
    record = {"schema": 1, "kind": "comparison", "split": "test", "a": "runs/first", "comparisons": [pair]}
    (run / "comparisons").mkdir()
    for name, told in (
        ("plain", {"b": "plain", "b_from_a": "../plain"}),
        ("plain-2", {"b": "plain", "b_from_a": "../../old/plain"}),
        ("plain-3", {"b": "runs/plain"}),  # from before the path was recorded
    ):
        (run / "comparisons" / f"{name}-test.json").write_text(json.dumps(record | told))
    _, page = _page([run], tmp_path / "a.html")
    assert "first against runs/plain, 2 paired comparisons: runs/plain is better in 2." in page.shown
    assert "first against old/plain, 1 paired comparison: old/plain is better in 1." in page.shown


def test_of_seven_runs_there_are_two_charts_of_what_is_kept(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"run{i}", epochs=0) for i in range(7)]
    text, page = _page(runs, tmp_path / "a.html")
    subsets = text[text.index('id="subsets"') : text.index('id="errors"')]
    keys = [
        re.findall(r"run\d", re.sub("<[^>]*>", "", part))
        for part in re.findall('<ul class="keys">(.*?)</ul>', subsets, re.S)
    ]
    assert keys == [[f"run{i}" for i in range(6)], ["run6"]]
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))


def test_compared_runs_that_were_copied_keep_their_names(tmp_path: Path) -> None:
    """The first of a comparison is the run beside it, wherever it lay when it was compared."""
    pair = {
        **{"subset": "RG", "fill_a": "", "fill_b": "", "n": 400, "accuracy_a": 0.51, "accuracy_b": 0.57, "p": 0.001},
        **{"difference": -0.06, "difference_interval": [-0.09, -0.03]},
    }
    runs = [write_run(tmp_path / "records" / name) for name in ("first", "second")]
    for run, other in zip(runs, ("second", "third"), strict=True):
        (run / "comparisons").mkdir()
        record = {"schema": 1, "kind": "comparison", "split": "test", "a": f"runs/{run.name}", "b": f"runs/{other}"}
        path = run / "comparisons" / f"{other}-test.json"
        path.write_text(json.dumps(record | {"b_from_a": f"../{other}", "comparisons": [pair]}))
    _, page = _page(runs, tmp_path / "a.html")
    assert "first against second, 1 paired comparison: second is better in 1." in page.shown
    assert "second against third, 1 paired comparison: third is better in 1." in page.shown


def test_many_channels_are_drawn_by_size(tmp_path: Path) -> None:
    run = write_run(tmp_path / "six", "a,b,c,d,e,f", pictures=1)
    text, page = _page([run], tmp_path / "a.html")
    assert "3 channels" in page.shown
    assert "1 channel" in page.shown
    answers = text[text.index('<table class="answers">') :]
    shown = re.findall(r'<th scope="row">([^<]*)</th>', answers[: answers.index("</table>")])
    assert (len(shown), shown[0], shown[-6:]) == (15, "a,b,c,d,e,f", list("abcdef"))


def test_test_is_reported_before_any_other_split(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first", epochs=0)
    path = run / "evaluation" / "test.json"
    path.with_name("train.json").write_text(json.dumps(json.loads(path.read_text()) | {"split": "train"}))
    path.with_name("val.json").write_text(json.dumps(json.loads(path.read_text()) | {"split": "val"}))
    assert main_split([read_run(run)]) == "test"
    path.unlink()
    _, page = _page([run], tmp_path / "a.html")
    assert "of 400 val images" in page.shown
    assert "there is no evaluation on a test split" in page.shown


@pytest.mark.parametrize("write", [write_run, write_ablation, write_search])
def test_refuses_nothing_at_all_and_one_twice(write: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run given"):
        write_report([], tmp_path / "a.html")
    with pytest.raises(ValueError, match="first is given twice"):
        write_report([write(tmp_path / "first"), tmp_path / "first" / ".." / "first"], tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_a_hyphen_before_a_number_in_an_abstract_is_a_minus() -> None:
    text = "R -1.1 (-2.7 to 0.4), 2-4 layers, `-3`, 002-1"
    told = templates(autoescape=True).from_string("{{ text | marked }}").render(text=text)
    assert told == "R −1.1 (−2.7 to 0.4), 2-4 layers, <code>-3</code>, 002-1"


def test_code_in_an_abstract_holds_no_words_in_italics() -> None:
    told = templates(autoescape=True).from_string("{{ text | marked }}").render(text="`a*b` and *c* `c*d` 2*3*4 <i>")
    assert told == "<code>a*b</code> and <em>c</em> <code>c*d</code> 2*3*4 &lt;i&gt;"


def test_of_runs_on_all_channels_alone_there_is_no_retention_to_know(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", epochs=0)
    path = run / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"results": record["results"][:1]}))
    assert "Retention is not known" not in write_report([run], tmp_path / "a.html").read_text("utf-8")
    path.write_text(json.dumps(record | {"results": [record["results"][1] | {"retention": None}]}))
    assert "Retention is not known" in write_report([run], tmp_path / "a.html").read_text("utf-8")


def test_of_a_classs_synonyms_the_first_is_shown(tmp_path: Path) -> None:
    classes = ("goldfish, Carassius auratus", "tabby, tabby cat", "crane", "crane, derrick")
    page = write_report([write_run(tmp_path / "run", classes=classes)], tmp_path / "page.html").read_text("utf-8")
    truths = set(re.findall(r'<p class="truth">(.*?)</p>', page))
    assert truths <= {"goldfish", "tabby", "crane", "crane, derrick"}
    assert len(truths) > 1


def test_only_a_report_is_written_over(tmp_path: Path) -> None:
    (run := tmp_path / "run").mkdir()
    (run / "run.json").write_text('{"schema": 1, "kind": "run", "name": "new", "status": "running"}')
    notes = tmp_path / "notes.html"
    notes.write_text("my notes")
    with pytest.raises(FileExistsError, match=r"notes\.html is there and is no report of anychan's"):
        write_report([run], notes)
    assert notes.read_text() == "my notes"
    with pytest.raises(FileExistsError, match=r"run is a folder; name the file to write, such as .*report\.html"):
        write_report([run], run)
    with pytest.raises(ValueError, match=r"r\.txt: a report's name ends in \.html or \.md"):
        write_report([run], tmp_path / "r.txt")
    for name in ("a.html", "a.md"):
        first = write_report([run], tmp_path / name, title="one").read_text()
        assert write_report([run], tmp_path / name, title="two").read_text() != first
