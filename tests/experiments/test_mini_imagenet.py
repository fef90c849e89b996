"""A recipe on data as mini-ImageNet is handed out: images.zip, and train.txt, val.txt and test.txt beside it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anychan.cli import main
from anychan.data import check_dataset
from anychan.experiments import Recipe, completing, validate_records

PROJECT = Path(__file__).parents[2]
LISTS = [root / "shared" / "data" / "mini-imagenet-lists" for root in (PROJECT, PROJECT.parent)]
CLASSES = ("n02111277", "n02113712", "n02165105")
COUNTS = {"train": 4, "val": 1, "test": 2}  # of each class
BROKEN = "images/n02111277/train_0.JPEG"


def jpeg(seed: int, size: tuple[int, int]) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def write_archive(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A few made-up pictures of different shapes, one of them broken."""
    lines: Mapping[str, list[str]] = {
        split: [f"images/{name}/{split}_{i}.JPEG {label}" for label, name in enumerate(CLASSES) for i in range(count)]
        for split, count in COUNTS.items()
    }
    for split, of_split in lines.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(of_split) + "\n")
    paths = [line.split()[0] for of_split in lines.values() for line in of_split]
    files = {path: jpeg(seed, (60 - seed, 40 + seed)) for seed, path in enumerate(paths)}
    files[BROKEN] = files[BROKEN][:100]
    return write_archive(tmp_path / "images.zip", files.items())


def test_a_recipe_runs_on_it_with_the_machine_settings_of_train(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["reproduce", "000-A", "--runs", "sliced", "--data", str(archive), "--out", str(out), "--epochs", "1"]
    words += ["--image-size", "32", "--cache-dir", str(tmp_path / "cache"), "--device", "cpu", "--precision", "float32"]
    assert main(words) == 2
    assert BROKEN in capsys.readouterr().err  # as `anychan train` has it, a broken image stops the run
    assert main([*words, "--skip-broken"]) == 0
    table = capsys.readouterr().out
    assert "device=cpu, precision=float32, skip_broken=True" in table
    assert "of 6 test images; seed 0" in table
    record = json.loads((out / "000-A-sliced-seed0" / "run.json").read_text())
    assert record["data"]["layout"] == "image lists, classes named by their folders"
    assert record["data"]["splits"] == {"train": 12, "val": 3, "test": 6}
    assert [path for path, _ in record["skipped"]] == [BROKEN]
    assert (record["machine"]["device"], record["machine"]["precision"]) == ("cpu", "float32")
    evaluation = json.loads((out / "000-A-sliced-seed0" / "evaluation" / "test.json").read_text())
    assert evaluation["classes"] == list(CLASSES)
    path = out / "000-A-seed0-reproduction.json"
    rows = json.loads(path.read_text())["rows"]
    assert (rows[0]["run"], rows[0]["figure"], rows[0]["n"]) == ("sliced", "accuracy", 6)
    assert list(rows[0]["measured"]) == ["RGB", "RG", "RB", "GB", "R", "G", "B"]
    assert validate_records([out]) == (5, [])


def test_the_device_asked_for_is_that_of_the_evaluation_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(completing, "is_finished", lambda config: True)
    monkeypatch.setattr(completing, "read_info", lambda run: None)
    monkeypatch.setattr(completing, "own_subsets", lambda info: ["RGB"])
    monkeypatch.setattr(completing, "evaluate_run", lambda *_, device, **__: asked.append(device))
    for device in ("auto", "cpu"):
        changes = {"data": "synthetic", "device": device}
        config = Recipe.read("000-A").configurations(tmp_path, changes)["plain"]
        config.out.mkdir(exist_ok=True)
        for part in ("model.json", "model.safetensors"):  # without which a run cannot be evaluated
            (config.out / part).touch()
        completing.complete(config, "test")
    assert asked == [None, "cpu"]  # None takes a GPU where there is one


def test_its_own_lists_are_read_with_a_made_up_picture_for_each_line(tmp_path: Path) -> None:
    lists = next((folder for folder in LISTS if folder.is_dir()), None)
    if lists is None:
        pytest.skip("mini-ImageNet's lists are not beside the project, in shared/data/mini-imagenet-lists")
    paths = []
    for split in COUNTS:
        text = (lists / f"{split}.txt").read_text()
        (tmp_path / f"{split}.txt").write_text(text)
        paths += [line.split()[0] for line in text.splitlines()]
    start, rest = (picture := jpeg(0, (8, 8)))[:2], picture[2:]
    numbered = ((path, start + comment(str(i)) + rest) for i, path in enumerate(paths))  # no two are the same
    report = check_dataset(write_archive(tmp_path / "images.zip", numbered))
    assert {split: sum(of_class) for split, of_class in report.counts.items()} == {
        "train": 63_325, "val": 450, "test": 450
    }  # fmt: skip
    assert (len(report.classes), report.decoded, report.findings) == (50, 64_225, ())
    assert {*report.counts["val"]} == {*report.counts["test"]} == {9}


def comment(text: str) -> bytes:
    """JPEG's segment for one."""
    return b"\xff\xfe" + (2 + len(text)).to_bytes(2, "big") + text.encode()
