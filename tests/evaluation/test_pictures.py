"""The pictures kept in a run folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from anychan._files import replacing_folder
from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.evaluation import Predictions, predict_subset
from anychan.evaluation.pictures import choose, choose_disputed, view_planes, write_pictures


def read(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_pictures_show_the_image_and_the_answers(sliced: AnyChannelModel, array: ImageArray, tmp_path: Path) -> None:
    answers = {
        given.key: given
        for subset, fill in (("RGB", ""), ("R", ""), ("R", "zeros"), ("G", "mean"))
        for given in [predict_subset(sliced, array, subset, fill=fill)]
    }
    folder = tmp_path / "pictures"
    write_pictures(folder, ("built-in", "test"), array, answers, array.classes, count=6)
    record = json.loads((folder / "pictures.json").read_text())
    assert (record["schema"], record["kind"], record["data"], record["split"]) == (1, "pictures", "built-in", "test")
    assert [picture["chosen"] for picture in record["pictures"]].count("by lot") == 6
    for picture in record["pictures"]:
        row = array.paths.index(picture["path"])
        assert picture["label"] == array.labels[row]
        assert picture["class"] == array.classes[picture["label"]]
        assert list(picture["answers"]) == ["RGB", "R", "G mean"]
        for key, shown in zip([("RGB", ""), ("R", ""), ("G", "mean")], picture["answers"].values(), strict=True):
            given = answers[key]
            assert [name for name, _ in shown] == [array.classes[i] for i in given.top[row]]
            np.testing.assert_allclose([p for _, p in shown], given.probability[row], atol=1e-4)
        pixels = read(folder / picture["file"])
        apart = np.abs(array.images.permute(0, 2, 3, 1).numpy() - pixels.astype(int))
        assert apart.mean(axis=(1, 2, 3)).argmin() == row  # of noise, which a lossy file cannot keep


def test_with_a_model_maps_and_kernels_are_drawn(sliced: AnyChannelModel, array: ImageArray, tmp_path: Path) -> None:
    answers = {(subset, ""): predict_subset(sliced, array, subset) for subset in ("RGB", "G")}
    write_pictures(tmp_path / "pictures", ("built-in", "test"), array, answers, array.classes, model=sliced, count=2)
    record = json.loads((tmp_path / "pictures" / "pictures.json").read_text())
    assert [drawn["subset"] for drawn in record["kernels"]] == ["RGB", "G"]
    for picture in record["pictures"]:
        assert list(picture["activation"]) == ["RGB", "G"]
        shown = [read(tmp_path / "pictures" / file) for file in picture["activation"].values()]
        assert all(pixels.shape[:2] == tuple(array.images.shape[2:]) for pixels in shown)
        assert not np.array_equal(*shown)


def test_the_same_pictures_again_and_none_left_over(sliced: AnyChannelModel, array: ImageArray, tmp_path: Path) -> None:
    answers = {("RGB", ""): predict_subset(sliced, array)}
    for folder in ("one", "two"):
        write_pictures(tmp_path / folder, ("built-in", "test"), array, answers, array.classes)
    assert (tmp_path / "one/pictures.json").read_text() == (tmp_path / "two/pictures.json").read_text()
    write_pictures(tmp_path / "two", ("built-in", "test"), array, answers, array.classes, count=2)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["000.webp", "001.webp", "pictures.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_pictures_that_cannot_take_their_place_leave_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = tmp_path / "pictures", Path.rename
    folder.mkdir()
    (folder / "old.webp").touch()

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    def replace() -> None:
        with replacing_folder(folder) as temporary:
            (temporary / "new.webp").touch()

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        replace()
    assert [path.name for path in folder.iterdir()] == ["old.webp"]
    assert list(tmp_path.iterdir()) == [folder]


def test_right_and_wrong_ones_are_chosen() -> None:
    correct = np.array([True] * 30 + [False] * 50)
    chosen = choose(correct, 12, seed=0)
    assert correct[chosen].tolist() == [True] * 6 + [False] * 6
    assert len(set(chosen)) == 12
    assert chosen == choose(correct, 12, seed=0) != choose(correct, 12, seed=1)
    assert sum(correct[choose(correct[:32], 12, seed=0)]) == 10
    assert len(choose(np.array([False] * 20), 12, seed=0)) == 12
    assert len(choose(np.array([True, False]), 12, seed=0)) == 2


def given(subset: str, fill: str, predicted: list[int], paths: str = "abcdef") -> Predictions:
    top = np.array(predicted)[:, None]
    labels = np.array([0 if path < "d" else 1 for path in paths])
    return Predictions(subset, fill, tuple(paths), labels, top, np.ones((len(paths), 1), np.float32))


def test_disputed_pictures_are_those_whose_answers_change_most() -> None:
    answers = {
        ("RG", ""): given("RG", "", [0, 0, 0, 2, 2, 1]),
        ("R", ""): given("R", "", [0, 2, 2, 1, 2, 1]),
        ("R", "zeros"): given("R", "zeros", [3, 3, 3, 3, 3, 3]),  # the model answers R by itself
        ("G", "mean"): given("G", "mean", [9, 9, 9, 9, 9, 9]),  # not the last fill
        # The same images in another order: f is 1, e is 3, d is 4, c is 3, b is 0, a is 0.
        ("G", "zeros"): given("G", "zeros", [1, 3, 4, 3, 0, 0], "fedcba"),
    }
    # c: 0 2 3, right on RG alone; b: 0 2 0; d: 2 1 4, right on R alone; e is never right; a and f always.
    assert choose_disputed(answers, 2, seed=0) == [2, 3]
    assert choose_disputed(answers, 6, seed=0) == [2, 1, 3]
    assert choose_disputed({key: answers[key] for key in [("RG", "")]}, 2, seed=0) == []
    answers["R", ""] = given("R", "", [2, 1, 2, 1], "bdef")  # which left a and c out
    assert choose_disputed(answers, 6, seed=0) == [1, 3]
    answers["R", ""] = given("R", "", [], "")
    assert choose_disputed(answers, 6, seed=0) == []


def test_colours_are_found_by_name() -> None:
    assert view_planes(ChannelSet(["B", "NIR", "G", "R"])) == [3, 2, 0]
    assert view_planes(ChannelSet(["B02", "B03", "B04", "B08"])) == [0, 1, 2]
    assert view_planes(ChannelSet(["B02", "B03"])) == [0, 1]


def test_two_planes_are_gray_and_large_images_are_made_small(
    sliced: AnyChannelModel, array: ImageArray, tmp_path: Path
) -> None:
    answers = {("R", ""): predict_subset(sliced, array, "R")}
    large = torch.arange(200, dtype=torch.uint8).expand(11, 2, 100, 200)
    two = dataclasses.replace(array, images=large, channels=ChannelSet(["NIR", "SWIR"]))
    write_pictures(tmp_path / "pictures", ("built-in", "test"), two, answers, array.classes, count=1)
    shown = read(tmp_path / "pictures/000.webp").astype(int)
    assert shown.shape == (64, 128, 3)
    assert np.ptp(shown, axis=2).max() <= 2
