"""What a report of several runs says before anything else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from anychan.evaluation.paired import NOT_DISTINGUISHABLE
from anychan.report import write_report
from anychan.report._reading.records import Run, Specialist, Specialists
from anychan.report._reading.runs import read_run
from anychan.report._sentences.summary import summary

from ._runs import FILLS, write_run


def runs(folder: Path, **accuracies: float) -> list[Run]:
    return [read_run(write_run(folder / name, accuracy=share, pictures=0)) for name, share in accuracies.items()]


def test_runs_are_ranked_on_all_channels_and_over_the_others(tmp_path: Path) -> None:
    found = runs(tmp_path, low=0.3, first=0.6, second=0.5, third=0.4)
    assert summary(found, "test") == [
        "On all channels (RGB) first is most accurate, with 60.0 % of 400 test images (95 % interval 58.0 to 61.9), "
        "before second with 50.0 % and third with 40.0 %; the least is 30.0 %, by low.",
        "On average over RG, RB, GB, R, G and B first is most accurate, with 46.5 %, before second with 38.8 % and "
        "third with 31.0 %; the least is 23.2 %, by low.",
        "These places are by point estimates, which another seed may change.",
    ]


def test_runs_that_are_level_share_a_place(tmp_path: Path) -> None:
    found = runs(tmp_path, low=0.3, first=0.6, also=0.6, third=0.4, alike=0.3, beside=0.4)
    said, means, _ = summary(found, "test")
    assert said == (
        "On all channels (RGB) first and also are level, with 60.0 % of 400 test images (95 % interval 58.0 to 61.9), "
        "before third and beside with 40.0 % and low and alike with 30.0 %."
    )
    assert "first and also are level, with 46.5 %, before" in means
    equal, *_ = summary([found[1], found[2]], "test")
    assert equal.endswith("first and also are level, with 60.0 % of 400 test images (95 % interval 58.0 to 61.9).")
    many = [replace(run, name=f"{run.name}{i}") for i in range(4) for run in found[1:3]]
    assert summary(many, "test")[0].startswith("On all channels (RGB) 8 runs are level, with 60.0 %")


def test_of_many_subsets_their_number_is_told(tmp_path: Path) -> None:
    found = [
        read_run(write_run(tmp_path / name, channels="N,R,G,B", accuracy=share, pictures=0))
        for name, share in (("first", 0.6), ("second", 0.5))
    ]
    assert summary(found, "test")[1].startswith("On average over the 14 smaller subsets first is most accurate")


def test_a_plain_run_has_a_place_on_all_channels_only(tmp_path: Path) -> None:
    plain = read_run(write_run(tmp_path / "plain", strategy="plain", fills=FILLS, accuracy=0.7, pictures=0))
    first, second, _ = summary([*runs(tmp_path, any=0.6, other=0.5), plain], "test")
    assert first.startswith("On all channels (RGB) plain is most accurate, with 70.0 %")
    assert (
        second == "On average over RG, RB, GB, R, G and B any is most accurate, with 46.5 %, before other with 38.8 %."
    )


def test_runs_that_answered_all_channels_only_are_ranked_on_these(tmp_path: Path) -> None:
    found = [
        read_run(write_run(tmp_path / name, strategy="plain", accuracy=share, pictures=0))
        for name, share in (("a", 0.6), ("b", 0.5))
    ]
    first, places = summary(found, "test")
    assert first.endswith("before b with 50.0 %.")
    assert places.startswith("These places are by point estimates")


def test_runs_are_not_ranked_where_there_is_one_or_their_images_differ(tmp_path: Path) -> None:
    one, other = runs(tmp_path, one=0.6, other=0.5)
    assert summary([one], "test") == []
    path = tmp_path / "other" / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["data"] = {"name": "copy of animals", "fingerprints": {"test": "b"}}  # by another name, and the same images
    path.write_text(json.dumps(record))
    assert summary([one, read_run(tmp_path / "other")], "test") != []
    record["data"]["fingerprints"]["test"] = "others"
    path.write_text(json.dumps(record))
    assert summary([one, read_run(tmp_path / "other")], "test") == []
    assert summary([one, other], "val") == []


def test_a_run_beside_its_specialists_says_how_sure_that_is(tmp_path: Path) -> None:
    def beside(interval: tuple[float, float], verdict: str) -> str:
        rows = (
            Specialist("R", "plain-R", 400, 0.5, 0.45, 0.05, (0.01, 0.09), 0.01, 0.02, verdict),
            Specialist("G", "plain-G", 400, 0.5, 0.5, 0.0, (-0.03, 0.03), 1.0, 1.0, NOT_DISTINGUISHABLE),
        )
        found = Specialists("any", "test", rows, 0.5, 0.475, 0.025, interval, (None, None), (None, None), ())
        any_channel, other = runs(tmp_path, any=0.6, other=0.5)
        return summary([replace(any_channel, specialists=(found,)), other], "test")[-1]

    assert beside((0.004, 0.04), "a is better") == (
        "any beside a plain network trained for each subset alone: +2.5 points on average (+0.4 to +4.0), and the "
        "interval leaves out zero; R by +5.0 is decided."
    )
    assert beside((-0.01, 0.06), NOT_DISTINGUISHABLE) == (
        "any beside a plain network trained for each subset alone: +2.5 points on average (−1.0 to +6.0), which is not "
        "distinguishable from none; on none of R and G by itself is the difference decided."
    )


def test_the_page_begins_with_it_and_folds_many_runs_away(tmp_path: Path) -> None:
    folders = [run.folder for run in runs(tmp_path, low=0.3, first=0.6, second=0.5, third=0.4)]
    page = write_report(folders, tmp_path / "all.html").read_text(encoding="utf-8")
    assert page.index("On all channels (RGB) first is most accurate") < page.index(
        "<summary>Each run in a few sentences"
    )
    own_words = write_report(folders, tmp_path / "all.html", abstract="Mine.").read_text(encoding="utf-8")
    assert "is most accurate" not in own_words
    assert page.count("<summary>All metrics of") == 1  # of each run
    three = write_report(folders[:3], tmp_path / "three.html").read_text("utf-8")
    assert "Each run in a few sentences" not in three
    assert three.count("<summary>All metrics of") == 3
    assert "first is most accurate, with 60.0 %" in write_report(folders, tmp_path / "all.md").read_text(
        encoding="utf-8"
    )
