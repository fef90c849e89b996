"""The models that come with the package, and how one is made."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import anychan
from anychan import packaged
from anychan.channels import ChannelSet
from anychan.cli import main
from anychan.models import ModelInfo
from anychan.models.card import model_card
from anychan.models.files import read_info
from anychan.models.hub import PretrainedModel
from anychan.packaged import FOLDER, MOST_BYTES, list_packaged, packaged_folder

SHIPPED = list_packaged()
RECORDS = Path(__file__).parents[1] / "docs" / "records"


@pytest.fixture
def photo(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def two_animals(tmp_path, monkeypatch) -> str:
    """A model in a folder that stands for the package's."""
    monkeypatch.setattr(packaged, "FOLDER", tmp_path / "packaged")
    channels = ChannelSet.parse("RGB").with_statistics([0.48, 0.45, 0.4], [0.27, 0.26, 0.28])
    info = ModelInfo("wide4", 2, "sliced", channels, ("cat", "dog"), 16, model_options={"width": 3})
    torch.manual_seed(0)
    model = info.create().half()  # as half the bytes; it is read back in full precision
    PretrainedModel(model, info).save_pretrained(tmp_path / "packaged" / "two-animals")
    return "two-animals"


def test_the_model_that_the_guide_asks_is_there():
    assert "animals-50" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_packaged_model_is_small_has_a_card_and_answers(name, photo):
    folder = FOLDER / name
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert {"model.safetensors", "model.json", "README.md"} <= set(files)
    assert sum(files.values()) <= MOST_BYTES
    card = (folder / "README.md").read_text(encoding="utf-8")
    for part in ("## Intended use", "## Training data", "## Results", "## Limits"):
        assert part in card
    answers = anychan.predict(name, photo, "G")
    assert answers[0].error is None
    assert 0 < answers[0].probabilities[0] <= 1


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_says_what_the_records_of_its_run_say(name):
    card = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    (run,) = re.findall(r"^The model of the run `(.+)` \(its records: `docs/records/\1`\)", card, re.MULTILINE)
    made = model_card(read_info(FOLDER / name), RECORDS / run)
    assert card.split("\n## ")[1:] == made.split("\n## ")[1:]


def test_a_model_is_packaged_by_its_folder_alone(two_animals, photo, capsys):
    assert list_packaged() == [two_animals]
    assert main(["predict", two_animals, str(photo), "--channels", "G", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["images"][0]
    assert {found["class"] for found in answer["classes"]} == {"cat", "dog"}
    model, _ = anychan.load_model(two_animals)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    with pytest.raises(ValueError, match="no packaged model 'three'; there are two-animals"):
        packaged_folder("three")


def test_packaged_models_are_listed(two_animals, capsys):
    assert main(["list", "packaged", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    size = sum(path.stat().st_size for path in packaged_folder(two_animals).iterdir())
    assert record == [
        {"name": two_animals, "architecture": "wide4", "strategy": "sliced", "channels": "RGB", "classes": 2,
         "image_size": 16, "bytes": size},
    ]  # fmt: skip
    assert main(["list", "packaged"]) == 0
    assert "two-animals  wide4, sliced; 2 classes from RGB, 16 pixels" in capsys.readouterr().out


def test_none_packaged_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    assert main(["list", "packaged"]) == 0
    assert capsys.readouterr().out.strip() == "no trained model comes with this version"
