"""``anychan predict`` as a user drives it."""

from __future__ import annotations

import csv
import io
import json

import pytest

from anychan.cli import main
from anychan.cli._predict import CSV_COLUMNS

from ._runs import photograph


def test_text_json_and_csv_say_the_same(run, photos, capsys):
    words = ["predict", str(run), str(photos / "test" / "ant"), str(photos / "**" / "1.png"), "--channels", "RG"]
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [record[key] for key in ("schema", "kind", "model", "channels")] == [1, "predictions", str(run), "RG"]
    assert [image["image"].rsplit("/", 1)[1] for image in record["images"]] == ["0.jpeg", "1.png"]
    assert {len(image["classes"]) for image in record["images"]} == {5}
    assert main([*words, "--csv", "--top", "2"]) == 0
    head, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert tuple(head) == CSV_COLUMNS
    expected = [(image["image"], rank + 1, image["classes"][rank]) for image in record["images"] for rank in range(2)]
    for row, (name, rank, answer) in zip(rows, expected, strict=True):
        assert row[:5] == [name, "RG", str(rank), str(answer["label"]), answer["class"]]
        assert float(row[5]) == pytest.approx(answer["probability"], abs=1e-6)
    assert main([*words, "--top", "1"]) == 0
    first = record["images"][0]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{first['image']} (RG)"
    assert said[1].split() == [f"{first['classes'][0]['probability']:.1%}", first["classes"][0]["class"]]


def test_a_broken_image_is_reported_and_the_rest_go_on(run, tmp_path, capsys, monkeypatch):
    for name, data in (("1.png", photograph(1)), ("2.png", b"no image"), ("3.png", photograph(3))):
        (tmp_path / name).write_bytes(data)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["predict", str(run), str(tmp_path), "--batch-size", "2", "--json"]) == 1
    said = capsys.readouterr()
    images = json.loads(said.out)["images"]
    assert [image["error"] is None for image in images] == [True, False, True]
    assert f"anychan: {tmp_path / '2.png'} is no image of a known format" in said.err
    assert "3/3" in said.err or "predicting" in said.err  # the bar
    assert main(["predict", str(run), str(tmp_path), "--csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["rank"] for row in rows if row["error"]] == [""]
    assert len(rows) == 11
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "2.png").write_bytes(b"no image")
    assert main(["predict", str(run), str(tmp_path / "none" / "2.png")]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wide4", "a.png"], "wide4 is a network's name"),
        (["nothing-50", "a.png"], "nothing-50 is not there"),
        (["{run}", "a.png", "--channels", "RX"], "unknown channel 'X'"),
        (["{run}", "a.png", "--top", "0"], "top 0"),
        (["{run}", "a.png", "--batch-size", "0"], "batch_size 0"),
        (["{run}", "a.png", "--json", "--csv"], "not allowed with"),
        (["{run}"], "IMAGE"),
    ],
)
def test_bad_input_is_refused_in_a_line(run, words, said, capsys):
    assert main(["predict", *(word.format(run=run) for word in words)]) == 2
    assert said in capsys.readouterr().err
