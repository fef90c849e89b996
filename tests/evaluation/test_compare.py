"""Two evaluated runs, paired image by image."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from anychan.channels import ChannelSet
from anychan.evaluation import Predictions, compare_runs, comparison_table
from anychan.evaluation.holm import holm
from anychan.evaluation.predictions import pack_right

PATHS = tuple(f"test/{i}.png" for i in range(200))
LABELS = np.random.default_rng(0).integers(0, 6, size=200)


def answers(subset: str, fill: str, accuracy: float, seed: int, order: Sequence[int] = range(200)) -> Predictions:
    """Answers of which about a share of ``accuracy`` is right."""
    rng = np.random.default_rng(seed)
    predicted = np.where(rng.random(200) < accuracy, LABELS, (LABELS + 1) % 6)
    top = np.stack([predicted, (predicted + 2) % 6], axis=1)[order]
    probability = np.full((len(order), 2), 0.5, dtype=np.float32)
    return Predictions(subset, fill, tuple(PATHS[i] for i in order), LABELS[order], top, probability)


def write_run(run: Path, given: Sequence[Predictions], channels: str = "RGB", fingerprint: str = "aa") -> Path:
    (run / "evaluation").mkdir(parents=True)
    record = {
        "schema": 1,
        "kind": "evaluation",
        "channels": ChannelSet.parse(channels).to_dict(),
        "data": {"name": fingerprint, "fingerprints": {"test": fingerprint}},
        "results": [
            {"subset": one.subset, "fill": one.fill, "n": len(one.paths), "right": pack_right(one)} for one in given
        ],
    }
    (run / "evaluation/test.json").write_text(json.dumps(record))
    return run


@pytest.fixture
def any_channel(tmp_path: Path) -> Path:
    return write_run(
        tmp_path / "any", [answers("RGB", "", 0.7, 1), answers("RG", "", 0.6, 2), answers("R", "", 0.5, 3)]
    )


def test_subsets_in_common_are_paired(any_channel: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "b", [answers("RGB", "", 0.68, 4), answers("R", "", 0.2, 5), answers("B", "", 0.2, 6)])
    record = compare_runs(any_channel, other)
    assert [(row["subset"], row["fill_a"], row["fill_b"]) for row in record["comparisons"]] == [
        ("RGB", "", ""),
        ("R", "", ""),
    ]
    one, two = answers("R", "", 0.5, 3).correct, answers("R", "", 0.2, 5).correct
    row = record["comparisons"][1]
    assert row["n"] == 200
    assert row["only_a"] == int((one & ~two).sum())
    assert row["only_b"] == int((two & ~one).sum())
    assert row["difference"] == pytest.approx(one.mean() - two.mean())
    assert [row["verdict"] for row in record["comparisons"]] == ["not distinguishable", "a is better"]
    assert [r["p_holm"] for r in record["comparisons"]] == holm([r["p"] for r in record["comparisons"]])
    assert json.loads((any_channel / "comparisons" / "b-test.json").read_text()) == record


def test_images_in_another_order_are_the_same_images(any_channel: Path, tmp_path: Path) -> None:
    shuffled = np.random.default_rng(9).permutation(200).tolist()
    other = write_run(tmp_path / "b", [answers("RGB", "", 0.7, 1, order=shuffled)])
    row = compare_runs(any_channel, other)["comparisons"][0]
    assert (row["only_a"], row["only_b"], row["p"]) == (0, 0, 1.0)
    assert row["verdict"] == "not distinguishable"


def test_a_set_that_is_named_twice_is_tested_once(any_channel: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "b", [answers("RGB", "", 0.68, 4), answers("RG", "", 0.3, 5)])
    once = compare_runs(any_channel, other, channels=["RG"])["comparisons"]
    assert compare_runs(any_channel, other, channels=["RG", "GR", "RG"])["comparisons"] == once


def test_runs_of_one_name_have_a_file_each(any_channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near = write_run(tmp_path / "b", [answers("RGB", "", 0.68, 4)])
    far = write_run(tmp_path / "far" / "b", [answers("RGB", "", 0.2, 5)])
    written = any_channel / "comparisons"
    compare_runs(any_channel, near)
    compare_runs(any_channel, far)
    monkeypatch.chdir(far.parent)
    found = compare_runs(Path("..", "any"), Path("b"))  # the same run, named from elsewhere
    assert sorted(path.name for path in written.iterdir()) == ["b-2-test.json", "b-test.json"]
    told = [json.loads((written / name).read_text()) for name in ("b-test.json", "b-2-test.json")]
    assert [record["b_from_a"] for record in told] == ["../b", "../far/b"]
    assert told[1] == found


def test_an_older_record_of_the_same_run_is_replaced_and_another_kept(
    any_channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = write_run(tmp_path / "b", [answers("RGB", "", 0.68, 4)])
    written = any_channel / "comparisons"
    record = compare_runs(any_channel, other)
    del record["b_from_a"]
    for b, names in (("b", ["b-test.json"]), ("elsewhere/b", ["b-2-test.json", "b-test.json"])):
        (written / "b-test.json").write_text(json.dumps(record | {"b": b}))
        compare_runs(any_channel, other)
        assert sorted(path.name for path in written.iterdir()) == names
    assert json.loads((written / "b-test.json").read_text())["b"] == "elsewhere/b"
    (written / "b-test.json").write_text("{")
    with pytest.raises(ValueError, match=r"b-test\.json is damaged"):
        compare_runs(any_channel, other)


def test_an_own_answer_meets_each_naive_answer(any_channel: Path, tmp_path: Path) -> None:
    naive = write_run(
        tmp_path / "b", [answers("RGB", "", 0.7, 4), answers("RG", "zeros", 0.2, 5), answers("RG", "mean", 0.3, 6)]
    )
    pairs = [(row["subset"], row["fill_a"], row["fill_b"]) for row in compare_runs(any_channel, naive)["comparisons"]]
    assert pairs == [("RGB", "", ""), ("RG", "", "zeros"), ("RG", "", "mean")]
    turned = [(row["subset"], row["fill_a"], row["fill_b"]) for row in compare_runs(naive, any_channel)["comparisons"]]
    assert turned == [("RGB", "", ""), ("RG", "zeros", ""), ("RG", "mean", "")]


def test_subsets_are_found_by_name(any_channel: Path, tmp_path: Path) -> None:
    turned = write_run(tmp_path / "b", [answers("GR", "", 0.6, 2)], channels="BGR")
    assert [row["subset"] for row in compare_runs(any_channel, turned)["comparisons"]] == ["RG"]
    assert [row["subset"] for row in compare_runs(any_channel, turned, channels="GR")["comparisons"]] == ["RG"]


def test_chosen_subsets_only(any_channel: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "b", [answers("RGB", "", 0.68, 4), answers("R", "", 0.2, 5)])
    assert [row["subset"] for row in compare_runs(any_channel, other, channels=["R"])["comparisons"]] == ["R"]
    with pytest.raises(ValueError, match="b was not evaluated on RG: run `anychan evaluate"):
        compare_runs(any_channel, other, channels=["RG"])
    with pytest.raises(ValueError, match="'X'"):
        compare_runs(any_channel, other, channels=["R,X"])


def test_different_images_are_refused(any_channel: Path, tmp_path: Path) -> None:
    fewer = write_run(tmp_path / "fewer", [answers("RGB", "", 0.7, 1, order=range(199))])
    with pytest.raises(ValueError, match=r"fewer answered RGB for different images \(200 and 199\): only answers to"):
        compare_runs(any_channel, fewer)
    elsewhere = write_run(tmp_path / "elsewhere", [answers("RGB", "", 0.7, 1)], fingerprint="bb")
    with pytest.raises(ValueError, match=r"different data \(aa and bb\)"):
        compare_runs(any_channel, elsewhere)
    otherwise = write_run(tmp_path / "otherwise", [answers("RGB", "", 0.7, 1)])
    for run, decoding in ((any_channel, ""), (otherwise, "of a bands.yaml")):
        path = run / "evaluation" / "test.json"
        record = json.loads(path.read_text())
        record["data"]["decoding"] = decoding
        path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="read otherwise"):
        compare_runs(any_channel, otherwise)


def test_a_record_that_does_not_tell_of_single_images_is_named(any_channel: Path, tmp_path: Path) -> None:
    older = write_run(tmp_path / "older", [answers("RGB", "", 0.7, 1)])
    path = older / "evaluation" / "test.json"
    record = json.loads(path.read_text())
    del record["results"][0]["right"]
    path.write_text(json.dumps(record))
    for pair in ((any_channel, older), (older, any_channel)):
        with pytest.raises(
            ValueError, match=r"older/evaluation/test\.json is from before .* --split test --channels RGB"
        ):
            compare_runs(*pair)
    record["results"][0]["right"] = "oA=="
    path.write_text(json.dumps(record))
    with pytest.raises(
        ValueError, match=r"older/evaluation/test\.json is damaged: answers to 200 images take 25 bytes"
    ):
        compare_runs(any_channel, older)


def test_a_run_is_not_compared_with_itself(any_channel: Path) -> None:
    with pytest.raises(ValueError, match="are one run: two are compared"):
        compare_runs(any_channel, any_channel / ".." / any_channel.name)


def test_runs_without_anything_in_common_are_refused(any_channel: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "b", [answers("B", "", 0.5, 1)])
    with pytest.raises(ValueError, match="no channel set"):
        compare_runs(any_channel, other)
    with pytest.raises(FileNotFoundError, match=r"val\.json is not there"):
        compare_runs(any_channel, other, split="val")
    (any_channel / "evaluation/test.json").write_text('{"schema": 1')
    with pytest.raises(ValueError, match=r"test\.json is damaged"):
        compare_runs(any_channel, other)


def test_a_run_on_another_drive_is_named_by_its_own_path(
    any_channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, start: Path) -> str:
        raise ValueError("path is on mount 'd:', start on mount 'c:'")

    other = write_run(tmp_path / "b", [answers("RGB", "", 0.68, 4)])
    monkeypatch.setattr(os.path, "relpath", refuse)
    for _ in range(2):  # an earlier comparison with the same run is replaced
        assert compare_runs(any_channel, other)["b_from_a"] == other.as_posix()
    assert [path.name for path in (any_channel / "comparisons").iterdir()] == ["b-test.json"]


def test_no_difference_has_no_sign(any_channel: Path, tmp_path: Path) -> None:
    record = compare_runs(any_channel, write_run(tmp_path / "b", [answers("RGB", "", 0.7, 1)]))
    record["comparisons"][0] |= {"difference": -0.0001, "difference_interval": [-0.0003, 0.0002]}
    assert comparison_table(record).splitlines()[4].split()[6:10] == ["0.0", "0.0", "to", "0.0"]


def test_table_reads_well(any_channel: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "b", [answers("RGB", "", 0.68, 4), answers("R", "zeros", 0.2, 5)])
    lines = comparison_table(compare_runs(any_channel, other)).splitlines()
    assert lines[0].endswith("one test a row, verdicts corrected by Holm")
    assert lines[2].split()[:5] == ["channels", "fill", "a", "fill", "b"]
    assert lines[4].endswith("not distinguishable")
    assert lines[5].startswith("R         -       zeros")
    assert "< 0.0001" in lines[5]
    assert lines[5].endswith("a is better")
