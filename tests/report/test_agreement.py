"""How often two subsets of the channels get the same answer."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from anychan.evaluation.predictions import Predictions, write_predictions
from anychan.report._reading.runs import read_run
from anychan.report._tables.agreement import Agreement, agreement, agreement_table, distinct_words

from ._runs import write_run

# Answers to four images of the class 0, by subset and fill.
ANSWERS = {
    ("RG", ""): [0, 0, 1, 2],
    ("R", ""): [0, 1, 1, 3],
    ("R", "zeros"): [3, 3, 3, 3],  # the model answers R by itself
    ("G", "zeros"): [0, 3, 2, 1],
    ("G", "mean"): [0, 2, 2, 2],
}


def write(folder: Path, table: bool, rights: bool = True) -> Path:
    write_run(folder, "RG", epochs=0, pictures=0)
    path = folder / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    row = record["results"][0]
    record["results"] = [
        row | {"subset": subset, "fill": fill, "n": 4, "confusion": [], "right": packed(named) if rights else ""}
        for (subset, fill), named in ANSWERS.items()
    ]
    path.write_text(json.dumps(record))
    if table:
        (folder / "predictions").mkdir()
        given = [predictions(subset, fill, named, i) for i, ((subset, fill), named) in enumerate(ANSWERS.items())]
        write_predictions(given, folder / "predictions" / "test.parquet")
    return folder


def packed(named: list[int]) -> str:
    return base64.b64encode(np.packbits(np.array(named) == 0).tobytes()).decode()


def predictions(subset: str, fill: str, named: list[int], shift: int) -> Predictions:
    """The images stand in another order in each part of the table."""
    order = np.roll(np.arange(4), shift)
    top = np.array(named)[order][:, None]
    paths = tuple(f"{i}.jpg" for i in order)
    return Predictions(subset, fill, paths, np.zeros(4, np.int64), top, np.ones((4, 1), np.float32))


def test_answers_are_compared_image_by_image(tmp_path: Path) -> None:
    found = agreement(read_run(write(tmp_path / "run", table=True)), "test")
    assert found is not None
    assert (found.subsets, found.n, found.of_answers) == (("RG", "R", "G*"), 4, True)
    assert found.shares == pytest.approx(np.array([[1, 0.5, 0.5], [0.5, 1, 0.25], [0.5, 0.25, 1]]))
    assert found.distinct == (1, 2, 1)  # 000; 001 1 2, 112; 232 has two; 0 1 2 three
    said = distinct_words(found)
    assert said == (
        "All 3 subsets are answered rightly on 25.0 % of the images, none on 50.0 %; on 25.0 % it depends on the "
        "channels. Different answers that they give to one image: 1 on 25.0 %, 2 on 50.0 % and 3 on 25.0 %."
    )
    table = agreement_table("run", found)
    assert [cell.text for cell in table.groups[0].rows[1]] == ["R", "50", "", "25"]
    assert table.groups[0].rows[1][1].shade == 0.5
    assert table.caption == (
        "run: percent of 4 images on which the answers to two subsets are the same. "
        "At an asterisk, missing channels are filled."
    )


def test_of_records_alone_it_is_known_whether_both_are_right(tmp_path: Path) -> None:
    found = agreement(read_run(write(tmp_path / "run", table=False)), "test")
    assert found is not None
    assert not found.of_answers
    # right: RG 1100, R 1000, G 1000
    assert found.shares == pytest.approx(np.array([[1, 0.75, 0.75], [0.75, 1, 1], [0.75, 1, 1]]))
    assert distinct_words(found) == (
        "All 3 subsets are answered rightly on 25.0 % of the images, none on 50.0 %; on 25.0 % it depends on the "
        "channels."
    )
    caption = agreement_table("run", found).caption
    assert "are both right or both wrong." in caption
    assert caption.endswith("The answers themselves are not in the records.")


def test_nothing_is_said_where_no_two_answers_are_there(tmp_path: Path) -> None:
    run = read_run(write(tmp_path / "run", table=False, rights=False))
    assert agreement(run, "test") is None
    assert agreement(run, "val") is None
    assert agreement(run, None) is None


def test_subsets_of_fewer_images_are_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", table=False)
    path = folder / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    for told in ({"n": 3}, {"n": 4, "left_out": 1}):  # of as many they may be others
        record["results"][1] |= told
        path.write_text(json.dumps(record))
        found = agreement(read_run(folder), "test")
        assert found is not None
        assert (found.subsets, found.left_out) == (("RG", "G*"), 1)
        assert "1 other subset is left out." in agreement_table("run", found).caption
    record["results"][0]["left_out"] = 2
    path.write_text(json.dumps(record))
    assert agreement(read_run(folder), "test") is None


def test_of_many_subsets_the_first_and_the_smallest_are_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", "a,b,c,d,e", epochs=0, pictures=0)
    path = folder / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    record["results"] = [row | {"n": 4, "right": packed([0, 1, 0, 1])} for row in record["results"]]
    path.write_text(json.dumps(record))
    found = agreement(read_run(folder), "test")
    assert found is not None
    table = agreement_table("run", found)
    shown = [row[0].text for row in table.groups[0].rows]
    assert (len(shown), shown[0], shown[-5:]) == (15, "a,b,c,d,e", list("abcde"))
    assert "16 other subsets are left out." in table.caption


def test_where_all_subsets_are_right_or_none_is_it_depends_on_no_channels() -> None:
    found = Agreement(("RG", "R"), np.ones((2, 2)), (100, 0), 100, (7, 93), of_answers=False, left_out=0)
    assert distinct_words(found).endswith("; on 0.0 % it depends on the channels.")


def test_a_broken_table_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", table=True)
    (folder / "predictions" / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"test\.parquet: not a table of predictions"):
        agreement(read_run(folder), "test")
