"""The report as Markdown: the page's sections and tables, charts in files beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from anychan.cli import main
from anychan.report import write_report
from anychan.report._document import fenced

from ._runs import cost_record, write_ablation, write_reproduction, write_run

OWN = {"drawn by hand.svg", "98-overview.svg"}


def anchor(heading: str) -> str:
    """As GitHub and MkDocs make it."""
    return heading.lower().replace(",", "").replace(":", "").replace(" ", "-")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("document")
    evil = "<b>`x|y`</b>"
    runs = [
        write_run(folder / "first", pictures=1, epochs=1),
        write_run(
            folder / "plain", strategy="plain", fills=("zeros",), pictures=0, epochs=0, name=evil, command="```\n#"
        ),
        write_ablation(folder / "ablation"),
        write_reproduction(folder / "000-A-seed0-reproduction.json"),
    ]
    figures = folder / "out" / "report-figures"
    write_report([runs[0]], folder / "out" / "report.md")
    next(figures.glob("*.svg")).rename(figures / "97-old.svg")
    for own in OWN:
        (figures / own).write_text("<svg>the user's own</svg>")
    for suffix in ("md", "html"):
        assert main(["report", *map(str, runs), "--out", str(folder / "out" / f"report.{suffix}")]) == 0
    return folder / "out"


def test_it_has_the_pages_sections_and_tables(folder: Path) -> None:
    text, page = (folder / "report.md").read_text("utf-8"), (folder / "report.html").read_text("utf-8")
    sections = re.findall(r"<h2>(.*?)</h2>", page)
    assert sections[-1] == "Reproduce: how to make it again"
    left_out = ["Pictures"]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [name for name in sections if name not in left_out]
    tables = page.count('<figure class="tabular')
    assert len(re.findall(r"^\|:?-", text, re.MULTILINE)) == tables
    assert "Photographs and confusion matrices are left out" in text
    assert "\n\n\n" not in text
    contents = re.search(r"<nav .*?</nav>", page, re.DOTALL)
    assert contents is not None
    names = re.findall(r'<a href="#(?!top")\w+">(.*?)</a>', contents[0])
    assert names == [name.split(":")[0] for name in sections]
    assert text.split("\n\n")[1].splitlines() == [
        f"- [{name}](#{anchor(name)})" for name in sections if name != "Pictures"
    ]


def test_what_stands_beside_figures_and_tables_is_the_pages(folder: Path) -> None:
    text, page = (" ".join((folder / f"report.{suffix}").read_text("utf-8").split()) for suffix in ("md", "html"))
    for said in (
        "A dashed line carries names of channels",
        "Training figures are those of the batches as the network saw them",
        "**What is kept when channels are missing.** A dot is the accuracy on a subset over",
        "The small signs are naive answers",
        "Precision, recall and F1 are macro averages over classes.",
        "On the diagonal, answers are right as often as their confidence says",
        "Latencies are of a whole batch, the median with its quartiles.",
        "Intervals are over our images; sources give none.",
        "These intervals are not corrected: of many changes that do nothing",
    ):
        assert said in text
        assert said.split("** ")[-1] in page
    assert "Solid lines are validation, dashed ones training." in text
    footer = text[text.index("Made by anychan from the ") :]
    assert f"<footer><p>{footer.replace(chr(39), '&#39;')}</p>" in page


def test_the_runs_that_an_ablation_starts_from_are_named(tmp_path: Path) -> None:
    path = write_ablation(tmp_path / "width") / "ablation.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"changes": {"wide": {"initial": "runs/a_b"}}}))
    text = write_report([path.parent], tmp_path / "a.md").read_text("utf-8")
    assert "It starts from, or is taught by, runs/a\\_b: finished runs, to be made before." in text


def test_every_chart_is_a_file_beside_it(folder: Path) -> None:
    text = (folder / "report.md").read_text("utf-8")
    shown = re.findall(r"^!\[(.+)\]\((\S+)\)$", text, re.MULTILINE)
    named = [name for _, name in shown]
    assert len(named) == len(set(named)) > 5
    files = {path.name for path in (folder / "report-figures").iterdir()}
    assert files > OWN
    assert {f"report-figures/{name}" for name in files - OWN} == set(named)
    for name in named:
        assert ElementTree.parse(folder / name).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_no_file_of_the_users_is_written_over(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=0)
    figures = tmp_path / "notes-figures"
    figures.write_text("notes of mine")
    with pytest.raises(FileExistsError, match=r"notes-figures is a file, where the charts' folder should be"):
        write_report([run], tmp_path / "notes.md")
    figures.unlink()
    write_report([run], tmp_path / "notes.md")
    own = sorted(figures.iterdir())[0]
    own.write_text("<svg>mine</svg>")
    (tmp_path / "notes.md").unlink()
    with pytest.raises(FileExistsError, match=rf"{own.name} is there and is no chart of anychan's"):
        write_report([run], tmp_path / "notes.md")
    assert not (tmp_path / "notes.md").exists()
    assert own.read_text() == "<svg>mine</svg>"


def test_a_chart_says_in_words_what_it_shows(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=0, name='a "b" [c] & d')
    text = write_report([run], tmp_path / "notes (1) #2.md").read_text("utf-8")
    shown = dict(re.findall(r"^!\[(.+)\]\(notes%20%281%29%20%232-figures/\d+-(.+)\.svg\)$", text, re.MULTILINE))
    assert all((tmp_path / "notes (1) #2-figures").glob(f"*-{name}.svg") for name in shown.values())
    retention = next(said for said, name in shown.items() if name == "retention")
    assert 'a "b" \\[c\\] & d' in retention
    assert "RG 85, RB 85" in retention


def test_marks_are_explained_in_words(folder: Path) -> None:
    text = (folder / "report.md").read_text("utf-8")
    legend = text.split("-retention.svg)")[1]
    assert legend.startswith("\n\n- blue circle: first\n- orange square: ")
    assert "- small signs, the missing channels filled: × black\n" in legend


def test_names_are_no_markup(folder: Path) -> None:
    text = (folder / "report.md").read_text("utf-8")
    assert "<b>" not in text
    assert "\\<b\\>\\`x\\|y\\`\\</b\\>" in text
    assert "````text\n```\n#\n````" in text
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("| ")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1, "every row has as many cells"


def test_what_is_written_begins_no_list_and_no_heading(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=0, name="# a ~b~ &lt;")
    abstract = "1. First of `~x~`, 2*3*4.\n\n# *Second* ~part~\n\n* a *b* c"
    text = write_report([run], tmp_path / "a.md", title="2) of ~two~", abstract=abstract).read_text("utf-8")
    assert text.startswith("# 2\\) of \\~two\\~\n\n- [Question](#question)\n")
    assert "\n\n1\\. First of `~x~`, 2\\*3\\*4.\n\n\\# *Second* \\~part\\~\n\n\\* a *b* c\n\n" in text
    assert "# a \\~b\\~ \\&lt;" in text


def test_of_an_ablation_alone(tmp_path: Path) -> None:
    text = write_report([write_ablation(tmp_path / "width")], tmp_path / "a.md").read_text("utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Question",
        "Ablations",
        "Limits",
        "Reproduce: how to make it again",
    ]
    assert (
        "Does width help? Base: wide6, width 32, sliced stem, 64×64, 3 epochs. Percent of 2,400 images of the val "
        "split, seeds 0 and 1; 95 % intervals over images and seeds, not corrected. Trained in float32 on Some CPU."
    ) in text


def test_an_ablation_says_what_its_costs_were_timed_on_where_that_is_another(tmp_path: Path) -> None:
    path = write_ablation(tmp_path / "width") / "ablation.json"
    record = json.loads(path.read_text("utf-8"))

    def caption(cpu: str) -> str:
        for row in record["rows"]:
            row.pop("trained", None)  # as in older records
            row["cost"] = cost_record("RGB") | {"hardware": {"cpu": cpu, "gpu": "A GPU"}, "device": "cpu"}
        path.write_text(json.dumps(record), "utf-8")
        return write_report([path.parent], tmp_path / "a.md").read_text("utf-8")

    assert "Recorded on Some Processor. Timed on Another CPU." in caption("Another CPU")
    assert "Timed on" not in caption("Some Processor")


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert fenced("a ```` b\n").splitlines() == ["`````text", "a ```` b", "`````"]
